"""The same sample many times, or in two parts of the data; a feature that is the answer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from netwright.catalogue import Needs, check
from netwright.runs import Evidence, PartSummary
from netwright.values import Finding

COPIES, LEAKS = 0.1, 0.01
COINCIDENCE = math.log(10)  # ten possible inputs a sample, each as likely, make one in twenty a copy
Array = NDArray[np.floating[Any]]


def keys_of(part: PartSummary) -> NDArray[np.void]:
    """(M,) the looked-at inputs as bytes, so that equal ones are equal."""
    flat = part.inputs.reshape(len(part.inputs), -1).contiguous().cpu().numpy()
    return np.ascontiguousarray(flat).view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()


def _tells_apart(part: PartSummary) -> bool:
    """Whether inputs have so many possible values that two equal ones are no coincidence."""
    flat = part.flat[:512]
    levels = [len(torch.unique(flat[:, k])) for k in range(min(flat.shape[1], 64))]
    if math.log(max(1, part.size)) > sum(map(math.log, levels)) - COINCIDENCE:
        return False
    return sum(count > 8 for count in levels) >= 3 or part.kind in ("image", "series", "tokens")


@check(
    "duplicates",
    needs=Needs.DATA | Needs.PARTS,
    confuses="coarse measurements, of which two different samples may be equal",
)
def samples_that_repeat(evidence: Evidence) -> Iterator[Finding]:
    """The same sample many times in the training part.

    Looks at up to 4,096 training inputs, (M, ...), byte by byte.
    Threshold: 10 % of the samples are copies of an earlier one, in inputs fine enough to tell samples apart.
    Source: Barz and Denzler, Do We Train on Test Data? (2020); Lee et al., Deduplicating Training Data
    (2022).
    """
    assert evidence.data is not None
    part = evidence.data.train
    if not _tells_apart(part):
        return
    _, first, counts = np.unique(keys_of(part), return_index=True, return_counts=True)
    share = 1 - len(first) / max(1, len(part.inputs))
    if share < COPIES:
        return
    copies = np.setdiff1d(np.arange(len(part.inputs)), first)
    rows = part.positions.numpy()[copies]
    samples = evidence.recipe.data.parts.train.ids(rows[:100].tolist()) if evidence.recipe else None
    yield Finding(
        "duplicates",
        attrs.evolve(evidence.place("data_repairs"), samples=samples),
        {"share": share, "most_copies": int(counts.max()), "rows": rows.tolist()},
        f"{share:.0%} of the training samples are copies of others (one occurs {int(counts.max())} times):"
        " they weigh as often as they occur.",
        ("drop-copies",),
    )


@check(
    "leakage",
    needs=Needs.DATA | Needs.PARTS,
    confuses="coarse measurements that coincide; a feature that is known before the answer is",
)
def answers_that_are_given_away(evidence: Evidence) -> Iterator[Finding]:
    """Validation samples that are also training samples, or a single feature that is the answer.

    Looks at the inputs of both parts, up to 4,096 each, byte by byte; and for a table at how well one feature
    alone, cut into intervals on the training part, answers in validation.
    Threshold: 1 % of the validation samples found in training and more than copies within training explain by
    half again; a feature alone with a skill of 0.97 that leaves a fifth of what the next best leaves, or
    where that one stays under 0.8.
    Source: Kaufman et al., Leakage in Data Mining (2012); Kapoor and Narayanan, Leakage and the
    reproducibility crisis (2023).
    """
    assert evidence.data is not None
    train, val = evidence.data.train, evidence.data.val
    if (
        _tells_apart(train)
        and train.inputs.shape[1:] == val.inputs.shape[1:]
        and train.inputs.dtype == val.inputs.dtype
    ):
        known = keys_of(train)
        found = np.isin(keys_of(val), known)
        # Only part of a large training set was looked at: what was seen is scaled to the whole.
        share = float(found.mean())
        if share >= LEAKS and int(found.sum()) >= 2:
            rows = val.positions.numpy()[found]
            samples = evidence.recipe.data.parts.val.ids(rows[:100].tolist()) if evidence.recipe else None
            yield Finding(
                "leakage",
                attrs.evolve(evidence.place("split"), samples=samples),
                {
                    "share": share,
                    "matches": int(found.sum()),
                    "rows": rows.tolist(),
                    "training_rows": train.positions.numpy()[np.isin(known, keys_of(val))].tolist(),
                    "measured": True,
                },
                f"{int(found.sum())} of {len(found)} validation samples ({share:.0%}) are in the training"
                " data as well: their score is memory, not skill.",
                ("without-the-shared",),
            )
            return
    giveaway = _giveaway(evidence)
    if giveaway is not None:
        feature, skill, other = giveaway
        yield Finding(
            "leakage",
            attrs.evolve(evidence.place("data_repairs"), attribute="data_repairs"),
            {"feature": feature, "skill_alone": skill, "next_best": other, "measured": True},
            f"Feature {feature} alone gives the answer (skill {skill:.2f}; the next best alone {other:.2f}):"
            " is it known when the network is asked?",
            ("without-the-feature",),
        )


def _giveaway(evidence: Evidence) -> tuple[int, float, float] | None:
    """The feature that answers alone, its skill and the next best one's; by 20 intervals of each."""
    assert evidence.data is not None
    data = evidence.data
    if data.train.kind != "table" or data.task.name not in ("classification", "binary", "regression"):
        return None
    x, v = data.train.flat.numpy(), data.val.flat.numpy()
    if _asks_for_its_inputs(data.train):
        return None
    if x.shape[1] < 3 or x.shape[1] != v.shape[1] or len(v) < 20 or x.shape[1] > 400:
        return None
    y = _answers(data.train, data.task.name)
    goal = _answers(data.val, data.task.name)
    skills = np.array([_alone(x[:, k], y, v[:, k], goal, data.task.name) for k in range(x.shape[1])])
    order = np.argsort(-skills)
    best, second = float(skills[order[0]]), float(skills[order[1]])
    alone = second < 0.8 or 1 - best < 0.2 * (1 - second)
    return (int(order[0]), best, second) if best >= 0.97 and alone else None


