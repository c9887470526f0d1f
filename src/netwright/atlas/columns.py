"""The inputs as columns: who they are, what they should be, and a small picture of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from netwright.atlas.arrays import plain
from netwright.recipe import tree_tensors
from netwright.values import AtlasInputs, Thumbnails

PICTURES = 400_000  # bytes of all small pictures
_SIDE = 32
_WORDS = 8


def columns(
    ids: Sequence[str],
    inputs: Any,
    kind: str,
    *,
    labels: NDArray[np.float64] | None = None,
    predictions: NDArray[np.float64] | None = None,
    losses: NDArray[np.float64] | None = None,
    classes: Sequence[str] | None = None,
) -> AtlasInputs:
    """The columns of inputs (N, ...), a tree of tensors; `kind` is that of the data."""
    count = len(ids)
    pictures = thumbnails(inputs, count) if kind == "image" else None
    return AtlasInputs(
        ids=tuple(ids),
        labels=plain(labels) if labels is not None else None,
        predictions=plain(predictions) if predictions is not None else None,
        losses=plain(losses) if losses is not None else None,
        classes=tuple(classes) if classes is not None else None,
        order=order(count, labels if classes is not None else None, losses),
        kind=kind,
        thumbnails=pictures,
        texts=None if pictures is not None else texts(inputs, count),
    )


def order(
    count: int, labels: NDArray[np.float64] | None, losses: NDArray[np.float64] | None
) -> tuple[int, ...]:
    """By class, within one by loss; what is not known or not finite comes last."""
    by_label = np.zeros(count) if labels is None else np.nan_to_num(labels, nan=np.inf)
    by_loss = np.zeros(count) if losses is None else np.nan_to_num(losses, nan=np.inf)
    return tuple(int(n) for n in np.lexsort((np.arange(count), by_loss, by_label)))


def largest(inputs: Any, count: int | None = None) -> Tensor | None:
    """The tensor of a tree that holds most for an input, among those with `count` inputs."""
    tensors = [t for _, t in tree_tensors(inputs) if t.ndim > 1 and count in (None, len(t))]
    return max(tensors, key=lambda t: t[0].numel(), default=None) if tensors else None


def small_pictures(inputs: Any, count: int | None = None) -> Tensor | None:
    """Images made small, (N, 1 or 3, height, width), in their own scale."""
    images = largest(inputs, count)
    if images is None or images.ndim not in (3, 4):
        return None
    images = images[:, None] if images.ndim == 3 else images
    images = images.detach().float().cpu()
    if images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.permute(0, 3, 1, 2)  # (N, H, W, C) as some pipelines have it
    images = images[:, :3] if images.shape[1] >= 3 else images[:, :1]
    size, channels, high, wide = images.shape
    side = min(_SIDE, max(8, int((PICTURES / max(1, size * channels)) ** 0.5)))
    if max(high, wide) > side:
        scale = side / max(high, wide)
        images = F.adaptive_avg_pool2d(images, (max(1, round(high * scale)), max(1, round(wide * scale))))
    return torch.nan_to_num(images)


def thumbnails(inputs: Any, count: int | None = None) -> Thumbnails | None:
    """Of images (N, C, H, W), each between its own extremes: grey, or the first three channels."""
    images = small_pictures(inputs, count)
    if images is None:
        return None
    channels = images.shape[1]
    flat = images.flatten(1)
    low, top = flat.amin(1)[:, None, None, None], flat.amax(1)[:, None, None, None]
    grey = (images - low) / (top - low).clamp(min=1e-12)
    data = (grey * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return Thumbnails(data.shape[1], data.shape[2], channels, data.numpy().tobytes())


def texts(inputs: Any, count: int) -> tuple[str, ...] | None:
    """The first numbers of every input, in a few words."""
    values = largest(inputs, count)
    if values is None:
        return None
    flat = values.detach().reshape(len(values), -1)
    more = ", …" if flat.shape[1] > _WORDS else ""
    rows = flat[:, :_WORDS].cpu().tolist()
    return tuple(", ".join(_short(v) for v in row) + more for row in rows)


def _short(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
