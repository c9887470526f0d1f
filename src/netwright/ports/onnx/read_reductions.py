"""Operators that reduce axes to one number each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from netwright.ports.onnx.read_call import Call, Emit
from netwright.ports.onnx.read_graph import Value, ints_of
from netwright.ports.onnx.read_shapes import product

_INITIAL = {"max": -math.inf, "min": math.inf}


def sum_of(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return torch.sum(x, axes, keepdim=keepdims, dtype=x.dtype)


def mean_over(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    if x.is_floating_point():
        return torch.mean(x, axes, keepdim=keepdims)
    return torch.mean(x.to(torch.float64), axes, keepdim=keepdims).to(x.dtype)


def largest(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return _extreme(x, axes, keepdims, "max")


def smallest(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return _extreme(x, axes, keepdims, "min")


def _extreme(x: Tensor, axes: tuple[int, ...], keepdims: bool, kind: str) -> Tensor:
    function = torch.amax if kind == "max" else torch.amin
    if any(x.shape[axis] == 0 for axis in axes):
        shape = [1 if axis in [a % x.ndim for a in axes] else size for axis, size in enumerate(x.shape)]
        made = torch.full(shape, _INITIAL[kind] if x.is_floating_point() else 0, dtype=x.dtype)
        return made if keepdims else made.squeeze(axes)
    return function(x, axes, keepdim=keepdims)


def product_of(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = torch.prod(x, axis, keepdim=keepdims, dtype=x.dtype)
    return x


def sum_of_sizes(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return sum_of(torch.abs(x), axes, keepdims)


def length(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    if not x.is_floating_point():
        return torch.sqrt(sum_of(x * x, axes, keepdims).to(torch.float64)).to(x.dtype)
    return torch.sqrt(sum_of(x * x, axes, keepdims))


def log_sum(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return torch.log(sum_of(x, axes, keepdims))


def log_sum_exp(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return torch.logsumexp(x, axes, keepdim=keepdims)


def sum_of_squares(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return sum_of(x * x, axes, keepdims)


_REDUCTIONS: dict[str, Callable[[Tensor, tuple[int, ...], bool], Tensor]] = {
    "ReduceSum": sum_of,
    "ReduceMean": mean_over,
    "ReduceMax": largest,
    "ReduceMin": smallest,
    "ReduceProd": product_of,
    "ReduceL1": sum_of_sizes,
    "ReduceL2": length,
    "ReduceLogSum": log_sum,
    "ReduceLogSumExp": log_sum_exp,
    "ReduceSumSquare": sum_of_squares,
}


def reduced(kind: str, x: Tensor, axes: Any, keepdims: bool, keeps_when_empty: bool) -> Tensor:
    """`x` reduced over `axes`, over all of them where none are named."""
    wanted = tuple(ints_of(axes)) if axes is not None else ()
    if not wanted and keeps_when_empty:
        wanted_of_one = {"ReduceL1": torch.abs, "ReduceL2": torch.abs, "ReduceLogSum": torch.log}
        return torch.square(x) if kind == "ReduceSumSquare" else wanted_of_one.get(kind, torch.clone)(x)
    return _REDUCTIONS[kind](x, wanted or tuple(range(x.ndim)), keepdims)


def _reduce(call: Call) -> Value:
    axes = call.setting("axes", 1, 13 if call.kind == "ReduceSum" else 18)
    keepdims = bool(call.attr("keepdims", 1))
    first, rank = call.inputs[0], call.rank()
    of_shape = isinstance(first, fx.Node) and first in call.canvas.sizes
    if call.kind == "ReduceProd" and of_shape and axes in (None, [0], [-1]) and not keepdims:
        return call.sizes(product, first)
    if isinstance(axes, list) and axes and call.kind in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"):
        value = call.call(_REDUCTIONS[call.kind], call.tensor(0), tuple(axes), keepdims)
    else:
        noop = bool(call.attr("noop_with_empty_axes", 0))
        value = call.call(reduced, call.kind, call.tensor(0), axes, keepdims, noop)
    if isinstance(value, fx.Node) and rank is not None and (keepdims or isinstance(axes, list)):
        call.canvas.ranks[value] = rank if keepdims else rank - len(axes or ())
    return value


REDUCTIONS: dict[str, Emit] = dict.fromkeys(_REDUCTIONS, _reduce)
