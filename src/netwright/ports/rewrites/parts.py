"""Queries, keys and values parted before they are given axes of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx, nn

from netwright.ports.patterns import name_of
from netwright.ports.rewrites.call import Call, Instead, Rewrite, value_of


class PartsOfLastAxis(nn.Module):
    """Parts of (…, D), each `size` of the last axis, given the shape `shape` and then the axes in `order`:
    what a view with one more axis, its permutation and the parts along that axis come to."""

    def __init__(self, parts: Sequence[int], size: int, shape: Sequence[int], order: Sequence[int]) -> None:
        super().__init__()
        self.parts, self.size, self.shape, self.order = list(parts), size, list(shape), list(order)

    def forward(self, x: Tensor) -> Any:
        found = [
            x[..., part * self.size : (part + 1) * self.size].reshape(self.shape).permute(self.order)
            for part in self.parts
        ]
        return tuple(found) if len(found) > 1 else found[0]


def _parts(call: Call) -> Instead | None:
    """Of `x.view(…, parts, heads, size).permute(…)` whose axis of parts is unbound or one part selected."""
    permuted: Any = call["self"]
    if not isinstance(permuted, fx.Node) or name_of(permuted) != "permute":
        return None
    viewed, order = tuple[Any, Any](permuted.args)
    if name_of(viewed) not in ("view", "reshape", "unflatten"):
        return None
    x = viewed.args[0]
    if not isinstance(x, fx.Node):
        return None
    given, shape = list(value_of(x).shape), list(value_of(viewed).shape)
    order = [axis % len(shape) for axis in order]
    axis = order[call["dim"] % len(shape)]
    if not all(isinstance(size, int) for size in (*given, *shape)) or axis != len(given) - 1:
        return None
    if given[:-1] != shape[:axis] or len(shape) < len(given) + 1:
        return None
    rest = [a - (a > axis) for a in order if a != axis]
    chosen = range(shape[axis]) if call.name == "unbind" else [int(call["index"]) % shape[axis]]
    if call.name == "unbind" and len(chosen) < 2:
        return None
    del shape[axis]
    return Instead(PartsOfLastAxis(chosen, given[-1] // value_of(viewed).shape[axis], shape, rest), (x,))


PARTS = Rewrite("parts-before-shaping", ("unbind", "select"), _parts)
