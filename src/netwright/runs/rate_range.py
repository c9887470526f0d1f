"""The learning-rate range test: short trainings from the same start, one at each rate of a grid."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable

import torch
from attrs import frozen

from netwright.recipe import Recipe, seeded, stream
from netwright.runs.forward import forward, outputs_of

FACTOR = 10**0.5
MOST_RATES = 14


@frozen
class RangeTest:
    """`rates` ascending, `falls`: the share by which each lowered the loss from `start` over `steps` steps
    (negative: it rose; −1 at most counts; not finite is −1). `largest_falling_rate` is the last up to
    which the loss falls by a tenth of the best fall without having failed before, `best_rate` the one that
    falls furthest. `made` steps were made in all."""

    rates: tuple[float, ...]
    falls: tuple[float, ...]
    start: float
    steps: int
    made: int = 0

    @property
    def best_rate(self) -> float | None:
        best = max(self.falls, default=0.0)
        return self.rates[self.falls.index(best)] if best > 0.005 else None

    @property
    def largest_falling_rate(self) -> float | None:
        best = self.best_rate
        if best is None:
            return None
        enough = max(self.falls) / 2
        largest = best
        for rate, fall in zip(self.rates, self.falls, strict=True):
            if rate > best and fall >= enough and rate <= largest * FACTOR * 1.01:
                largest = rate
        return largest


def range_test(
    recipe: Recipe,
    *,
    seed: int = 0,
    steps: int = 30,
    device: str = "cpu",
    low: float = 1e-8,
    high: float = 100.0,
) -> RangeTest | None:
    """Train `steps` batches from the same initial weights at rates of a grid with factor √10, schedule off.

    First every tenth rate from 1e-4 to 10, further (down to 1e-8) where the best is at an end, then those
    around the best and on from it as long as the loss still falls half as far.

    The loss is that of the recipe, averaged over its last quarter of steps; the start is the mean over the
    same batches before any step. `None` for a recipe whose start gives no finite loss. Source: Smith,
    Cyclical Learning Rates (2017), section 3.3, as separate runs instead of one sweep, so that a rate is not
    judged by what a smaller one reached.
    """
    if recipe.settings.step is not None:
        return None
    where = torch.device(device)
    network = recipe.build(seed).to(where).train()
    initial = copy.deepcopy(network.state_dict())
    loss_of = recipe.settings.make_loss()
    samples = recipe.training_samples.to(where)
    generator = torch.Generator().manual_seed(stream(seed, "order", "range test"))
    batches = []
    while len(batches) < steps:  # a small data set gives fewer batches than steps: pass over it again
        order = torch.randperm(len(samples), generator=generator) if samples.shuffles else None
        for inputs, targets, _ in samples.batches(recipe.settings.batch_size, order):
            batches.append((inputs, targets))
            if len(batches) == steps:
                break
    tail = max(1, steps // 4)

    made = 0

    def mean_loss(train_at: float | None) -> float:
        nonlocal made
        losses = []
        with seeded(seed, "range test"):
            network.load_state_dict(initial)
            optimizer = recipe.settings.make_optimizer(network)
            for group in optimizer.param_groups:
                group["lr"] = train_at or 0.0
            for inputs, targets in batches if train_at is not None else batches[-tail:]:
                loss = loss_of(outputs_of(forward(network, inputs)), targets)
                losses.append(loss.detach())
                made += train_at is not None
                if train_at is not None and loss.requires_grad:
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    if recipe.settings.clip is not None:
                        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.settings.clip)
                    optimizer.step()
        return float(torch.stack(losses[-tail:]).mean())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = mean_loss(None)
        if not math.isfinite(start) or start == 0:
            return None

        def fall(place: int) -> float:
            after = mean_loss(low * FACTOR**place)
            return max(-1.0, (start - after) / abs(start)) if math.isfinite(after) else -1.0

        falls = _searched(fall, round(math.log(high / low) / math.log(FACTOR)))
    rates = tuple(low * FACTOR**place for place in sorted(falls))
    return RangeTest(rates, tuple(falls[place] for place in sorted(falls)), start, steps, made)


def _searched(fall: Callable[[int], float], last: int) -> dict[int, float]:
    """The falls at those places of the grid, 0…`last`, that tell the best rate and the largest that still
    falls."""
    falls = {place: fall(place) for place in range(8, min(19, last + 1), 2)}

    def best() -> int:
        return max(falls, key=lambda place: (falls[place], -place))  # where all fail, the lowest

    while best() == min(falls) > 0:
        falls[max(0, best() - 2)] = fall(max(0, best() - 2))
    while best() == max(falls) < last:
        falls[min(last, best() + 2)] = fall(min(last, best() + 2))
    for place in (best() - 1, best() + 1):
        if 0 <= place <= last:
            falls[place] = fall(place)
    place = best() + 1
    while place <= last:
        if place not in falls:
            falls[place] = fall(place)
        if falls[place] < falls[best()] / 2:
            break
        place += 1
    return falls
