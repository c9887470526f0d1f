"""Joining tensors: many, in portions that small runtimes take, and the ends of one for circular padding."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from netwright.ports.rewrites.call import Call, Instead, Rewrite, single

MOST = 8  # tensors that are joined at a time; LiteRT for microcontrollers takes ten


def joined(parts: Sequence[Tensor], axis: int) -> Tensor:
    """`torch.cat`, no more than `MOST` at a time. The portions are laid out among zeros and added, since a
    converter would make one concatenation of several."""
    portions = [torch.cat(list(parts[i : i + MOST]), axis) for i in range(0, len(parts), MOST)]
    if len(portions) == 1:
        return portions[0]
    axis %= portions[0].ndim
    sizes = [portion.shape[axis] for portion in portions]
    inner = [0, 0] * (portions[0].ndim - 1 - axis)  # F.pad begins with the last axis
    laid = [
        F.pad(portion, [*inner, sum(sizes[:n]), sum(sizes[n + 1 :])]) for n, portion in enumerate(portions)
    ]
    return functools.reduce(torch.add, laid)


class ConcatenationInPortions(nn.Module):
    """`torch.cat` of many tensors, portion by portion."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *parts: Tensor) -> Tensor:
        return joined(parts, self.axis)


class CircularByJoining(nn.Module):
    """`F.pad` in circular mode: what lies at the end of an axis joined before it, and the other way round.
    `pads` are as F.pad takes them, the last axis first."""

    def __init__(self, pads: Sequence[int]) -> None:
        super().__init__()
        self.pads = list(pads)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(len(self.pads) // 2):
            before, after = self.pads[2 * number : 2 * number + 2]
            axis = x.ndim - 1 - number
            size = x.shape[axis]
            whole = (slice(None),) * axis  # converters know slices, and not narrow
            ends = [x[(*whole, slice(size - before, size))]] if before else []
            starts = [x[(*whole, slice(0, after))]] if after else []
            x = torch.cat([*ends, x, *starts], axis) if ends or starts else x
        return x


def _circular(call: Call) -> Instead | None:
    if call["mode"] != "circular" or min(call["pad"]) < 0:
        return None
    return single(CircularByJoining(call["pad"]), call)


def _concatenation(call: Call) -> Instead | None:
    parts = call["tensors"]
    nodes = [part for part in parts if isinstance(part, fx.Node)]
    if len(parts) <= MOST or len(set(nodes)) < len(parts) or not nodes[0].meta["val"].is_floating_point():
        return None
    return Instead(ConcatenationInPortions(call["dim"]), tuple(nodes))


CIRCULAR = Rewrite("circular-padding-by-joining", ("pad",), _circular)
CONCATENATION = Rewrite("concatenation-in-portions", ("cat",), _concatenation)
