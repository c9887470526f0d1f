"""Operators that lay out, cut and join: on tensors, and on the ints that shapes are made of."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from netwright.ports.onnx.read_call import Call, Emit
from netwright.ports.onnx.read_graph import Value, ints_of

_FAR = 2**31 - 1  # from here on an end means 'to the end'

# Functions of the network


def shape_of(x: Tensor, start: int = 0, end: int | None = None) -> list[int]:
    return list(x.shape)[start:end]


def joined(*parts: Any) -> list[int]:
    """Ints and lists of ints as one list."""
    return [size for part in parts for size in (part if isinstance(part, Sequence) else [part])]


def only(sizes: Any) -> Any:
    """The int that a list of one holds."""
    return sizes[0] if isinstance(sizes, Sequence) else sizes


def picked(sizes: Sequence[int], indices: Sequence[int]) -> list[int]:
    return [sizes[index] for index in indices]


def product(sizes: Any) -> int:
    return math.prod(sizes) if isinstance(sizes, Sequence) else sizes


def reshaped(x: Tensor, shape: Any, allow_zero: bool = False) -> Tensor:
    """`x` in a shape where 0 keeps the dimension of `x`, unless zeros are allowed to mean themselves."""
    sizes = ints_of(shape)
    if not allow_zero:
        sizes = [
            x.shape[axis] if isinstance(size, int) and size == 0 else size for axis, size in enumerate(sizes)
        ]
    return torch.reshape(x, sizes)


def flattened(x: Tensor, axis: int) -> Tensor:
    """Two dimensions: those before `axis`, and the rest."""
    axis = axis + x.ndim if axis < 0 else axis
    return torch.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


def unsqueezed(x: Tensor, axes: Any) -> Tensor:
    wanted = ints_of(axes)
    rank = x.ndim + len(wanted)
    for axis in sorted(axis % rank for axis in wanted):
        x = torch.unsqueeze(x, axis)
    return x


def squeezed(x: Tensor, axes: Any = None) -> Tensor:
    return torch.squeeze(x) if axes is None else torch.squeeze(x, tuple(ints_of(axes)))


def reversed_axes(x: Tensor) -> Tensor:
    return torch.permute(x, tuple(range(x.ndim - 1, -1, -1)))


def expanded(x: Tensor, shape: Any) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, ints_of(shape)))


def tiled(x: Tensor, repeats: Any) -> Tensor:
    return torch.tile(x, ints_of(repeats))


def sliced(x: Tensor, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Tensor:
    """`x` cut along `axes`, backwards where a step is negative."""
    first, last = ints_of(starts), ints_of(ends)
    for at, axis in enumerate(range(len(first)) if axes is None else ints_of(axes)):
        step = 1 if steps is None else ints_of(steps)[at]
        if step > 0:
            cut = slice(first[at], None if last[at] >= _FAR else last[at], step)
            x = x[(*[slice(None)] * (axis % x.ndim), cut)]
        else:
            order = range(*slice(first[at], last[at], step).indices(x.shape[axis]))
            if last[at] < -x.shape[axis]:
                order = range(*slice(first[at], None, step).indices(x.shape[axis]))
            x = torch.index_select(x, axis, torch.tensor(order, dtype=torch.int64, device=x.device))
    return x


def filled(shape: Any, value: float | int | bool, dtype: torch.dtype) -> Tensor:
    return torch.full(ints_of(shape), value, dtype=dtype)


def ranged(start: Any, limit: Any, step: Any) -> Tensor:
    """Numbers from `start` to before `limit`, of the type of `start`."""
    dtype = start.dtype if isinstance(start, Tensor) else torch.int64
    numbers = (part.item() if isinstance(part, Tensor) else only(part) for part in (start, limit, step))
    first, end, by = numbers
    if (end - first) * by <= 0:
        return torch.empty(0, dtype=dtype)
    return torch.arange(first, end, by, dtype=dtype)


def depth_to_space(x: Tensor, block: int) -> Tensor:
    """Depth-column-row order: blocks are the slower part of the channels."""
    n, c, h, w = x.shape
    parts = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, c // block**2, h * block, w * block)


def space_to_depth(x: Tensor, block: int, channels_last: bool = False) -> Tensor:
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // block, block, w // block, block)
    order = (0, 1, 3, 5, 2, 4) if channels_last else (0, 3, 5, 1, 2, 4)
    return parts.permute(*order).reshape(n, c * block**2, h // block, w // block)


def padded(x: Tensor, pads: Any, mode: str = "constant", value: Any = 0, axes: Any = None) -> Tensor:
    """`x` with `pads` (all beginnings, then all ends) on `axes`; negative ones cut."""
    amounts = ints_of(pads)
    wanted = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in ints_of(axes)]
    before, after = [0] * x.ndim, [0] * x.ndim
    for at, axis in enumerate(wanted):
        before[axis], after[axis] = amounts[at], amounts[at + len(wanted)]
    if mode == "constant":
        number = value.item() if isinstance(value, Tensor) else value
        flat = [pad for axis in reversed(range(x.ndim)) for pad in (before[axis], after[axis])]
        if x.dtype == torch.bool:
            return F.pad(x.to(torch.uint8), flat, value=int(number)).to(torch.bool)
        return F.pad(x, flat, value=number)
    names = {"reflect": "reflect", "edge": "replicate"}
    for axis in wanted:
        ends, size = (before[axis], after[axis]), x.shape[axis]
        if ends == (0, 0):  # the batch, mostly, whose size is not to be asked for
            continue
        taken = mode == "edge" or (mode == "reflect" and max(ends) < size)
        if taken and 3 <= x.ndim <= 5 and min(ends) >= 0 and x.is_floating_point():
            # torch pads the last axes only, by an operator of its own, which ports know
            none = (0, 0) * (x.ndim - 3)
            x = F.pad(x.transpose(axis, -1), (*ends, *none), mode=names[mode]).transpose(axis, -1)
            continue
        at = torch.arange(-before[axis], size + after[axis], device=x.device)
        if mode == "edge":
            at = at.clamp(0, size - 1)
        elif mode == "wrap":
            at = at % size
        else:
            turn = max(2 * (size - 1), 1)
            at = (size - 1) - ((at % turn) - (size - 1)).abs()
        x = torch.index_select(x, axis, at)
    return x


# How operators are drawn


def _shape(call: Call) -> Value:
    start, end, rank = call.attr("start", 0), call.attr("end"), call.rank()
    if isinstance(call.inputs[0], fx.Node) and call.inputs[0] in call.canvas.sizes:
        length = call.length(0)
        return call.sizes(shape_of, call.tensor(0)) if length is None else [length]
    length = None if rank is None else len(range(rank)[start:end])
    trimmed = () if (start, end) == (0, None) else (start, end)
    return call.sizes(shape_of, call.tensor(0), *trimmed, length=length)


def _size(call: Call) -> Value:
    if call.shape_arithmetic():
        return call.sizes(len, call.size(0)) if call.length(0) is None else call.length(0)
    return call.sizes(torch.numel, call.tensor(0))


def _reshape(call: Call) -> Value:
    shape = call.ints(1) if call.has(1) else call.attr("shape")
    if isinstance(call.inputs[0], fx.Node) and call.inputs[0] in call.canvas.sizes and shape in ([-1], [1]):
        return call.sizes(joined, call.inputs[0], length=call.length(0) or 1)
    if isinstance(shape, list) and (0 not in shape or call.attr("allowzero", 0)):
        value = call.call(torch.reshape, call.tensor(0), tuple(shape))
    else:
        options = (True,) if call.attr("allowzero", 0) else ()
        value = call.call(reshaped, call.tensor(0), shape, *options)
    return _ranked(call, value, len(shape) if isinstance(shape, list) else call.length(1))


def _flatten(call: Call) -> Value:
    axis = call.attr("axis", 1)
    if axis == 1 and (call.rank() or 0) >= 2:
        value = call.call(torch.flatten, call.tensor(0), 1)
    else:
        value = call.call(flattened, call.tensor(0), axis)
    return _ranked(call, value, 2)


def _ranked(call: Call, value: Value, rank: int | None) -> Value:
    if isinstance(value, fx.Node) and rank is not None:
        call.canvas.ranks[value] = rank
    return value


def _unsqueeze(call: Call) -> Value:
    axes = call.setting("axes", 1, 13)
    if call.sized(0) and isinstance(call.inputs[0], fx.Node) and axes in ([0], [-1]):
        return call.sizes(joined, call.inputs[0], length=1)
    rank = call.rank()
    if isinstance(axes, list) and len(axes) == 1:
        value = call.call(torch.unsqueeze, call.tensor(0), axes[0])
    else:
        value = call.call(unsqueezed, call.tensor(0), axes)
    return _ranked(call, value, rank + len(axes) if rank is not None and isinstance(axes, list) else None)


def _squeeze(call: Call) -> Value:
    axes = call.setting("axes", 1, 13)
    if call.sized(0) and isinstance(call.inputs[0], fx.Node):
        return call.sizes(only, call.inputs[0])
    rank = call.rank()
    if isinstance(axes, list):
        value = call.call(torch.squeeze, call.tensor(0), axes[0] if len(axes) == 1 else tuple(axes))
    else:
        value = call.call(squeezed, call.tensor(0), axes)
    return _ranked(call, value, rank - len(axes) if rank is not None and isinstance(axes, list) else None)


def _transpose(call: Call) -> Value:
    order = call.attr("perm")
    if order is None:
        return _ranked(call, call.call(reversed_axes, call.tensor(0)), call.rank())
    return _ranked(call, call.call(torch.permute, call.tensor(0), tuple(order)), len(order))


def _expand(call: Call) -> Value:
    shape, rank = call.ints(1), call.rank()
    value = call.call(expanded, call.tensor(0), shape)
    length = len(shape) if isinstance(shape, list) else call.length(1)
    return _ranked(call, value, max(rank, length) if rank is not None and length is not None else None)


def _concat(call: Call) -> Value:
    if call.shape_arithmetic():
        lengths = [call.length(index) for index in range(len(call.inputs))]
        whole = sum(length for length in lengths if length is not None) if None not in lengths else None
        return call.sizes(joined, *[call.size(index) for index in range(len(lengths))], length=whole)
    return call.call(torch.cat, call.tensors(), dim=call.attr("axis", 1))


def _split(call: Call) -> Value:
    count = len(call.node.output)
    sizes, axis = call.setting("split", 1, 13), call.attr("axis", 0)
    if sizes is None:
        made = call.call(torch.chunk, call.tensor(0), call.attr("num_outputs", count), axis)
    elif isinstance(sizes, list):
        made = call.call(torch.split, call.tensor(0), sizes, axis)
    else:
        made = call.call(split_at, call.tensor(0), sizes, axis)
    return tuple(call.parts(made, count))


def split_at(x: Tensor, sizes: Any, axis: int) -> tuple[Tensor, ...]:
    return torch.split(x, ints_of(sizes), axis)


def _slice(call: Call) -> Value:
    starts, ends = call.setting("starts", 1, 10), call.setting("ends", 2, 10)
    axes, steps = call.setting("axes", 3, 10), call.setting("steps", 4, 10)
    given = (starts, ends, axes, steps)
    if any(isinstance(part, fx.Node) for part in given):
        return call.call(sliced, call.tensor(0), *given)
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if isinstance(call.inputs[0], fx.Node) and call.inputs[0] in call.canvas.sizes:
        cut = slice(starts[0], _end(ends[0], steps[0]), None if steps[0] == 1 else steps[0])
        length = call.length(0)
        left = None if length is None else len(range(length)[cut])
        return call.sizes(operator.getitem, call.inputs[0], cut, length=left)
    rank = call.rank()
    if rank is not None:
        axes = [axis + rank if axis < 0 else axis for axis in axes]
    if min(axes, default=0) >= 0 and min(steps, default=1) > 0 and max(axes, default=0) < 16:
        cuts: list[slice] = [slice(None)] * (max(axes, default=-1) + 1)
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            cuts[axis] = slice(start or None, _end(end, step), None if step == 1 else step)
        return call.call(operator.getitem, call.tensor(0), tuple(cuts)) if cuts else call.inputs[0]
    return call.call(sliced, call.tensor(0), starts, ends, axes, steps)


def _end(end: int, step: int) -> int | None:
    far = (step > 0 and end >= _FAR) or (step < 0 and end <= -_FAR)
    return None if far else end


def _constant(call: Call) -> Value:
    for name, dtype in (("value_float", torch.float32), ("value_floats", torch.float32)):
        if name in call.attributes:
            return torch.tensor(call.attributes[name], dtype=dtype)
    for name in ("value_int", "value_ints"):
        if name in call.attributes:
            return torch.tensor(call.attributes[name], dtype=torch.int64)
    stored = call.attr("value")
    if stored is None:
        raise call.error(
            "holds a constant of a kind that is not read (sparse, or text); make it a dense tensor"
        )
    value = call.reading.file.tensor(stored)
    call.scope.weights[id(value)] = call.node.output[0]
    call.reading.kept.append(value)
    return value


def _constant_of_shape(call: Call) -> Value:
    stored = call.attr("value")
    value = torch.zeros(1) if stored is None else call.reading.file.tensor(stored)
    return call.call(filled, call.ints(0), value.flatten()[0].item(), value.dtype)


def _range(call: Call) -> Value:
    parts = [call.size(index) if call.sized(index) else call.tensor(index) for index in range(3)]
    return _ranked(call, call.call(ranged, *parts), 1)


def _depth_to_space(call: Call) -> Value:
    block = call.attr("blocksize")
    if call.attr("mode", "DCR") == "CRD":
        return call.call(F.pixel_shuffle, call.tensor(0), block)
    return call.call(depth_to_space, call.tensor(0), block)


def _pad(call: Call) -> Value:
    mode = call.attr("mode", "constant")
    pads = call.setting("pads", 1, 11)
    value = call.operand(2) if call.has(2) else call.attr("value", 0.0 if call.opset < 11 else 0)
    axes, rank = call.ints(3), call.rank()
    x = call.tensor(0)
    whole = axes is None and isinstance(pads, list) and rank is not None and len(pads) == 2 * rank
    if whole and rank is not None and not isinstance(value, fx.Node | Tensor):
        flat = [pad for axis in reversed(range(rank)) for pad in (pads[axis], pads[axis + rank])]
        while len(flat) > 2 and flat[-2:] == [0, 0]:
            flat = flat[:-2]
        if mode == "constant":
            return call.call(F.pad, x, tuple(flat), value=value)
        depth = rank - 2
        names = {"reflect": "reflect", "edge": "replicate"}
        if mode in names and depth > 0 and len(flat) <= 2 * depth and min(flat) >= 0:
            flat += [0] * (2 * depth - len(flat))
            return call.call(F.pad, x, tuple(flat), mode=names[mode])
    return call.call(padded, x, pads, mode, value, axes)


def _space_to_depth(call: Call) -> Value:
    return call.call(
        space_to_depth, call.tensor(0), call.attr("blocksize"), call.attr("mode", "DCR") == "CRD"
    )


SHAPES: dict[str, Emit] = {
    "Shape": _shape,
    "Size": _size,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Expand": _expand,
    "Tile": lambda call: call.call(tiled, call.tensor(0), call.ints(1)),
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Pad": _pad,
}
