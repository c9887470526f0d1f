"""Operators that work element by element, on tensors and on the ints of shapes."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from netwright.ports.onnx.read_call import Call, Emit
from netwright.ports.onnx.read_file import DTYPES
from netwright.ports.onnx.read_graph import Value

# Functions of the network


def divided(a: Any, b: Any) -> Tensor:
    """Division that drops the remainder of ints."""
    whole = not (torch.is_floating_point(a) if isinstance(a, Tensor) else isinstance(a, float))
    whole = whole and not (torch.is_floating_point(b) if isinstance(b, Tensor) else isinstance(b, float))
    return torch.div(torch.as_tensor(a), b, rounding_mode="trunc") if whole else a / b


def power(base: Any, exponent: Any) -> Tensor:
    """A power of the type of its base."""
    made = torch.pow(base, exponent)
    return made.to(base.dtype) if isinstance(base, Tensor) else made


def clipped(x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    if low is not None:
        x = torch.clamp(x, min=low)
    return x if high is None else torch.clamp(x, max=high)


def cast_to(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype)


def cast_like(x: Tensor, like: Tensor) -> Tensor:
    return x.to(like.dtype)


def scaled_elu(x: Tensor, alpha: float, gamma: float) -> Tensor:
    return gamma * F.elu(x, alpha)


def hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


def thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


def shrunk(x: Tensor, bias: float, lambd: float) -> Tensor:
    """What is further from 0 than `lambd`, nearer to it by `bias`; 0 for the rest."""
    zero = torch.zeros_like(x)
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, zero)).to(x.dtype)


def swish(x: Tensor, alpha: float) -> Tensor:
    return x * torch.sigmoid(alpha * x)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, slope * x, x)


def is_inf(x: Tensor, negative: bool, positive: bool) -> Tensor:
    return torch.isinf(x) & (((x < 0) & negative) | ((x > 0) & positive))


def shifted(x: Tensor, by: Tensor, right: bool) -> Tensor:
    wide, by = x.to(torch.int64), by.to(torch.int64)
    return (wide >> by if right else wide << by).to(x.dtype)


def mean_of(*tensors: Tensor) -> Tensor:
    return functools.reduce(torch.add, tensors) / len(tensors)


def flat_softmax(x: Tensor, axis: int, log: bool = False) -> Tensor:
    """Softmax before opset 13: over all dimensions from `axis` on together."""
    axis = axis % max(x.ndim, 1)
    rows = x.reshape(math.prod(x.shape[:axis]), -1)
    return (F.log_softmax(rows, 1) if log else F.softmax(rows, 1)).reshape(x.shape)


def hardmax(x: Tensor, axis: int, flat: bool) -> Tensor:
    """1 at the first of the largest, 0 elsewhere."""
    rows = x.reshape(math.prod(x.shape[: axis % x.ndim]), -1) if flat else x
    at = 1 if flat else axis
    first = torch.argmax(rows, at, keepdim=True)
    return torch.zeros_like(rows).scatter(at, first, 1).reshape(x.shape)


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": lambda a, b: a // b if (a >= 0) == (b > 0) else -(-a // b),
    "Min": lambda a, b: a if a <= b else b,
    "Max": lambda a, b: a if a >= b else b,
    "Equal": operator.eq,
    "Mod": operator.mod,
}


def of_sizes(kind: str, a: Any, b: Any) -> Any:
    """Arithmetic of ints and lists of ints, an int meeting every member of a list."""
    function = _ARITHMETIC[kind]
    if not isinstance(a, Sequence) and not isinstance(b, Sequence):
        return function(a, b)
    length = max(len(part) for part in (a, b) if isinstance(part, Sequence))
    left = list(a) * (length if len(a) == 1 else 1) if isinstance(a, Sequence) else [a] * length
    right = list(b) * (length if len(b) == 1 else 1) if isinstance(b, Sequence) else [b] * length
    return [function(x, y) for x, y in zip(left, right, strict=True)]


# How operators are drawn


def _unary(function: Callable[..., Any], **fixed: Any) -> Emit:
    return lambda call: call.call(function, call.tensor(0), **fixed)


def _with(function: Callable[..., Any], **defaults: Any) -> Emit:
    """A function whose further arguments are attributes of the same names."""
    return lambda call: call.call(
        function, call.tensor(0), **{name: call.attr(name, default) for name, default in defaults.items()}
    )


def _binary(function: Callable[..., Any]) -> Emit:
    def emit(call: Call) -> Value:
        if call.kind in _ARITHMETIC and call.shape_arithmetic():
            longest = max((length for k in (0, 1) if (length := call.length(k)) is not None), default=None)
            return call.sizes(of_sizes, call.kind, call.size(0), call.size(1), length=longest)
        running = any(isinstance(call.tensor(index), fx.Node) for index in (0, 1))
        if not running or call.kind in ("And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor"):
            return call.call(function, call.tensor(0), call.tensor(1))
        if call.kind == "Add" and (merged := _bias_of_linear(call)) is not None:
            return merged
        parts = call.operand(0, 1), call.operand(1, 0)
        if call.kind == "Div" and any(isinstance(part, float) for part in parts):
            return call.call(operator.truediv, *parts)
        return call.call(function, *parts)

    return emit


def _bias_of_linear(call: Call) -> fx.Node | None:
    """An addition of a constant to what only it takes from a linear layer is the layer's bias."""
    for index in (0, 1):
        node, bias = call.inputs[index], call.constant(1 - index)
        if not isinstance(node, fx.Node) or bias is None or call.scope.uses.get(call.node.input[index]) != 1:
            continue
        layer = getattr(call.canvas.root, str(node.target)) if node.op == "call_module" else None
        if type(layer) is not nn.Linear or "bias" in dict(layer.named_parameters()):
            continue
        if bias.shape == (layer.out_features,) and bias.dtype == layer.weight.dtype:
            layer.bias = call.parameter(bias)
            stored = call.scope.weights.get(id(bias), "")
            if stored.endswith(".bias"):
                call.renamed(node, stored)
            return node
    return None


