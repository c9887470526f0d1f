"""Means, sums and extremes over axes, as pooling over an image laid so that the axes are its height."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import fx

from netwright.ports.caffe.operators.activations import power
from netwright.ports.caffe.prototxt import Word
from netwright.ports.caffe.steps import (
    Shape,
    Step,
    Unsayable,
    axis_of,
    broadcast,
    fixed,
    reshaped,
    shape_of,
    writes,
)


@writes("mean", "sum", "amax", "amin", "max", "min")
def reduce(step: Step, input: fx.Node, dim: Any = None, **_: Any) -> Any:
    shape = shape_of(input)
    given = [dim] if isinstance(dim, int) else list(dim or range(len(shape)))
    axes = sorted(axis_of(axis, len(shape)) for axis in given)
    if 0 in axes:
        raise Unsayable("reduces over the batch", "keep the batch axis; reduce the others")
    least = step.operator in ("amin", "min")
    method = "MAX" if step.operator in ("amax", "max", "amin", "min") else "AVE"
    blob = power(step, step.blob(input), scale=-1) if least else step.blob(input)
    reduced, blob = pooled(step, blob, shape, axes, method)
    if least:
        blob = power(step, blob, scale=-1)
    if step.operator == "sum":
        blob = power(step, blob, scale=math.prod(fixed([shape[axis] for axis in axes])))
    made = reshaped(step, blob, reduced, step.shape)
    return [made, None] if step.operator in ("max", "min") else made


def pooled(step: Step, blob: str, shape: Shape, axes: Sequence[int], method: str) -> tuple[Shape, str]:
    """The blob with `axes` at size one, and its shape; neighbouring axes are pooled together."""
    axes = list(axes)
    while axes:
        first = axes.pop(0)
        last = first
        while axes and axes[0] == last + 1:
            last = axes.pop(0)
        high = math.prod(fixed(shape[first : last + 1]))
        image: Shape = (
            shape[0],
            math.prod(fixed(shape[1:first])),
            high,
            math.prod(fixed(shape[last + 1 :])),
        )
        if len(shape) == 4 and (first, last) == (2, 3):
            settings: dict[str, Any] = {"global_pooling": True}
            inner = blob
        else:
            settings = {"kernel_h": high, "kernel_w": 1}
            inner = reshaped(step, blob, shape, image)
            image = (*image[:2], 1, image[3])
        blob = step("Pooling", inner, part="pool", pooling_param={"pool": Word(method), **settings})
        narrow = (*shape[:first], *(1,) * (last + 1 - first), *shape[last + 1 :])
        if not settings.get("global_pooling"):
            blob = reshaped(step, blob, image, narrow)
        shape = narrow
    return shape, blob


@writes("log_softmax", "_log_softmax")
def log_softmax(step: Step, input: fx.Node, dim: int, **_: Any) -> str:
    """z - log(sum of e^z) with z = x - max of x: the logarithm of Caffe's Softmax would end at the smallest
    number."""
    shape = step.shape
    axis = axis_of(dim, len(shape))

    def less(blob: str, narrow: Shape, other: str) -> str:
        settings = {"operation": Word("SUM"), "coeff": [1.0, -1.0]}
        return step(
            "Eltwise", blob, broadcast(step, other, narrow, shape), part="less", eltwise_param=settings
        )

    below = less(step.blob(input), *pooled(step, step.blob(input), shape, [axis], "MAX"))
    narrow, mean = pooled(step, step("Exp", below), shape, [axis], "AVE")
    count = fixed(shape[axis : axis + 1])[0]
    return less(below, narrow, step("Log", power(step, mean, scale=count)))


@writes("argmax")
def argmax(step: Step, input: fx.Node, dim: int | None = None, keepdim: bool = False) -> str:
    shape = shape_of(input)
    if dim is None or axis_of(dim, len(shape)) == 0:
        raise Unsayable("takes the largest over the whole batch", "give argmax an axis other than the batch")
    axis = axis_of(dim, len(shape))
    made = step("ArgMax", step.blob(input), argmax_param={"axis": axis})
    return reshaped(step, made, (*shape[:axis], 1, *shape[axis + 1 :]), step.shape)
