"""Normalisation: modules of torch.nn where scale and bias are constants, functions where they are computed.

Shapes: N batch, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from netwright.ports.onnx.read_call import Call, Emit
from netwright.ports.onnx.read_graph import Value

_BATCH = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_INSTANCE = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}

# Functions of the network


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation over however many dimensions the input has."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass


def batch_norm(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    """With statistics per channel, or, where they have more dimensions, per activation."""
    shape = (1, *mean.shape, *[1] * (x.ndim - 1 - mean.ndim))
    normal = (x - mean.reshape(shape)) * torch.rsqrt(variance.reshape(shape) + eps)
    return (normal * scale.reshape(shape) + bias.reshape(shape)).to(x.dtype)


def batch_norm_in_training(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float, momentum: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised by the batch's own statistics; also the running statistics after it."""
    axes = (0, *range(2, x.ndim))
    own = x.mean(axes), x.var(axes, correction=0)
    made = batch_norm(x, scale, bias, *own, eps)
    return made, mean * momentum + own[0] * (1 - momentum), variance * momentum + own[1] * (1 - momentum)


def layer_norm(
    x: Tensor, scale: Tensor, bias: Tensor | None, axis: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised, the mean and the inverse deviation, over all dimensions from `axis` on."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    wide = x.to(torch.float32) if x.dtype in (torch.float16, torch.bfloat16) else x
    mean = wide.mean(axes, keepdim=True)
    inverse = torch.rsqrt(wide.var(axes, correction=0, keepdim=True) + eps)
    made = ((wide - mean) * inverse).to(x.dtype) * scale
    return made if bias is None else made + bias, mean, inverse


def rms_norm(x: Tensor, scale: Tensor, axis: int, eps: float) -> Tensor:
    axes = tuple(range(axis % x.ndim, x.ndim))
    wide = x.to(torch.float32) if x.dtype in (torch.float16, torch.bfloat16) else x
    return (wide * torch.rsqrt(wide.square().mean(axes, keepdim=True) + eps)).to(x.dtype) * scale


def instance_norm(x: Tensor, scale: Tensor, bias: Tensor, eps: float) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=bias, eps=eps)