def _variadic(function: Callable[..., Any]) -> Emit:
    def emit(call: Call) -> Value:
        if call.kind in _ARITHMETIC and call.shape_arithmetic():
            parts = [call.size(index) for index in range(len(call.inputs))]
            longest = max((n for k in range(len(parts)) if (n := call.length(k)) is not None), default=None)
            return functools.reduce(lambda a, b: call.sizes(of_sizes, call.kind, a, b, length=longest), parts)
        tensors = call.tensors()
        return functools.reduce(lambda a, b: call.call(function, a, b), tensors)

    return emit


def _identity(call: Call) -> Value:
    return call.inputs[0]


def _cast(call: Call) -> Value:
    wanted = call.attr("to", 1)
    if wanted not in DTYPES:
        raise call.error(f"casts to type {wanted}, which PyTorch lacks; change the cast before the export")
    if DTYPES[wanted] in (torch.int64, torch.int32) and call.shape_arithmetic():
        return call.inputs[0]
    return call.call(cast_to, call.tensor(0), DTYPES[wanted])


def _clip(call: Call) -> Value:
    if call.opset < 11:
        low, high = call.attr("min"), call.attr("max")
    else:
        low, high = (call.operand(index) for index in (1, 2))
    if (low, high) == (0, 6) and isinstance(call.inputs[0], fx.Node):
        return call.call(F.relu6, call.tensor(0))
    return call.call(clipped, call.tensor(0), low, high)


def _softmax(call: Call, log: bool = False) -> Value:
    x, rank = call.tensor(0), call.rank()
    axis = call.attr("axis", 1 if call.opset < 13 else -1)
    if call.opset >= 13 or axis == -1 or (rank is not None and axis == rank - 1):
        return call.call(F.log_softmax if log else F.softmax, x, dim=axis)
    return call.call(flat_softmax, x, axis, log)


