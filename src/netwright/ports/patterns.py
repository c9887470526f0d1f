"""Layers that PyTorch spells out in simpler operators, found again in a program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen
from torch import fx

_RESHAPES = ("view", "reshape", "squeeze", "unsqueeze", "_unsafe_view")


@frozen
class ResponseNorm:
    """`nn.LocalResponseNorm`, from the square of `input` to the division in node `last`; `inner` are the
    nodes between, which nothing else uses."""

    input: fx.Node
    last: fx.Node
    inner: frozenset[fx.Node]
    size: int
    alpha: float
    beta: float
    k: float


def response_norms(graph: fx.Graph) -> Iterator[ResponseNorm]:
    """Every local response normalisation of a program."""
    for node in graph.nodes:
        found = response_norm_at(node) if name_of(node) == "div" else None
        if found is not None:
            yield found


def name_of(node: fx.Node) -> str:
    """PyTorch's name of what a node calls, without the mark of working in place."""
    schema = getattr(node.target, "_schema", None)
    name = schema.name.rpartition(":")[2] if schema is not None else str(node.target)
    return name if name.startswith("__") else name.rstrip("_") or name


def response_norm_at(last: fx.Node) -> ResponseNorm | None:
    """x / (k + alpha * average(pad(x * x))) ** beta, walked from its end."""
    given, bottom = last.args[0], last.args[1]
    inner: list[fx.Node] = []

    def takes(value: Any, name: str) -> tuple[Any, ...] | None:
        if not isinstance(value, fx.Node) or name_of(value) != name:
            return None
        inner.append(value)
        return value.args

    def through_reshapes(value: Any) -> Any:
        while isinstance(value, fx.Node) and name_of(value) in _RESHAPES:
            inner.append(value)
            value = value.args[0]
        return value

    raised = takes(bottom, "pow")
    shifted = takes(raised[0], "add") if raised else None
    scaled = takes(shifted[0], "mul") if shifted else None
    pool = through_reshapes(scaled[0]) if scaled else None
    averaged = takes(pool, "avg_pool3d") or takes(pool, "avg_pool2d")
    padded = takes(averaged[0], "pad") or takes(averaged[0], "constant_pad_nd") if averaged else None
    squared = takes(through_reshapes(padded[0]), "mul") if padded else None
    if not (raised and shifted and scaled and averaged and padded and squared):
        return None
    size, pads = averaged[1][0], list(padded[1])
    if squared != (given, given) or set(averaged[1][1:]) != {1} or pads[-2:] != [size // 2, (size - 1) // 2]:
        return None
    numbers = (scaled[1], raised[1], shifted[1])
    if any(pads[:-2]) or not all(isinstance(number, int | float) for number in numbers):
        return None
    members = {last, *inner}
    if any(user not in members for node in inner for user in node.users):
        return None
    assert isinstance(given, fx.Node)
    return ResponseNorm(given, last, frozenset(inner), int(size), *(float(number) for number in numbers))
