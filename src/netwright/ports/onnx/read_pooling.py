"""Pooling: modules of torch.nn where they have the window, otherwise windows written out.

Shapes: N batch, C channels, ... one to three dimensions of space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netwright.ports.onnx.read_call import Call, Emit
from netwright.ports.onnx.read_convolutions import padded_to_same, padding_of, window
from netwright.ports.onnx.read_graph import Value

_MAX = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_AVERAGE = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_GLOBAL_AVERAGE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)

# What a network consists of


class GlobalMax(nn.Module):
    """The largest of all places, by an operator that every technology has; adaptive pooling is lacking in
    some."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax(tuple(range(2, x.ndim)), keepdim=True)


def windows(x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Tensor:
    """(N, C, ...) as (N, C, positions ..., kernel ...), a view."""
    for axis, (size, step, gap) in enumerate(zip(kernel, stride, dilation, strict=True)):
        x = x.unfold(axis + 2, (size - 1) * gap + 1, step)[..., ::gap]
    return x


def bordered(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[int],
    ceil: bool,
    value: float,
    beyond: float | None = None,
) -> Tensor:
    """`x` with its pads of `value`, and what the last window lacks where sizes are rounded up (`beyond`)."""
    depth = len(kernel)
    flat: list[int] = []
    lacking: list[int] = []
    for axis in reversed(range(depth)):
        before, after = pads[axis], pads[axis + depth]
        size = x.shape[axis + 2] + before + after
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        steps = (size - reach) / stride[axis]
        count = math.ceil(steps) if ceil else math.floor(steps)
        if count * stride[axis] >= x.shape[axis + 2] + before:  # the last window would see only padding
            count -= 1 if ceil else 0
        flat += [before, after]
        lacking += [0, max(count * stride[axis] + reach - size, 0)]
    x = F.pad(x, flat, value=value)
    return F.pad(x, lacking, value=value if beyond is None else beyond)


def max_pooled(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[int],
    ceil: bool,
    column_major: bool,
) -> tuple[Tensor, Tensor]:
    """The largest of each window, and its place in the whole input."""
    depth, spaces = len(kernel), x.shape[2:]
    low = -math.inf if x.is_floating_point() else torch.iinfo(x.dtype).min
    wide = x if x.is_floating_point() else x.to(torch.float64)
    order = torch.arange(math.prod(spaces), dtype=torch.float64)
    places = (
        order.reshape(tuple(reversed(spaces))).permute(*reversed(range(depth))) if column_major else order
    )
    places = places.reshape((1, 1, *spaces))
    seen = windows(
        bordered(wide, kernel, stride, dilation, pads, ceil, low), kernel, stride, dilation
    ).flatten(2 + depth)
    where = windows(bordered(places, kernel, stride, dilation, pads, ceil, -1), kernel, stride, dilation)
    largest, at = seen.max(-1)
    place = torch.gather(where.flatten(2 + depth).expand(seen.shape), -1, at[..., None])[..., 0].to(
        torch.int64
    )
    planes = torch.arange(x.shape[0] * x.shape[1]).reshape(x.shape[0], x.shape[1], *[1] * depth)
    return largest.to(x.dtype), place + planes * math.prod(spaces)


def power_pooled(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[int],
    ceil: bool,
    p: int,
) -> Tensor:
    """The p-norm of each window."""
    depth = len(kernel)
    whole = bordered(x.abs() ** p, kernel, stride, dilation, pads, ceil, 0.0)
    return windows(whole, kernel, stride, dilation).sum(tuple(range(2 + depth, 2 + 2 * depth))) ** (1 / p)


def average_pooled(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[int],
    ceil: bool,
    count_pads: bool,
) -> Tensor:
    """The mean of each window; of what lies in the input, or in the input and its pads."""
    depth = len(kernel)
    last = tuple(range(2 + depth, 2 + 2 * depth))
    total = windows(bordered(x, kernel, stride, dilation, pads, ceil, 0.0), kernel, stride, dilation).sum(
        last
    )
    ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
    border = bordered(ones, kernel, stride, dilation, pads, ceil, 1.0 if count_pads else 0.0, 0.0)
    return total / windows(border, kernel, stride, dilation).sum(last)


def same_pads(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], upper: bool, p: int
) -> Tensor:
    """An average (p = 0) or p-norm whose pads follow from the size of the input."""
    ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
    last = tuple(range(2 + len(kernel), 2 + 2 * len(kernel)))
    powers = x if p == 0 else x.abs() ** p
    total = windows(padded_to_same(powers, kernel, stride, dilation, upper), kernel, stride, dilation).sum(
        last
    )
    if p:
        return total ** (1 / p)
    return total / windows(
        padded_to_same(ones, kernel, stride, dilation, upper), kernel, stride, dilation
    ).sum(last)


def global_norm(x: Tensor, p: int) -> Tensor:
    axes = tuple(range(2, x.ndim))
    return (x.abs() ** p).sum(axes, keepdim=True) ** (1 / p)


