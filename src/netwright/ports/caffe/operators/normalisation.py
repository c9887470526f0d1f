"""Normalisation. Caffe's own divide by sqrt(variance) + eps where PyTorch divides by sqrt(variance + eps), so
all but batch norm are put together from simpler layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import fx

from netwright.ports.caffe.operators.activations import power, times
from netwright.ports.caffe.operators.arithmetic import affine
from netwright.ports.caffe.prototxt import Word
from netwright.ports.caffe.steps import Shape, Step, Unsayable, along, fixed, reshaped, shape_of, writes


@writes("batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
def batch_norm(
    step: Step,
    input: fx.Node,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    **_: Any,
) -> str:
    """Caffe's BatchNorm only normalises, by statistics and a factor to divide by; a Scale has the rest."""
    if running_mean is None or training:
        raise Unsayable(
            "normalises by the batch it is given",
            "keep running statistics (track_running_stats=True), in eval mode",
        )
    statistics = [step.array(running_mean), step.array(running_var), np.ones(1)]
    settings = {"use_global_stats": True, "eps": float(eps)}
    made = step("BatchNorm", step.blob(input), part="bn", weights=statistics, batch_norm_param=settings)
    if weight is None and bias is None:
        return made
    factor = np.ones(len(statistics[0])) if weight is None else step.array(weight)
    weights = [factor] if bias is None else [factor, step.array(bias)]
    return step("Scale", made, weights=weights, scale_param={"bias_term": bias is not None})


@writes("layer_norm")
def layer_norm(
    step: Step,
    input: fx.Node,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    **_: Any,
) -> str:
    """Each row over its last axes."""
    shape = shape_of(input)
    rest = len(shape) - len(normalized_shape)
    groups = math.prod(fixed(shape[1:rest]))
    made = _normalised(step, step.blob(input), shape, groups, eps)
    return _with_weights(step, made, weight, bias)


@writes("group_norm")
def group_norm(
    step: Step,
    input: fx.Node,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    **_: Any,
) -> str:
    made = _normalised(step, step.blob(input), shape_of(input), num_groups, eps)
    return _with_weights(step, made, weight, bias, channels=True)


@writes("instance_norm")
def instance_norm(
    step: Step,
    input: fx.Node,
    weight: Any = None,
    bias: Any = None,
    running_mean: Any = None,
    running_var: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    **_: Any,
) -> str:
    if not use_input_stats:
        return batch_norm(step, input, weight, bias, running_mean, running_var, False, momentum, eps)
    shape = shape_of(input)
    made = _normalised(step, step.blob(input), shape, fixed(shape[1:2])[0], eps)
    return _with_weights(step, made, weight, bias, channels=True)


def _normalised(step: Step, blob: str, shape: Shape, groups: int, eps: float) -> str:
    """Each of the groups of an input at mean 0 and variance 1."""
    size = math.prod(fixed(shape[1:])) // groups
    rows: Shape = (shape[0], groups, 1, size)
    centred = step("MVN", reshaped(step, blob, shape, rows), mvn_param={"normalize_variance": False})
    pool = {"pool": Word("AVE"), "global_pooling": True}
    variance = step("Pooling", times(step, centred, centred), part="variance", pooling_param=pool)
    inverse = power(step, variance, power=-0.5, shift=eps)
    inverse = reshaped(step, inverse, (shape[0], groups, 1, 1), (shape[0], groups))
    made = step("Scale", centred, inverse, part="unit", scale_param={"axis": 0})
    return reshaped(step, made, rows, shape)


def _with_weights(step: Step, blob: str, weight: Any, bias: Any, channels: bool = False) -> str:
    if weight is None and bias is None:
        return blob
    behind = (1,) * (len(step.shape) - 2)
    arrays = [None if given is None else step.array(given) for given in (weight, bias)]
    if channels:
        arrays = [None if array is None else array.reshape(-1, *behind) for array in arrays]
    return affine(step, blob, step.shape, weight=arrays[0], bias=arrays[1])


def response_norm(step: Step, input: fx.Node, size: int, alpha: float, beta: float, k: float) -> str:
    """x / (k + alpha · mean of x² over `size` channels) ^ beta, which PyTorch spells out in simple operators.

    Both divide alpha by the size. OpenCV's importer knows no `k`, so k is taken out of the bracket. Caffe
    takes odd sizes only; an even one is written out.
    """
    blob = step.blob(input)
    channels = fixed(step.shape[1:2])[0]
    if size % 2:
        settings = {"local_size": size, "alpha": alpha / k, "beta": beta}
        image: Shape = (*step.shape[:2], *(1,) * (4 - len(step.shape)), *step.shape[2:])
        made = step("LRN", reshaped(step, blob, step.shape, image), lrn_param=settings)
        made = reshaped(step, made, image, step.shape)
        return made if k == 1 else power(step, made, scale=k**-beta)
    offset = np.arange(channels) - np.arange(channels)[:, None]  # of a channel seen from another
    seen = (offset >= -(size // 2)) & (offset <= (size - 1) // 2)
    mean = along(step, times(step, blob, blob), step.shape, 1, seen / size)
    return times(step, blob, power(step, mean, power=-beta, scale=alpha, shift=k))
