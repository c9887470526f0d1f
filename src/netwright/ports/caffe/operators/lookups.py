"""Whole numbers: rows that are looked up for them, and what they are compared with."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import fx

from netwright.ports.caffe.steps import Array, Step, Unsayable, reshaped, shape_of, writes
from netwright.ports.patterns import name_of

_WHOLE = {
    *("to", "_to_copy", "clone", "contiguous", "detach", "alias", "view", "reshape", "flatten"),
    *("unsqueeze", "squeeze", "transpose", "permute", "t"),
}  # give all numbers that they take
_PARTS = {"slice", "select", "narrow"}


@writes("embedding")
def embedding(step: Step, weight: Any, indices: fx.Node, **_: Any) -> str:
    """Caffe's Embed takes the numbers as floats; OpenCV's importer lacks it."""
    return _looked_up(step, indices, step.array(weight))


@writes("eq", "ne", "lt", "le", "gt", "ge")
def compared(step: Step, input: fx.Node, other: Any) -> str:
    """1 where it holds, else 0."""
    number = step.number(other)
    if number is None:
        raise _lacking(step)
    holds: Callable[..., Array] = getattr(operator, step.operator)
    return by_table(step, input, lambda numbers: holds(numbers, number))


def by_table(step: Step, input: fx.Node, function: Callable[[Array], Array]) -> str:
    """A function of numbers that an embedding looks up too, which says how many there are: as a table."""
    floating = input.meta["val"].is_floating_point()
    count = None if floating else next(_counts(input), None)
    if count is None:
        raise _lacking(step)
    table = _looked_up(step, input, function(np.arange(count))[:, None])
    return reshaped(step, table, (*shape_of(input), 1), step.shape)


def _looked_up(step: Step, indices: fx.Node, rows: Array) -> str:
    settings = {"num_output": rows.shape[1], "input_dim": len(rows), "bias_term": False}
    return step("Embed", step.blob(indices), weights=[rows], embed_param=settings)


def _lacking(step: Step) -> Unsayable:
    return Unsayable(
        f"uses {step.operator} on numbers that no embedding looks up, which Caffe lacks",
        "replace it, or port to another technology",
    )


def _counts(node: fx.Node) -> Iterator[int]:
    """The lengths of the tables in which a node's numbers, or all those that it takes some of, are looked
    up."""
    while True:
        following = [node]
        for one in following:
            for user in one.users:
                if name_of(user) == "embedding" and user.args[1] is one:
                    table: Any = user.args[0]
                    yield int(table.meta["val"].shape[0])
                elif name_of(user) in _WHOLE and _is_wide(user) and user not in following:
                    following.append(user)
        source = node.args[0] if node.args else None
        if name_of(node) not in _WHOLE | _PARTS or not isinstance(source, fx.Node):
            return
        node = source


def _is_wide(node: fx.Node) -> bool:
    """Whether a node's numbers are still those that were turned into them."""
    value = node.meta.get("val")
    return value is not None and value.dtype in (torch.int32, torch.int64)
