"""Operators that move numbers without computing: reshapes, orders of axes, pieces, repetitions, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx

from netwright.ports.caffe.operators.activations import power
from netwright.ports.caffe.operators.lookups import by_table
from netwright.ports.caffe.operators.windows import zero_padded
from netwright.ports.caffe.steps import (
    Shape,
    Step,
    Unsayable,
    along,
    axis_of,
    broadcast,
    cut,
    fixed,
    held_for_each,
    reshaped,
    shape_of,
    writes,
)


@writes(
    "view",
    "reshape",
    "_unsafe_view",
    "view_as",
    "reshape_as",
    "flatten",
    "unflatten",
    "squeeze",
    "unsqueeze",
)
def reshape(step: Step, input: fx.Node, **_: Any) -> str:
    return reshaped(step, step.blob(input), shape_of(input), step.shape)


@writes(
    "clone",
    "contiguous",
    "detach",
    "alias",
    "lift_fresh_copy",
    "to",
    "_to_copy",
    "type_as",
    "float",
    "identity",
    "view_of",
)
def same(step: Step, input: fx.Node, **_: Any) -> str:
    if input.meta["val"].is_floating_point() and not step.results[0].is_floating_point():
        raise Unsayable("rounds to whole numbers, which Caffe lacks", "keep to floating numbers")
    if step.results[0].dtype is torch.bool and input.meta["val"].dtype is not torch.bool:
        return by_table(step, input, lambda numbers: numbers != 0)
    return step.blob(input)


@writes("permute")
def permute(step: Step, input: fx.Node, dims: Sequence[int]) -> str:
    """A Permute layer, which OpenCV and most builds of Caffe have, though not the first one."""
    order = [axis_of(dim, len(dims)) for dim in dims]
    if order == sorted(order):
        return step.blob(input)
    return step("Permute", step.blob(input), permute_param={"order": order})


@writes("transpose", "swapaxes", "swapdims", "t", "numpy_T")
def transpose(step: Step, input: fx.Node, dim0: int = 0, dim1: int = 1, **named: Any) -> str:
    order = list(range(len(step.shape)))
    one, two = (axis_of(named.get(name, dim), len(order)) for name, dim in (("axis0", dim0), ("axis1", dim1)))
    order[one], order[two] = two, one
    return permute(step, input, order)


@writes("pixel_shuffle")
def pixel_shuffle(step: Step, input: fx.Node, upscale_factor: int) -> str:
    """(N, C r², H, W) -> (N, C, H r, W r)."""
    batch, (channels, high, wide) = step.shape[0], fixed(shape_of(input)[1:])
    r, outputs = upscale_factor, channels // upscale_factor**2
    blob = reshaped(step, step.blob(input), shape_of(input), (batch, outputs, r, r, high, wide))
    blob = step("Permute", blob, permute_param={"order": [0, 1, 4, 2, 5, 3]})
    return reshaped(step, blob, (batch, outputs, high, r, wide, r), step.shape)


# Pieces ------------------------------------------------------------------------------------------------


@writes("cat", "concat")
def concatenate(step: Step, tensors: Sequence[fx.Node], dim: int = 0) -> str:
    axis = axis_of(dim, len(step.shape))
    like = _activation(step, tensors)
    blobs = [held_for_each(step, tensor, like) for tensor in tensors if 0 not in shape_of(tensor)]
    return step("Concat", *blobs, concat_param=None if axis == 1 else {"axis": axis})


def _activation(step: Step, tensors: Sequence[fx.Node]) -> fx.Node:
    """The first that is no weight."""
    return next(tensor for tensor in tensors if not step.is_constant(tensor))


@writes("stack")
def stack(step: Step, tensors: Sequence[fx.Node], dim: int = 0) -> str:
    axis = axis_of(dim, len(step.shape))
    single = (*step.shape[:axis], 1, *step.shape[axis + 1 :])
    like = _activation(step, tensors)
    blobs = [
        reshaped(step, held_for_each(step, tensor, like), shape_of(tensor), single) for tensor in tensors
    ]
    return step("Concat", *blobs, concat_param={"axis": axis})


@writes("chunk", "split", "split_with_sizes", "unbind", "tensor_split", "unsafe_chunk", "unsafe_split")
def split(step: Step, input: fx.Node, dim: int = 0, **_: Any) -> list[str]:
    shape = shape_of(input)
    axis = axis_of(dim, len(shape))
    pieces = [tuple(piece.shape) for piece in step.results]
    unbound = step.operator == "unbind"
    sizes = [1 if unbound else int(piece[axis]) for piece in pieces]
    if len(sizes) == 1:
        tops = [step.blob(input)]
    else:
        points = [int(point) for point in np.cumsum(sizes)[:-1]]
        settings = {"axis": axis, "slice_point": points}
        tops = step.several("Slice", [step.blob(input)], len(sizes), part="split", slice_param=settings)
    if not unbound:
        return tops
    wide, narrow = (*shape[:axis], 1, *shape[axis + 1 :]), (*shape[:axis], *shape[axis + 1 :])
    return [reshaped(step, top, wide, narrow) for top in tops]


@writes("slice", "narrow")
def piece(
    step: Step,
    input: fx.Node,
    dim: int = 0,
    start: Any = None,
    end: Any = None,
    length: Any = None,
    stride: int = 1,
) -> str:
    shape = shape_of(input)
    axis = axis_of(dim, len(shape))
    if shape[axis] == step.shape[axis]:
        return step.blob(input)
    if axis == 0 and not isinstance(shape[0], int):
        raise Unsayable("takes some inputs of a batch", "work on all inputs of a batch alike")
    size = fixed(shape[axis : axis + 1])[0]
    first = 0 if start is None else min(max(axis_of(int(start), size), 0), size)
    count = fixed(step.shape[axis : axis + 1])[0]
    if stride == 1:
        return cut(step, step.blob(input), axis, first, first + count, size)
    return along(step, step.blob(input), shape, axis, np.eye(size)[first + stride * np.arange(count)])


@writes("select")
def select(step: Step, input: fx.Node, dim: int, index: int) -> str:
    shape = shape_of(input)
    axis = axis_of(dim, len(shape))
    if axis == 0 and not isinstance(shape[0], int):
        raise Unsayable("takes one input of a batch", "work on all inputs of a batch alike")
    size = fixed(shape[axis : axis + 1])[0]
    first = axis_of(index, size)
    kept = cut(step, step.blob(input), axis, first, first + 1, size)
    return reshaped(step, kept, (*shape[:axis], 1, *shape[axis + 1 :]), step.shape)


@writes("flip", "roll", "index_select")
def reordered(
    step: Step, input: fx.Node, dims: Any = (), shifts: Any = (), dim: int = 0, index: Any = None
) -> str:
    """Rows of an axis in another order, as a map of zeros and ones."""
    shape, blob = shape_of(input), step.blob(input)
    axes = [axis_of(d, len(shape)) for d in (dims if index is None else [dim])]
    for number, axis in enumerate(axes):
        rows = torch.eye(fixed(shape[axis : axis + 1])[0])
        if index is not None:
            rows = rows[torch.from_numpy(step.array(index)).long()]
        else:
            rows = rows.flip(0) if step.operator == "flip" else rows.roll(shifts[number], 0)
        blob = along(step, blob, shape, axis, rows.numpy())
    return blob


@writes("expand", "expand_as")
def expand(step: Step, input: fx.Node, **_: Any) -> str:
    return broadcast(step, step.blob(input), shape_of(input), step.shape)


@writes("repeat", "tile", "repeat_interleave")
def repeat(step: Step, input: fx.Node, **named: Any) -> str:
    shape, blob = shape_of(input), step.blob(input)
    if len(shape) != len(step.shape) or shape[0] != step.shape[0]:
        raise Unsayable("repeats inputs over the batch", "repeat along the other axes only")
    for axis, (size, wanted) in enumerate(zip(shape, step.shape, strict=True)):
        if size != wanted:
            unit = np.eye(fixed([size])[0])
            times = fixed([wanted])[0] // len(unit)
            together = step.operator == "repeat_interleave"
            rows = unit.repeat(times, 0) if together else np.tile(unit, (times, 1))
            blob = along(step, blob, shape, axis, rows)
            shape = (*shape[:axis], wanted, *shape[axis + 1 :])
    return blob


LARGEST_MAP = 1 << 26  # numbers in the map of an axis: a quarter of a gigabyte

# Padding -----------------------------------------------------------------------------------------------


@writes("pad", "constant_pad_nd")
def pad(step: Step, input: fx.Node, pad: Sequence[int], mode: str = "constant", value: Any = None) -> str:
    shape = shape_of(input)
    sides = [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)][::-1]
    around = [(0, 0)] * (len(shape) - len(sides)) + sides  # for each axis: before, behind
    return _padded(step, step.blob(input), shape, around, mode, float(value or 0))


@writes(
    "reflection_pad1d",
    "reflection_pad2d",
    "replication_pad1d",
    "replication_pad2d",
    "zero_pad2d",
    "_pad_circular",
)
def pad_by_copies(step: Step, input: fx.Node, padding: Sequence[int] = (), pad: Sequence[int] = ()) -> str:
    kind = step.operator.split("_pad")[0].lstrip("_")
    mode = {"reflection": "reflect", "replication": "replicate", "zero": "constant"}.get(kind, "circular")
    given = padding or pad
    shape = shape_of(input)
    sides = [(int(given[i]), int(given[i + 1])) for i in range(0, len(given), 2)][::-1]
    return _padded(step, step.blob(input), shape, [(0, 0)] * (len(shape) - len(sides)) + sides, mode, 0.0)


def _padded(
    step: Step, blob: str, shape: Shape, around: Sequence[tuple[int, int]], mode: str, value: float
) -> str:
    """Caffe has no padding layer: zeros around an image come from a convolution, others from a map along each
    axis; a value other than 0 is subtracted before and added behind."""
    if around[0] != (0, 0):
        raise Unsayable("pads the batch", "pad the other axes only")
    if value:
        blob = power(step, blob, shift=-value)
    only_image = len(shape) == 4 and around[1] == (0, 0)
    if mode == "constant" and only_image and min(min(side) for side in around) >= 0:
        blob = zero_padded(step, blob, shape, [a for a, _ in around[2:]], [b for _, b in around[2:]])
    else:
        for axis, side in enumerate(around):
            if side != (0, 0):
                size = fixed(shape[axis : axis + 1])[0]
                if size * (size + sum(side)) > LARGEST_MAP:
                    raise Unsayable(
                        f"pads an axis of {size:,}, a map of {size:,} × {size + sum(side):,} numbers",
                        "pad before the network, or in a convolution",
                    )
                rows = F.pad(torch.eye(size)[None], side, mode=mode)[0].T
                blob = along(step, blob, shape, axis, rows.numpy())
                shape = (*shape[:axis], len(rows), *shape[axis + 1 :])
    return power(step, blob, shift=value) if value else blob
