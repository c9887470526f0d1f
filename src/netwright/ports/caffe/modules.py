"""One Caffe layer as PyTorch modules: what its type and settings mean, and where its weights go.

A converter is a function of the layer and its bottoms' shapes; it is found by the layer's type. Modules are
made without memory and get the file's weights, so that a setting cannot ask for more than the file holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import nn

from netwright.ports.caffe import layers as own
from netwright.ports.caffe import layers_of_sequences as sequences
from netwright.ports.caffe import layers_of_statistics as statistics
from netwright.ports.caffe.network import Layer, Settings
from netwright.ports.caffe.weights import fill, shown, spots_of

Shape: TypeAlias = tuple[int, ...]
Steps: TypeAlias = "nn.Module | Sequence[tuple[str, nn.Module]]"
Converter: TypeAlias = Callable[[Layer, Sequence[Shape]], Steps]

CONVERTERS: dict[str, Converter] = {}


def converter(*kinds: str) -> Callable[[Converter], Converter]:
    """Registers what a layer type becomes."""

    def register(function: Converter) -> Converter:
        CONVERTERS.update(dict.fromkeys(kinds, function))
        return function

    return register


def converted(layer: Layer, shapes: Sequence[Shape], needs_weights: bool) -> Sequence[tuple[str, nn.Module]]:
    """The layer's modules in the order of their calls, with what each adds to the layer's name."""
    convert = CONVERTERS.get(layer.kind)
    if convert is None:
        raise layer.error(f"type {layer.kind} is not supported; cut the network before it, or replace it")
    if not layer.bottoms or not layer.tops:
        raise layer.error("a layer takes a bottom and gives a top")
    try:
        with torch.device("meta"):
            steps = convert(layer, shapes)
        steps = [("", steps)] if isinstance(steps, nn.Module) else steps
    except (ValueError, RuntimeError, IndexError, ZeroDivisionError, OverflowError, TypeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise layer.error(f"its settings do not fit: {reason}") from None
    weighted = [module for _, module in steps if spots_of(module)]
    if not weighted:
        return steps
    fill(layer, weighted[0], needs_weights)
    return steps


# Convolutions and inner products -----------------------------------------------------------------------


def _per_axis(
    settings: Settings, name: str, axes: int, default: int | None, short: str | None = None
) -> Shape:
    """A setting for each of the image's axes: `kernel_size` once or each, or `kernel_h` and `kernel_w`."""
    stem = short or name
    given = settings.integers(name)
    if settings.given(f"{stem}_h") or settings.given(f"{stem}_w"):
        given = [settings.integer(f"{stem}_h", default or 0), settings.integer(f"{stem}_w", default or 0)]
    if not given and default is not None:
        given = [default]
    sizes = tuple(given * axes) if len(given) == 1 else tuple(given)
    smallest = 0 if name == "pad" else 1
    if len(sizes) != axes or min(sizes, default=0) < smallest:
        raise settings.layer.error(f"{name} is {given}, for {axes} axes of at least {smallest}")
    return sizes


def _window(settings: Settings, axes: int) -> dict[str, Shape]:
    return {
        "kernel_size": _per_axis(settings, "kernel_size", axes, None, "kernel"),
        "stride": _per_axis(settings, "stride", axes, 1),
        "padding": _per_axis(settings, "pad", axes, 0),
    }