def group_norm(x: Tensor, scale: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    """With a scale per channel or, in opset 18, per group."""
    each = x.shape[1] // scale.shape[0]
    return F.group_norm(x, groups, scale.repeat_interleave(each), bias.repeat_interleave(each), eps)


def local_response_norm(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """Over an even number of channels, of which one more lies behind than before."""
    square = F.pad(x.square().flatten(2).transpose(1, 2), ((size - 1) // 2, size - 1 - (size - 1) // 2))
    total = square.unfold(2, size, 1).sum(-1).transpose(1, 2).reshape(x.shape)
    return x / (k + alpha / size * total) ** beta


def unit_norm(x: Tensor, axis: int, p: int) -> Tensor:
    """Of p-norm 1 along `axis`; zeros stay zeros."""
    norm = torch.linalg.vector_norm(x, p, axis, keepdim=True)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


# How operators are drawn


def _constants(call: Call, indices: Sequence[int]) -> list[Tensor] | None:
    found = [call.constant(index) for index in indices]
    known = [value for value in found if value is not None and value.is_floating_point()]
    return known if len(known) == len(found) and isinstance(call.inputs[0], fx.Node) else None


def _batch_norm(call: Call) -> Value:
    eps, momentum = call.attr("epsilon", 1e-5), call.attr("momentum", 0.9)
    if call.attr("training_mode", 0):
        made = call.call(batch_norm_in_training, *call.tensors(), eps, momentum)
        return tuple(call.parts(made, 3))
    known = _constants(call, (1, 2, 3, 4))
    if known is None or {value.ndim for value in known} != {1} or len({value.shape for value in known}) > 1:
        return call.call(batch_norm, *call.tensors(), eps)
    scale, bias, mean, variance = known
    kind: Any = _BATCH.get(call.rank() or 0, BatchNorm)
    layer = kind(len(scale), eps, max(0.0, 1 - momentum), device="meta", dtype=scale.dtype)
    layer.weight, layer.bias = call.parameter(scale), call.parameter(bias)
    layer.running_mean, layer.running_var = mean.clone(), variance.clone()
    layer.num_batches_tracked = torch.tensor(0)
    return call.layer(layer, call.tensor(0), weight=1)


def _layer_norm(call: Call) -> Value:
    axis, eps = call.attr("axis", -1), call.attr("epsilon", 1e-5)
    known, rank = _constants(call, (1, 2) if call.has(2) else (1,)), call.rank()
    dimensions = -axis if axis < 0 else None if rank is None else rank - axis
    whole = known is not None and {value.ndim for value in known} == {dimensions} and not any(call.wanted[1:])
    if whole and known is not None and len({value.shape for value in known}) == 1:
        shape = list(known[0].shape)
        layer = nn.LayerNorm(shape, eps, bias=len(known) > 1, device="meta", dtype=known[0].dtype)
        layer.weight = call.parameter(known[0])
        if len(known) > 1:
            layer.bias = call.parameter(known[1])
        return call.layer(layer, call.tensor(0), weight=1)
    made = call.call(layer_norm, call.tensor(0), call.tensor(1), call.tensor(2), axis, eps)
    return tuple(call.parts(made, 3))


def _rms_norm(call: Call) -> Value:
    axis, eps = call.attr("axis", -1), call.attr("epsilon", 1e-5)
    known = _constants(call, (1,))
    if known is not None and axis == -known[0].ndim:
        layer = nn.RMSNorm(list(known[0].shape), eps, device="meta", dtype=known[0].dtype)
        layer.weight = call.parameter(known[0])
        return call.layer(layer, call.tensor(0), weight=1)
    return call.call(rms_norm, call.tensor(0), call.tensor(1), axis, eps)


def _instance_norm(call: Call) -> Value:
    eps, known, rank = call.attr("epsilon", 1e-5), _constants(call, (1, 2)), call.rank()
    if known is None or rank not in _INSTANCE or known[0].shape != known[1].shape or known[0].ndim != 1:
        return call.call(instance_norm, *call.tensors(), eps)
    kind: Any = _INSTANCE[rank]
    layer = kind(len(known[0]), eps, affine=True, device="meta", dtype=known[0].dtype)
    layer.weight, layer.bias = call.parameter(known[0]), call.parameter(known[1])
    return call.layer(layer, call.tensor(0), weight=1)


def _group_norm(call: Call) -> Value:
    eps, groups, known = call.attr("epsilon", 1e-5), call.attr("num_groups"), _constants(call, (1, 2))
    if known is None or call.opset < 21 or known[0].ndim != 1 or known[0].shape != known[1].shape:
        return call.call(group_norm, *call.tensors(), groups, eps)
    layer = nn.GroupNorm(groups, len(known[0]), eps, device="meta", dtype=known[0].dtype)
    layer.weight, layer.bias = call.parameter(known[0]), call.parameter(known[1])
    return call.layer(layer, call.tensor(0), weight=1)


def _local_response_norm(call: Call) -> Value:
    """ONNX divides alpha by the size, as PyTorch does."""
    size = call.attr("size")
    alpha, beta, bias = call.attr("alpha", 1e-4), call.attr("beta", 0.75), call.attr("bias", 1.0)
    if size % 2 == 0:
        return call.call(local_response_norm, call.tensor(0), size, alpha, beta, bias)
    return call.layer(nn.LocalResponseNorm(size, alpha, beta, bias), call.tensor(0))


NORMALISING: dict[str, Emit] = {
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LRN": _local_response_norm,
    "LpNormalization": lambda call: call.call(
        unit_norm, call.tensor(0), call.attr("axis", -1), call.attr("p", 2)
    ),
}
