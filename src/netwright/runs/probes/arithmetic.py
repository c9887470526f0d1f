"""Gradients against what they should be: written by hand against measured, half precision against full."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import attrs
import torch
from attrs import frozen
from torch import Tensor

from netwright.recipe import seeded, tree_map
from netwright.recipe.edits import core
from netwright.recipe.precision import HALVES, FullPrecision
from netwright.runs.forward import forward, outputs_of
from netwright.runs.probes.quiet import generator_of, gradients_of, quiet
from netwright.runs.subject import Subject


@frozen
class GradientCheck:
    """Autograd against central differences in float64, by parameter: `error` is |numeric − autograd| over the
    larger. `functions` are the gradients written by hand that the pass goes through; `layer` is the one with
    the largest error."""

    functions: tuple[str, ...]
    error: float = 0.0
    layer: str = ""
    checked: int = 0


def gradient_check(subject: Subject, seed: int = 0) -> GradientCheck | None:
    """Directional derivatives of the loss along each parameter, where a gradient was written by hand.

    `None` where none was, or where the network cannot be run in float64.
    Source: PyTorch documentation, torch.autograd.gradcheck.
    """
    used = quiet(subject)
    with seeded(seed, "gradient check"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        functions = _handwritten(used.loss(used.network, used.inputs, used.targets))
        if not functions:
            return None
        used.network.double()
        inputs = tree_map(lambda t: t.double() if t.is_floating_point() else t, used.inputs)
        targets = used.targets.double() if used.targets.is_floating_point() else used.targets
        try:
            loss = used.loss(used.network, inputs, targets)
            parameters = [(n, p) for n, p in core(used.network).named_parameters() if p.requires_grad]
            given = gradients_of(loss, [p for _, p in parameters])
        except (RuntimeError, TypeError):
            return None
        worst, layer = 0.0, ""
        generator = generator_of(seed)
        for (name, parameter), gradient in zip(parameters, given, strict=True):
            direction = torch.randn(parameter.shape, generator=generator).to(parameter)
            numeric = _slope(used, inputs, targets, parameter, direction)
            analytic = float((gradient * direction).sum()) if gradient is not None else 0.0
            size = max(abs(numeric), abs(analytic))
            error = abs(numeric - analytic) / size if size > 1e-9 else 0.0
            if error > worst:
                worst, layer = error, name.rpartition(".")[0]
    return GradientCheck(functions, worst, layer, len(parameters))


@torch.no_grad()
def _slope(used: Subject, inputs: Any, targets: Tensor, parameter: Tensor, direction: Tensor) -> float:
    step = 1e-6
    losses = []
    for sign in (1, -2):
        parameter.add_(direction, alpha=sign * step)
        losses.append(float(used.loss(used.network, inputs, targets)))
    parameter.add_(direction, alpha=step)
    return (losses[0] - losses[1]) / (2 * step)


def _handwritten(loss: Tensor) -> tuple[str, ...]:
    """Names of the `torch.autograd.Function` subclasses in the graph behind `loss`."""
    waiting: list[Any] = [loss.grad_fn]
    seen, found = set[Any](), set[str]()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            found.add(type(node).__name__.removesuffix("Backward"))
        waiting.extend(parent for parent, _ in node.next_functions)
    return tuple(sorted(found))


@frozen
class Precision:
    """The batch in the recipe's precision against float32: shares of gradients that are exactly 0 in each,
    and whether the loss and the gradients of each are finite. `lost` and `lost_in_full`: shares of the
    weights that the optimizer's first step leaves as they are although they have a gradient."""

    zero: float
    zero_in_full: float
    finite: bool
    finite_in_full: bool
    lost: float = 0.0
    lost_in_full: float = 0.0


def precision(subject: Subject, seed: int = 0) -> Precision | None:
    """What half precision loses in one backward pass and one step, whether the recipe asks for it or forward
    and loss cast by hand. `None` for a network that trains in float32.

    Source: Micikevicius et al., Mixed Precision Training (2018), sections 3.1 and 3.2.
    """
    cast = subject.recipe is not None and subject.recipe.settings.precision != "float32"
    own = any(p.dtype in HALVES for p in subject.network.parameters())
    with seeded(seed, "precision"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not (cast or own) and not _casts(quiet(subject)):
            return None
        full = quiet(subject)
        full.network.float()
        inputs = tree_map(lambda t: t.float() if t.is_floating_point() else t, subject.inputs)
        with torch.autocast(subject.targets.device.type, enabled=False), FullPrecision():
            whole, reference = _gradients(_plain(full), inputs, subject.targets)
        half = quiet(subject)
        loss, low = _gradients(half, subject.inputs, subject.targets)
        lost = [_lost(used, given) if own else 0.0 for used, given in ((half, low), (full, reference))]
    finite = [_finite([loss, *low]), _finite([whole, *reference])]
    return Precision(_zero(low), _zero(reference), *finite, *lost)


def _casts(used: Subject) -> bool:
    """Whether forward or the loss casts to a half precision by hand."""
    with torch.no_grad(), FullPrecision() as mode:
        used.loss(used.network, used.inputs, used.targets)
    return mode.answered > 0


def _lost(used: Subject, gradients: Sequence[Tensor | None]) -> float:
    """The share of weights with a gradient that one step of the optimizer does not change."""
    if used.recipe is None:
        return 0.0
    parameters = [p for p in used.network.parameters() if p.requires_grad]
    optimizer = used.recipe.settings.make_optimizer(used.network)
    before = [p.detach().clone() for p in parameters]
    for parameter, gradient in zip(parameters, gradients, strict=False):
        parameter.grad = gradient
    optimizer.step()
    moved = asked = 0
    for parameter, old in zip(parameters, before, strict=True):
        if parameter.grad is not None:
            has = parameter.grad != 0
            asked += int(has.sum())
            moved += int((has & (parameter.detach() != old)).sum())
    return 1 - moved / asked if asked else 0.0


def _plain(subject: Subject) -> Subject:
    """The same without the recipe's own autocast."""
    recipe = subject.recipe
    if recipe is None or recipe.settings.step is not None:
        return subject
    loss = recipe.settings.make_loss()
    return attrs.evolve(subject, loss=lambda n, i, t: loss(outputs_of(forward(n, i)), t))


def _gradients(used: Subject, inputs: Any, targets: Tensor) -> tuple[Tensor, list[Tensor | None]]:
    """The loss, and its gradients by the parameters that learn: none where it has no graph."""
    parameters = [p for p in used.network.parameters() if p.requires_grad]
    loss = used.loss(used.network, inputs, targets)
    given = gradients_of(loss, parameters) if loss.requires_grad else []
    return loss.detach(), [g.detach() if g is not None else None for g in given]


def _zero(gradients: Sequence[Tensor | None]) -> float:
    there = [g for g in gradients if g is not None]
    return float(sum((g == 0).sum() for g in there)) / max(1, sum(g.numel() for g in there))


def _finite(gradients: Sequence[Tensor | None]) -> bool:
    return all(bool(torch.isfinite(g).all()) for g in gradients if g is not None)