@converter("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution", "Deconvolution")
def _convolution(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("convolution_param")
    axes = len(shapes[0]) - 2
    if settings.integer("axis", 1) != 1 or axes not in (1, 2, 3):
        raise layer.error(
            f"convolves {shown(shapes[0])} from axis {settings.integer('axis', 1)}; axis 1 is read"
        )
    up = layer.kind == "Deconvolution"
    kinds = (
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
        if up
        else (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    )
    outputs = settings.integer("num_output", 0)
    default_group = shapes[0][1] if "epthwise" in layer.kind else 1
    group = settings.integer("group", default_group)
    if outputs < 1 or group < 1 or shapes[0][1] % group or outputs % group:
        raise layer.error(f"num_output {outputs} and group {group} do not divide {shapes[0][1]} channels")
    return kinds[axes - 1](
        shapes[0][1],
        outputs,
        **_window(settings, axes),  # pyright: ignore[reportArgumentType]
        groups=group,
        dilation=_per_axis(settings, "dilation", axes, 1),  # pyright: ignore[reportArgumentType]
        bias=settings.flag("bias_term", True),
    )


@converter("InnerProduct")
def _inner_product(layer: Layer, shapes: Sequence[Shape]) -> Steps:
    settings = layer.settings("inner_product_param")
    axis = settings.integer("axis", 1)
    axis += len(shapes[0]) if axis < 0 else 0
    outputs = settings.integer("num_output", 0)
    if not 0 < axis < len(shapes[0]) or outputs < 1:
        raise layer.error(f"num_output {outputs} from axis {axis} of {shown(shapes[0])}")
    linear = nn.Linear(math.prod(shapes[0][axis:]), outputs, bias=settings.flag("bias_term", True))
    if len(shapes[0]) == axis + 1:
        return linear
    return [("_flat", nn.Flatten(axis)), ("", linear)]


@converter("Embed")
def _embed(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("embed_param")
    count, features = settings.integer("input_dim", 0), settings.integer("num_output", 0)
    return sequences.Embed(count, features, settings.flag("bias_term", True))


@converter("LSTM", "RNN")
def _recurrent(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("recurrent_param")
    if len(shapes) != 2 or settings.flag("expose_hidden", False):
        raise layer.error("is read with two bottoms (sequence, continuation) and without expose_hidden")
    kind = sequences.LSTM if layer.kind == "LSTM" else sequences.RNN
    return kind(math.prod(shapes[0][2:]), settings.integer("num_output", 0))


# Pooling -----------------------------------------------------------------------------------------------


@converter("Pooling")
def _pooling(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("pooling_param")
    method = settings.word("pool", "MAX", ("MAX", "AVE", "STOCHASTIC"))
    if len(layer.tops) > 1 or method == "STOCHASTIC" or len(shapes[0]) != 4:
        raise layer.error("stochastic pooling, masks, and blobs not of four axes are not supported")
    average = method == "AVE"
    if settings.flag("global_pooling", False):
        return nn.AdaptiveAvgPool2d(1) if average else nn.AdaptiveMaxPool2d(1)
    window = _window(settings, 2)
    kernel, stride, pad = window["kernel_size"], window["stride"], window["padding"]
    ceil = settings.word("round_mode", "CEIL", ("CEIL", "FLOOR")) == "CEIL" and settings.flag(
        "ceil_mode", True
    )
    if any(p >= k for p, k in zip(pad, kernel, strict=True)):
        raise layer.error(f"pad {list(pad)} is not smaller than the kernel {list(kernel)}")
    for size, k, s, p in zip(shapes[0][2:], kernel, stride, pad, strict=True):
        if ceil and not p and s > k and math.ceil((size - k) / s) * s >= size:
            raise layer.error(f"its last window lies outside the image of {shown(shapes[0][2:])}")
    if any(2 * p > k for p, k in zip(pad, kernel, strict=True)):
        return own.WidePadPool2d(average, kernel, stride, pad, ceil)
    kind = nn.AvgPool2d if average else nn.MaxPool2d
    return kind(kernel, stride, pad, ceil_mode=ceil)  # pyright: ignore[reportArgumentType]


# Normalisation -----------------------------------------------------------------------------------------


@converter("LRN")
def _lrn(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("lrn_param")
    size = settings.integer("local_size", 5)
    alpha, beta = settings.real("alpha", 1.0), settings.real("beta", 0.75)
    if size < 1 or size % 2 == 0:
        raise layer.error(f"local_size is {size}; Caffe takes odd sizes only")
    region = settings.word("norm_region", "ACROSS_CHANNELS", ("ACROSS_CHANNELS", "WITHIN_CHANNEL"))
    if region == "WITHIN_CHANNEL":
        return statistics.LocalResponseNormWithinChannel(size, alpha, beta)
    return nn.LocalResponseNorm(size, alpha, beta, settings.real("k", 1.0))


@converter("BatchNorm")
def _batch_norm(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("batch_norm_param")
    rank = len(shapes[0])
    kinds = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    if rank not in kinds:
        raise layer.error(f"normalises {shown(shapes[0])}; two to five axes are read")
    return kinds[rank](
        shapes[0][1],
        eps=settings.real("eps", 1e-5),
        momentum=1 - settings.real("moving_average_fraction", 0.999),
        affine=False,
        track_running_stats=settings.flag("use_global_stats", True),
    )


@converter("Scale")
def _scale(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("scale_param")
    axis, bias = settings.integer("axis", 1), settings.flag("bias_term", False)
    if len(shapes) > 1:
        return own.ScaleBy(axis, shapes[1] if bias else None)
    return own.Scale(_factor_shape(settings, axis, shapes[0]), axis, bias)


@converter("Bias")
def _bias(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("bias_param")
    axis = settings.integer("axis", 1)
    if len(shapes) > 1:
        return own.BiasBy(axis)
    return own.Bias(_factor_shape(settings, axis, shapes[0]), axis)


def _factor_shape(settings: Settings, axis: int, shape: Shape) -> Shape:
    """The axes of the blob that a scale or bias is laid along: `num_axes` of them, -1 for all that follow."""
    count = settings.integer("num_axes", 1)
    start = axis + len(shape) if axis < 0 else axis
    if not 0 <= start < len(shape) or (count >= 0 and start + count > len(shape)):
        raise settings.layer.error(f"{count} axes from {axis} of {shown(shape)}")
    return shape[start:] if count < 0 else shape[start : start + count]


@converter("MVN")
def _mvn(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("mvn_param")
    return statistics.MVN(
        settings.flag("normalize_variance", True),
        settings.flag("across_channels", False),
        settings.real("eps", 1e-9),
    )


@converter("Normalize")
def _normalize(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("norm_param")
    channels = 1 if settings.flag("channel_shared", True) else shapes[0][1]
    return statistics.Normalize(channels, settings.flag("across_spatial", True), settings.real("eps", 1e-10))


# Activations and arithmetic ----------------------------------------------------------------------------


@converter("ReLU")
def _relu(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    slope = layer.settings("relu_param").real("negative_slope", 0.0)
    return nn.LeakyReLU(slope) if slope else nn.ReLU()


@converter("PReLU")
def _prelu(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    shared = layer.settings("prelu_param").flag("channel_shared", False)
    return nn.PReLU(1 if shared else shapes[0][1])


@converter("ELU")
def _elu(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    return nn.ELU(layer.settings("elu_param").real("alpha", 1.0))


for _kind, _module in {
    "Sigmoid": nn.Sigmoid,
    "TanH": nn.Tanh,
    "BNLL": nn.Softplus,
    "AbsVal": own.AbsVal,
    "Split": own.Split,
}.items():
    CONVERTERS[_kind] = lambda layer, shapes, made=_module: made()


@converter("Power")
def _power(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("power_param")
    return own.Power(settings.real("power", 1.0), settings.real("scale", 1.0), settings.real("shift", 0.0))


@converter("Exp", "Log")
def _exponential(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings(f"{layer.kind.lower()}_param")
    base = settings.real("base", -1.0)
    if base != -1 and base <= 0:
        raise layer.error(f"base is {base}; it is above 0, or -1 for e")
    kind = own.Exp if layer.kind == "Exp" else own.Log
    return kind(base, settings.real("scale", 1.0), settings.real("shift", 0.0))


@converter("Swish")
def _swish(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    beta = layer.settings("swish_param").real("beta", 1.0)
    return nn.SiLU() if beta == 1 else own.Swish(beta)


@converter("Threshold")
def _threshold(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    return own.Threshold(layer.settings("threshold_param").real("threshold", 0.0))


@converter("Softmax")
def _softmax(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    return nn.Softmax(layer.settings("softmax_param").integer("axis", 1))


@converter("Dropout")
def _dropout(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    return nn.Dropout(layer.settings("dropout_param").real("dropout_ratio", 0.5))


@converter("Eltwise")
def _eltwise(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("eltwise_param")
    coefficients = settings.reals("coeff")
    if coefficients and len(coefficients) != len(shapes):
        raise layer.error(f"{len(coefficients)} coeff for {len(shapes)} bottoms")
    return own.Eltwise(settings.word("operation", "SUM", ("PROD", "SUM", "MAX")), coefficients)


@converter("Reduction")
def _reduction(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("reduction_param")
    operation = settings.word("operation", "SUM", ("", "SUM", "ASUM", "SUMSQ", "MEAN"))
    return statistics.Reduction(operation, settings.integer("axis", 0), settings.real("coeff", 1.0))


@converter("ArgMax")
def _argmax(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("argmax_param")
    axis = settings.integer("axis", 0) if settings.given("axis") else None
    return statistics.ArgMax(settings.integer("top_k", 1), axis, settings.flag("out_max_val", False))


# Shapes ------------------------------------------------------------------------------------------------


@converter("Concat")
def _concat(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("concat_param")
    return own.Concat(settings.integer("axis", settings.integer("concat_dim", 1)))


@converter("Slice")
def _slice(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("slice_param")
    axis = settings.integer("axis", settings.integer("slice_dim", 1))
    points, count = settings.integers("slice_point"), len(layer.tops)
    size = shapes[0][axis]
    if points != sorted(set(points)) or (points and not (points[0] > 0 and points[-1] < size)):
        raise layer.error(f"slice points {points} do not cut {size} in order")
    if (points and len(points) != count - 1) or (not points and size % count):
        raise layer.error(f"{size} cannot be cut into {count} blobs at {points or 'equal distances'}")
    return own.Slice(axis, points, count)


@converter("Reshape")
def _reshape(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("reshape_param")
    shape = Settings(settings.message.last("shape", settings.message), layer)
    return own.Reshape(shape.integers("dim"), settings.integer("axis", 0), settings.integer("num_axes", -1))


@converter("Flatten")
def _flatten(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("flatten_param")
    return nn.Flatten(settings.integer("axis", 1), settings.integer("end_axis", -1))


@converter("Crop")
def _crop(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("crop_param")
    return own.Crop(settings.integer("axis", 2), settings.integers("offset"))


@converter("Permute")
def _permute(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    return own.Permute(layer.settings("permute_param").integers("order"))


@converter("Tile")
def _tile(layer: Layer, shapes: Sequence[Shape]) -> nn.Module:
    settings = layer.settings("tile_param")
    return own.Tile(settings.integer("axis", 1), settings.integer("tiles", 0))
