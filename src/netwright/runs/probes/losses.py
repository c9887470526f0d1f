"""The loss asked about outputs of our choice: what it is before any step, and where it is not finite."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from netwright.recipe import seeded
from netwright.runs.probes.quiet import quiet
from netwright.runs.subject import Subject


@frozen
class StartLoss:
    """The loss before any step against that of answering 0 for everything, which a sound start is near."""

    loss: float
    expected: float


class _Constant(nn.Module):
    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, *_: Any, **__: Any) -> Tensor:
        return self.outputs


def start_loss(subject: Subject, seed: int = 0) -> StartLoss | None:
    """The loss at initialisation against its expected value: log(K) for K even classes, the mean square of
    the targets for a squared error. Source: Karpathy, A Recipe for Training Neural Networks (2019), step
    2."""
    used = quiet(subject)
    with torch.no_grad(), seeded(seed, "start loss"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = used.outputs()
        loss = float(used.loss(used.network, used.inputs, used.targets))
        neutral = torch.full_like(outputs, 0.5 if used.loss_name == "bce" else 0.0)
        if used.loss_name == "nll":
            neutral = neutral.log_softmax(1)
        expected = float(used.loss(_Constant(neutral), used.inputs, used.targets))
    return StartLoss(loss, expected)


@frozen
class LossExtremes:
    """Legal outputs and batches for which a loss written by hand is not finite, in words."""

    failing: tuple[str, ...] = ()


def loss_extremes(subject: Subject, seed: int = 0) -> LossExtremes | None:
    """The loss of outputs far apart and of batches of a single class, where the ordinary outputs give a
    finite one.

    Of torch's own losses by name nothing is asked: they are finite. `None` for one that replaces forward as
    well.
    """
    recipe = subject.recipe
    if recipe is not None and isinstance(recipe.settings.loss, str):
        return LossExtremes()
    if recipe is not None and recipe.settings.step is not None:
        return None
    used = quiet(subject)
    failing: list[str] = []
    with torch.no_grad(), seeded(seed, "loss extremes"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = used.outputs()

        def finite(made: Tensor, targets: Tensor) -> bool:
            return bool(torch.isfinite(used.loss(_Constant(made), used.inputs, targets)).all())

        if not finite(outputs, used.targets):
            sound = bool(torch.isfinite(outputs).all()) and bool(torch.isfinite(used.targets.float()).all())
            return LossExtremes(("an ordinary batch of finite outputs and targets",) if sound else ())
        unit = float(outputs.min()) >= 0 and float(outputs.max()) <= 1
        signs = torch.ones_like(outputs)
        signs.reshape(-1)[::2] = -1
        for sign in (1, -1):
            far = (signs * sign > 0).to(outputs) if unit else 60 * sign * signs
            if not finite(far, used.targets):
                failing.append("outputs of 0 and 1" if unit else "outputs of ±60")
                break
        blown = _blown_up(used, outputs)
        if blown is not None:
            failing.append(blown)
        flat = used.targets.reshape(len(used.targets), -1)
        if flat.shape[1] == 1 and not used.targets.is_floating_point():
            for value in flat.unique()[:10]:
                rows = (flat[:, 0] == value).nonzero()[:, 0]
                if not finite(outputs[rows], used.targets[rows]):
                    failing.append(f"a batch in which every target is {float(value):g}")
                    break
    return LossExtremes(tuple(failing))


def _blown_up(used: Subject, outputs: Tensor) -> str | None:
    """A target near 0 whose loss alone is a thousand times the usual, though the output is no further from
    it; of targets of either sign, where an error in proportion to the target means nothing, ten times."""
    if not used.targets.is_floating_point() or used.targets[0].numel() != 1 or outputs[0].numel() != 1:
        return None
    every = used.targets if used.recipe is None else used.recipe.training_samples.targets().to(used.targets)
    every = every.reshape(-1)
    every = every[torch.isfinite(every)]
    nearest = every[every.abs().argsort()[:32]]
    usual = every[:: max(1, len(every) // 32)][:32]

    def loss(target: Tensor) -> float:  # of an output that is one standard deviation off
        goal = target.reshape(used.targets[:1].shape)
        made = (goal + every.std()).reshape(outputs[:1].shape)
        return float(used.loss(_Constant(made), used.inputs, goal))

    losses = torch.tensor([loss(t) for t in usual])
    middle, low = float(losses.median()), float(losses.quantile(0.25))
    both_signs = bool((every > 0).any() and (every < 0).any())
    for target in nearest:
        value = loss(target)
        if (middle > 0 and not value < 1e3 * middle) or (both_signs and low > 0 and not value < 10 * low):
            if not math.isfinite(value):
                return f"a target of {float(target):.2g}, where it is not finite for any error"
            return (
                f"a target of {float(target):.2g}, where it is"
                f" {value / (low or middle):,.0f} times larger than for as large an error elsewhere"
            )
    return None
