"""Paired comparisons over seeds and samples, and the words that their numbers allow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from netwright.values import Word

Numbers = NDArray[np.float64]
RESAMPLES = 2000


@frozen
class Comparison:
    """A candidate against its control over paired seeds, positive is better.

    `effect` is the mean of the paired differences, `low`, `high` its 95 % paired-t interval; `low_samples`,
    `high_samples` the 95 % interval of the crossed bootstrap over seeds × samples, `None` where there are no
    contributions of samples. `p_value` is two-sided, the larger of both. `spread` is the standard deviation
    of the differences; `narrow` the 90 % paired-t interval.
    """

    effect: float
    low: float
    high: float
    low_samples: float | None
    high_samples: float | None
    p_value: float
    spread: float
    narrow: tuple[float, float]
    seeds: int


def t_interval(differences: Numbers, level: float) -> tuple[float, float]:
    """Student's interval of the mean of (n,) differences; infinite for a single one, a point where all are
    equal."""
    n = len(differences)
    mean = float(differences.mean())
    if n < 2:
        return -math.inf, math.inf
    half = float(stdtrit(n - 1, 0.5 + level / 2) * differences.std(ddof=1) / math.sqrt(n))
    return mean - half, mean + half


def t_p_value(differences: Numbers) -> float:
    """Two-sided p-value of a mean of zero; 1 where all differences are 0, 0 where all are the same other
    number."""
    n = len(differences)
    if n < 2:
        return 1.0
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    if spread == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stdtr(n - 1, -abs(mean) / (spread / math.sqrt(n))))


def crossed_bootstrap(
    differences: Numbers,
    *,
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Numbers:
    """(resamples,) means of `differences` (seeds, samples) with seeds and samples drawn anew, each with
    replacement.

    `groups` (samples,) are drawn as units where samples are not independent. Source: Owen, The pigeonhole
    bootstrap (Annals of Applied Statistics, 2007), which is conservative for crossed random effects.
    """
    seeds, samples = differences.shape
    generator = np.random.default_rng(seed)
    if groups is not None:
        _, groups = np.unique(groups, return_inverse=True)
        units = int(groups.max()) + 1
        sums = np.zeros((seeds, units))
        for row in range(seeds):
            sums[row] = np.bincount(groups, weights=differences[row], minlength=units)
        sizes = np.bincount(groups, minlength=units).astype(float)
    else:
        units, sums, sizes = samples, differences, np.ones(samples)
    by_seed = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds  # (R, seeds)
    means = np.empty(resamples)
    block = max(1, 2_000_000 // max(units, 1))
    for start in range(0, resamples, block):
        drawn = generator.multinomial(
            units, np.full(units, 1 / units), size=min(block, resamples - start)
        )  # (b, units)
        rows = by_seed[start : start + len(drawn)] @ sums  # (b, units)
        means[start : start + len(drawn)] = (rows * drawn).sum(1) / (drawn @ sizes)
    return means


def compare(
    control: Numbers,
    candidate: Numbers,
    control_samples: Numbers | None = None,
    candidate_samples: Numbers | None = None,
    *,
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Comparison:
    """Scores (seeds,) of both, and their contributions (seeds, samples) where the metric is a mean over
    samples."""
    differences = np.asarray(candidate, dtype=np.float64) - np.asarray(control, dtype=np.float64)
    low, high = t_interval(differences, 0.95)
    p_value = t_p_value(differences)
    low_samples = high_samples = None
    if control_samples is not None and candidate_samples is not None:
        each = candidate_samples - control_samples
        means = crossed_bootstrap(each, groups=groups, seed=seed)
        low_samples, high_samples = (float(v) for v in np.quantile(means, [0.025, 0.975]))
        tail = min(float((means <= 0).mean()), float((means >= 0).mean()))
        # A resample never hit zero: the p-value is at most the smallest that this many can show.
        p_value = max(p_value, min(1.0, 2 * max(tail, 0.5 / len(means))))
        if not each.any():
            p_value = 1.0
    return Comparison(
        effect=float(differences.mean()),
        low=low,
        high=high,
        low_samples=low_samples,
        high_samples=high_samples,
        p_value=p_value,
        spread=float(differences.std(ddof=1)) if len(differences) > 1 else math.inf,
        narrow=t_interval(differences, 0.90),
        seeds=len(differences),
    )


def holm_alpha(p_values: list[float], planned: int, alpha: float = 0.05) -> list[bool]:
    """Which of the hypotheses tested so far are rejected when `planned` will be tested in the whole run.

    Holm's step-down with the untested ones taken as not yet rejected. A decision made early is never taken
    back by a later one: an untested p-value that turns out smaller only moves the others to a more lenient
    threshold, unless it is itself not rejected, and then it is larger than theirs. Source: Holm (1979).
    """
    planned = max(planned, len(p_values))
    order = sorted(range(len(p_values)), key=lambda k: p_values[k])
    rejected = [False] * len(p_values)
    for rank, k in enumerate(order):
        if p_values[k] > alpha / (planned - rank):
            break
        rejected[k] = True
    return rejected


def holm_adjusted(p_values: list[float], planned: int) -> list[float]:
    """Holm's adjusted p-values of the hypotheses so far, of `planned` in the whole run."""
    planned = max(planned, len(p_values))
    order = sorted(range(len(p_values)), key=lambda k: p_values[k])
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, k in enumerate(order):
        largest = max(largest, min(1.0, (planned - rank) * p_values[k]))
        adjusted[k] = largest
    return adjusted


def word_of(comparison: Comparison, rejected: bool, margin: float) -> Word:
    """`helps` and `hurts` where zero is excluded after the correction, in both intervals; `no difference`
    where the 90 % interval lies within ± `margin`; `unclear` else."""
    low, high = comparison.low, comparison.high
    samples_low = comparison.low_samples if comparison.low_samples is not None else low
    samples_high = comparison.high_samples if comparison.high_samples is not None else high
    if rejected and low > 0 and samples_low > 0:
        return "helps"
    if rejected and high < 0 and samples_high < 0:
        return "hurts"
    if -margin <= comparison.narrow[0] and comparison.narrow[1] <= margin:
        return "no difference"
    return "unclear"


def seeds_needed(effect: float, spread: float) -> int:
    """5 seeds, 10 where the effect seen in screening is below two standard deviations; fixed before any is
    run."""
    return 5 if spread == 0 or abs(effect) >= 2 * spread else 10


def stack(values: list[Any]) -> Numbers | None:
    """(seeds, samples) of contributions, `None` where a seed has none."""
    return None if any(v is None for v in values) or not values else np.stack(values)