def global_mean(x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


def unpooled(
    x: Tensor, places: Tensor, shape: Any, kernel: Sequence[int], stride: Sequence[int], pads: Sequence[int]
) -> Tensor:
    """Zeros with the values of `x` at their `places`, counted over the natural shape of the output."""
    depth = len(kernel)
    natural = [(x.shape[k + 2] - 1) * stride[k] + kernel[k] - pads[k] - pads[k + depth] for k in range(depth)]
    sizes = [*x.shape[:2], *natural]
    made = torch.zeros(math.prod(sizes), dtype=x.dtype, device=x.device)
    made = made.scatter(0, places.reshape(-1), x.reshape(-1)).reshape(sizes)
    if shape is None:
        return made
    wanted = [int(size) for size in (shape.tolist() if isinstance(shape, Tensor) else shape)]
    return F.pad(
        made, [pad for axis in reversed(range(len(wanted))) for pad in (0, wanted[axis] - sizes[axis])]
    )


# How operators are drawn


def _kernel(call: Call) -> list[int]:
    kernel = call.attr("kernel_shape") or []
    if not 1 <= len(kernel) <= 3 or min(kernel) < 1:
        raise call.error("pools over other than 1 to 3 dimensions, which PyTorch lacks; reshape around it")
    return kernel


def _fits(kernel: Sequence[int], pads: Sequence[int], dilations: Sequence[int]) -> bool:
    """Whether torch takes these pads: the same on both sides, and at most half a window."""
    depth = len(kernel)
    even = list(pads[:depth]) == list(pads[depth:])
    return even and all(0 <= pad <= size // 2 for pad, size in zip(pads, kernel, strict=False))


def _max_pool(call: Call) -> Value:
    kernel = _kernel(call)
    depth = len(kernel)
    strides, dilations, pads = window(call, depth)
    ceil, x = bool(call.attr("ceil_mode", 0)), call.tensor(0)
    if len(call.node.output) > 1 and call.wanted[1]:
        column_major = bool(call.attr("storage_order", 0))
        if call.attr("auto_pad", "NOTSET").startswith("SAME"):
            raise call.error("gives indices with automatic pads, which is not read; set pads at the export")
        made = call.call(max_pooled, x, kernel, strides, dilations, pads, ceil, column_major)
        return tuple(call.parts(made, 2))
    if call.attr("auto_pad", "NOTSET") == "NOTSET" and not _fits(kernel, pads, dilations):
        made = call.call(max_pooled, x, kernel, strides, dilations, pads, ceil, False)
        return call.parts(made, 1)[0]
    x, inner = padding_of(call, x, kernel, depth, -math.inf)
    if any(pad > size // 2 for pad, size in zip(inner, kernel, strict=True)):
        x, inner = (
            call.call(F.pad, x, tuple(p for pad in reversed(inner) for p in (pad, pad)), value=-math.inf),
            [0] * depth,
        )
    kind: Any = _MAX[depth - 1]
    return call.layer(kind(tuple(kernel), tuple(strides), tuple(inner), tuple(dilations), ceil_mode=ceil), x)


def _average_pool(call: Call) -> Value:
    kernel = _kernel(call)
    depth = len(kernel)
    strides, dilations, pads = window(call, depth)
    ceil, count, x = bool(call.attr("ceil_mode", 0)), bool(call.attr("count_include_pad", 0)), call.tensor(0)
    automatic = call.attr("auto_pad", "NOTSET")
    if automatic.startswith("SAME"):
        return call.call(same_pads, x, kernel, strides, dilations, automatic == "SAME_UPPER", 0)
    if automatic == "VALID":
        pads = [0] * (2 * depth)
    if set(dilations) == {1} and _fits(kernel, pads, dilations):
        kind: Any = _AVERAGE[depth - 1]
        return call.layer(kind(tuple(kernel), tuple(strides), tuple(pads[:depth]), ceil, count), x)
    return call.call(average_pooled, x, kernel, strides, dilations, pads, ceil, count)


def _power_pool(call: Call) -> Value:
    kernel = _kernel(call)
    strides, dilations, pads = window(call, len(kernel))
    p, automatic = call.attr("p", 2), call.attr("auto_pad", "NOTSET")
    if automatic.startswith("SAME"):
        return call.call(same_pads, call.tensor(0), kernel, strides, dilations, automatic == "SAME_UPPER", p)
    ceil = bool(call.attr("ceil_mode", 0))
    return call.call(power_pooled, call.tensor(0), kernel, strides, dilations, pads, ceil, p)


def _global_average(call: Call) -> Value:
    rank = call.rank()
    if rank is not None and 3 <= rank <= 5:
        return call.layer(_GLOBAL_AVERAGE[rank - 3](1), call.tensor(0))
    return call.call(global_mean, call.tensor(0))


def _unpool(call: Call) -> Value:
    kernel = _kernel(call)
    strides, _, pads = window(call, len(kernel))
    return call.call(unpooled, call.tensor(0), call.tensor(1), call.ints(2), kernel, strides, pads)


POOLING: dict[str, Emit] = {
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "LpPool": _power_pool,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": lambda call: call.layer(GlobalMax(), call.tensor(0)),
    "GlobalLpPool": lambda call: call.call(global_norm, call.tensor(0), call.attr("p", 2)),
    "MaxUnpool": _unpool,
}
