"""Networks of which one layer was altered, for ports whose files cannot be edited."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import torch
from torch import nn

from netwright.ports.program import Program
from netwright.ports.workshop import Workshop
from netwright.ports.yard import Yard

Alter = Callable[[nn.Module], nn.Module | None]


@attrs.define(eq=False)
class AlteredYard(Yard):
    """A yard that builds what it is asked for of the network of another yard."""

    other: Yard | None = None

    def build(self, workshop: Workshop, program: Program, folder: Path | None = None) -> tuple[Path, ...]:
        assert self.other is not None
        changed = self.other.program(workshop.target)
        if program.taps:
            changed = changed.tapped(list(program.taps))
        return self.other.build(workshop, changed, folder)


def _weighted(change: Callable[[torch.Tensor], torch.Tensor]) -> Alter:
    def alter(module: nn.Module) -> nn.Module | None:
        weight = getattr(module, "weight", None)
        if not isinstance(weight, torch.Tensor) or weight.ndim < 2:
            return None
        with torch.no_grad():
            weight.copy_(change(weight))
        return module

    return alter


def _bias(module: nn.Module) -> nn.Module | None:
    bias = getattr(module, "bias", None)
    if not isinstance(bias, torch.Tensor):
        return None
    with torch.no_grad():
        bias.zero_()
    return module


def _epsilon(module: nn.Module) -> nn.Module | None:
    if not isinstance(getattr(module, "eps", None), float):
        return None
    module.eps = 1e-1
    return module


def _dilated(module: nn.Module) -> nn.Module | None:
    if not isinstance(module, nn.Conv2d) or module.kernel_size != (3, 3) or module.padding != (1, 1):
        return None
    module.dilation = module.padding = (2, 2)
    return module


def _mean(module: nn.Module) -> nn.Module | None:
    if not isinstance(module, nn.MaxPool2d):
        return None
    return nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode)


def _activation(module: nn.Module) -> nn.Module | None:
    other = {nn.ReLU: nn.LeakyReLU(0.1), nn.ReLU6: nn.ReLU(), nn.Sigmoid: nn.Hardsigmoid()}
    return other.get(type(module))


def _turned(weight: torch.Tensor) -> torch.Tensor:
    square = weight.ndim == 4 and weight.shape[2] == weight.shape[3]
    return weight.transpose(2, 3).clone() if square else weight.flip(0)


KINDS: dict[str, Alter] = {
    "weights 5 % larger": _weighted(lambda w: w * 1.05),
    "weights negated": _weighted(lambda w: -w),
    "kernels transposed": _weighted(_turned),
    "bias lost": _bias,
    "another epsilon": _epsilon,
    "kernel spread": _dilated,
    "mean instead of maximum": _mean,
    "another activation": _activation,
}


def alterations(network: nn.Module, program: Program, seed: str) -> Iterator[tuple[str, str, nn.Module]]:
    """Copies of a network with one layer altered, in random order: the kind, the layer, the copy."""
    layers = {layer.name for layer in program.layers}
    names = [name for name, _ in network.named_modules() if name in layers]
    found = [(kind, name) for kind in KINDS for name in names]
    random.Random(seed).shuffle(found)
    for kind, name in found:
        changed = copy.deepcopy(network)
        module = KINDS[kind](changed.get_submodule(name))
        if module is not None:
            parent, _, last = name.rpartition(".")
            setattr(changed.get_submodule(parent), last, module.eval())
            yield kind, name, changed
