"""Layers rewritten in operators that more technologies have, without changing what they compute.

Each is an edit of the network, so a recipe may hold it too. A target names those that it needs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netwright.catalogue import edit

Shapes = Mapping[str, tuple[int | None, ...]]
LOCAL_RESPONSE_NORM = "local-response-norm-by-convolution"


class LocalResponseNormByConvolution(nn.Module):
    """`nn.LocalResponseNorm` of (N, C, H, W) or (N, C, L): the sum over neighbouring channels is a
    convolution of one place with a band of ones, and the power is taken by logarithm.

    Source: Krizhevsky et al., ImageNet classification with deep convolutional neural networks (2012), 3.3.
    """

    def __init__(self, norm: nn.LocalResponseNorm, shape: tuple[int | None, ...], dtype: torch.dtype) -> None:
        super().__init__()
        self.beta, self.k = float(norm.beta), float(norm.k)
        # Channel c is normalised by channels c - size // 2 to c + (size - 1) // 2.
        count = shape[1] or 1
        offset = torch.arange(count)[None, :] - torch.arange(count)[:, None]
        band = (offset >= -(norm.size // 2)) & (offset <= (norm.size - 1) // 2)
        weight = band.to(dtype) * (float(norm.alpha) / norm.size)
        self.register_buffer("weight", weight.reshape(count, count, *([1] * (len(shape) - 2))))
        self.convolve: Any = F.conv2d if len(shape) == 4 else F.conv1d

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.exp(-self.beta * torch.log(self.convolve(x * x, self.weight) + self.k))


@edit(LOCAL_RESPONSE_NORM, on="network")
def local_response_norm_by_convolution(network: nn.Module, shapes: Shapes) -> nn.Module:
    """Local response normalisation as a convolution; `shapes` are those of the layers' results, by name."""
    dtype = next((p.dtype for p in network.parameters()), torch.float32)
    for name, shape in shapes.items():
        parent, _, last = name.rpartition(".")
        norm = network.get_submodule(name)
        assert isinstance(norm, nn.LocalResponseNorm)
        setattr(network.get_submodule(parent), last, LocalResponseNormByConvolution(norm, shape, dtype))
    return network


def _response_norms(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if type(module) is nn.LocalResponseNorm and name]


# By id: which layers of a network it takes, and the edit.
REWRITES: dict[str, tuple[Callable[[nn.Module], list[str]], Callable[..., nn.Module]]] = {
    LOCAL_RESPONSE_NORM: (_response_norms, local_response_norm_by_convolution),
}


def rewritten(network: nn.Module, ids: tuple[str, ...], shapes: Shapes) -> tuple[nn.Module, dict[str, str]]:
    """A copy of `network` with the rewrites of `ids` that it needs, and by layer the rewrite made of it; the
    network itself where it needs none. `shapes` are by layer those of its result, (N, C, …)."""
    done = {name: id for id in ids for name in REWRITES[id][0](network) if name in shapes}
    if not done:
        return network, {}
    network = copy.deepcopy(network)
    for id in ids:
        names = {name: shapes[name] for name, of in done.items() if of == id}
        if names:
            network = REWRITES[id][1](network, names)
    return network, done
