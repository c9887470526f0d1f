"""Two published sets of training rules, written anew from their descriptions, over one plain training.

AutoTrainer (Zhang et al., ICSE 2021): five problems from the first and last layer's gradients and the
accuracy of epochs, with the defaults that its authors released. SageMaker Debugger: built-in rules for
tensors with their documented defaults. Both see what a plain loop shows, nothing of the recipe.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from attrs import define, field
from torch import Tensor, nn

from netwright.recipe import Recipe, seeded
from netwright.runs.forward import outputs_of, predict


@define
class History:
    """What a plain training shows: an entry a step, or an entry an epoch; weights by name."""

    loss: list[float] = field(factory=list)
    rate: list[float] = field(factory=list)
    gradient_norm: list[float] = field(factory=list)
    first_last: list[tuple[float, float]] = field(factory=list)
    zero_gradients: list[float] = field(factory=list)
    least_gradient: list[float] = field(factory=list)
    update_ratio: list[tuple[float, float]] = field(factory=list)
    train_loss: list[float] = field(factory=list)
    val_loss: list[float] = field(factory=list)
    train_score: list[float] = field(factory=list)
    val_score: list[float] = field(factory=list)
    dead: dict[str, float] = field(factory=dict)
    saturated: dict[str, float] = field(factory=dict)
    start_spread: list[float] = field(factory=list)
    epochs: int = 0


def recorded(recipe: Recipe, seed: int, on_step: Callable[..., None] | None = None) -> History:
    """Train as the recipe says, in a plain loop, and record it; ends where the loss is not finite."""
    training, parts, past = recipe.training, recipe.data.parts, History(epochs=recipe.training.epochs)
    network = recipe.build(seed)
    optimizer, loss_of = training.make_optimizer(network), training.make_loss()
    weights = [p for p in network.parameters() if p.ndim > 1]
    past.start_spread = [float(p.detach().var()) for p in weights if p.numel() > 1]
    rates, count = [g["lr"] for g in optimizer.param_groups], -(-len(parts.train) // training.batch_size)
    metric = recipe.yardstick.metric
    with seeded(seed, "plain"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for epoch in range(training.epochs):
            network.train()
            order = torch.randperm(len(parts.train)) if training.shuffle else None
            batches = parts.train.batches(training.batch_size, order)
            for number, (inputs, targets, _) in enumerate(batches):
                done = (epoch * count + number) / (training.epochs * count)
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * training.factor(done)
                if callable(training.augment):
                    inputs = training.augment(inputs)
                loss = loss_of(outputs_of(network(inputs)), targets)
                optimizer.zero_grad()
                if loss.requires_grad:
                    loss.backward()
                if training.clip is not None:
                    nn.utils.clip_grad_norm_(network.parameters(), training.clip)
                if on_step is not None:
                    on_step(network, optimizer, len(past.loss), float(loss.detach()), past.val_loss)
                _note_step(past, weights, optimizer, float(loss.detach()))
                if not math.isfinite(past.loss[-1]):
                    break
            _note_epoch(past, recipe, network, loss_of, metric, last=epoch == training.epochs - 1)
            if not math.isfinite(past.loss[-1]):
                break
    return past


def _note_step(past: History, weights: list[Any], optimizer: torch.optim.Optimizer, loss: float) -> None:
    past.loss.append(loss)
    past.rate.append(float(optimizer.param_groups[0]["lr"]))
    norms = [float(p.grad.norm()) if p.grad is not None else 0.0 for p in weights]
    past.gradient_norm.append(math.sqrt(sum(n * n for n in norms)) if norms else 0.0)
    past.first_last.append((norms[0], norms[-1]) if norms else (0.0, 0.0))
    given = [p.grad for p in weights if p.grad is not None]
    total = sum(g.numel() for g in given)
    past.zero_gradients.append(sum(float((g == 0).sum()) for g in given) / total if total else 1.0)
    past.least_gradient.append(min((float(g.abs().mean()) for g in given), default=0.0))
    before = [p.detach().clone() for p in weights]
    optimizer.step()
    ratios = [
        float((p.detach() - b).abs().mean() / (b.abs().mean() + 1e-9))
        for p, b in zip(weights, before, strict=True)
    ]
    past.update_ratio.append((min(ratios), max(ratios)) if ratios else (0.0, 0.0))


def _note_epoch(
    past: History, recipe: Recipe, network: nn.Module, loss_of: Any, metric: Any, last: bool
) -> None:
    for part, losses, scores in (
        (recipe.data.parts.train, past.train_loss, past.train_score),
        (recipe.data.parts.val, past.val_loss, past.val_score),
    ):
        hooks = _watch(past, network) if last and losses is past.val_loss else []
        outputs, targets = predict(network, part)
        for hook in hooks:
            hook.remove()
        with torch.no_grad():
            losses.append(float(loss_of(outputs, targets)))
        scores.append(float(metric.score(outputs, targets)))


def _watch(past: History, network: nn.Module) -> list[Any]:
    """Hooks that note which rectifiers never fire and which bounded units are at their ends."""
    hooks = []

    def rectifier(name: str) -> Callable[..., None]:
        def note(_m: nn.Module, _i: Any, out: Tensor) -> None:
            past.dead[name] = float(((out > 0).double().mean(0) < 0.01).double().mean())

        return note

    def bounded(name: str) -> Callable[..., None]:
        def note(_m: nn.Module, _i: Any, out: Tensor) -> None:
            low, high = (-0.9999, 0.9999) if isinstance(_m, nn.Tanh) else (1e-10, 1 - 1e-7)
            ends = ((out <= low) | (out >= high)).double().mean(0)
            past.saturated[name] = float((ends > 0.99).double().mean())

        return note

    for name, module in network.named_modules():
        if isinstance(module, nn.ReLU):
            hooks.append(module.register_forward_hook(rectifier(name)))
        elif isinstance(module, (nn.Tanh, nn.Sigmoid)):
            hooks.append(module.register_forward_hook(bounded(name)))
    return hooks


def autotrainer(past: History) -> list[str]:
    """Problems by AutoTrainer's definitions; scores stand for accuracies."""
    low, lowest, high, dead, swing, often, least, wanted = 1e-3, 1e-4, 70, 0.7, 0.03, 0.2, 0.01, 0.7
    if not np.isfinite(past.loss).all() or not np.isfinite(past.gradient_norm).all():
        return ["exploding gradient"]
    if past.val_loss and (not math.isfinite(past.val_loss[-1]) or past.val_loss[-1] >= 1e5):
        return ["exploding gradient"]
    poor = max(past.val_score) < wanted or max(past.train_score) < wanted
    gains = [max(np.diff(s), default=0.0) if len(s) > 1 else 0.0 for s in (past.train_score, past.val_score)]
    slow = len(past.train_score) > 1 and max(gains) < least
    if poor or slow:
        per_epoch = max(1, len(past.loss) // max(1, len(past.train_loss)))
        seen = range(0, len(past.loss), per_epoch)  # one batch an epoch
        ratios = [
            (past.first_last[k][0] / max(past.first_last[k][1], 1e-30), past.first_last[k][0]) for k in seen
        ]
        if any(past.zero_gradients[k] >= dead for k in seen):
            return ["dying ReLU"]
        if any(ratio > high for ratio, _ in ratios):
            return ["exploding gradient"]
        if any(ratio < low and first < lowest for ratio, first in ratios):
            return ["vanishing gradient"]
        return ["slow convergence"] if slow else []
    scores = past.train_score
    tops = [b for a, b, c in zip(scores, scores[1:], scores[2:], strict=False) if b >= a and b >= c]
    dips = [b for a, b, c in zip(scores, scores[1:], scores[2:], strict=False) if b <= a and b <= c]
    swings = sum(t - d >= swing for t, d in zip(tops, dips, strict=False))
    return ["oscillating loss"] if swings and swings >= often * len(scores) else []


def sagemaker(past: History) -> list[str]:
    """Built-in rules that fire, with their documented default thresholds."""
    out = []
    if min(past.least_gradient, default=1.0) < 1e-7:
        out.append("VanishingGradient")
    if not (np.isfinite(past.loss).all() and np.isfinite(past.gradient_norm).all()):
        out.append("ExplodingTensor")
    if any(high > 10 for _, high in past.update_ratio) or any(low < 1e-8 for low, _ in past.update_ratio):
        out.append("WeightUpdateRatio")
    checked = past.loss[::10]
    if any(now > before * (1 - 0.001) for before, now in itertools.pairwise(checked)):
        out.append("LossNotDecreasing")
    pairs = list(zip(past.train_loss, past.val_loss, strict=True))
    over = [train > 0 and (val - train) / train > 0.1 for train, val in pairs]
    if any(a and b for a, b in itertools.pairwise(over)):
        out.append("Overfit")
    if past.val_loss and len(past.val_loss) - 1 - int(np.argmin(past.val_loss)) > 10:
        out.append("Overtraining")
    if any(share > 0.5 for share in past.dead.values()):
        out.append("DeadRelu")
    if any(share > 0.5 for share in past.saturated.values()):
        out.append("SaturatedActivation")
    spreads = [s for s in past.start_spread if math.isfinite(s)]
    if len(spreads) > 1 and (min(spreads) == 0 or max(spreads) / max(min(spreads), 1e-30) > 10):
        out.append("PoorWeightInitialization")
    return out
