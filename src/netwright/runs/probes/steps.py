"""Experiments of a few hundred steps, each with a start and an order of its own."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from netwright.recipe import Recipe, seeded, stream, tree_map, tree_tensors
from netwright.runs.forward import forward, outputs_of, predict
from netwright.runs.subject import Subject

BATCH_ROWS = 32
RATES = (1e-3, 1e-2)


@frozen
class OverfitBatch:
    """The smallest loss that training on one batch of `rows` samples reached in `steps` steps of Adam,
    against the loss before it; `skill` is that of the outputs then (1 is all learnt by heart)."""

    start: float
    reached: float
    skill: float
    rate: float
    rows: int
    steps: int


def overfit_batch(
    recipe: Recipe, *, seed: int = 0, steps: int = 100, device: str = "cpu"
) -> OverfitBatch | None:
    """Learn one small batch by heart, at two rates of Adam with everything of the recipe but its optimizer.

    `None` for a recipe that replaces forward and loss whole, or whose loss is not finite.
    Source: Karpathy, A Recipe for Training Neural Networks (2019), 'overfit one batch'.
    """
    if recipe.settings.step is not None:
        return None
    network = recipe.build(seed)
    subject = Subject.of(recipe, network, seed, device)
    rows = min(BATCH_ROWS, len(subject.targets))
    if rows < 2:
        return None
    inputs = tree_map(lambda t: t[:rows], subject.inputs)
    targets = subject.targets[:rows]
    initial = copy.deepcopy(network.state_dict())
    metric = recipe.yardstick.metric
    best: OverfitBatch | None = None
    with warnings.catch_warnings(), seeded(seed, "overfit one batch"):
        warnings.simplefilter("ignore")
        for rate in RATES:
            network.load_state_dict(initial)
            network.train()
            parameters = [p for p in network.parameters() if p.requires_grad]
            if not parameters:
                return None
            optimizer = torch.optim.Adam(parameters, lr=rate)
            start = reached = math.nan
            for step in range(steps):
                optimizer.zero_grad(set_to_none=True)
                loss = subject.loss(network, inputs, targets)
                value = float(loss.detach())
                start = value if step == 0 else start
                if not math.isfinite(value) or not loss.requires_grad:
                    break
                reached = value if math.isnan(reached) else min(reached, value)
                loss.backward()
                optimizer.step()
            if math.isnan(reached):
                continue
            skill = max(
                _skill(metric, recipe, _outputs(network, inputs, training), targets)
                for training in (True, False)
            )
            found = OverfitBatch(start, reached, skill, rate, rows, steps)
            if best is None or found.skill > best.skill:
                best = found
    return best


@torch.no_grad()
def _outputs(network: torch.nn.Module, inputs: Any, training: bool) -> Tensor:
    network.train(training)
    return outputs_of(forward(network, inputs))


def _skill(metric: Any, recipe: Recipe, outputs: Tensor, targets: Tensor) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric.skill(metric.score(recipe.judged(outputs), targets))


@frozen
class Altered:
    """The recipe trained for `steps` steps as it is and on altered data: training loss (mean of the last
    tenth) and validation skill of both. The alteration is of the training samples alone."""

    loss: float
    altered_loss: float
    skill: float
    altered_skill: float
    steps: int


def shuffled_labels(
    recipe: Recipe, *, seed: int = 0, steps: int = 300, device: str = "cpu"
) -> Altered | None:
    """True labels against labels dealt out anew: where both train alike, the labels say nothing about the
    inputs. Source: Zhang et al., Understanding deep learning requires rethinking generalization (2017)."""
    return _altered(recipe, seed, steps, device, labels=True)


def constant_inputs(
    recipe: Recipe, *, seed: int = 0, steps: int = 300, device: str = "cpu"
) -> Altered | None:
    """Real inputs against the same first sample for all: where both train alike, the inputs are not used.

    Source: Karpathy, A Recipe for Training Neural Networks (2019), 'input-independent baseline'.
    """
    return _altered(recipe, seed, steps, device, labels=False)


def _altered(recipe: Recipe, seed: int, steps: int, device: str, *, labels: bool) -> Altered | None:
    samples = recipe.training_samples
    if recipe.settings.step is not None or not hasattr(samples, "inputs"):
        return None
    plain = _short(recipe, seed, steps, device, lambda x, t, rows: (x, t))
    targets = samples.targets()
    order = torch.randperm(
        len(targets), generator=torch.Generator().manual_seed(stream(seed, "shuffled labels"))
    )
    first = tree_map(lambda t: t[:1], samples.head(1)[0])
    if labels:
        other = _short(recipe, seed, steps, device, lambda x, t, rows: (x, targets[order][rows].to(t.device)))
    else:
        other = _short(recipe, seed, steps, device, lambda x, t, rows: (_same(x, first), t))
    if plain is None or other is None:
        return None
    return Altered(plain[0], other[0], plain[1], other[1], steps)


def _same(inputs: Any, first: Any) -> Any:
    flat = {id(a): b for (_, a), (_, b) in zip(tree_tensors(inputs), tree_tensors(first), strict=True)}
    return tree_map(lambda t: flat[id(t)].to(t.device).expand_as(t).contiguous(), inputs)


def _short(recipe: Recipe, seed: int, steps: int, device: str, change: Any) -> tuple[float, float] | None:
    """(training loss over the last tenth, validation skill) after `steps` steps at a constant rate."""
    where = torch.device(device)
    network = recipe.build(seed).to(where).train()
    loss_of, settings = recipe.settings.make_loss(), recipe.settings
    optimizer = settings.make_optimizer(network)
    samples, val = recipe.training_samples.to(where), recipe.data.parts.val.to(where)
    losses: list[Tensor] = []
    epoch = 0
    with warnings.catch_warnings(), seeded(seed, "altered"):
        warnings.simplefilter("ignore")
        while len(losses) < steps:
            generator = torch.Generator().manual_seed(stream(seed, "order", epoch))
            for inputs, targets, rows in samples.batches(
                settings.batch_size, torch.randperm(len(samples), generator=generator)
            ):
                inputs, targets = change(inputs, targets, rows)
                loss = loss_of(outputs_of(forward(network, inputs)), targets)
                losses.append(loss.detach())
                if loss.requires_grad:
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                if len(losses) == steps:
                    break
            epoch += 1
        last = float(torch.stack(losses[-max(1, steps // 10) :]).mean())
        if not math.isfinite(last):
            return None
        outputs, goal = predict(network, val)
        return last, _skill(recipe.yardstick.metric, recipe, outputs, goal)
