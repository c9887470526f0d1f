"""Operators that pick, scatter and order."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from netwright.ports.onnx.read_call import Call, Emit
from netwright.ports.onnx.read_graph import Value, ints_of
from netwright.ports.onnx.read_shapes import picked

# Functions of the network


def counted(indices: Tensor, size: int) -> Tensor:
    """Indices as int64, those below 0 counted from the end."""
    wide = indices.to(torch.int64)
    return torch.where(wide < 0, wide + size, wide)


def gathered(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Slices of `x` along `axis`, laid out as `indices` are."""
    axis = axis % x.ndim
    at = counted(indices, x.shape[axis])
    made = torch.index_select(x, axis, at.reshape(-1).to(x.device))
    return made.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def gathered_elements(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    return torch.gather(x, axis, counted(indices, x.shape[axis]))


def gathered_nd(x: Tensor, indices: Tensor, batch_dims: int = 0) -> Tensor:
    """The slices of `x` that the rows of `indices` point at, batch by batch."""
    batch = x.shape[:batch_dims]
    depth = indices.shape[-1]
    flat, rows = (
        x.reshape(-1, *x.shape[batch_dims:]),
        indices.reshape(len(x.reshape(-1, *x.shape[batch_dims:])), -1, depth),
    )
    at = [counted(rows[..., k], flat.shape[k + 1]) for k in range(depth)]
    each = torch.arange(len(flat), device=x.device)[:, None]
    made = flat[(each, *at)]
    return made.reshape((*batch, *indices.shape[batch_dims:-1], *x.shape[batch_dims + depth :]))


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def scattered_elements(
    x: Tensor, indices: Tensor, updates: Tensor, axis: int, reduction: str = "none"
) -> Tensor:
    at = counted(indices, x.shape[axis])
    if reduction == "none":
        return torch.scatter(x, axis, at, updates)
    return torch.scatter_reduce(x, axis, at, updates, _REDUCTIONS[reduction])


def scattered_nd(x: Tensor, indices: Tensor, updates: Tensor, reduction: str = "none") -> Tensor:
    """`x` with `updates` at the places that the rows of `indices` point at."""
    depth = indices.shape[-1]
    place = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=x.device)
    for k in range(depth):
        place = place * x.shape[k] + counted(indices[..., k], x.shape[k])
    rows = x.reshape(-1, *x.shape[depth:]).reshape(math.prod(x.shape[:depth]), -1)
    at = place.reshape(-1, 1).expand(-1, rows.shape[1])
    new = updates.reshape(at.shape)
    if reduction == "none":
        return torch.scatter(rows, 0, at, new).reshape(x.shape)
    return torch.scatter_reduce(rows, 0, at, new, _REDUCTIONS[reduction]).reshape(x.shape)


def one_hot(indices: Tensor, depth: Any, values: Tensor, axis: int) -> Tensor:
    """`values[1]` at each index on a new axis of `depth`, `values[0]` elsewhere, also where out of range."""
    classes = torch.arange(ints_of(depth)[0], device=indices.device)
    wanted = indices.to(torch.int64)
    wanted = torch.where(wanted < 0, wanted + len(classes), wanted)
    hot = wanted.unsqueeze(-1) == classes
    made = torch.where(hot, values[1], values[0])
    return torch.movedim(made, -1, axis if axis >= 0 else axis + made.ndim)


def top(x: Tensor, k: Any, axis: int, largest: bool, ordered: bool = True) -> tuple[Tensor, Tensor]:
    """The `k` largest or smallest, the earlier first among equals."""
    order = torch.argsort(x, dim=axis, descending=largest, stable=True)
    at = torch.narrow(order, axis, 0, ints_of(k)[0])
    return torch.gather(x, axis, at), at


def arg(x: Tensor, axis: int, keepdims: bool, last: bool, largest: bool) -> Tensor:
    """Where the largest or smallest is; the last of equals where asked for."""
    if last:
        x = torch.flip(x, (axis,))
    found = torch.argmax(x, axis, keepdim=keepdims) if largest else torch.argmin(x, axis, keepdim=keepdims)
    return x.shape[axis] - 1 - found if last else found


def non_zero(x: Tensor) -> Tensor:
    return torch.nonzero(x).T


def compressed(x: Tensor, condition: Tensor, axis: int | None = None) -> Tensor:
    at = torch.nonzero(condition)[:, 0]
    return torch.index_select(x.reshape(-1) if axis is None else x, axis or 0, at)


def cumulated(x: Tensor, axis: Any, exclusive: bool, backwards: bool) -> Tensor:
    at = ints_of(axis)[0]
    flipped = torch.flip(x, (at,)) if backwards else x
    made = torch.cumsum(flipped, at, dtype=x.dtype)
    made = made - flipped if exclusive else made
    return torch.flip(made, (at,)) if backwards else made


def triangle(x: Tensor, diagonal: Any, upper: bool) -> Tensor:
    k = 0 if diagonal is None else ints_of(diagonal)[0]
    k = max(-(2**31), min(k, 2**31))
    return torch.triu(x, k) if upper else torch.tril(x, k)


def eye_like(x: Tensor, k: int, dtype: torch.dtype | None) -> Tensor:
    rows, columns = (torch.arange(size, device=x.device) for size in x.shape)
    return (columns[None, :] - rows[:, None] == k).to(dtype or x.dtype)


