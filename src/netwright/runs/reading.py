"""What can be read of a network and its optimizers while somebody else's loop runs, without waiting for the
device."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from netwright.recipe.edits import core
from netwright.runs.evidence import OptimizerEvidence
from netwright.values import UserError

WATCHED = 2  # parameters of an optimizer
MEASURED = 1 << 13  # values of a gradient
DESCRIBED = 1 << 20  # values of the outputs


def unwrapped(optimizer: Any) -> torch.optim.Optimizer:
    """The optimizer of torch in what Accelerate or Lightning put around it."""
    inside = getattr(optimizer, "optimizer", None)
    while isinstance(inside, torch.optim.Optimizer):
        optimizer, inside = inside, getattr(inside, "optimizer", None)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UserError(f"watch: a {type(optimizer).__name__} is no optimizer of torch")
    return optimizer


def inner_network(network: nn.Module) -> nn.Module:
    """The user's own network under what is around it."""
    while True:
        inside = core(network)
        if isinstance(inside, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            inside = inside.module
        inside = getattr(inside, "_orig_mod", inside)
        if inside is network:
            return network
        network = inside


def is_compiled(network: nn.Module) -> bool:
    return any(
        hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) is not None
        for m in network.modules()
    )


def differs_between_modes(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.batchnorm._BatchNorm):  # pyright: ignore[reportPrivateUsage]
        return module.track_running_stats
    if isinstance(module, (nn.MultiheadAttention, nn.RNNBase)):
        return module.dropout > 0
    rate = getattr(module, "p", getattr(module, "drop_prob", None))
    return "drop" in type(module).__name__.lower() and isinstance(rate, (int, float)) and rate > 0


def is_in(tensor: Tensor, known: dict[int, weakref.ref[Any]]) -> bool:
    """By identity; another tensor may have come to the address of one that was deleted."""
    reference = known.get(id(tensor))
    return reference is not None and reference() is tensor


def held_parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def choose(
    network: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> tuple[list[Tensor], list[frozenset[int]]]:
    """A few parameters of every optimizer, and of the network where none holds them, each with the numbers of
    the optimizers that hold it: weights rather than biases, small rather than large."""
    owners: dict[int, set[int]] = {}
    for k, optimizer in enumerate(optimizers):
        for parameter in held_parameters(optimizer):
            owners.setdefault(id(parameter), set()).add(k)
    unheld = [p for p in network.parameters() if id(p) not in owners]
    chosen: dict[int, Tensor] = {}
    for group in (*(held_parameters(o) for o in optimizers), unheld):
        able = [p for p in group if p.requires_grad]
        best = [p for p in able if p.ndim > 1 and p.numel() <= DESCRIBED] or able
        for place in np.linspace(0, len(best) - 1, min(WATCHED, len(best))).round().astype(int):
            chosen[id(best[place])] = best[place]
    return list(chosen.values()), [frozenset(owners.get(k, ())) for k in chosen]


def describe_optimizers(
    optimizers: Sequence[torch.optim.Optimizer], names: dict[int, str]
) -> OptimizerEvidence | None:
    """Of several, the kinds together, the first one's rate and settings, and what all of them hold."""
    if not optimizers:
        return None
    group = optimizers[0].param_groups[0]
    return OptimizerEvidence(
        ", ".join(type(o).__name__ for o in optimizers),
        float(group["lr"]),
        {k: v for k, v in group.items() if k not in ("params", "lr")},
        tuple(names.get(id(p), "?") for o in optimizers for p in held_parameters(o)),
    )


def rows_equal(parameter: Tensor) -> bool:
    values = parameter.detach()
    return bool(values.ndim > 1 and len(values) > 1 and (values == values[:1]).all())


def sample_of(value: Tensor) -> Tensor:
    """At most about `MEASURED` values of a tensor, the first ones, without a copy."""
    if value.numel() <= MEASURED or value.ndim == 0:
        return value
    return value[: max(1, len(value) * MEASURED // value.numel())]


def stamp(gradient: Tensor | None) -> tuple[int, int] | None:
    """Changes whenever somebody writes to a gradient or replaces it."""
    if gradient is None or gradient.is_sparse:
        return None
    return gradient.data_ptr(), gradient._version


def fetch(values: list[Tensor]) -> list[float]:
    """Numbers from the device, those of one device in one transfer."""
    found: list[float] = []
    for _, run in groupby(values, lambda v: v.device):
        found += torch.stack([v.reshape(()).float() for v in run]).tolist()
    return found


def tensors_in(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)
    elif attrs.has(type(value)) or hasattr(type(value), "__dataclass_fields__"):
        yield from tensors_in(list(vars(value).values()))


def floating_in(value: Any) -> list[Tensor]:
    return [t for t in tensors_in(value) if t.is_floating_point()]
