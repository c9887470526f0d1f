"""Caffe's layers for which PyTorch has no module that means the same.

Each says what it computes in Caffe's terms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Eltwise(nn.Module):
    """Sum with a coefficient each, product or maximum of blobs of one shape."""

    def __init__(self, operation: str = "SUM", coefficients: Sequence[float] = ()) -> None:
        super().__init__()
        self.operation, self.coefficients = operation, tuple(coefficients)

    def forward(self, *blobs: Tensor) -> Tensor:
        if any(blob.shape != blobs[0].shape for blob in blobs):
            raise ValueError(
                f"takes blobs of one shape, not {' and '.join(str(list(b.shape)) for b in blobs)}"
            )
        weighted = self.operation == "SUM" and self.coefficients
        total = blobs[0] * self.coefficients[0] if weighted else blobs[0]
        for index, blob in enumerate(blobs[1:], 1):
            if self.operation == "PROD":
                total = total * blob
            elif self.operation == "MAX":
                total = torch.maximum(total, blob)
            else:
                total = total + (blob * self.coefficients[index] if weighted else blob)
        return total

    def extra_repr(self) -> str:
        return f"{self.operation}, {self.coefficients}"


class Concat(nn.Module):
    """Blobs one behind the other along `axis`."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *blobs: Tensor) -> Tensor:
        return torch.cat(blobs, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class Slice(nn.Module):
    """A blob cut along `axis` at `points`, or into `count` equal pieces."""

    def __init__(self, axis: int, points: Sequence[int], count: int) -> None:
        super().__init__()
        self.axis, self.points, self.count = axis, tuple(points), count

    def forward(self, blob: Tensor) -> tuple[Tensor, ...]:
        if self.points:
            return blob.tensor_split(self.points, self.axis)
        return blob.split(blob.shape[self.axis] // self.count, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}, points={self.points}, count={self.count}"


class Reshape(nn.Module):
    """`num_axes` axes from `axis` on become `sizes`; 0 keeps the size that is there, -1 takes the rest."""

    def __init__(self, sizes: Sequence[int], axis: int = 0, num_axes: int = -1) -> None:
        super().__init__()
        self.sizes, self.axis, self.num_axes = tuple(sizes), axis, num_axes

    def forward(self, blob: Tensor) -> Tensor:
        start = self.axis if self.axis >= 0 else blob.ndim + self.axis + 1
        end = blob.ndim if self.num_axes < 0 else start + self.num_axes
        middle = [blob.shape[start + i] if size == 0 else size for i, size in enumerate(self.sizes)]
        return blob.reshape([*blob.shape[:start], *middle, *blob.shape[end:]])

    def extra_repr(self) -> str:
        return f"{self.sizes}, axis={self.axis}, num_axes={self.num_axes}"


class Permute(nn.Module):
    """The axes in another order; those not named follow as they are."""

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        self.order = tuple(order)

    def forward(self, blob: Tensor) -> Tensor:
        return blob.permute(*self.order, *(axis for axis in range(blob.ndim) if axis not in self.order))

    def extra_repr(self) -> str:
        return f"{self.order}"


class Crop(nn.Module):
    """The first blob cut to the second one's sizes from `axis` on, starting at `offsets`."""

    def __init__(self, axis: int = 2, offsets: Sequence[int] = ()) -> None:
        super().__init__()
        self.axis, self.offsets = axis, list(offsets) or [0]

    def forward(self, blob: Tensor, reference: Tensor) -> Tensor:
        start = self.axis % blob.ndim
        for axis in range(start, blob.ndim):
            offset = self.offsets[axis - start] if len(self.offsets) > 1 else self.offsets[0]
            blob = blob.narrow(axis, offset, reference.shape[axis])
        return blob

    def extra_repr(self) -> str:
        return f"axis={self.axis}, offsets={self.offsets}"


class Split(nn.Module):
    """One blob under several names."""

    def forward(self, blob: Tensor) -> Tensor:
        return blob


class Tile(nn.Module):
    """A blob repeated `tiles` times along `axis`."""

    def __init__(self, axis: int, tiles: int) -> None:
        super().__init__()
        self.axis, self.tiles = axis, tiles

    def forward(self, blob: Tensor) -> Tensor:
        repeats = [1] * blob.ndim
        repeats[self.axis] = self.tiles
        return blob.repeat(repeats)


def aligned(factor: Tensor, blob: Tensor, axis: int) -> Tensor:
    """`factor` with axes of size one behind it, so that its first axis falls on `axis` of the blob."""
    start = axis % blob.ndim if factor.ndim else blob.ndim
    return factor.reshape([*factor.shape, *[1] * (blob.ndim - start - factor.ndim)])


class Scale(nn.Module):
    """y = x · weight + bias, the weight laid along the axes from `axis` on."""

    def __init__(self, shape: Sequence[int], axis: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.axis = axis
        self.weight = nn.Parameter(torch.empty(list(shape)))
        self.bias = nn.Parameter(torch.empty(list(shape))) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, blob: Tensor) -> Tensor:
        scaled = blob * aligned(self.weight, blob, self.axis)
        return scaled if self.bias is None else scaled + aligned(self.bias, blob, self.axis)

    def extra_repr(self) -> str:
        return f"{list(self.weight.shape)}, axis={self.axis}, bias={self.bias is not None}"


class ScaleBy(nn.Module):
    """y = x · factor (+ bias), the factor being a second blob."""

    def __init__(self, axis: int = 1, bias_shape: Sequence[int] | None = None) -> None:
        super().__init__()
        self.axis = axis
        self.bias = None if bias_shape is None else nn.Parameter(torch.empty(list(bias_shape)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, blob: Tensor, factor: Tensor) -> Tensor:
        scaled = blob * aligned(factor, blob, self.axis)
        return scaled if self.bias is None else scaled + aligned(self.bias, blob, self.axis)


class Bias(nn.Module):
    """y = x + bias, the bias laid along the axes from `axis` on."""

    def __init__(self, shape: Sequence[int], axis: int = 1) -> None:
        super().__init__()
        self.axis = axis
        self.bias = nn.Parameter(torch.empty(list(shape)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.bias)

    def forward(self, blob: Tensor) -> Tensor:
        return blob + aligned(self.bias, blob, self.axis)


class BiasBy(nn.Module):
    """y = x + a second blob, laid along the axes from `axis` on."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, blob: Tensor, bias: Tensor) -> Tensor:
        return blob + aligned(bias, blob, self.axis)


class Power(nn.Module):
    """y = (shift + scale · x) ^ power."""

    def __init__(self, power: float = 1.0, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.power, self.scale, self.shift = power, scale, shift

    def forward(self, blob: Tensor) -> Tensor:
        straight = blob * self.scale + self.shift
        return straight if self.power == 1 else straight.pow(self.power)

    def extra_repr(self) -> str:
        return f"power={self.power}, scale={self.scale}, shift={self.shift}"


class Exp(nn.Module):
    """y = base ^ (shift + scale · x); base -1 stands for e."""

    def __init__(self, base: float = -1.0, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        logarithm = 1.0 if base == -1 else math.log(base)
        self.scale, self.shift = scale * logarithm, shift * logarithm

    def forward(self, blob: Tensor) -> Tensor:
        return torch.exp(blob * self.scale + self.shift)


class Log(nn.Module):
    """y = log_base(shift + scale · x); base -1 stands for e."""

    def __init__(self, base: float = -1.0, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.factor = 1.0 if base == -1 else 1 / math.log(base)
        self.scale, self.shift = scale, shift

    def forward(self, blob: Tensor) -> Tensor:
        return torch.log(blob * self.scale + self.shift) * self.factor


class AbsVal(nn.Module):
    """y = |x|."""

    def forward(self, blob: Tensor) -> Tensor:
        return blob.abs()


class Swish(nn.Module):
    """y = x · sigmoid(beta · x)."""

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, blob: Tensor) -> Tensor:
        return blob * torch.sigmoid(self.beta * blob)


class Threshold(nn.Module):
    """1 where x lies above the threshold, else 0."""

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, blob: Tensor) -> Tensor:
        return (blob > self.threshold).to(blob.dtype)


class WidePadPool2d(nn.Module):
    """Pooling whose padding is more than half its kernel, which PyTorch's pooling refuses.

    The padding is written out; windows that would start in the padding behind the image are dropped.
    """

    def __init__(
        self, average: bool, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], ceil: bool
    ) -> None:
        super().__init__()
        self.average, self.ceil = average, ceil
        self.kernel, self.stride, self.pad = list(kernel), list(stride), list(pad)

    def forward(self, blob: Tensor) -> Tensor:
        high, wide = self.pad
        padded = F.pad(blob, (wide, wide, high, high), value=0.0 if self.average else -math.inf)
        pool = F.avg_pool2d if self.average else F.max_pool2d
        pooled = pool(padded, self.kernel, self.stride, ceil_mode=self.ceil)
        for axis, size in enumerate(blob.shape[2:]):
            starts_inside = -(-(size + self.pad[axis]) // self.stride[axis])
            pooled = pooled.narrow(axis + 2, 0, min(pooled.shape[axis + 2], starts_inside))
        return pooled
