"""Activations, most of them one layer; the others from the layers that Caffe has."""

from __future__ import annotations

import math
from typing import Any

from torch import fx

from netwright.ports.caffe.prototxt import Word
from netwright.ports.caffe.steps import Step, Unsayable, axis_of, writes


def power(step: Step, blob: str, power: float = 1.0, scale: float = 1.0, shift: float = 0.0) -> str:
    """(shift + scale · x) ^ power."""
    given = {"power": power, "scale": scale, "shift": shift}
    said = {name: float(value) for name, value in given.items() if value != (0.0 if name == "shift" else 1.0)}
    return step("Power", blob, power_param=said)


def times(step: Step, *blobs: str) -> str:
    return step("Eltwise", *blobs, part="times", eltwise_param={"operation": Word("PROD")})


def clamped(step: Step, blob: str, low: float | None, high: float | None) -> str:
    """x between two bounds: high - ReLU(high - x) cannot be above high, nor low + ReLU(x - low) below low."""
    if low is not None:
        blob = step("ReLU", power(step, blob, shift=-low) if low else blob)
        blob = power(step, blob, shift=low) if low else blob
    if high is not None:
        blob = step("ReLU", power(step, blob, scale=-1, shift=high))
        blob = power(step, blob, scale=-1, shift=high)
    return blob


@writes("relu")
def relu(step: Step, input: fx.Node) -> str:
    return step("ReLU", step.blob(input))


@writes("leaky_relu")
def leaky_relu(step: Step, input: fx.Node, negative_slope: float = 0.01) -> str:
    return step("ReLU", step.blob(input), relu_param={"negative_slope": float(negative_slope)})


@writes("prelu")
def prelu(step: Step, input: fx.Node, weight: Any) -> str:
    slopes = step.array(weight)
    shared = slopes.size == 1
    settings = {"channel_shared": True} if shared else None
    blobs = [slopes.reshape(()) if shared else slopes]
    return step("PReLU", step.blob(input), weights=blobs, prelu_param=settings)


