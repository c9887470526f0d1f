"""A few numbers for what an input is at a place, in which distances are nearly those of all its values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from netwright.recipe import stream
from netwright.runs.by_input import Output, Seen

WIDTH = 128
_GRID = 4  # an image is pooled to 4 × 4 places, a series to 4
_MOST = 1 << 14
_CHANNELS_FIRST = (
    nn.Conv1d, nn.ConvTranspose1d, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d,
    nn.BatchNorm1d,
)  # fmt: skip


def pooled(output: Output) -> Tensor:
    """(B, P) of an output (B, ...): images (B, C, H, W) as means over 4 × 4 places; sequences (B, T, D) as
    mean, first and last step; all else flat."""
    values = output.values.float()
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim == 4:
        if max(values.shape[2:]) > _GRID:
            high, wide = values.shape[2:]
            values = F.adaptive_avg_pool2d(values, (min(_GRID, high), min(_GRID, wide)))
    elif values.ndim == 5:
        deep, high, wide = (min(2, n) for n in values.shape[2:])
        values = F.adaptive_avg_pool3d(values, (deep, high, wide))
    elif values.ndim == 3 and isinstance(output.spot.module, _CHANNELS_FIRST):
        values = F.adaptive_avg_pool1d(values, min(_GRID, values.shape[2]))
    elif values.ndim == 3 and values.shape[1] > 3:
        values = _steps(values, output.lengths)
    flat = values.flatten(1)
    return flat if flat.shape[1] <= _MOST else F.adaptive_avg_pool1d(flat[:, None], _MOST)[:, 0]


def _steps(values: Tensor, lengths: Tensor | None) -> Tensor:
    """(B, 3, D): mean, first and last step of (B, T, D)."""
    if lengths is None:
        return torch.stack([values.mean(1), values[:, 0], values[:, -1]], 1)
    lengths = lengths.to(values.device).clamp(min=1)
    last = values[torch.arange(len(values), device=values.device), lengths - 1]
    return torch.stack([values.sum(1) / lengths[:, None], values[:, 0], last], 1)


class Features:
    """A `Reader` of `WIDTH` numbers: `pooled`, and where these are more, their projection on as many random
    directions, which keeps distances to about an eighth (Johnson and Lindenstrauss 1984)."""

    raw = WIDTH

    def __init__(self) -> None:
        self._directions: dict[tuple[int, torch.device], Tensor] = {}

    def read(self, output: Output, into: Tensor) -> None:
        found = pooled(output)
        width = found.shape[1]
        if width <= WIDTH:
            into[:width] = found.T
            into[width:] = 0
        else:
            torch.matmul(self._along(width, found.device).T, found.T, out=into)

    def _along(self, width: int, device: torch.device) -> Tensor:
        """(width, WIDTH), the same for the same width."""
        if (width, device) not in self._directions:
            generator = torch.Generator().manual_seed(stream(0, "directions", width))
            drawn = torch.randn(width, WIDTH, generator=generator) / WIDTH**0.5
            self._directions[width, device] = drawn.to(device)
        return self._directions[width, device]

    def finished(self, numbers: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        return {"features": numbers}  # (WIDTH, L, N)


def features_of(seen: Seen) -> NDArray[np.float32]:
    """(L, N, WIDTH) by row and input."""
    return np.ascontiguousarray(seen.numbers["features"].transpose(1, 2, 0))
