"""Local response normalisation by a convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netwright.ports.patterns import response_norm_at
from netwright.ports.rewrites.call import Call, Instead, Rewrite, value_of


class LocalResponseNormByConvolution(nn.Module):
    """`nn.LocalResponseNorm` of (N, C, H, W) or (N, C, L): the sum over neighbouring channels is a
    convolution of one place with a band of ones, and the power is taken by logarithm. The band is kept where
    it is made for the values `like` those of the layer.

    Source: Krizhevsky et al., ImageNet classification with deep convolutional neural networks (2012), 3.3.
    """

    band: Tensor | None

    def __init__(self, size: int, alpha: float, beta: float, k: float, like: Tensor | None = None) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k
        self.register_buffer("band", self._band(like) if like is not None else None)

    def _band(self, like: Tensor) -> Tensor:
        """Channel c is normalised by channels c - size // 2 to c + (size - 1) // 2."""
        at = torch.arange(like.shape[1])
        offset = at[None, :] - at[:, None]
        band = (offset >= -(self.size // 2)) & (offset <= (self.size - 1) // 2)
        weight = band.to(like.dtype) * (self.alpha / self.size)
        return weight.reshape(len(at), len(at), *([1] * (like.ndim - 2)))

    def forward(self, x: Tensor) -> Tensor:
        convolve: Any = F.conv2d if x.ndim == 4 else F.conv1d
        band = self.band if self.band is not None else self._band(x).to(x.device)
        return x * torch.exp(-self.beta * torch.log(convolve(x * x, band) + self.k))


def _response_norm(call: Call) -> Instead | None:
    found = response_norm_at(call.node)
    if found is None or value_of(found.input).ndim not in (3, 4):
        return None
    like = value_of(found.input)
    module = LocalResponseNormByConvolution(found.size, found.alpha, found.beta, found.k, like)
    return Instead(module, (found.input,))


def _layer(module: nn.Module) -> nn.Module | None:
    if type(module) is not nn.LocalResponseNorm:
        return None
    return LocalResponseNormByConvolution(module.size, module.alpha, module.beta, module.k)


RESPONSE_NORM = Rewrite("local-response-norm-by-convolution", ("div",), _response_norm, _layer)
