"""Average pooling whose border counts otherwise, and adaptive pooling whose windows are all alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netwright.ports.layers import GETITEM
from netwright.ports.rewrites.call import Call, Instead, Rewrite, one_number, single


class AveragePoolByCount(nn.Module):
    """`F.avg_pool2d` of (N, C, `high`, `wide`) with the settings given: zeros laid around, the mean of whole
    windows, and a factor by place, which is one where a window lies inside."""

    factor: Tensor

    def __init__(self, high: int, wide: int, dtype: torch.dtype, **settings: object) -> None:
        super().__init__()
        ones = torch.ones(1, 1, high, wide, dtype=torch.float64)
        wanted: Tensor = F.avg_pool2d(ones, **settings)  # type: ignore[arg-type]
        kernel, stride, padding = (settings[n] for n in ("kernel_size", "stride", "padding"))
        self.kernel = [one_number(kernel, axis) for axis in (0, 1)]  # type: ignore[arg-type]
        self.stride = [one_number(stride or kernel, axis) for axis in (0, 1)]  # type: ignore[arg-type]
        self.pads: list[int] = []
        for axis in (1, 0):  # F.pad begins with the last axis
            before = one_number(padding, axis)  # type: ignore[arg-type]
            spans = (wanted.shape[2 + axis] - 1) * self.stride[axis] + self.kernel[axis]
            self.pads += [before, max(0, spans - before - ones.shape[2 + axis])]
        self.register_buffer("factor", (wanted / self._means(ones)).to(dtype))

    def _means(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, self.pads), self.kernel, self.stride)

    def forward(self, x: Tensor) -> Tensor:
        return self._means(x) * self.factor


def _average(call: Call) -> Instead | None:
    """Where the border counts otherwise than as zeros that are part of the mean."""
    plain = call["count_include_pad"] or not any(call["padding"])
    if plain and not call["ceil_mode"] and call["divisor_override"] is None:
        return None
    shape = call.shape("self")
    if len(shape) != 4 or not all(isinstance(axis, int) for axis in shape[2:]):
        return None
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    dtype = call["self"].meta["val"].dtype
    module = AveragePoolByCount(shape[2], shape[3], dtype, **{name: call[name] for name in names})
    return single(module, call)


class LargestOfEqualParts(nn.Module):
    """`F.adaptive_max_pool1d` or `2d` of (N, C, …), its windows of `kernel` places side by side; a tuple of
    the largest alone, without their places."""

    def __init__(self, kernel: Sequence[int]) -> None:
        super().__init__()
        self.kernel = list(kernel)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        pool = F.max_pool1d if len(self.kernel) == 1 else F.max_pool2d
        return (pool(x, self.kernel, self.kernel),)


def _adaptive(call: Call) -> Instead | None:
    """Where the axes part evenly and nobody asks for the places."""
    sizes, shape = call["output_size"], call.shape("self")
    places = shape[len(shape) - len(sizes) :]
    if any(node.users for node in call.node.users if node.target is GETITEM and node.args[1] == 1):
        return None
    if not all(isinstance(n, int) and n % size == 0 for n, size in zip(places, sizes, strict=True)):
        return None
    return single(LargestOfEqualParts([n // size for n, size in zip(places, sizes, strict=True)]), call)


ADAPTIVE_POOLING = Rewrite(
    "adaptive-pooling-by-windows", ("adaptive_max_pool1d", "adaptive_max_pool2d"), _adaptive
)
AVERAGE_POOLING = Rewrite("average-pooling-by-count", ("avg_pool2d",), _average)
