"""Whether a single feature says of the labels in validation what it says in training."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray

from netwright.catalogue import Needs, check
from netwright.runs import DataEvidence, Evidence
from netwright.values import Finding

ROWS, FEATURES, LEVELS = 1500, 1024, 8
TELLS, KEEPS, ERRORS, OTHERS, MOVED = 0.06, 0.7, 4.5, 0.25, 0.2
Array = NDArray[np.float64]


@frozen(eq=False)
class Relation:
    """What each feature alone says of the label, as shares of all there is to know (1 tells it all): in
    training, of samples left out, (F,); in validation (F,); their difference in standard errors (F,); and how
    much of validation would have to be moved for the feature to be spread as in training (F,)."""

    training: Array
    validation: Array
    errors: Array
    moved: Array


@check(
    "shortcut",
    needs=Needs.DATA | Needs.PARTS,
    confuses="a relation that drifts with time, where validation is what comes later",
)
def tells_the_label_in_training_only(evidence: Evidence) -> Iterator[Finding]:
    """A feature or a few pixels that give the label away in training and not in validation.

    Looks at up to 1,500 inputs of each part, (M, F), one feature at a time, cut at its quantiles, and at the
    labels, targets of a regression by their quantiles: how much the feature says of the labels of training
    samples that are left out, and of validation's, in shares of the labels' entropy. Inputs of more than
    1,024 values are not asked.
    Threshold: 6 % in training, less than 0.7 of that in validation, 4.5 standard errors apart, of a feature
    that is itself spread alike in both parts (a fifth of the samples may differ); for at most a quarter of
    the features that say anything, since all of them change where the parts are of different origin.
    Source: Geirhos et al., Shortcut Learning in Deep Neural Networks (2020), on tests in which the relation
    does not hold; Moreno-Torres et al., A unifying view on dataset shift (2012), 'concept shift'.
    """
    assert evidence.data is not None
    found = relations(evidence.data)
    if found is None:
        return
    tells = found.training > TELLS
    odd = tells & (found.validation < KEEPS * found.training) & (found.errors > ERRORS)
    odd &= found.moved < MOVED
    allowed = max(OTHERS * np.count_nonzero(found.training > TELLS / 3), 1 if len(tells) > 2 else 0)
    if not odd.any() or np.count_nonzero(odd) > max(allowed, OTHERS * len(tells) if len(tells) > 64 else 0):
        return
    index = np.flatnonzero(odd)
    index = index[np.argsort(-found.training[index], kind="stable")]
    training, validation = float(found.training[index[0]]), float(found.validation[index[0]])
    columns = getattr(evidence.recipe.data, "features", None) if evidence.recipe else None
    shown = _named(index, evidence.data.train.shape, columns)
    yield Finding(
        "overfit-situation",
        attrs.evolve(evidence.place("data_repairs"), attribute="data_repairs"),
        {
            "part": shown,
            "index": [int(k) for k in index],
            "tells_in_training": training,
            "tells_in_validation": validation,
            "standard_errors_apart": float(found.errors[index[0]]),
            "measured": True,
        },
        f"By itself {shown} tells {training:.0%} of what there is to know of the labels in training and"
        f" {max(0.0, validation):.0%} in validation: what holds in training only is a shortcut.",
        ("blank-the-shortcut",),
    )


def _named(index: NDArray[np.int64], shape: tuple[int, ...], columns: object) -> str:
    if len(shape) == 1 and isinstance(columns, (list, tuple)):
        first = str(columns[index[0]])
    elif len(shape) == 1:
        first = f"feature {index[0]}"
    else:
        first = f"the value at {tuple(int(k) for k in np.unravel_index(index[0], shape))}"
    return f"{first} (and {len(index) - 1} more alike)" if len(index) > 1 else first


def relations(data: DataEvidence) -> Relation | None:
    """What each feature says alone; `None` where labels are neither classes nor single numbers, or where
    there are too few samples or too many features to ask one by one."""
    train, val = data.train, data.val
    if data.task.name not in ("classification", "binary", "regression"):
        return None
    if train.inputs.shape[1:] != val.inputs.shape[1:] or not train.floating:
        return None
    rows, held = (torch.linspace(0, p.looked_at - 1, min(ROWS, p.looked_at)).long() for p in (train, val))
    x, v = train.flat[rows].double().numpy(), val.flat[held].double().numpy()
    if x.shape[1] > FEATURES or min(len(x), len(v)) < 60:
        return None
    y, goal = _labels(data, train.positions[rows].numpy(), val.positions[held].numpy())
    if y is None or goal is None:
        return None
    keep, judged = np.isfinite(x).all(1) & (y >= 0), np.isfinite(v).all(1) & (goal >= 0)
    x, y, v, goal = x[keep], y[keep], v[judged], goal[judged]
    once = np.sort(np.unique(x, axis=0, return_index=True)[1])  # what a copy tells is told already
    x, y = x[once], y[once]
    count = np.bincount(y, minlength=int(max(y.max(initial=0), goal.max(initial=0))) + 1)
    known = count[goal] >= 5  # of a class that training hardly shows nothing can be told
    v, goal = v[known], goal[known]
    if min(len(x), len(v)) < 60 or np.count_nonzero(count) < 2:
        return None
    return _relations(x, y, v, goal, count)


def _labels(
    data: DataEvidence, rows: NDArray[np.int64], held: NDArray[np.int64]
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """Class numbers, of a regression those of the quantiles of training's targets; below 0 where unknown."""
    if data.task.name != "regression":
        return data.train.labels[rows], data.val.labels[held]
    sides = [p.targets.reshape(p.size, -1).double().cpu().numpy() for p in (data.train, data.val)]
    if sides[0].shape[1] != 1:
        return None, None
    y, goal = sides[0][rows, 0], sides[1][held, 0]
    cuts = np.unique(np.nanquantile(y, np.linspace(0, 1, LEVELS + 1)[1:-1]))
    return tuple(np.where(np.isfinite(t), np.searchsorted(cuts, t), -1) for t in (y, goal))  # type: ignore[return-value]


