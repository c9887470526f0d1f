"""A layer's blobs as its module's parameters, with every shape checked before memory is taken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netwright.ports.caffe.network import Layer

MAX_FRESH = 1 << 30  # numbers in a layer that has no weights yet


def spots_of(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters and buffers on which weights belong, in Caffe's order of blobs."""
    return [*module.named_parameters(), *module.named_buffers()]


def fill(layer: Layer, module: nn.Module, needs_weights: bool) -> None:
    """The layer's blobs as the module's parameters; without blobs, a fresh start."""
    blobs = [np.asarray(blob) for blob in layer.blobs]
    if not blobs:
        if needs_weights:
            raise layer.error("has no weights in the caffemodel; do the two files belong together?")
        if sum(value.numel() for _, value in spots_of(module)) > MAX_FRESH:
            raise layer.error(f"has more than {MAX_FRESH:,} weights")
        module.to_empty(device="cpu")
        module.reset_parameters()  # pyright: ignore[reportCallIssue]
        return
    if isinstance(module, nn.modules.batchnorm._BatchNorm):  # pyright: ignore[reportPrivateUsage]
        blobs = _statistics(layer, blobs)
    if isinstance(module, nn.Linear) and layer.settings("inner_product_param").flag("transpose", False):
        blobs[0] = blobs[0].reshape(module.in_features, -1).T if blobs[0].size else blobs[0]
    spots = spots_of(module)
    if len(blobs) < len(spots):
        raise layer.error(f"needs {len(spots)} blobs of weights, the caffemodel has {len(blobs)}")
    for (name, value), blob in zip(spots, blobs, strict=False):
        setattr(module, name, _tensor(layer, name, value, blob))


def _tensor(layer: Layer, name: str, value: Tensor, blob: np.ndarray[Any, Any]) -> Tensor:
    """A blob as the tensor it replaces; axes of size one do not matter, as in Caffe's old files."""
    if _without_ones(blob.shape) != _without_ones(value.shape):
        raise layer.error(f"{name} is {shown(value.shape)} but the caffemodel has {shown(blob.shape)}")
    fresh = torch.from_numpy(np.array(blob, dtype=_numpy(value)))
    fresh = fresh.reshape(value.shape)
    return nn.Parameter(fresh) if isinstance(value, nn.Parameter) else fresh


def _numpy(value: Tensor) -> type:
    return np.float32 if value.is_floating_point() else np.int64


def _without_ones(shape: Iterable[int]) -> list[int]:
    return [size for size in shape if size != 1]


def shown(shape: Iterable[int]) -> str:
    return "×".join(str(size) for size in shape) or "one number"


def _statistics(layer: Layer, blobs: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Caffe keeps sums of mean and variance, and by how much to divide them; 0 means no statistics yet."""
    if len(blobs) < 3 or not blobs[2].size:
        raise layer.error("needs mean, variance and their factor in the caffemodel")
    factor = float(blobs[2].reshape(-1)[0])
    scale = 0.0 if factor == 0 else 1 / factor
    return [blobs[0] * np.float32(scale), blobs[1] * np.float32(scale), np.zeros(())]
