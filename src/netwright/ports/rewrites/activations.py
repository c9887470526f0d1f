"""Activations by exponentials and divisions."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from netwright.ports.patterns import name_of
from netwright.ports.rewrites.call import Call, Instead, Rewrite, single

# erfc(a) = t (a1 + t (a2 + …)) exp(-a²) with t = 1 / (1 + p a), for a ≥ 0, to 1.5e-7.
# Source: Abramowitz and Stegun, Handbook of mathematical functions (1964), 7.1.26.
_P = 0.3275911
_A = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_FAR = 20.0  # above it mish is the identity in 32 bits
_EXACT = 17.0  # from it on a softplus that becomes the identity there does so within 32 bits


class GELUByExponential(nn.Module):
    """`nn.GELU` of any shape, within 4e-7 of its exact value in 32 bits: the error function by one
    exponential and a polynomial, or its approximation by tanh.

    Source: Hendrycks and Gimpel, Gaussian error linear units (2016); Abramowitz and Stegun, 7.1.26.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        if self.approximate == "tanh":  # (1 + tanh u) / 2 is the logistic function of 2u
            return x * torch.sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * (x * x * x)))
        # x Φ(x) is relu(x) less what Φ leaves out, which is the same on both sides of zero.
        a = torch.abs(x) * math.sqrt(0.5)
        t = 1 / (1 + _P * a)
        series: Any = _A[-1]
        for coefficient in reversed(_A[:-1]):
            series = series * t + coefficient
        return F.relu(x) - math.sqrt(0.5) * a * (series * t * torch.exp(-(a * a)))


class ELUByExponential(nn.Module):
    """`nn.ELU`, `nn.SELU` and `nn.CELU`: scale · (max(x, 0) + alpha · (exp(rate · min(x, 0)) - 1)).

    Source: Clevert et al., Fast and accurate deep network learning by exponential linear units (2015).
    """

    def __init__(self, alpha: float = 1.0, scale: float = 1.0, rate: float = 1.0) -> None:
        super().__init__()
        self.alpha, self.scale, self.rate = alpha, scale, rate

    def forward(self, x: Tensor) -> Tensor:
        below = torch.exp(-self.rate * F.relu(-x)) - 1
        return self.scale * F.relu(x) + (self.scale * self.alpha) * below


class MishByExponential(nn.Module):
    """`nn.Mish` of any shape: tanh(log(1 + e)) is e (e + 2) / (e (e + 2) + 2) with e = exp(x).

    Source: Misra, Mish: a self regularized non-monotonic activation function (2019).
    """

    def forward(self, x: Tensor) -> Tensor:
        e = torch.exp(_FAR - F.relu(_FAR - x))
        product = e * (e + 2)
        return x * (product / (product + 2))


class SoftplusByExponential(nn.Module):
    """log(1 + exp(beta · x)) / beta of any shape, as `nn.Softplus`; its negative of -x, as `nn.LogSigmoid`,
    where `mirrored` is set.

    Source: Dugas et al., Incorporating second-order functional knowledge for better option pricing (2000).
    """

    def __init__(self, beta: float = 1.0, mirrored: bool = False) -> None:
        super().__init__()
        self.beta, self.mirrored = beta, mirrored

    def forward(self, x: Tensor) -> Tensor:
        rest = torch.log(1 + torch.exp(-self.beta * torch.abs(x))) * (1 / self.beta)
        return -(F.relu(-x) + rest) if self.mirrored else F.relu(x) + rest


class SoftsignByReciprocal(nn.Module):
    """`nn.Softsign` of any shape by a product, which converters do not take for a layer of its name."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.reciprocal(torch.abs(x) + 1)


def _gelu(call: Call) -> Instead:
    return single(GELUByExponential(call["approximate"]), call)


def _elu(call: Call) -> Instead:
    name = call.name
    if name == "selu":
        return single(_selu(), call)
    alpha = float(call["alpha"])
    if name == "celu":
        return single(ELUByExponential(alpha, rate=1 / alpha), call)
    return single(ELUByExponential(alpha, float(call["scale"]), float(call["input_scale"])), call)


def _selu() -> ELUByExponential:
    return ELUByExponential(1.6732632423543772, 1.0507009873554805)


def _elu_layer(module: nn.Module) -> nn.Module | None:
    if type(module) is nn.ELU:
        return ELUByExponential(module.alpha)
    if type(module) is nn.CELU:
        return ELUByExponential(module.alpha, rate=1 / module.alpha)
    return _selu() if type(module) is nn.SELU else None


def _softplus(call: Call) -> Instead | None:
    if call.name == "log_sigmoid":
        return single(SoftplusByExponential(mirrored=True), call)
    if call["threshold"] < _EXACT:
        return None
    return single(SoftplusByExponential(float(call["beta"])), call)


def _softplus_layer(module: nn.Module) -> nn.Module | None:
    if type(module) is nn.Softplus and module.threshold >= _EXACT:
        return SoftplusByExponential(float(module.beta))
    return SoftplusByExponential(mirrored=True) if type(module) is nn.LogSigmoid else None


def _softsign(call: Call) -> Instead | None:
    """Of x / (1 + |x|)."""
    x, bottom = call["self"], call["other"]
    if not isinstance(bottom, fx.Node) or name_of(bottom) != "add" or bottom.args[1] != 1:
        return None
    absolute = bottom.args[0]
    if not isinstance(absolute, fx.Node) or name_of(absolute) != "abs" or absolute.args[0] is not x:
        return None
    return single(SoftsignByReciprocal(), call)


GELU = Rewrite(
    "gelu-by-exponential",
    ("gelu",),
    _gelu,
    lambda module: GELUByExponential(module.approximate) if type(module) is nn.GELU else None,
)
ELU = Rewrite("elu-by-exponential", ("elu", "selu", "celu"), _elu, _elu_layer)
MISH = Rewrite(
    "mish-by-exponential",
    ("mish",),
    lambda call: single(MishByExponential(), call),
    lambda module: MishByExponential() if type(module) is nn.Mish else None,
)
SOFTPLUS = Rewrite("softplus-by-exponential", ("softplus", "log_sigmoid"), _softplus, _softplus_layer)
SOFTSIGN = Rewrite(
    "softsign-by-reciprocal",
    ("div",),
    _softsign,
    lambda module: SoftsignByReciprocal() if type(module) is nn.Softsign else None,
)
