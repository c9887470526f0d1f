"""Rates with 95 % intervals, and how well stated confidence fits what came true."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from attrs import frozen
from scipy.special import betaincinv

REPLICATES = 2000


@frozen
class Rate:
    """`hits` of `count`, with the limits of its 95 % interval."""

    hits: int
    count: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.hits / self.count if self.count else float("nan")

    def __str__(self) -> str:
        if not self.count:
            return "–"
        return f"{self.share:.1%} ({self.hits}/{self.count}) [{self.low:.1%}, {self.high:.1%}]"


def clopper_pearson(hits: int, count: int) -> tuple[float, float]:
    """The exact 95 % interval of a binomial share."""
    low = float(betaincinv(hits, count - hits + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, count - hits, 0.975)) if hits < count else 1.0
    return low, high


def rate(hits: Sequence[bool], data: Sequence[str], parents: Sequence[str], seed: int = 0) -> Rate:
    """The share of `hits`; cases of one data set, and of one parent within it, stand or fall together.

    Data sets are drawn with replacement, then parents within each. Where all or none hit, nothing can be
    drawn from that, and the exact binomial interval over the parents (the independent units) is given.
    """
    count, total = len(hits), sum(bool(h) for h in hits)
    if not count:
        return Rate(0, 0, float("nan"), float("nan"))
    units = len(set(parents))
    if total in (0, count):
        low, high = clopper_pearson(0 if total == 0 else units, units)
        return Rate(total, count, low, high)
    clusters: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for hit, where, parent in zip(hits, data, parents, strict=True):
        cell = clusters[where][parent]
        cell[0] += bool(hit)
        cell[1] += 1
    tables = [np.asarray(list(c.values()), dtype=float) for c in clusters.values()]
    generator = np.random.default_rng(seed)
    shares = np.empty(REPLICATES)
    for k in range(REPLICATES):
        sums = np.zeros(2)
        for number in generator.integers(0, len(tables), len(tables)):
            table = tables[number]
            sums += table[generator.integers(0, len(table), len(table))].sum(0)
        shares[k] = sums[0] / sums[1]
    low, high = np.quantile(shares, (0.025, 0.975))
    return Rate(total, count, float(low), float(high))


def brier(stated: Sequence[float], true: Sequence[bool]) -> float:
    """The mean squared distance between stated confidence and what came true: 0 is best, 0.25 says
    nothing."""
    return (
        float(np.mean((np.asarray(stated) - np.asarray(true, dtype=float)) ** 2))
        if len(stated)
        else float("nan")
    )


def reliability(
    stated: Sequence[float],
    true: Sequence[bool],
    edges: Sequence[float] = (0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0001),
) -> list[tuple[str, int, float, float]]:
    """Per bin of confidence: its name, how many, the mean stated, the share that came true."""
    stated_, true_ = np.asarray(stated, dtype=float), np.asarray(true, dtype=float)
    rows = []
    for low, high in itertools.pairwise(edges):
        inside = (stated_ >= low) & (stated_ < high)
        if inside.any():
            name = f"{low:.2f} to {min(high, 1):.2f}"
            rows.append((name, int(inside.sum()), float(stated_[inside].mean()), float(true_[inside].mean())))
    return rows
