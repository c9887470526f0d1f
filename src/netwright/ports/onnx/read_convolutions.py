"""Convolutions and linear layers: modules where weights are constants, functions where they are computed.

Shapes: N batch, C channels, ... one to three dimensions of space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from netwright.ports.onnx.read_call import Call, Emit
from netwright.ports.onnx.read_graph import Value

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_FUNCTIONS = (F.conv1d, F.conv2d, F.conv3d)
_TRANSPOSED_FUNCTIONS = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)

# Functions of the network


def padded_to_same(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    upper: bool,
    value: float = 0.0,
) -> Tensor:
    """`x` padded so that the output's size is the input's over the stride, the odd pad last if `upper`."""
    pads: list[int] = []
    for axis in reversed(range(len(kernel))):
        size = x.shape[axis + 2]
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        needed = max((-(-size // stride[axis]) - 1) * stride[axis] + reach - size, 0)
        less, more = needed // 2, needed - needed // 2
        pads += [less, more] if upper else [more, less]
    return F.pad(x, pads, value=value)


def cropped(x: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """`x` without borders of its dimensions of space."""
    sizes = x.shape[2:]
    cuts = [slice(b, size - a) for b, a, size in zip(before, after, sizes, strict=True)]
    return x[(slice(None), slice(None), *cuts)]


def transposed_to_shape(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    sizes: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    upper: bool,
) -> Tensor:
    """A transposed convolution whose output is cut, or grown at its end, to `sizes`."""
    depth = len(sizes)
    full = [
        (x.shape[k + 2] - 1) * stride[k] + (weight.shape[k + 2] - 1) * dilation[k] + 1 for k in range(depth)
    ]
    grown = [max(size - whole, 0) for size, whole in zip(sizes, full, strict=True)]
    function = _TRANSPOSED_FUNCTIONS[depth - 1]
    made = function(x, weight, bias, tuple(stride), 0, tuple(grown), groups, tuple(dilation))
    extra = [max(whole - size, 0) for size, whole in zip(sizes, full, strict=True)]
    before = [cut // 2 if upper else cut - cut // 2 for cut in extra]
    return cropped(made, before, [cut - less for cut, less in zip(extra, before, strict=True)])


def gemm(a: Tensor, b: Tensor, c: Any, alpha: float, beta: float, flip_a: bool, flip_b: bool) -> Tensor:
    """alpha · a · b + beta · c, either matrix turned first where asked for."""
    made = torch.matmul(a.T if flip_a else a, b.T if flip_b else b)
    made = made if alpha == 1 else made * alpha
    return made if c is None else made + (c if beta == 1 else c * beta)


# How operators are drawn


def window(call: Call, depth: int) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations and pads of a window over `depth` dimensions."""
    strides = call.attr("strides") or [1] * depth
    dilations = call.attr("dilations") or [1] * depth
    pads = call.attr("pads") or [0] * (2 * depth)
    if (len(strides), len(dilations), len(pads)) != (depth, depth, 2 * depth):
        raise call.error(f"has strides, dilations or pads that are not those of {depth} dimensions")
    if min(*strides, *dilations, 1) < 1:
        raise call.error("has a stride or a dilation below 1; export the model again")
    return strides, dilations, pads


def _same(call: Call) -> bool:
    return call.attr("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER")


