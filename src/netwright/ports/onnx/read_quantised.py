"""Quantised operators as floating-point arithmetic on the numbers that the integers stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from netwright.ports.onnx.read_call import Call, Emit
from netwright.ports.onnx.read_convolutions import padding_of, window
from netwright.ports.onnx.read_file import DTYPES
from netwright.ports.onnx.read_graph import Value

# Functions of the network


def along(parameter: Tensor, x: Tensor, axis: int, block: int = 0) -> Tensor:
    """A scale or zero point so that it meets `x`: one number, one per place on `axis`, or one per block."""
    if block:
        return parameter.repeat_interleave(block, axis)
    if parameter.ndim == 0 or parameter.numel() == 1:
        return parameter.reshape(())
    return parameter.reshape([-1 if k == axis % x.ndim else 1 for k in range(x.ndim)])


def stepped(
    x: Tensor, scale: Tensor, zero: Tensor | None, axis: int, block: int, dtype: torch.dtype
) -> Tensor:
    """`x` in steps of `scale` from `zero`, within the range of `dtype`, as floating point."""
    factor = along(scale, x, axis, block)
    offset = 0.0 if zero is None else along(zero, x, axis, block).to(torch.float32)
    steps = x.to(torch.float32) / factor.to(torch.float32)
    if dtype.is_floating_point:
        limit = torch.finfo(dtype).max
        return (steps + offset).clamp(-limit, limit)
    limits = torch.iinfo(dtype)
    return (torch.round(steps) + offset).clamp(limits.min, limits.max)


def quantised(
    x: Tensor, scale: Tensor, zero: Tensor | None, axis: int, block: int, dtype: torch.dtype | None
) -> Tensor:
    """`x` as integers of `dtype`, or of the type of `zero`."""
    wanted = dtype or (torch.uint8 if zero is None else zero.dtype)
    return stepped(x, scale, zero, axis, block, wanted).to(wanted)


def dequantised(
    x: Tensor, scale: Tensor, zero: Tensor | None = None, axis: int = 1, block: int = 0
) -> Tensor:
    wide = x.to(torch.float32)
    if zero is not None:
        wide = wide - along(zero, x, axis, block).to(torch.float32)
    return (wide * along(scale, x, axis, block).to(torch.float32)).to(scale.dtype)


def rounded_to_steps(
    x: Tensor, scale: Tensor, zero: Tensor | None, axis: int, block: int, dtype: torch.dtype
) -> Tensor:
    """Quantised and back; the gradient passes as if nothing had been rounded."""
    steps = stepped(x, scale, zero, axis, block, dtype)
    offset = 0.0 if zero is None else along(zero, x, axis, block).to(torch.float32)
    made = ((steps - offset) * along(scale, x, axis, block)).to(x.dtype)
    return x + (made - x).detach()


def whole_matmul(a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None) -> Tensor:
    """A product of integers less their zero points; those of `a` may be one a row, those of `b` a column."""
    left = a.to(torch.float64) - (0 if a_zero is None else _rows(a_zero.to(torch.float64), a))
    right = b.to(torch.float64) - (0 if b_zero is None else b_zero.to(torch.float64))
    return torch.matmul(left, right).to(torch.int32)


def _rows(zero: Tensor, x: Tensor) -> Tensor:
    return zero.unsqueeze(-1) if zero.ndim == 1 and zero.numel() == x.shape[-2] else zero


def quantised_matmul(
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor,
    scale: Tensor,
    zero: Tensor,
) -> Tensor:
    left = (a.to(torch.float32) - a_zero.to(torch.float32)) * a_scale.to(torch.float32)
    right = (b.to(torch.float32) - b_zero.to(torch.float32)) * b_scale.to(torch.float32)
    return quantised(torch.matmul(left, right), scale, zero, 1, 0, zero.dtype)


def whole_convolution(
    x: Tensor,
    weight: Tensor,
    x_zero: Tensor | None,
    w_zero: Tensor | None,
    stride: Any,
    pads: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    """A convolution of integers less their zero points, as float64."""
    depth = len(stride)
    image = x.to(torch.float64) - (0 if x_zero is None else x_zero.to(torch.float64))
    kernel = weight.to(torch.float64)
    if w_zero is not None:
        kernel = kernel - w_zero.to(torch.float64).reshape(-1, *[1] * (weight.ndim - 1))
    function = (F.conv1d, F.conv2d, F.conv3d)[depth - 1]
    return function(image, kernel, None, tuple(stride), tuple(pads), tuple(dilation), groups)


def whole_numbers(x: Tensor) -> Tensor:
    return x.to(torch.int32)


def rescaled(
    total: Tensor, x_scale: Tensor, w_scale: Tensor, scale: Tensor, zero: Tensor, bias: Tensor | None
) -> Tensor:
    """Sums of products of integers in the steps of the output."""
    if bias is not None:
        total = total + bias.to(total.dtype).reshape(1, -1, *[1] * (total.ndim - 2))
    factor = x_scale.to(torch.float64) * w_scale.to(torch.float64).reshape(1, -1, *[1] * (total.ndim - 2))
    return quantised((total * factor).to(torch.float32), scale, zero, 1, 0, zero.dtype)


# How operators are drawn


def _quantise(call: Call) -> Value:
    zero = call.tensor(2)
    known = zero.dtype if isinstance(zero, Tensor) else None
    dtype = known or (None if call.has(2) else DTYPES.get(call.attr("output_dtype", 0), torch.uint8))
    axis, block = call.attr("axis", 1), call.attr("block_size", 0)
    return call.call(quantised, call.tensor(0), call.tensor(1), zero, axis, block, dtype)


def _dequantise(call: Call) -> Value:
    node = call.inputs[0]
    axis, block = call.attr("axis", 1), call.attr("block_size", 0)
    if isinstance(node, fx.Node) and node.op == "call_function" and node.target is quantised:
        x, scale, zero, its_axis, its_block, dtype = node.args
        mine = [call.canvas.materialised(call.tensor(index), False, call.name) for index in (1, 2)]
        if [scale, zero, its_axis, its_block] == [*mine, axis, block] and dtype is not None:
            return call.call(rounded_to_steps, x, scale, zero, axis, block, dtype)
    return call.call(dequantised, call.tensor(0), call.tensor(1), call.tensor(2), axis, block)


def _window(call: Call, index: int) -> tuple[list[int], list[int], Sequence[int]]:
    weight = call.constant(index)
    kernel = call.attr("kernel_shape") or (None if weight is None else list(weight.shape[2:]))
    depth = len(kernel) if kernel else (call.rank(0) or call.rank(index) or 2) - 2
    kernel = kernel or [1] * depth
    if not 1 <= depth <= 3:
        raise call.error("is a convolution of other than 1 to 3 dimensions, which PyTorch lacks")
    strides, dilations, pads = window(call, len(kernel))
    if call.attr("auto_pad", "NOTSET") != "NOTSET" or pads[: len(kernel)] != pads[len(kernel) :]:
        raise call.error("pads unevenly, which is not read for integers; set even pads at the export")
    _, even = padding_of(call, call.tensor(0), kernel, len(kernel))
    return strides, dilations, even


def _whole_convolution(call: Call) -> Value:
    strides, dilations, pads = _window(call, 1)
    x, weight, zeros = call.tensor(0), call.tensor(1), [call.tensor(2), call.tensor(3)]
    total = call.call(whole_convolution, x, weight, *zeros, strides, pads, dilations, call.attr("group", 1))
    return call.call(whole_numbers, total)


def _quantised_convolution(call: Call) -> Value:
    strides, dilations, pads = _window(call, 3)
    x, x_scale, x_zero, weight, w_scale, w_zero, scale, zero = (call.tensor(index) for index in range(8))
    options = (strides, pads, dilations, call.attr("group", 1))
    total = call.call(whole_convolution, x, weight, x_zero, w_zero, *options)
    return call.call(rescaled, total, x_scale, w_scale, scale, zero, call.tensor(8))


QUANTISED: dict[str, Emit] = {
    "QuantizeLinear": _quantise,
    "DequantizeLinear": _dequantise,
    "MatMulInteger": lambda call: call.call(whole_matmul, *call.tensors()),
    "QLinearMatMul": lambda call: call.call(quantised_matmul, *call.tensors()),
    "ConvInteger": _whole_convolution,
    "QLinearConv": _quantised_convolution,
}