def reversed_sequences(x: Tensor, lengths: Tensor, time_axis: int, batch_axis: int) -> Tensor:
    """The first steps of each sequence backwards, as many as it is long."""
    moved = torch.movedim(x, (batch_axis, time_axis), (0, 1))
    steps = torch.arange(moved.shape[1], device=x.device)[None, :]
    long = lengths.to(torch.int64)[:, None]
    at = torch.where(steps < long, long - 1 - steps, steps)
    made = moved[torch.arange(len(moved), device=x.device)[:, None], at]
    return torch.movedim(made, (0, 1), (batch_axis, time_axis))


def einsum(equation: str, *tensors: Tensor) -> Tensor:
    return torch.einsum(equation, *tensors)


# How operators are drawn


def _gather(call: Call) -> Value:
    axis, indices, rank = call.attr("axis", 0), call.constant(1), call.rank()
    first = call.inputs[0]
    if isinstance(first, fx.Node) and first in call.canvas.sizes and indices is not None:
        if indices.ndim == 0:
            return call.sizes(operator.getitem, first, int(indices))
        return call.sizes(picked, first, indices.flatten().tolist(), length=indices.numel())
    table = call.constant(0)
    known = table is not None and table.is_floating_point() and table.ndim == 2 and axis in (0, -2)
    if known and table is not None and indices is None:
        layer = nn.Embedding(table.shape[0], table.shape[1], device="meta", dtype=table.dtype)
        layer.weight = call.parameter(table)
        return call.layer(layer, call.tensor(1), weight=0)
    if indices is not None and indices.ndim == 0:
        value = call.call(torch.select, call.tensor(0), axis, int(indices))
        change = -1
    else:
        value = call.call(gathered, call.tensor(0), call.tensor(1), axis)
        at = call.rank(1)
        change = None if at is None else at - 1
    if isinstance(value, fx.Node) and rank is not None and change is not None:
        call.canvas.ranks[value] = rank + change
    return value


def _scatter_elements(call: Call) -> Value:
    axis, reduction = call.attr("axis", 0), call.attr("reduction", "none")
    return call.call(scattered_elements, *call.tensors(), axis, reduction)


def _top(call: Call) -> Value:
    k = call.ints(1) if call.has(1) else [call.attr("k")]
    made = call.call(top, call.tensor(0), k, call.attr("axis", -1), bool(call.attr("largest", 1)))
    return tuple(call.parts(made, 2))


def _arg(call: Call) -> Value:
    keepdims, last = bool(call.attr("keepdims", 1)), bool(call.attr("select_last_index", 0))
    return call.call(arg, call.tensor(0), call.attr("axis", 0), keepdims, last, call.kind == "ArgMax")


def _eye_like(call: Call) -> Value:
    from netwright.ports.onnx.read_file import DTYPES

    return call.call(eye_like, call.tensor(0), call.attr("k", 0), DTYPES.get(call.attr("dtype", 0)))


def _cumulated(call: Call) -> Value:
    exclusive, backwards = bool(call.attr("exclusive", 0)), bool(call.attr("reverse", 0))
    return call.call(cumulated, call.tensor(0), call.ints(1), exclusive, backwards)


def _grid_sample(call: Call) -> Value:
    names = {"linear": "bilinear", "cubic": "bicubic"}
    mode = call.attr("mode", "bilinear" if call.opset < 20 else "linear")
    return call.call(
        F.grid_sample,
        call.tensor(0),
        call.tensor(1),
        mode=names.get(mode, mode),
        padding_mode=call.attr("padding_mode", "zeros"),
        align_corners=bool(call.attr("align_corners", 0)),
    )


GATHERING: dict[str, Emit] = {
    "Gather": _gather,
    "GatherElements": lambda call: call.call(
        gathered_elements, call.tensor(0), call.tensor(1), call.attr("axis", 0)
    ),
    "GatherND": lambda call: call.call(
        gathered_nd, call.tensor(0), call.tensor(1), call.attr("batch_dims", 0)
    ),
    "ScatterElements": _scatter_elements,
    "Scatter": _scatter_elements,
    "ScatterND": lambda call: call.call(scattered_nd, *call.tensors(), call.attr("reduction", "none")),
    "OneHot": lambda call: call.call(
        one_hot, call.tensor(0), call.ints(1), call.tensor(2), call.attr("axis", -1)
    ),
    "TopK": _top,
    "ArgMax": _arg,
    "ArgMin": _arg,
    "NonZero": lambda call: call.call(non_zero, call.tensor(0)),
    "Compress": lambda call: call.call(compressed, call.tensor(0), call.tensor(1), call.attr("axis")),
    "CumSum": _cumulated,
    "Trilu": lambda call: call.call(triangle, call.tensor(0), call.ints(1), bool(call.attr("upper", 1))),
    "EyeLike": _eye_like,
    "ReverseSequence": lambda call: call.call(
        reversed_sequences,
        call.tensor(0),
        call.tensor(1),
        call.attr("time_axis", 0),
        call.attr("batch_axis", 1),
    ),
    "Einsum": lambda call: call.call(einsum, call.attr("equation", ""), *call.tensors()),
    "GridSample": _grid_sample,
}
