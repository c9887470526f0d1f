"""Convolutions and inner products. N inputs, C channels, L steps, H × W pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import fx

from netwright.ports.caffe.steps import Array, Shape, Step, Unsayable, cut, fixed, reshaped, shape_of, writes


def pair(values: Any, default: int = 1) -> list[int]:
    """A setting of one or two axes for two: an image of height 1 has nothing done to its height."""
    given = [int(v) for v in values] if isinstance(values, list | tuple) else [int(values)]
    return given * 2 if len(given) == 1 else given


def batched(node: fx.Node, rank: int) -> Shape:
    shape = shape_of(node)
    if len(shape) != rank:
        raise Unsayable("takes an input without a batch axis", "add the batch as the first axis")
    return shape


def as_image(step: Step, blob: str, shape: Shape) -> tuple[str, Shape]:
    """(N, C, L) as an image of height 1."""
    if len(shape) == 4:
        return blob, shape
    image: Shape = (shape[0], shape[1], 1, shape[2])
    return reshaped(step, blob, shape, image), image


def as_series(step: Step, blob: str) -> str:
    """An image of height 1 as the (N, C, L) that the operator gives."""
    batch, channels, length = step.shape
    return reshaped(step, blob, (batch, channels, 1, length), step.shape)


def window(kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int]) -> dict[str, Any]:
    """A window's settings, for each side where the sides differ."""
    said: dict[str, Any] = {}
    for name, short, values in (
        ("kernel_size", "kernel", kernel),
        ("stride", "stride", stride),
        ("pad", "pad", pad),
    ):
        if len(set(values)) == 1:
            if name == "kernel_size" or values[0] != (1 if name == "stride" else 0):
                said[name] = values[0]
        else:
            said[f"{short}_h"], said[f"{short}_w"] = values
    return said


def zero_padded(step: Step, blob: str, shape: Shape, before: Sequence[int], behind: Sequence[int]) -> str:
    """Zeros around an image: a depthwise 1 × 1 convolution pads both sides alike, a Slice takes off what is
    too much."""
    pad = [max(a, b) for a, b in zip(before, behind, strict=True)]
    channels, high, wide = fixed(shape[1:])
    settings = {"num_output": channels, "group": channels, "bias_term": False, **window([1, 1], [1, 1], pad)}
    ones = np.ones((channels, 1, 1, 1))
    padded = step("Convolution", blob, part="pad", weights=[ones], convolution_param=settings)
    for axis, size in ((2, high), (3, wide)):
        start = pad[axis - 2] - before[axis - 2]
        stop = start + before[axis - 2] + size + behind[axis - 2]
        padded = cut(step, padded, axis, start, stop, size + 2 * pad[axis - 2])
    return padded


