"""The end of a race: the recipe and the edited one on the final seeds, and the one look at the test part."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import torch

from netwright.recipe import Recipe
from netwright.runs import Run, predict
from netwright.trials.engine import Engine, Job, RunEvent
from netwright.trials.race import run_all
from netwright.trials.statistics import compare
from netwright.values import TestEffect

Look = Callable[[str, str], int]


def final_runs(
    recipe: Recipe, current: Recipe, trainable: bool, *, engine: Engine, seeds: Sequence[int], device: str
) -> Generator[RunEvent, None, tuple[tuple[Run, ...], tuple[Run, ...]]]:
    """The recipe and the edited one on the final seeds; a recipe that cannot train stands there untrained."""
    epochs = None if trainable else 0

    def jobs(of: Recipe, label: str, length: int | None = None) -> list[Job]:
        return [Job(of, s, length, label, keep_weights=True, device=device) for s in seeds]

    wanted = jobs(recipe, "result: before", epochs)
    if current is not recipe:
        wanted += jobs(current, "result: after")
    results = yield from run_all(engine, wanted)
    runs = tuple(r for r in results if isinstance(r, Run))
    if len(runs) < len(wanted):
        return (), ()
    before = runs[: len(seeds)]
    return before, runs[len(seeds) :] or before


def score_test(
    recipe: Recipe, current: Recipe, before: Sequence[Run], after: Sequence[Run], look: Look, device: str
) -> tuple[TestEffect, float, float]:
    """Test scores of both, once, from the final runs' weights; the interval is the crossed bootstrap."""
    samples = recipe.data.parts.test
    assert samples is not None
    samples = samples.to(torch.device(device))
    metric = recipe.yardstick.metric

    def scored(of: Recipe, runs: Sequence[Run]) -> tuple[list[float], list[Any]]:
        scores, each = [], []
        for run in runs:
            network = of.build(run.seed)
            assert run.weights is not None
            network.load_state_dict({k: torch.as_tensor(v) for k, v in run.weights.items()})
            guess, goal = predict(network.to(device), samples)
            guess = of.judged(guess)
            scores.append(metric.score(guess, goal))
            each.append(metric.contributions(guess, goal).cpu().numpy() if metric.contributions else None)
        return scores, each

    old, old_each = scored(recipe, before)
    new, new_each = (old, old_each) if after is before else scored(current, after)
    stacked = None if old_each[0] is None else (np.stack(old_each), np.stack(new_each))
    comparison = compare(np.array(old), np.array(new), *(stacked or (None, None)))
    low = comparison.low if comparison.low_samples is None else comparison.low_samples
    high = comparison.high if comparison.high_samples is None else comparison.high_samples
    looks = look(samples.digest(), f"{before[0].key}|{after[0].key}")
    return (
        TestEffect(looks, len(samples), comparison.effect, low, high),
        float(np.mean(old)),
        float(np.mean(new)),
    )
