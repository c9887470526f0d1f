"""Resizing: `F.interpolate` where it means the same, otherwise axis by axis from ONNX's definition.

Along one axis an output is a weighted sum of a few inputs; where they lie is the coordinate mode's, what they
weigh the mode's (nearest, linear, cubic).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from netwright.ports.onnx.read_call import Call, Emit
from netwright.ports.onnx.read_graph import Value, ints_of

# Functions of the network


def resized(
    x: Tensor,
    scales: Any,
    sizes: Any,
    region: Any,
    axes: Sequence[int] | None,
    mode: str,
    coordinates: str,
    rounding: str,
    cubic: float,
    exclude_outside: bool,
    antialias: bool,
    extrapolation: float,
    policy: str,
) -> Tensor:
    """`x` resized by `scales` or to `sizes` on `axes` (all where None)."""
    wanted = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in axes]
    factors, lengths = _factors(x, scales, sizes, wanted, policy)
    corners = None if region is None else [float(corner) for corner in _numbers(region)]
    dtype = x.dtype
    made = x if x.is_floating_point() else x.to(torch.float32)
    outside: Tensor | None = None
    for at, axis in enumerate(wanted):
        size, length, factor = x.shape[axis], lengths[at], factors[at]
        cropped = coordinates == "tf_crop_and_resize"
        if length == size and factor == 1.0 and not cropped:
            continue
        ends = (corners[at], corners[at + len(wanted)]) if corners is not None and cropped else (0.0, 1.0)
        where = _positions(size, length, factor, coordinates, ends)
        nearest = rounding
        if rounding == "simple":  # before opset 11: up where the image shrinks
            nearest = "ceil" if factor < 1 else "floor"
        places, weights = _taps(where, size, factor, mode, nearest, cubic, exclude_outside, antialias)
        made = _weighted(made, places.to(x.device), weights.to(made.dtype).to(x.device), axis)
        if cropped:
            beyond = ((where < 0) | (where > size - 1)).reshape(
                [-1 if k == axis else 1 for k in range(x.ndim)]
            )
            outside = beyond if outside is None else outside | beyond
    if outside is not None:
        made = torch.where(
            outside.to(x.device), torch.full_like(made[:1, :1].flatten()[:1], extrapolation), made
        )
    return (
        made
        if dtype == made.dtype
        else made.round().to(dtype)
        if not dtype.is_floating_point
        else made.to(dtype)
    )


def _numbers(values: Any) -> list[float]:
    return list(values.tolist() if isinstance(values, Tensor) else values)


def _factors(
    x: Tensor, scales: Any, sizes: Any, axes: Sequence[int], policy: str
) -> tuple[list[float], list[int]]:
    """For each axis the factor and the length that follows."""
    if sizes is None:
        factors = [float(scale) for scale in _numbers(scales)]
        return factors, [
            math.floor(x.shape[axis] * factor) for axis, factor in zip(axes, factors, strict=True)
        ]
    lengths = ints_of(sizes)
    factors = [length / x.shape[axis] for axis, length in zip(axes, lengths, strict=True)]
    if policy == "stretch":
        return factors, lengths
    factor = min(factors) if policy == "not_larger" else max(factors)
    return [factor] * len(axes), [math.floor(x.shape[axis] * factor + 0.5) for axis in axes]


def _positions(size: int, length: int, factor: float, mode: str, ends: tuple[float, float]) -> Tensor:
    """Where each of `length` outputs lies among `size` inputs."""
    at = torch.arange(length, dtype=torch.float64)
    if mode == "align_corners":
        return at * (size - 1) / (length - 1) if length > 1 else at
    if mode == "asymmetric":
        return at / factor
    if mode == "tf_crop_and_resize":
        start, end = ends
        if length > 1:
            return start * (size - 1) + at * (end - start) * (size - 1) / (length - 1)
        return at + 0.5 * (start + end) * (size - 1)
    if mode == "pytorch_half_pixel" and length == 1:
        return torch.zeros(1, dtype=torch.float64)
    if mode == "half_pixel_symmetric":
        adjustment = length / (factor * size)
        center = size / 2
        return center * (1 - adjustment) + (at + 0.5) / factor - 0.5
    return (at + 0.5) / factor - 0.5


def _taps(
    where: Tensor,
    size: int,
    factor: float,
    mode: str,
    rounding: str,
    cubic: float,
    exclude_outside: bool,
    antialias: bool,
) -> tuple[Tensor, Tensor]:
    """Which inputs (outputs, taps) each output is made of, and what they weigh."""
    if mode == "nearest":
        return _nearest(where, rounding).clamp(0, size - 1)[:, None], torch.ones(
            len(where), 1, dtype=torch.float64
        )
    stretch = max(1.0, 1 / factor) if antialias else 1.0
    half = math.ceil((1 if mode == "linear" else 2) * stretch)
    base = torch.floor(where)
    places = base[:, None] + torch.arange(1 - half, half + 1, dtype=torch.float64)  # (outputs, taps)
    distance = (places - where[:, None]).abs() / stretch
    weights = (1 - distance).clamp(min=0) if mode == "linear" else _cubic(distance, cubic)
    if exclude_outside or antialias:
        inside = (places >= 0) & (places <= size - 1)
        if exclude_outside or mode == "linear" or antialias:
            weights = weights * inside if exclude_outside else weights
        weights = weights / weights.sum(1, keepdim=True)
    return places.clamp(0, size - 1).to(torch.int64), weights


def _nearest(where: Tensor, rounding: str) -> Tensor:
    if rounding == "floor":
        return torch.floor(where).to(torch.int64)
    if rounding == "ceil":
        return torch.ceil(where).to(torch.int64)
    if rounding == "round_prefer_ceil":
        return torch.floor(where + 0.5).to(torch.int64)
    return torch.ceil(where - 0.5).to(torch.int64)  # round_prefer_floor


def _cubic(distance: Tensor, a: float) -> Tensor:
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))


def _weighted(x: Tensor, places: Tensor, weights: Tensor, axis: int) -> Tensor:
    made: Tensor | None = None
    for tap in range(places.shape[1]):
        weight = weights[:, tap].reshape([-1 if k == axis else 1 for k in range(x.ndim)])
        part = torch.index_select(x, axis, places[:, tap]) * weight
        made = part if made is None else made + part
    return x if made is None else made


# How operators are drawn


def _as_interpolation(
    call: Call, scales: Any, sizes: Any, mode: str, coordinates: str, rounding: str
) -> Value | None:
    """A call of `F.interpolate` where it means the same as the node."""
    rank = call.rank()
    given = sizes if sizes is not None else scales
    if not isinstance(given, list) or len(given) not in (3, 4, 5) or rank != len(given):
        return None
    depth = len(given) - 2
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[depth]
    one = isinstance(sizes, list) and 1 in sizes[2:]
    half = coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and not one)
    options: dict[str, Any]
    if mode == "nearest" and coordinates == "asymmetric" and rounding in ("floor", "simple"):
        options = {"mode": "nearest"}
    elif mode == "linear" and (half or coordinates == "align_corners"):
        options = {"mode": linear, "align_corners": not half}
    elif mode == "cubic" and depth == 2 and half and call.attr("cubic_coeff_a", -0.75) == -0.75:
        options = {"mode": "bicubic", "align_corners": False}
    else:
        return None
    if sizes is not None:
        return call.call(F.interpolate, call.tensor(0), size=tuple(sizes[2:]), **options)
    if any(scale != 1 for scale in scales[:2]) or any(scale < 1 or scale % 1 for scale in scales[2:]):
        return None  # fractions of a pixel: the definition itself decides
    return call.call(F.interpolate, call.tensor(0), scale_factor=tuple(scales[2:]), **options)


def _floats(call: Call, index: int) -> Any:
    """The input as numbers; None where there is none or it is empty."""
    value = call.constant(index)
    if value is None:
        return call.tensor(index) if call.has(index) else None
    return [float(number) for number in value.flatten().tolist()] or None


def _resize(call: Call) -> Value:
    old = call.opset < 11
    scales = _floats(call, 1 if old else 2)
    sizes = call.ints(3) or None if call.has(3) else None
    region = None if old else _floats(call, 1)
    mode = call.attr("mode", "nearest")
    coordinates = "asymmetric" if old else call.attr("coordinate_transformation_mode", "half_pixel")
    rounding = "simple" if old else call.attr("nearest_mode", "round_prefer_floor")
    axes, policy = call.attr("axes"), call.attr("keep_aspect_ratio_policy", "stretch")
    exclude, antialias = bool(call.attr("exclude_outside", 0)), bool(call.attr("antialias", 0))
    if scales is None and sizes is None:
        raise call.error("has neither scales nor sizes; export the model again")
    if axes is None and not exclude and not antialias and policy == "stretch":
        value = _as_interpolation(call, scales, sizes, mode, coordinates, rounding)
        if value is not None:
            return value
    return call.call(
        resized,
        call.tensor(0),
        scales,
        sizes,
        region,
        axes,
        mode,
        coordinates,
        rounding,
        call.attr("cubic_coeff_a", -0.75),
        exclude,
        antialias,
        call.attr("extrapolation_value", 0.0),
        policy,
    )


def _upsample(call: Call) -> Value:
    scales = call.attr("scales") if call.opset < 9 else _floats(call, 1)
    mode = "nearest" if call.attr("mode", "nearest") == "nearest" else "linear"
    if scales is None:
        raise call.error("has no scales; export the model again")
    value = _as_interpolation(call, scales, None, mode, "asymmetric", "floor")
    if value is not None:
        return value
    plain = (mode, "asymmetric", "floor", -0.75, False, False, 0.0, "stretch")
    return call.call(resized, call.tensor(0), scales, None, None, None, *plain)


RESIZING: dict[str, Emit] = {"Resize": _resize, "Upsample": _upsample}
