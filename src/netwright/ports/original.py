"""The network that is ported, with the inputs that both it and its ports are run on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import attrs
import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from netwright.ports.program import Program
from netwright.recipe.source import Birthplace

ROOM = 40 * 1024 * 1024  # bytes of layers' results that are held at a time, of either network


@frozen(eq=False)
class Original:
    """A network with N inputs: `network(*arguments, **named)`, every tensor of them (N, …) or without inputs'
    axis. `decide` gives the decisions of answers (N, …), `score` the task's metric; without a task there is
    neither. `training` are arguments and named arguments of other inputs, for what is calibrated."""

    name: str
    network: nn.Module
    arguments: tuple[Any, ...]
    named: Mapping[str, Any] = field(factory=dict)
    places: Mapping[str, Birthplace] = field(factory=dict)
    decide: Callable[[Tensor], Tensor] | None = None
    score: Callable[[Tensor], float] | None = None
    metric: str | None = None
    training: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None

    @property
    def count(self) -> int:
        """How many inputs there are."""
        return next((len(t) for t in self._leaves() if t.ndim), 1)

    @property
    def example(self) -> int:
        """How many inputs a program is followed with."""
        return min(self.count, 4)

    def rows(self, start: int, stop: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments and named arguments of the inputs from `start` to `stop`."""
        count = self.count

        def cut(value: Any) -> Any:
            batched = isinstance(value, Tensor) and value.ndim and len(value) == count
            return value[start:stop] if batched else value

        return pytree.tree_map(cut, self.arguments), pytree.tree_map(cut, dict(self.named))

    def flat(self, start: int, stop: int) -> list[np.ndarray]:
        """The tensors of these inputs, in the order of a program's inputs."""
        leaves = pytree.tree_leaves(self.rows(start, stop))
        return [leaf.detach().cpu().numpy() for leaf in leaves if isinstance(leaf, Tensor)]

    def calibration(self, most: int) -> list[np.ndarray]:
        """The tensors of `most` inputs that ranges are taken from: training inputs where there are some, so
        that what a port is compared on stays unseen, else its own."""
        if self.training is None:
            return self.flat(0, most)
        arguments, named = self.training
        return attrs.evolve(self, arguments=arguments, named=named, training=None).flat(0, most)

    def program(self, batch: int | None) -> Program:
        """The program with its batch free, or of `batch` inputs at a time."""
        size = self.example if batch is None else batch
        arguments, named = self.rows(0, size)
        return Program.of(self.network, arguments, named, places=self.places, free_batch=batch is None)

    def in_64_bits(self) -> Original:
        """The same network and inputs, what has fewer bits in 64. Raises what the network's copy raises."""

        def wide(value: Any) -> Any:
            return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

        arguments, named = pytree.tree_map(wide, (self.arguments, dict(self.named)))
        network = copy.deepcopy(self.network).double()
        return attrs.evolve(self, network=network, arguments=arguments, named=named)

    def outputs(self, start: int, stop: int, fill: int | None = None) -> list[Tensor]:
        """What the network itself gives for these inputs, flattened; where it takes only `fill` at a time the
        last one is repeated, and what comes of it left out."""
        was = {module: module.training for module in self.network.modules()}
        self.network.eval()
        try:
            arguments, named = self.rows(start, stop)
            count = stop - start
            if fill is None or count >= fill:
                return self._results(arguments, named)
            arguments, named = pytree.tree_map(partial(_filled, count, fill), (arguments, named))
            return [t[:count] if t.ndim else t for t in self._results(arguments, named)]
        finally:
            for module, training in was.items():
                module.training = training

    def _results(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> list[Tensor]:
        with torch.no_grad():
            leaves = pytree.tree_leaves(self.network(*arguments, **named))
        return [leaf for leaf in leaves if isinstance(leaf, Tensor)]

    def _leaves(self) -> Iterator[Tensor]:
        leaves = pytree.tree_leaves((self.arguments, dict(self.named)))
        return (leaf for leaf in leaves if isinstance(leaf, Tensor))


def _filled(count: int, fill: int, value: Any) -> Any:
    batched = isinstance(value, Tensor) and value.ndim and len(value) == count
    return torch.cat([value, value[-1:].expand(fill - count, *value.shape[1:])]) if batched else value


def batch_for(program: Program, most: int) -> int:
    """How many inputs at a time keep the results of all layers within `ROOM`."""
    sizes = [4 * int(np.prod([axis or 1 for axis in layer.shape])) for layer in program.layers]
    return max(1, min(most, ROOM // max(1, sum(sizes))))