@writes("elu")
def elu(step: Step, input: fx.Node, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> str:
    blob = step.blob(input) if input_scale == 1 else power(step, step.blob(input), scale=input_scale)
    made = step("ELU", blob, elu_param={"alpha": float(alpha)})
    return made if scale == 1 else power(step, made, scale=scale)


@writes("selu")
def selu(step: Step, input: fx.Node) -> str:
    return elu(step, input, 1.6732632423543772, 1.0507009873554805)


@writes("celu")
def celu(step: Step, input: fx.Node, alpha: float = 1.0) -> str:
    return elu(step, input, 1.0, alpha, 1 / alpha)


@writes("sigmoid")
def sigmoid(step: Step, input: fx.Node) -> str:
    return step("Sigmoid", step.blob(input))


@writes("tanh")
def tanh(step: Step, input: fx.Node) -> str:
    return step("TanH", step.blob(input))


@writes("silu")
def silu(step: Step, input: fx.Node) -> str:
    return times(step, step.blob(input), step("Sigmoid", step.blob(input)))


@writes("hardtanh", "clamp", "clamp_min", "clamp_max")
def clamp(
    step: Step,
    input: fx.Node,
    min_val: float = -1,
    max_val: float = 1,
    min: Any = None,
    max: Any = None,
) -> str:
    low, high = (min_val, max_val) if step.operator == "hardtanh" else (min, max)
    for bound in (low, high):
        if bound is not None and not isinstance(bound, int | float):
            raise Unsayable("clamps to bounds that are tensors", "clamp to numbers")
    return clamped(step, step.blob(input), low, high)


@writes("relu6")
def relu6(step: Step, input: fx.Node) -> str:
    return clamped(step, step.blob(input), 0.0, 6.0)


def _hard(step: Step, blob: str) -> str:
    return clamped(step, power(step, blob, scale=1 / 6, shift=0.5), 0.0, 1.0)


@writes("hardsigmoid")
def hardsigmoid(step: Step, input: fx.Node) -> str:
    return _hard(step, step.blob(input))


@writes("hardswish")
def hardswish(step: Step, input: fx.Node) -> str:
    return times(step, step.blob(input), _hard(step, step.blob(input)))


@writes("softshrink")
def softshrink(step: Step, input: fx.Node, lambd: float = 0.5) -> str:
    blob = step.blob(input)
    settings = {"operation": Word("SUM"), "coeff": [1.0, -1.0]}
    inside = clamped(step, blob, -lambd, lambd)
    return step("Eltwise", blob, inside, part="sum", eltwise_param=settings)


@writes("softplus")
def softplus(step: Step, input: fx.Node, beta: float = 1, threshold: float = 20) -> str:
    """log(1 + e^(beta x)) / beta. PyTorch is linear above its threshold, where the two do not differ in
    float32."""
    blob = step.blob(input) if beta == 1 else power(step, step.blob(input), scale=beta)
    made = step("BNLL", blob)
    return made if beta == 1 else power(step, made, scale=1 / beta)


@writes("log_sigmoid")
def log_sigmoid(step: Step, input: fx.Node) -> str:
    return power(step, step("BNLL", power(step, step.blob(input), scale=-1)), scale=-1)


@writes("mish")
def mish(step: Step, input: fx.Node) -> str:
    blob = step.blob(input)
    return times(step, blob, step("TanH", step("BNLL", blob)))


@writes("softsign")
def softsign(step: Step, input: fx.Node) -> str:
    blob = step.blob(input)
    return times(step, blob, power(step, step("AbsVal", blob), power=-1, shift=1))


_ERROR_FUNCTION = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def _exact_gelu(step: Step, blob: str) -> str:
    """ReLU(x) - |x| · erfc(|x| / sqrt 2) / 2, the error function to 1.5e-7 as e^(-x²/2) times a polynomial of
    t = 1 / (1 + 0.3275911 |x| / sqrt 2).

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 7.1.26.
    """
    size = step("AbsVal", blob)
    t = power(step, size, power=-1, scale=0.3275911 / math.sqrt(2), shift=1)
    polynomial = power(step, t, scale=_ERROR_FUNCTION[4], shift=_ERROR_FUNCTION[3])
    for coefficient in _ERROR_FUNCTION[2::-1]:
        polynomial = power(step, times(step, polynomial, t), shift=coefficient)
    bell = step("Exp", times(step, blob, blob), exp_param={"scale": -0.5})
    tail = times(step, polynomial, t, bell, size)
    settings = {"operation": Word("SUM"), "coeff": [1.0, -0.5]}
    return step("Eltwise", step("ReLU", blob), tail, part="sum", eltwise_param=settings)


@writes("gelu")
def gelu(step: Step, input: fx.Node, approximate: str = "none") -> str:
    """x · sigmoid(2 · sqrt(2 / pi) · (x + 0.044715 x³)) in the tanh form."""
    if approximate != "tanh":
        return _exact_gelu(step, step.blob(input))
    blob = step.blob(input)
    cube = times(step, blob, blob, blob)
    factor = 2 * math.sqrt(2 / math.pi)
    settings = {"operation": Word("SUM"), "coeff": [factor, factor * 0.044715]}
    return times(step, blob, step("Sigmoid", step("Eltwise", blob, cube, part="sum", eltwise_param=settings)))


@writes("softmax", "_softmax")
def softmax(step: Step, input: fx.Node, dim: int, **_: Any) -> str:
    axis = axis_of(dim, len(step.shape))
    return step("Softmax", step.blob(input), softmax_param={"axis": axis})


@writes("dropout", "feature_dropout", "alpha_dropout", "native_dropout")
def dropout(step: Step, input: fx.Node, p: float = 0.5, **_: Any) -> str:
    """Kept for whoever trains on in Caffe; at TEST it passes its input through, as in PyTorch."""
    return step("Dropout", step.blob(input), dropout_param={"dropout_ratio": float(p)})


@writes("exp")
def exp(step: Step, input: fx.Node) -> str:
    return step("Exp", step.blob(input))


@writes("log")
def log(step: Step, input: fx.Node) -> str:
    return step("Log", step.blob(input))


@writes("abs")
def absolute(step: Step, input: fx.Node) -> str:
    return step("AbsVal", step.blob(input))


@writes("neg", "sqrt", "rsqrt", "square", "reciprocal")
def powers(step: Step, input: fx.Node) -> str:
    exponent = {"neg": 1.0, "sqrt": 0.5, "rsqrt": -0.5, "square": 2.0, "reciprocal": -1.0}[step.operator]
    return power(step, step.blob(input), power=exponent, scale=-1.0 if step.operator == "neg" else 1.0)