def _relations(
    x: Array, y: NDArray[np.int64], v: Array, goal: NDArray[np.int64], count: NDArray[np.int64]
) -> Relation:
    edges = np.quantile(x, np.linspace(0, 1, LEVELS + 1)[1:-1], axis=0)  # (LEVELS - 1, F)
    low, high = x.min(0), x.max(0)

    def levels(values: Array) -> NDArray[np.int64]:
        found = np.zeros(values.shape, np.int64)
        for edge in edges:
            found += values > edge
        # The ends of the range are values of their own: marks are put there.
        return found + (values > low) + (values >= high)

    bins, features, classes = LEVELS + 3, x.shape[1], len(count)
    prior = count / count.sum()
    entropy = float(-(prior[count > 0] * np.log(prior[count > 0])).sum())
    each = np.arange(features)
    a, b = levels(x), levels(v)
    table = np.bincount(
        ((each * bins + a) * classes + y[:, None]).ravel(), minlength=features * bins * classes
    ).reshape(features, bins, classes)
    total = table.sum(2)  # (F, bins)

    def gain(level: NDArray[np.int64], label: NDArray[np.int64], own: int) -> Array:
        """(N, F) the log odds of the true label that the feature adds to the classes' shares; bounded by what
        there is to know, so that single misses do not decide."""
        seen = table[each, level, label[:, None]] - own
        of = total[each, level] - own
        odds = (seen + classes * prior[label][:, None]) / (of + classes)
        return np.clip(np.log(odds) - np.log(prior[label])[:, None], -entropy, entropy)

    inside, outside = gain(a, y, 1), gain(b, goal, 0)
    spread = np.maximum(inside.std(0), outside.std(0))
    error = spread * (1 / len(inside) + 1 / len(outside)) ** 0.5
    there, here = inside.mean(0), outside.mean(0)
    spread_out = np.bincount((each * bins + b).ravel(), minlength=features * bins).reshape(features, bins)
    moved = np.abs(total / len(x) - spread_out / len(v)).sum(1) / 2
    return Relation(there / entropy, here / entropy, (there - here) / np.maximum(error, 1e-9), moved)