def _asks_for_its_inputs(part: PartSummary) -> bool:
    """Whether the targets are the inputs themselves, as an autoencoder's are."""
    targets = part.targets[part.positions].reshape(len(part.positions), -1)
    return targets.shape[1] > 1 and targets.shape == part.flat.shape and torch.equal(targets, part.flat)


def _answers(part: PartSummary, task: str) -> NDArray[np.float64]:
    chosen = part.targets[part.positions].reshape(len(part.positions), -1).float().numpy()
    if task == "regression":
        return chosen[:, 0]
    labels = part.labels[part.positions.numpy()].astype(float)
    return np.where(labels >= 0, labels, np.nan)


def _alone(x: Array, y: Array, v: Array, goal: Array, task: str) -> float:
    """Skill in validation of answering by the interval that one feature's value falls into."""
    if not all(np.isfinite(a).all() for a in (x, v, y, goal)):
        return 0.0
    edges = np.unique(np.quantile(x, np.linspace(0, 1, 21)[1:-1]))
    cells, there = np.searchsorted(edges, x, side="right"), np.searchsorted(edges, v, side="right")
    if task == "regression":
        # A straight line in each interval, so that a copy of the target with noise is found out.
        spread = float(x.std())
        if spread == 0 or not np.isfinite(spread):
            return 0.0
        slope = float(((x - x.mean()) * (y - y.mean())).mean() / spread**2)
        error = float(((goal - y.mean() - slope * (v - x.mean())) ** 2).mean())
        return 1 - error / max(float(((goal - y.mean()) ** 2).mean()), 1e-12)
    guess = np.zeros(len(v))
    common = float(np.bincount(y.astype(int)).argmax())
    for cell in np.unique(there):
        inside = y[cells == cell]
        guess[there == cell] = float(np.bincount(inside.astype(int)).argmax()) if len(inside) else common
    trivial = float((goal == common).mean())
    return (float((guess == goal).mean()) - trivial) / max(1e-9, 1 - trivial)
