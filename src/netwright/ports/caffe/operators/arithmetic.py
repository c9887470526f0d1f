"""Sums, products and powers: of two activations, or of an activation and weights or a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import fx

from netwright.ports.caffe.operators.activations import power, times
from netwright.ports.caffe.prototxt import Word
from netwright.ports.caffe.steps import (
    Array,
    Shape,
    Step,
    Unsayable,
    broadcast,
    fixed,
    reshaped,
    shape_of,
    writes,
)


@writes("add")
def add(step: Step, input: Any, other: Any, alpha: float = 1) -> str:
    return _sum(step, (input, 1.0), (other, float(alpha)))


@writes("sub")
def subtract(step: Step, input: Any, other: Any, alpha: float = 1) -> str:
    return _sum(step, (input, 1.0), (other, -float(alpha)))


@writes("rsub")
def subtract_from(step: Step, input: Any, other: Any, alpha: float = 1) -> str:
    return _sum(step, (other, 1.0), (input, -float(alpha)))


def _sum(step: Step, *terms: tuple[Any, float]) -> str:
    if step.results[0].dtype is torch.bool:  # which is their or, not their sum
        raise Unsayable("adds truth values", "turn them into floating numbers before")
    (first, one), (second, two) = terms
    if not _is_activation(step, first):
        (first, one), (second, two) = terms[::-1]
    blob, number = _spread(step, first), step.number(second)
    if number is not None:
        return power(step, blob, scale=one, shift=two * number)
    if not _is_activation(step, second):
        return affine(step, blob, step.shape, bias=step.array(second) * np.float32(two), scale=one)
    settings: dict[str, Any] = {"operation": Word("SUM")}
    if (one, two) != (1.0, 1.0):
        settings["coeff"] = [one, two]
    return step("Eltwise", blob, _spread(step, second), part="sum", eltwise_param=settings)


@writes("mul")
def multiply(step: Step, input: Any, other: Any) -> str:
    first, second = (input, other) if _is_activation(step, input) else (other, input)
    number = step.number(second)
    if number is not None:
        return power(step, _spread(step, first), scale=number)
    if not _is_activation(step, second):
        return affine(step, _spread(step, first), step.shape, weight=step.array(second))
    for wide, narrow in ((first, second), (second, first)):
        lead = _leading(shape_of(narrow), shape_of(wide))
        if lead and shape_of(wide) == step.shape:  # a factor for each channel of each input
            factor = reshaped(step, step.blob(narrow), shape_of(narrow), step.shape[:lead])
            return step("Scale", step.blob(wide), factor, scale_param={"axis": 0})
    return times(step, _spread(step, first), _spread(step, second))


@writes("div")
def divide(step: Step, input: Any, other: Any, rounding_mode: str | None = None) -> str:
    if rounding_mode:
        raise Unsayable("divides with rounding, which Caffe lacks", "divide without rounding_mode")
    number = step.number(other)
    if number is not None:
        return power(step, step.blob(input), scale=1 / number)
    if not _is_activation(step, other):
        return affine(step, _spread(step, input), step.shape, weight=1 / step.array(other))
    below = power(step, _spread(step, other), power=-1)
    above = step.number(input)
    if above is not None:
        return below if above == 1 else power(step, below, scale=above)
    if not _is_activation(step, input):
        return affine(step, below, step.shape, weight=step.array(input))
    return times(step, _spread(step, input), below)


@writes("pow")
def raised(step: Step, input: Any, exponent: Any) -> str:
    number = step.number(exponent)
    if number is None or not _is_activation(step, input):
        raise Unsayable("raises to a power that is an activation", "raise to a fixed number")
    if number == 2:  # Caffe's Power goes through pow(), which loses the sign's meaning on some builds
        return times(step, step.blob(input), step.blob(input))
    return power(step, step.blob(input), power=number)


@writes("maximum", "minimum")
def extreme(step: Step, input: Any, other: Any) -> str:
    """The smaller of two is minus the larger of their negatives."""
    if not (_is_activation(step, input) and _is_activation(step, other)):
        raise Unsayable("compares an activation with fixed numbers", "use clamp for one bound of all")
    blobs = [_spread(step, input), _spread(step, other)]
    least = step.operator == "minimum"
    if least:
        blobs = [power(step, blob, scale=-1) for blob in blobs]
    made = step("Eltwise", *blobs, part="max", eltwise_param={"operation": Word("MAX")})
    return power(step, made, scale=-1) if least else made


def _is_activation(step: Step, value: Any) -> bool:
    return isinstance(value, fx.Node) and value in step.held.blobs


def _spread(step: Step, node: fx.Node) -> str:
    """The blob in the shape of the result."""
    return broadcast(step, step.blob(node), shape_of(node), step.shape)


def _leading(narrow: Shape, wide: Shape) -> int:
    """How many first axes a factor shares with a blob, all others being one; 0 where it does not fit so."""
    if len(narrow) != len(wide) or narrow == wide:
        return 0
    lead = max((index + 1 for index, size in enumerate(narrow) if size != 1), default=0)
    return lead if narrow[:lead] == wide[:lead] else 0


def affine(
    step: Step,
    blob: str,
    shape: Shape,
    weight: Array | None = None,
    bias: Array | None = None,
    scale: float = 1.0,
) -> str:
    """x · weight + bias with weights of the shape of the last axes, as one Scale layer over those they vary
    along. Caffe's Bias layer would do for a bias alone, but OpenCV's importer has none."""
    given = [np.asarray(array, np.float32) for array in (weight, bias) if array is not None]
    wide = [array.reshape((1,) * (len(shape) - array.ndim) + array.shape) for array in given]
    wide = [array[:1] if len(array) > 1 and (array == array[:1]).all() else array for array in wide]
    varying = [axis for axis in range(len(shape)) if any(array.shape[axis] != 1 for array in wide)] or [1]
    first, last = varying[0], varying[-1] + 1
    if first == 0:
        raise Unsayable(
            "has weights for each input of a batch", "use weights that are the same for all inputs"
        )
    sizes = fixed(shape[first:last])
    laid = [np.broadcast_to(array.reshape(array.shape[first:last]), sizes) for array in wide]
    factor = laid[0] if weight is not None else np.full(sizes, scale)
    settings: dict[str, Any] = {"axis": first} if first != 1 else {}
    if len(sizes) > 1:
        settings["num_axes"] = len(sizes)
    if bias is not None:
        settings["bias_term"] = True
    weights = [factor, laid[-1]] if bias is not None else [factor]
    return step("Scale", blob, weights=weights, scale_param=settings)
