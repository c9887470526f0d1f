"""Why a layer differs, as far as its two results say it by themselves."""

from __future__ import annotations

import numpy as np

from netwright.values import Picture

_SIDE = 24  # places of a picture in either direction


def reason_of(original: np.ndarray, ported: np.ndarray) -> str | None:
    """What the difference between two results of one input, (C, …), looks like, in words; `None` where it
    looks like nothing in particular."""
    if original.shape != ported.shape:
        if sorted(original.shape) == sorted(ported.shape):
            return f"its axes lie in another order, {_by(ported)} for {_by(original)}"
        if original.ndim == ported.ndim and all(
            abs(a - b) <= 1 for a, b in zip(original.shape, ported.shape, strict=True)
        ):
            return f"its size is rounded another way, {_by(ported)} for {_by(original)}"
        return f"its shape is another, {_by(ported)} for {_by(original)}"
    one, other = original.astype(np.float64), ported.astype(np.float64)
    if not np.isfinite(other).all() and np.isfinite(one).all():
        return f"{float((~np.isfinite(other)).mean()):.0%} of its values are not finite"
    wrong = np.abs(one - other) > 1e-4 * max(float(np.abs(one).max(initial=0.0)), 1e-6)
    share = float(wrong.mean())
    if share == 0:
        return None
    if _same_values(one, other):
        return "the same values lie in other places: the layout is another"
    if one.ndim >= 3 and share < 0.9 and not wrong[..., 1:-1, 1:-1].any() and min(one.shape[-2:]) > 2:
        return "only the border differs: padding is another"
    if share < 0.95 and not wrong[one > 0].any() and wrong[one <= 0].any():
        return "only values that are not positive differ: the activation is another"
    if share < 0.95 and float(np.abs(other[wrong]).max()) == 0:
        return "where it differs the port gives 0"
    linear = _linear_by_channel(one, other)
    if linear is not None:
        return linear
    noise = float(np.abs(one - other).max()) / max(float(np.abs(one).max()), 1e-12)
    if noise < 2e-3:
        return f"differences of {noise:.0e} look like arithmetic of fewer bits"
    return None


def _by(array: np.ndarray) -> str:
    return "×".join(map(str, array.shape)) or "a number"


def _same_values(one: np.ndarray, other: np.ndarray) -> bool:
    first, second = np.sort(one, axis=None), np.sort(other, axis=None)
    scale = max(float(np.abs(first).max(initial=0.0)), 1e-6)
    return len(np.unique(first)) > 2 and float(np.abs(first - second).max(initial=0.0)) <= 1e-5 * scale


def _linear_by_channel(one: np.ndarray, other: np.ndarray) -> str | None:
    """Whether every channel (or, of a vector, the whole) is the original times a number plus a number."""
    rows = one.reshape(len(one), -1) if one.ndim > 1 else one.reshape(1, -1)
    ported = other.reshape(rows.shape)
    if rows.shape[1] < 4:
        return None
    mean, shift = rows.mean(1, keepdims=True), ported.mean(1, keepdims=True)
    spread = ((rows - mean) ** 2).sum(1, keepdims=True)
    factor = ((rows - mean) * (ported - shift)).sum(1, keepdims=True) / np.where(spread > 0, spread, 1)
    rest = np.abs(ported - shift - factor * (rows - mean)).max()
    if rest > 1e-4 * max(float(np.abs(rows).max()), 1e-6):
        return None
    offset = shift - factor * mean
    scale = max(float(np.abs(rows).max()), 1e-6)
    many = rows.shape[0] > 1
    if float(np.abs(offset).max()) < 1e-4 * scale:
        low, high = float(factor.min()), float(factor.max())
        by = f"{low:.4g}" if np.isclose(low, high, rtol=1e-4) else f"{low:.4g} to {high:.4g}"
        what = "every channel" if many else "it"
        return f"{what} is scaled by {by}: an epsilon, a scale or a factor is another"
    if np.allclose(factor, 1, atol=1e-4):
        return f"{'channels are' if many else 'it is'} shifted by a constant: a bias is another"
    return f"{'every channel' if many else 'it'} is scaled and shifted: a normalisation's numbers are others"


def pictures_of(original: np.ndarray, ported: np.ndarray) -> tuple[Picture, ...]:
    """One channel of both results and their difference, the channel where they differ most."""
    if original.shape != ported.shape:
        return Picture("original", _plane(original)), Picture("port", _plane(ported))
    distance = np.abs(original.astype(np.float64) - ported)
    distance[~np.isfinite(distance)] = 0
    if original.ndim >= 3:
        channel = int(distance.reshape(len(distance), -1).max(1).argmax())
        original, ported, distance = original[channel], ported[channel], distance[channel]
    return (
        Picture("original", _plane(original)),
        Picture("port", _plane(ported)),
        Picture("difference", _plane(distance)),
    )


def _plane(array: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """A plane of at most `_SIDE` × `_SIDE`; of what is larger its first corner."""
    while array.ndim > 2:
        array = array[0]
    plane = np.atleast_2d(array)[:_SIDE, :_SIDE]
    return tuple(tuple(float(f"{v:.4g}") for v in row) for row in plane.tolist())