@writes("conv1d", "conv2d", "conv3d")
def convolution(
    step: Step,
    input: fx.Node,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    **_: Any,
) -> str:
    kernel = step.array(weight)  # (outputs, C / groups, ...)
    axes = kernel.ndim - 2
    shape, blob = batched(input, axes + 2), step.blob(input)
    weights = [kernel] if bias is None else [kernel, step.array(bias)]
    settings: dict[str, Any] = {"num_output": len(kernel), "bias_term": bias is not None}
    settings["group"] = groups if groups > 1 else None
    if axes == 3:
        return _volume(step, blob, weights, settings, (stride, padding, dilation))
    if axes == 1:
        weights[0] = kernel = kernel[:, :, None]
    blob, image = as_image(step, blob, shape)
    strides, dilations = pair(stride), pair(dilation)
    if axes == 1:
        strides[0] = dilations[0] = 1
    if isinstance(padding, str):
        total = [
            d * (k - 1) if padding == "same" else 0 for d, k in zip(dilations, kernel.shape[2:], strict=True)
        ]
        pads = [t // 2 for t in total]
        if any(t % 2 for t in total):
            blob = zero_padded(step, blob, image, pads, [t - p for t, p in zip(total, pads, strict=True)])
            pads = [0, 0]
    else:
        pads = pair(padding, 0)
        if axes == 1:
            pads[0] = 0
    if dilations != [1, 1]:
        settings["dilation"] = dilations
    settings |= window(list(kernel.shape[2:]), strides, pads)
    made = step("Convolution", blob, part="conv", weights=weights, convolution_param=settings)
    return made if axes == 2 else as_series(step, made)


def _volume(
    step: Step,
    blob: str,
    weights: Sequence[Any],
    settings: dict[str, Any],
    window: tuple[Any, Any, Any],
) -> str:
    """A convolution over three axes, which Caffe's settings name by repeating."""
    stride, padding, dilation = ([value] * 3 if isinstance(value, int) else list(value) for value in window)
    if any(isinstance(pad, str) for pad in padding) or isinstance(window[1], str):
        raise Unsayable("pads a volume by 'same'", "give the padding in numbers")
    settings |= {"kernel_size": list(weights[0].shape[2:]), "stride": stride, "pad": padding}
    settings["dilation"] = None if set(dilation) == {1} else dilation
    return step("Convolution", blob, part="conv", weights=weights, convolution_param=settings)


@writes("conv_transpose1d", "conv_transpose2d")
def deconvolution(
    step: Step,
    input: fx.Node,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    **_: Any,
) -> str:
    """PyTorch's output padding adds rows behind: less is padded away on both sides, and cut off in front.
    A dilated kernel is written with its zeros, as OpenCV's importer does not dilate deconvolutions."""
    kernel = step.array(weight)  # (C, outputs / groups, ...), as Caffe has it
    axes = kernel.ndim - 2
    shape, blob = batched(input, axes + 2), step.blob(input)
    weights = [kernel] if bias is None else [kernel, step.array(bias)]
    strides, pads, more, dilations = pair(stride), pair(padding, 0), pair(output_padding, 0), pair(dilation)
    if axes == 1:
        weights[0] = kernel = kernel[:, :, None]
        strides[0] = dilations[0] = 1
        pads[0] = more[0] = 0
    if any(m > p for m, p in zip(more, pads, strict=True)):
        raise Unsayable("pads its output more than its input", "choose output_padding not above padding")
    if dilations != [1, 1]:
        sides = [(size - 1) * d + 1 for size, d in zip(kernel.shape[2:], dilations, strict=True)]
        holed: Array = np.zeros((*kernel.shape[:2], *sides), np.float32)
        holed[:, :, :: dilations[0], :: dilations[1]] = kernel
        weights[0] = kernel = holed
    blob = as_image(step, blob, shape)[0]
    settings: dict[str, Any] = {"num_output": kernel.shape[1] * groups, "bias_term": bias is not None}
    settings |= window(list(kernel.shape[2:]), strides, [p - m for p, m in zip(pads, more, strict=True)])
    settings["group"] = groups if groups > 1 else None
    made = step("Deconvolution", blob, part="deconv", weights=weights, convolution_param=settings)
    out = step.shape[2:] if axes == 2 else (1, step.shape[2])
    for axis, size in enumerate(fixed(out)):
        made = cut(step, made, axis + 2, more[axis], more[axis] + size, size + more[axis])
    return made if axes == 2 else as_series(step, made)


@writes("linear")
def inner_product(step: Step, input: fx.Node, weight: Any, bias: Any = None) -> str:
    kernel = step.array(weight)  # (outputs, inputs)
    shape = shape_of(input)
    if len(shape) < 2:
        raise Unsayable("takes an input without a batch axis", "add the batch as the first axis")
    weights = [kernel] if bias is None else [kernel, step.array(bias)]
    settings: dict[str, Any] = {"num_output": len(kernel), "bias_term": bias is not None}
    if len(shape) > 2:
        settings["axis"] = len(shape) - 1
    return step("InnerProduct", step.blob(input), part="ip", weights=weights, inner_product_param=settings)


@writes("addmm")
def added_product(step: Step, input: Any, mat1: fx.Node, mat2: Any, beta: float = 1, alpha: float = 1) -> str:
    bias = step.array(input).reshape(-1) * beta
    return inner_product(
        step, mat1, step.array(mat2).T * alpha, np.broadcast_to(bias, step.array(mat2).shape[1:])
    )
