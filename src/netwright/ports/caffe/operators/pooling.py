"""Pooling: where PyTorch rounds down and Caffe up, and whose pixels an average divides by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from attrs import frozen
from torch import fx

from netwright.ports.caffe.operators.windows import as_image, as_series, batched, pair, window
from netwright.ports.caffe.prototxt import Word
from netwright.ports.caffe.steps import Size, Step, Unsayable, cut, fixed, separable, shape_of, writes


@frozen
class Side:
    """One axis of a pooling: sizes of the image, kernel, stride and padding."""

    size: int
    kernel: int
    stride: int
    pad: int

    def counted(self, outputs: int, padded: bool) -> Any:
        """How many pixels each window averages, with those of the padding or without."""
        starts = np.arange(outputs) * self.stride - self.pad
        ends = np.minimum(starts + self.kernel, self.size + self.pad)
        return ends - starts if padded else np.minimum(ends, self.size) - np.maximum(starts, 0)


def _sides(shape: Sequence[Size], kernel: Any, stride: Any, padding: Any) -> list[Side]:
    kernels, pads = pair(kernel), pair(padding, 0)
    strides = pair(stride) if stride else kernels
    if len(shape) == 1:
        kernels, strides, pads = [1, kernels[1]], [1, strides[1]], [0, pads[1]]
    sizes = [1] * (2 - len(shape)) + fixed(shape)
    return [Side(*side) for side in zip(sizes, kernels, strides, pads, strict=True)]


def _pooled(step: Step, input: fx.Node, method: str, sides: Sequence[Side]) -> str:
    """The pooled image. Caffe rounds the number of windows up, PyTorch down, so a row or column too many is
    cut off by a Slice. `round_mode: FLOOR` would be shorter, but OpenCV's importer stumbles over it and old
    builds of Caffe do not know it; a Slice means the same to all."""
    shape = batched(input, len(step.shape))
    blob, _ = as_image(step, step.blob(input), shape)
    settings = window([s.kernel for s in sides], [s.stride for s in sides], [s.pad for s in sides])
    pool = Word(method)
    made = step("Pooling", blob, part="pool", pooling_param={"pool": pool, **settings})
    padded = any(side.pad for side in sides)
    wanted = [1] * (4 - len(shape)) + fixed(step.shape[2:])
    for axis, (side, outputs) in enumerate(zip(sides, wanted, strict=True)):
        rounded_up = -(-(side.size + 2 * side.pad - side.kernel) // side.stride) + 1
        if padded and (rounded_up - 1) * side.stride >= side.size + side.pad:
            rounded_up -= 1
        made = cut(step, made, axis + 2, 0, outputs, rounded_up)
    return made


@writes("max_pool1d", "max_pool2d", "max_pool2d_with_indices")
def max_pool(
    step: Step,
    input: fx.Node,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> str:
    if set(pair(dilation)) != {1}:
        raise Unsayable("pools with dilation, which Caffe lacks", "pool without dilation")
    made = _pooled(step, input, "MAX", _sides(shape_of(input)[2:], kernel_size, stride, padding))
    return made if len(step.shape) == 4 else as_series(step, made)


@writes("avg_pool1d", "avg_pool2d")
def average_pool(
    step: Step,
    input: fx.Node,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> str:
    """Caffe counts the padding in the divisor, as PyTorch does by default; other divisors are a factor."""
    sides = _sides(shape_of(input)[2:], kernel_size, stride, padding)
    made = _pooled(step, input, "AVE", sides)
    outputs = [1] * (4 - len(step.shape)) + fixed(step.shape[2:])
    divided = [side.counted(count, True) for side, count in zip(sides, outputs, strict=True)]
    factor = np.ones((1, 1))
    if divisor_override:
        factor = np.multiply.outer(*divided) / divisor_override
    elif not count_include_pad:
        inside = [side.counted(count, False) for side, count in zip(sides, outputs, strict=True)]
        factor = np.multiply.outer(divided[0] / inside[0], divided[1] / inside[1])
    if np.ptp(factor) > 0:  # each window has a divisor of its own
        made = step("Scale", made, part="divisor", weights=[factor], scale_param={"axis": 2, "num_axes": 2})
    elif factor.flat[0] != 1:
        made = step("Power", made, part="divisor", power_param={"scale": float(factor.flat[0])})
    return made if len(step.shape) == 4 else as_series(step, made)


@writes("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d")
def adaptive_pool(step: Step, input: fx.Node, output_size: Any) -> str:
    """To one pixel globally; to sizes that divide by windows side by side; an average to others by a map of
    each axis."""
    shape = batched(input, len(step.shape))
    average = "avg" in step.operator
    sizes, outputs = fixed(shape[2:]), fixed(step.shape[2:])
    if sizes == outputs:
        return step.blob(input)
    if len(sizes) == 2 and outputs == [1, 1]:
        pool = Word("AVE" if average else "MAX")
        return step("Pooling", step.blob(input), pooling_param={"pool": pool, "global_pooling": True})
    if all(size % count == 0 for size, count in zip(sizes, outputs, strict=True)):
        window = [size // count for size, count in zip(sizes, outputs, strict=True)]
        made = _pooled(step, input, "AVE" if average else "MAX", _sides(sizes, window, window, 0))
        return made if len(step.shape) == 4 else as_series(step, made)
    if not average:
        raise Unsayable(
            f"pools {sizes} adaptively to {outputs}, whose windows differ in size",
            "choose an output size that divides the input's",
        )
    pooling: Any = F.adaptive_avg_pool1d if len(outputs) == 1 else F.adaptive_avg_pool2d
    return separable(step, step.blob(input), shape, pooling)
