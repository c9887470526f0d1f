"""Caffe's layers that look at more than one number at a time: norms, reductions, the largest.

N inputs, C channels, H × W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwright.ports.caffe.layers import aligned


class LocalResponseNormWithinChannel(nn.Module):
    """y = x · (1 + alpha · mean of x² over a size × size window) ^ -beta, padding counted in the mean."""

    def __init__(self, size: int, alpha: float, beta: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, blob: Tensor) -> Tensor:
        mean = F.avg_pool2d(blob * blob, self.size, 1, (self.size - 1) // 2)
        return blob * (1 + self.alpha * mean).pow(-self.beta)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}"


class MVN(nn.Module):
    """Mean 0 and, unless told otherwise, deviation 1 for each channel or input: (x - mean) / (std + eps)."""

    def __init__(self, variance: bool = True, across_channels: bool = False, eps: float = 1e-9) -> None:
        super().__init__()
        self.variance, self.across_channels, self.eps = variance, across_channels, eps

    def forward(self, blob: Tensor) -> Tensor:
        axes = list(range(1 if self.across_channels else 2, blob.ndim))
        centred = blob - blob.mean(axes, keepdim=True)
        if not self.variance:
            return centred
        return centred / ((centred * centred).mean(axes, keepdim=True).sqrt() + self.eps)


class Normalize(nn.Module):
    """SSD's: each pixel's channels (or the whole input) at length 1, times a learned scale."""

    def __init__(self, channels: int, across_spatial: bool = True, eps: float = 1e-10) -> None:
        super().__init__()
        self.across_spatial, self.eps = across_spatial, eps
        self.weight = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)

    def forward(self, blob: Tensor) -> Tensor:
        axes = list(range(1, blob.ndim)) if self.across_spatial else [1]
        length = ((blob * blob).sum(axes, keepdim=True) + self.eps).sqrt()
        return blob / length * aligned(self.weight, blob, 1)


class Reduction(nn.Module):
    """The sum, absolute sum, sum of squares or mean over all axes from `axis` on, times `coefficient`."""

    def __init__(self, operation: str = "SUM", axis: int = 0, coefficient: float = 1.0) -> None:
        super().__init__()
        self.operation, self.axis, self.coefficient = operation, axis, coefficient

    def forward(self, blob: Tensor) -> Tensor:
        axes = list(range(self.axis % blob.ndim, blob.ndim))
        if self.operation == "MEAN":
            return blob.mean(axes) * self.coefficient
        terms = {"ASUM": blob.abs, "SUMSQ": blob.square}.get(self.operation, lambda: blob)()
        return terms.sum(axes) * self.coefficient


class ArgMax(nn.Module):
    """The indices of the `top_k` largest values along `axis`, or of all of an input; or the values."""

    def __init__(self, top_k: int = 1, axis: int | None = None, values: bool = False) -> None:
        super().__init__()
        self.top_k, self.axis, self.values = top_k, axis, values

    def forward(self, blob: Tensor) -> Tensor:
        if self.axis is not None:
            found = blob.topk(self.top_k, self.axis)
            return found.values if self.values else found.indices.to(blob.dtype)
        found = blob.flatten(1).topk(self.top_k, 1)
        indices = found.indices.to(blob.dtype).unsqueeze(1)  # (N, 1, top_k)
        chosen = torch.cat([indices, found.values.unsqueeze(1)], 1) if self.values else indices
        return chosen.reshape([*chosen.shape, *[1] * (blob.ndim - 3)])
