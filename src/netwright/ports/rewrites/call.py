"""A call of an operator that is to be answered otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from netwright.ports.patterns import name_of


@frozen(eq=False)
class Call:
    """What a program calls in one node: the arguments by their names in PyTorch's schema, those left out with
    their defaults. Activations stand in it as nodes, weights as tensors; `weights` are all of the
    program's."""

    node: fx.Node
    arguments: Mapping[str, Any]
    weights: Mapping[str, Tensor]

    @staticmethod
    def of(node: fx.Node, weights: Mapping[str, Tensor]) -> Call | None:
        """`None` of a node that calls no operator of PyTorch's."""
        schema = getattr(node.target, "_schema", None)
        if schema is None:
            return None
        given: Any = map_arg((node.args, node.kwargs), lambda n: weights.get(n.name, n))
        positional, named = given
        found = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
        names = [argument.name for argument in schema.arguments]
        return Call(node, {**found, **dict(zip(names, positional, strict=False)), **named}, weights)

    def at(self, node: Any) -> Call | None:
        """What another node of the same program calls."""
        return Call.of(node, self.weights) if isinstance(node, fx.Node) else None

    @property
    def name(self) -> str:
        """The operator's name in PyTorch."""
        return name_of(self.node)

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def shape(self, name: str) -> tuple[Any, ...]:
        """The shape of an argument that is an activation."""
        return tuple(value_of(self[name]).shape)


@frozen(eq=False)
class Instead:
    """The module that answers a call, given the values of the nodes `given`, in their order."""

    module: nn.Module
    given: tuple[fx.Node, ...]


@frozen
class Rewrite:
    """Calls of some `operators`, answered by a module that keeps the function: `make(call)`, `None` where the
    call stays as it is. `layer(module)` is the same for a layer of a network, for those that are to keep
    training with it, `None` for other layers."""

    id: str
    operators: tuple[str, ...]
    make: Callable[[Call], Instead | None]
    layer: Callable[[nn.Module], nn.Module | None] = lambda module: None


def value_of(node: fx.Node) -> Tensor:
    """The example value of an activation."""
    value = node.meta["val"]
    assert isinstance(value, torch.Tensor)
    return value


def single(module: nn.Module, call: Call, name: str = "self") -> Instead:
    """The module in place of a call with one activation."""
    return Instead(module, (call[name],))


def one_number(value: int | Sequence[int], axis: int) -> int:
    """A setting of a window along an axis, given for all axes at once or for each."""
    if isinstance(value, int):
        return value
    return int(value[axis] if len(value) > 1 else value[0])
