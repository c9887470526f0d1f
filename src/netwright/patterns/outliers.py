"""A few samples that weigh more than all others."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from netwright.catalogue import Needs, check
from netwright.runs import Evidence
from netwright.values import Finding

MAJORITY, FEW, FAR = 0.5, 0.02, 10.0


@check(
    "outlier-batch",
    needs=Needs.DATA | Needs.PARTS,
    confuses="heavy-tailed measurements, such as incomes, that a logarithm would bring together",
)
def samples_that_make_the_loss(evidence: Evidence) -> Iterator[Finding]:
    """A few samples that make almost all of the loss or of the gradient.

    Looks at the training targets of a regression, (N,), and at the size of each input, (M,), against their
    medians.
    Threshold: at most 2 % of the samples, each 10 times as far from the median as half of them lie (inputs,
    and targets with a longer tail: as 98 % of them), hold over half of the sum of squares.
    Source: Huber, Robust Statistics (1981); Barnett and Lewis, Outliers in Statistical Data (1994).
    """
    assert evidence.data is not None
    train = evidence.data.train
    found: tuple[str, NDArray[np.int64], float] | None = None
    if evidence.data.task.name == "regression":
        values = train.targets.reshape(train.size, -1).double().numpy()
        outside, weight = _far(values)
        if weight > MAJORITY and 0 < outside.mean() <= FEW:
            found = "targets", np.flatnonzero(outside), weight
    if found is None and train.floating:
        flat = train.flat.double().numpy()
        known = np.isfinite(flat).all(1)
        center = np.median(flat[known], 0) if known.any() else np.zeros(flat.shape[1])
        std = _usual_spread(flat[known] - center)
        sizes = np.where(known, np.sqrt((((flat - center) / std) ** 2).mean(1)), 0.0)
        usual = np.quantile(sizes[known], 1 - FEW) if known.any() else 0.0
        outside = sizes > FAR * max(usual, 1e-12)
        weight = float((sizes[outside] ** 2).sum() / max((sizes**2).sum(), 1e-30))
        if weight > MAJORITY and outside.any() and usual > 0:
            found = "inputs", train.positions.numpy()[outside], weight
    if found is None:
        return
    what, rows, weight = found
    samples = evidence.recipe.data.parts.train.ids(rows[:100].tolist()) if evidence.recipe else None
    yield Finding(
        "outlier-batch",
        attrs.evolve(evidence.place("data_repairs"), samples=samples),
        {"rows": rows.tolist(), "share_of_squares": weight, "in": what},
        f"{len(rows)} samples lie so far out that they hold {weight:.0%} of the {what}' sum of squares: their"
        " batches decide where the weights go.",
        ("drop-outliers", "huber-loss"),
    )


def _usual_spread(away: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F,) spreads of the features without the few samples farthest out, which would set them alone."""
    if not len(away):
        return np.ones(away.shape[1])
    sizes = np.square(away).sum(1)
    std = away[sizes <= np.quantile(sizes, 1 - FEW)].std(0)
    return np.where(std > 1e-12, std, 1.0)


def _far(values: NDArray[np.float64]) -> tuple[NDArray[np.bool_], float]:
    """(N,) whether a value lies 10 half-widths from the median, and the share of squares of those that do."""
    known: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(1))
    if known.sum() < 20:
        return np.zeros(len(values), dtype=bool), 0.0
    away = np.where(known[:, None], np.abs(values - np.median(values[known], 0)), 0.0)
    half = np.median(away[known], 0)
    outside = (away > FAR * np.maximum(half, 1e-12)).any(1) & bool((half > 0).all())
    if outside.mean() > FEW:  # a long tail; there may be some beyond it still
        outside = (away > FAR * np.quantile(away[known], 1 - FEW, axis=0)).any(1)
    return np.asarray(outside), float((away[outside] ** 2).sum() / max((away**2).sum(), 1e-30))
