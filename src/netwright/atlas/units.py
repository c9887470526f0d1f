"""The units of every layer over all inputs: what excites each most, which are dead, which say the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from attrs import define
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from netwright.runs.by_input import Output
from netwright.values import Units, UnitTop

TOP = 8
MOST = 512  # units of a layer that are compared with each other
ALIKE = 0.99


PLACES = 16  # of a feature map, at which units are compared


def by_unit(output: Output) -> tuple[Tensor, Tensor]:
    """The largest value (B, U) of every unit for each input, and its values at up to `PLACES` places
    (B, U, P): a channel of images (B, C, H, W) and of convolved series (B, C, L), a feature of sequences
    (B, T, D) and of (B, D)."""
    values = output.values.float()
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim == 3 and not _channels_first(output):
        values = values.transpose(1, 2)  # (B, D, T)
        if output.lengths is not None:
            lengths = output.lengths.to(values.device).clamp(min=1)
            there = torch.arange(values.shape[2], device=values.device)[None] < lengths[:, None]
            largest = values.masked_fill(~there[:, None], float("-inf")).amax(2)
            return largest, (values.sum(2) / lengths[:, None])[..., None]
    flat = values.flatten(2) if values.ndim > 2 else values[..., None]
    return flat.amax(2), flat if flat.shape[2] <= PLACES else F.adaptive_avg_pool1d(flat, PLACES)


def _channels_first(output: Output) -> bool:
    kind = output.spot.kind.lower()
    return kind.endswith("1d") and any(word in kind for word in ("conv", "pool", "norm"))


@define
class _Row:
    first: Tensor  # (U, TOP) values
    inputs: Tensor  # (U, TOP)
    fires: Tensor  # (U,)
    total: Tensor  # (U',) sums of means
    products: Tensor  # (U', U')
    count: int = 0


class UnitReader:
    """Collects by place, input after input, with `units × (units + 2 · TOP)` numbers a place; `read` is
    called for every output of a pass, `start` being the number of inputs before the batch."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], _Row] = {}

    def read(self, output: Output, start: int) -> None:
        largest, places_of = by_unit(output)  # (B, U), (B, U, P)
        size, units = largest.shape
        key = output.spot.name, output.spot.call
        row = self._rows.get(key)
        some = min(units, MOST)
        if row is None:
            row = self._rows[key] = _Row(
                torch.full((units, TOP), float("-inf"), device=largest.device),
                torch.full((units, TOP), -1, device=largest.device),
                torch.zeros(units, dtype=torch.bool, device=largest.device),
                torch.zeros(some, dtype=torch.float64, device=largest.device),
                torch.zeros(some, some, dtype=torch.float64, device=largest.device),
            )
        if row.first.shape[0] != units:  # a layer whose width follows its input
            return
        largest = largest.nan_to_num(nan=float("-inf"), posinf=float("inf"), neginf=float("-inf"))
        here = torch.arange(start, start + size, device=largest.device).expand(units, size)
        values = torch.cat([row.first, largest.T], 1)
        places = torch.cat([row.inputs, here], 1)
        row.first, chosen = values.topk(TOP, 1)
        row.inputs = places.gather(1, chosen)
        row.fires |= (largest != 0).any(0) | (places_of != 0).any(2).any(0)
        part = places_of[:, :some].transpose(1, 2).reshape(-1, some).double()  # (B · P, U)
        row.total += part.sum(0)
        row.products += part.T @ part
        row.count += len(part)

    def units(self, keys: Sequence[tuple[str, int]]) -> tuple[Units, ...]:
        """Of every row in `keys`, in their order, that has units."""
        found = []
        for number, key in enumerate(keys):
            row = self._rows.get(key)
            if row is not None and row.count > 1:
                found.append(_units(number, row))
        return tuple(found)


def _units(number: int, row: _Row) -> Units:
    units = len(row.fires)
    some = len(row.total)
    mean = row.total / row.count
    covariance = (row.products / row.count - mean[:, None] * mean[None]).cpu().numpy()
    dead = tuple(int(u) for u in torch.nonzero(~row.fires).flatten().tolist())
    tops = []
    first, inputs = row.first.cpu(), row.inputs.cpu()
    for unit in range(some):
        known = (inputs[unit] >= 0) & torch.isfinite(first[unit])
        tops.append(
            UnitTop(
                unit,
                tuple(int(i) for i in inputs[unit][known].tolist()),
                tuple(float(v) for v in first[unit][known].tolist()),
            )
        )
    return Units(
        row=number,
        shown=some,
        of=units,
        dead=dead,
        duplicates=_duplicates(covariance, set(dead)),
        effective_rank=effective_rank(covariance),
        top=tuple(tops),
    )


def _duplicates(
    covariance: NDArray[np.float64], dead: set[int], most: int = 50
) -> tuple[tuple[int, int, float], ...]:
    """Pairs of living units whose values over inputs and places correlate by `ALIKE` and more."""
    scale = np.sqrt(np.clip(np.diag(covariance), 0, None))
    living = (scale > 1e-6 * max(1e-12, float(scale.max(initial=0.0)))) & ~np.isin(
        np.arange(len(scale)), list(dead)
    )
    with np.errstate(all="ignore"):
        alike = covariance / np.outer(scale, scale)
    one, other = np.nonzero(np.triu(alike >= ALIKE, 1) & np.outer(living, living))
    pairs = sorted(zip(one, other, strict=True), key=lambda p: -alike[p])
    return tuple((int(a), int(b), round(float(min(1.0, alike[a, b])), 4)) for a, b in pairs[:most])


def effective_rank(covariance: NDArray[np.float64]) -> float | None:
    """exp of the entropy of the covariance's spectrum (Roy and Vetterli 2007, The effective rank), 1 to U;
    `None` where nothing varies."""
    if not np.isfinite(covariance).all():
        return None
    spectrum = np.clip(np.linalg.eigvalsh(covariance), 0, None)
    total = spectrum.sum()
    if total <= 0:
        return None
    share = spectrum[spectrum > total * 1e-12] / total
    return float(np.exp(-(share * np.log(share)).sum()))