def _hard_sigmoid(call: Call) -> Value:
    alpha, beta = call.attr("alpha", 0.2), call.attr("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        return call.call(F.hardsigmoid, call.tensor(0))
    return call.call(hard_sigmoid, call.tensor(0), alpha, beta)


def _prelu(call: Call) -> Value:
    slope, rank = call.constant(1), call.rank()
    if slope is not None and slope.is_floating_point() and isinstance(call.inputs[0], fx.Node):
        per_channel = rank is not None and slope.ndim == rank - 1 and slope.numel() == slope.shape[0]
        if slope.numel() == 1 or per_channel:
            layer = nn.PReLU(slope.numel(), device="meta", dtype=slope.dtype)
            flat = slope.reshape(-1)
            layer.weight = call.parameter(slope) if slope.ndim == 1 else nn.Parameter(flat.clone())
            return call.layer(layer, call.tensor(0), weight=1)
    return call.call(prelu, call.tensor(0), call.tensor(1))


def _dropout(call: Call) -> Value:
    ratio = call.attr("ratio", 0.5)
    if call.opset >= 12 and call.has(1):
        given = call.constant(1)
        if given is None:
            raise call.error("has a ratio that is computed, which is not read; make it a constant")
        ratio = float(given)
    switch = call.constant(2)
    if call.has(2) and switch is None:
        raise call.error("is switched on by an input, which is not read; make it a constant")
    training = switch is not None and bool(switch)
    x = call.tensor(0)
    mask = call.call(torch.ones_like, x, dtype=torch.bool) if call.wanted[1:] == [True] else None
    if training and ratio > 0:
        raise call.error(
            "drops at inference too, by chance, which is not read; export the model in eval mode"
        )
    if not isinstance(call.inputs[0], fx.Node):
        return x, mask
    return call.layer(nn.Dropout(min(max(ratio, 0.0), 1.0)), x), mask


def _selu(call: Call) -> Value:
    alpha, gamma = (
        call.attr("alpha", 1.67326319217681884765625),
        call.attr("gamma", 1.05070102214813232421875),
    )
    if (round(alpha, 5), round(gamma, 5)) == (1.67326, 1.0507):
        return call.call(F.selu, call.tensor(0))
    return call.call(scaled_elu, call.tensor(0), alpha, gamma)


def _where(call: Call) -> Value:
    if call.shape_arithmetic():
        return call.sizes(chosen, call.size(0), call.size(1), call.size(2), length=call.length(0))
    return call.call(torch.where, call.tensor(0), call.tensor(1), call.tensor(2))


def chosen(condition: Any, a: Any, b: Any) -> Any:
    """`a` where the condition holds and `b` elsewhere, of ints."""
    if not isinstance(condition, Sequence):
        return a if condition else b
    length = len(condition)
    left, right = (part if isinstance(part, Sequence) else [part] * length for part in (a, b))
    return [x if holds else y for holds, x, y in zip(condition, left, right, strict=True)]


def _is_inf(call: Call) -> Value:
    negative, positive = call.attr("detect_negative", 1), call.attr("detect_positive", 1)
    return call.call(is_inf, call.tensor(0), bool(negative), bool(positive))


def _gelu(call: Call) -> Value:
    return call.call(F.gelu, call.tensor(0), approximate=call.attr("approximate", "none"))


def _mod(call: Call) -> Value:
    if call.shape_arithmetic():
        return call.sizes(of_sizes, "Mod", call.size(0), call.size(1), length=call.length(0))
    return call.call(torch.fmod if call.attr("fmod", 0) else torch.remainder, call.tensor(0), call.tensor(1))


def _neg(call: Call) -> Value:
    if call.shape_arithmetic():
        return call.sizes(of_sizes, "Mul", call.size(0), -1, length=call.length(0))
    return call.call(torch.neg, call.tensor(0))


UNARY: Mapping[str, Callable[..., Any]] = {
    "Abs": torch.abs, "Ceil": torch.ceil, "Floor": torch.floor, "Round": torch.round, "Sqrt": torch.sqrt,
    "Reciprocal": torch.reciprocal, "Exp": torch.exp, "Log": torch.log, "Erf": torch.erf, "Sign": torch.sign,
    "Sin": torch.sin, "Cos": torch.cos, "Tan": torch.tan, "Asin": torch.asin, "Acos": torch.acos,
    "Atan": torch.atan, "Sinh": torch.sinh, "Cosh": torch.cosh, "Tanh": torch.tanh, "Asinh": torch.asinh,
    "Acosh": torch.acosh, "Atanh": torch.atanh, "Sigmoid": torch.sigmoid, "Relu": torch.relu,
    "Softsign": F.softsign, "Softplus": F.softplus, "Mish": F.mish, "HardSwish": F.hardswish,
    "Not": torch.logical_not, "IsNaN": torch.isnan, "BitwiseNot": torch.bitwise_not, "Det": torch.det,
}  # fmt: skip
BINARY: Mapping[str, Callable[..., Any]] = {
    "Add": operator.add, "Sub": operator.sub, "Mul": operator.mul, "Div": divided, "Pow": power,
    "And": torch.logical_and, "Or": torch.logical_or, "Xor": torch.logical_xor,
    "BitwiseAnd": torch.bitwise_and, "BitwiseOr": torch.bitwise_or, "BitwiseXor": torch.bitwise_xor,
    "Equal": operator.eq, "Less": operator.lt, "Greater": operator.gt, "LessOrEqual": operator.le,
    "GreaterOrEqual": operator.ge,
}  # fmt: skip

ELEMENTWISE: dict[str, Emit] = {
    **{name: _unary(function) for name, function in UNARY.items()},
    **{name: _binary(function) for name, function in BINARY.items()},
    "Neg": _neg,
    "Mod": _mod,
    "Identity": _identity,
    "Cast": _cast,
    "CastLike": lambda call: call.call(cast_like, call.tensor(0), call.tensor(1)),
    "Clip": _clip,
    "Elu": _with(F.elu, alpha=1.0),
    "Celu": _with(F.celu, alpha=1.0),
    "Selu": _selu,
    "LeakyRelu": lambda call: call.call(F.leaky_relu, call.tensor(0), call.attr("alpha", 0.01)),
    "ThresholdedRelu": _with(thresholded_relu, alpha=1.0),
    "HardSigmoid": _hard_sigmoid,
    "Shrink": _with(shrunk, bias=0.0, lambd=0.5),
    "Swish": _with(swish, alpha=1.0),
    "Gelu": _gelu,
    "PRelu": _prelu,
    "Dropout": _dropout,
    "Softmax": _softmax,
    "LogSoftmax": lambda call: _softmax(call, log=True),
    "Hardmax": lambda call: call.call(
        hardmax, call.tensor(0), call.attr("axis", 1 if call.opset < 13 else -1), call.opset < 13
    ),
    "IsInf": _is_inf,
    "BitShift": lambda call: call.call(
        shifted, call.tensor(0), call.tensor(1), call.attr("direction", "") == "RIGHT"
    ),
    "Where": _where,
    "Min": _variadic(torch.minimum),
    "Max": _variadic(torch.maximum),
    "Sum": _variadic(torch.add),
    "Mean": lambda call: call.call(mean_of, *call.tensors()),
}
