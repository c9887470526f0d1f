"""Larger and smaller images: repeated pixels as a deconvolution, every other way as a map of each axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from netwright.ports.caffe.steps import Step, fixed, separable, shape_of, writes


@writes("upsample_nearest1d", "upsample_nearest2d", "upsample_linear1d", "upsample_bilinear2d")
@writes("upsample_bicubic2d", "_upsample_nearest_exact2d", "_upsample_bilinear2d_aa")
def resize(
    step: Step,
    input: fx.Node,
    output_size: Any = None,
    scale_factors: Any = None,
    align_corners: bool | None = None,
    **named: Any,
) -> str:
    """Caffe's own Interp and Upsample are in few builds, and each rounds in its own way."""
    shape, outputs = shape_of(input), fixed(step.shape[2:])
    sizes = fixed(shape[2:])
    factors = [count // size for size, count in zip(sizes, outputs, strict=True)]
    repeats = "nearest" in step.operator and [s * f for s, f in zip(sizes, factors, strict=True)] == outputs
    if repeats and len(sizes) == 2:
        channels = fixed(shape[1:2])[0]
        settings = {"num_output": channels, "group": channels, "bias_term": False}
        settings |= {
            "kernel_h": factors[0],
            "kernel_w": factors[1],
            "stride_h": factors[0],
            "stride_w": factors[1],
        }
        ones = np.ones((channels, 1, *factors))
        return step(
            "Deconvolution", step.blob(input), part="repeat", weights=[ones], convolution_param=settings
        )
    overload = getattr(torch.ops.aten, step.operator).vec

    def operation(image: Tensor, wanted: list[int]) -> Tensor:
        corners = [] if align_corners is None else [align_corners]
        if scale_factors is None or max(wanted) == 1:
            return overload(image, wanted, *corners, None)
        # Given a factor, PyTorch steps by it and not by the ratio of the sizes.
        scales = [float(f) if count > 1 else 1.0 for f, count in zip(scale_factors, wanted, strict=True)]
        return overload(image, None, *corners, scales)

    return separable(step, step.blob(input), shape, operation)