def padding_of(
    call: Call, x: Any, kernel: list[int], depth: int, value: float = 0.0
) -> tuple[Any, list[int]]:
    """The input, padded by a step of its own where the layer cannot do it, and what the layer pads itself."""
    strides, dilations, pads = window(call, depth)
    if _same(call):
        reach = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
        if set(strides) == {1} and not any(r % 2 for r in reach):
            return x, [r // 2 for r in reach]
        upper = call.attr("auto_pad") == "SAME_UPPER"
        return call.call(padded_to_same, x, kernel, strides, dilations, upper, value), [0] * depth
    if call.attr("auto_pad", "NOTSET") == "VALID":
        return x, [0] * depth
    before, after = pads[:depth], pads[depth:]
    if before == after and min(before) >= 0:
        return x, before
    flat = [pad for axis in reversed(range(depth)) for pad in (before[axis], after[axis])]
    return call.call(F.pad, x, tuple(flat), value=value), [0] * depth


def _weights(call: Call) -> tuple[Tensor | None, int]:
    """The weight where it is a constant, and the number of dimensions of space."""
    weight = call.constant(1)
    kernel = call.attr("kernel_shape")
    rank = weight.ndim if weight is not None else len(kernel) + 2 if kernel else call.rank(0) or call.rank(1)
    if rank is None or not 3 <= rank <= 5:
        raise call.error(
            "is a convolution of other than 1 to 3 dimensions, which PyTorch lacks; reshape around it"
        )
    if weight is not None and kernel and list(weight.shape[2:]) != kernel:
        raise call.error(f"says kernel {kernel[:5]} but its weight is {list(weight.shape)}; export it again")
    return weight, rank - 2


def _bias(call: Call) -> Tensor | None:
    return call.constant(2)


def _convolution(call: Call) -> Value:
    weight, depth = _weights(call)
    strides, dilations, _ = window(call, depth)
    groups, x = call.attr("group", 1), call.tensor(0)
    kernel = list(weight.shape[2:]) if weight is not None else call.attr("kernel_shape")
    if kernel is None and _same(call):
        raise call.error("pads automatically around a computed weight, which is not read; set kernel_shape")
    kernel = kernel or []
    bias = _bias(call)
    if weight is None or (call.has(2) and bias is None):
        x, pads = padding_of(call, x, kernel, depth)
        function = _FUNCTIONS[depth - 1]
        options = (tuple(strides), tuple(pads), tuple(dilations), groups)
        return call.call(function, x, call.tensor(1), call.tensor(2), *options)
    out, channels = weight.shape[0], weight.shape[1] * groups
    x, pads = padding_of(call, x, kernel, depth)
    kind: Any = CONVOLUTIONS[depth - 1]
    layer = kind(
        channels,
        out,
        tuple(kernel),
        tuple(strides),
        tuple(pads),
        tuple(dilations),
        groups,
        bias=bias is not None,
        device="meta",
        dtype=weight.dtype,
    )
    return _filled(call, layer, x, weight, bias, out)


def _filled(call: Call, layer: Any, x: Any, weight: Tensor, bias: Tensor | None, out: int) -> fx.Node:
    if layer.weight.shape != weight.shape or (bias is not None and bias.shape != (out,)):
        found = f"{list(weight.shape)} and {None if bias is None else list(bias.shape)}"
        raise call.error(f"has weight and bias of shapes {found}, which do not fit; export the model again")
    layer.weight = call.parameter(weight)
    if bias is not None:
        layer.bias = call.parameter(bias)
    return call.layer(layer, x, weight=1)


def _transposed(call: Call) -> Value:
    weight, depth = _weights(call)
    strides, dilations, pads = window(call, depth)
    groups, x, bias = call.attr("group", 1), call.tensor(0), _bias(call)
    extra = call.attr("output_padding") or [0] * depth
    shape = call.attr("output_shape")
    upper = call.attr("auto_pad") != "SAME_LOWER"
    if shape is not None:
        upper = call.attr("auto_pad") == "SAME_UPPER"
        return call.call(
            transposed_to_shape,
            x,
            call.tensor(1),
            call.tensor(2),
            shape[-depth:],
            strides,
            dilations,
            groups,
            not upper,
        )
    kernel = list(weight.shape[2:]) if weight is not None else call.attr("kernel_shape")
    if _same(call):
        if kernel is None:
            raise call.error(
                "pads automatically around a computed weight, which is not read; set kernel_shape"
            )
        total = [(k - 1) * d + 1 - s for k, d, s in zip(kernel, dilations, strides, strict=True)]
        less = [t // 2 for t in total]
        more = [t - half for t, half in zip(total, less, strict=True)]
        pads = [*less, *more] if upper else [*more, *less]
    before, after = pads[:depth], pads[depth:]
    even = before == after and min(before) >= 0
    inner = before if even else [0] * depth
    if weight is not None and not (call.has(2) and bias is None):
        kind: Any = _TRANSPOSED[depth - 1]
        out = weight.shape[1] * groups
        layer = kind(
            weight.shape[0],
            out,
            tuple(kernel),
            tuple(strides),
            tuple(inner),
            tuple(extra),
            groups,
            bias is not None,
            tuple(dilations),
            device="meta",
            dtype=weight.dtype,
        )
        made = _filled(call, layer, x, weight, bias, out)
    else:
        function = _TRANSPOSED_FUNCTIONS[depth - 1]
        options = (tuple(strides), tuple(inner), tuple(extra), groups, tuple(dilations))
        made = call.call(function, x, call.tensor(1), call.tensor(2), *options)
    return made if even else call.call(cropped, made, before, after)


def linear(call: Call, x: Any, weight: Tensor, bias: Tensor | None, index: int, change: str) -> fx.Node:
    """`nn.Linear` with `weight` (out, in), made of input `index` by `change`."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta", dtype=weight.dtype)
    source = call.constant(index)
    shared = source if source is not None and change else weight
    key = (id(shared), change)
    if key not in call.reading.parameters:
        call.reading.kept.append(shared)
        call.reading.parameters[key] = nn.Parameter(weight.contiguous())
    layer.weight = call.reading.parameters[key]
    if bias is not None:
        layer.bias = call.parameter(bias)
    return call.layer(layer, x, weight=index)


def _gemm(call: Call) -> Value:
    a, b, c = call.tensor(0), call.constant(1), call.constant(2)
    alpha, beta = call.attr("alpha", 1.0), call.attr("beta", 1.0)
    flip_a, flip_b = bool(call.attr("transA", 0)), bool(call.attr("transB", 0))
    plain = isinstance(a, fx.Node) and b is not None and b.ndim == 2 and b.is_floating_point() and not flip_a
    if plain and b is not None and (not call.has(2) or c is not None):
        weight = b if flip_b else b.T
        out = weight.shape[0]
        if c is None or c.numel() == 1 or (c.numel() == out and c.shape[-1] == out):
            bias = None if c is None else c.reshape(-1).expand(out).contiguous() if c.shape != (out,) else c
            weight, bias = (
                (weight * alpha if alpha != 1 else weight),
                (bias * beta if bias is not None and beta != 1 else bias),
            )
            change = "" if flip_b and alpha == 1 else f"{'' if flip_b else 'turned'} {alpha}"
            return linear(call, a, weight, bias, 1, change)
    return call.call(gemm, a, call.tensor(1), call.tensor(2), alpha, beta, flip_a, flip_b)


def _matmul(call: Call) -> Value:
    a, b = call.tensor(0), call.constant(1)
    if isinstance(a, fx.Node) and b is not None and b.ndim == 2 and b.is_floating_point():
        value: Value = linear(call, a, b.T, None, 1, "turned")
    else:
        value = call.call(torch.matmul, a, call.tensor(1))
    ranks = (call.rank(0), call.rank(1))
    if isinstance(value, fx.Node) and ranks[0] and ranks[1] and min(ranks[0], ranks[1]) >= 2:
        call.canvas.ranks[value] = max(ranks[0], ranks[1])
    return value


LINEAR: dict[str, Emit] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
