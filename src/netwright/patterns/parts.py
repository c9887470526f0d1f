"""Whether training and validation are of one kind, and large enough to be told by."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from netwright.catalogue import Needs, check
from netwright.runs import Evidence, PartSummary
from netwright.values import Finding

APART, UNSURE, FEW = 0.75, 0.08, 20


@check(
    "split-drift",
    needs=Needs.DATA | Needs.PARTS,
    confuses="a split by time or group on purpose, after which the parts may differ",
)
def parts_of_different_kinds(evidence: Evidence) -> Iterator[Finding]:
    """Training and validation inputs that come from different distributions, or are preprocessed differently.

    Looks at up to 800 inputs of each part: a linear model that tells the parts apart by twelve summaries of
    each sample (mean, spread, extremes, and directions of the largest variance), cross-validated, and the
    same with the parts' names permuted; and at the shares of the classes.
    Threshold: an area under its curve of 0.75, 0.1 over the best of 5 permutations; 0.5 is a sound split.
    Source: Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests (2017).
    """
    assert evidence.data is not None
    train, val = evidence.data.train, evidence.data.val
    if train.inputs.shape[1:] != val.inputs.shape[1:]:
        return
    area, chance = told_apart(train, val)
    sizes = (_size(train), _size(val))
    if area >= APART and area > chance + 0.1:
        ratio = sizes[1] / max(sizes[0], 1e-12)
        scaled = (
            f" Their sizes differ by a factor of {max(ratio, 1 / max(ratio, 1e-12)):,.0f}."
            if not 1 / 3 < ratio < 3
            else ""
        )
        yield Finding(
            "split-drift",
            evidence.place("split"),
            {
                "area": area,
                "by_chance": chance,
                "size_train": sizes[0],
                "size_val": sizes[1],
                "measured": True,
            },
            f"A linear model tells training from validation inputs with an area of {area:.2f} (0.5 for one"
            f" source): the parts are of different origin, or prepared differently.{scaled}",
            ("prepare-training-alike",),
        )
        return
    drift = _class_drift(evidence)
    if drift is not None and drift > 0.3:
        yield Finding(
            "split-drift",
            evidence.place("split"),
            {"class_shares_apart": drift, "measured": True},
            f"The classes have other shares in validation than in training: {drift:.0%} of the samples would"
            " have to change class.",
            (),
        )


def told_apart(train: PartSummary, val: PartSummary, seed: int = 0) -> tuple[float, float]:
    """Area under the curve of a linear model that tells the parts apart, and the best of 5 permutations."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    a, b = (_some(p) for p in (train, val))
    if min(len(a), len(b)) < 10:
        return 0.5, 0.5
    x = _summaries(np.concatenate([a, b]))
    y = np.repeat([0, 1], [len(a), len(b)])
    model = LogisticRegression(C=1.0, max_iter=200, class_weight="balanced")
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)

    def area(names: NDArray[np.int64]) -> float:
        odds = np.asarray(cross_val_predict(model, x, names, cv=folds, method="predict_proba"))[:, 1]
        return float(roc_auc_score(names, odds))

    found = area(y)
    if found < APART:
        return found, 0.5
    order = np.random.default_rng(seed)
    return found, max(area(order.permutation(y)) for _ in range(5))


def _some(part: PartSummary) -> NDArray[np.float64]:
    rows = np.unique(np.linspace(0, len(part.inputs) - 1, min(800, len(part.inputs))).astype(int))
    flat = part.flat[rows].double().numpy()
    return flat[np.isfinite(flat).all(1)]


def _summaries(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, S) standardised: mean, spread, least, largest of each sample, and up to 8 principal directions."""
    parts = [x.mean(1), x.std(1), x.min(1), x.max(1)]
    std = x.std(0)
    scaled = (x - x.mean(0)) / np.where(std > 1e-12, std, 1.0)
    if scaled.shape[1] <= 8:
        found = np.column_stack([*parts, scaled])
    else:
        mix = np.random.default_rng(0).normal(size=(scaled.shape[1], min(64, scaled.shape[1])))
        projected = scaled @ mix if scaled.shape[1] > 64 else scaled
        _, _, directions = np.linalg.svd(projected - projected.mean(0), full_matrices=False)
        found = np.column_stack([*parts, projected @ directions[:8].T])
    spread = found.std(0)
    return np.clip((found - found.mean(0)) / np.where(spread > 1e-12, spread, 1.0), -10, 10)


def _size(part: PartSummary) -> float:
    flat = part.flat
    return (
        float(np.sqrt(np.nanmean(np.square(flat[torch.isfinite(flat).all(1)].numpy())))) if len(flat) else 0.0
    )


def _class_drift(evidence: Evidence) -> float | None:
    """Half the sum of differences of the classes' shares: the share of samples that would have to change."""
    assert evidence.data is not None
    if evidence.data.task.name not in ("classification", "binary"):
        return None
    train, val = evidence.data.train.counts(), evidence.data.val.counts()
    if min(sum(train.values()), sum(val.values())) < 30 or len(train) > sum(val.values()) / 3:
        return None
    names = {*train, *val}
    shares = [(train.get(k, 0) / sum(train.values()), val.get(k, 0) / sum(val.values())) for k in names]
    return sum(abs(a - b) for a, b in shares) / 2


@check(
    "noisy-validation",
    needs=Needs.DATA | Needs.PARTS | Needs.RUN,
    confuses="a small set that is all there is; groups= or cross-validation then says more",
)
def validation_too_small_to_choose_by(evidence: Evidence) -> Iterator[Finding]:
    """A validation set whose own error is larger than the differences that it is asked about.

    Looks at the standard error of the run's score over the validation samples, (N,), in units of the way from
    trivial to perfect.
    Threshold: at most 20 samples, or at most 40 with an error of 0.08; a repair that gains less cannot be
    told from luck.
    Source: Bouthillier et al., Accounting for Variance in Machine Learning Benchmarks (2021).
    """
    assert evidence.data is not None and evidence.run is not None
    size = evidence.data.val.size
    metric = evidence.yardstick.metric if evidence.yardstick else None
    each = evidence.run.contributions.get("val")
    error = None
    if each is not None and metric is not None and len(each) > 1 and metric.name != "r2":
        error = float(
            np.std(each, ddof=1) / len(each) ** 0.5 / max(1e-9, abs(metric.perfect - metric.trivial))
        )
    if size > FEW and (error is None or error < UNSURE or size > 2 * FEW):
        return
    sure = (
        f" The score is known to about ±{2 * error:.2f} of the way to perfect." if error is not None else ""
    )
    yield Finding(
        "noisy-validation",
        evidence.place("split"),
        {"samples": size, "standard_error": error, "measured": True},
        f"{size} validation samples are too few to choose by.{sure}",
        (),
    )


@check(
    "too-little-data",
    needs=Needs.DATA | Needs.PARTS | Needs.RUN,
    probes=("half-the-data",),
    when=lambda evidence: _overfits(evidence) and _is_small(evidence),
    confuses="a network with far more capacity than the data support",
)
def more_data_would_help(evidence: Evidence) -> Iterator[Finding]:
    """Too few samples for what is asked.

    Looks at the run's gap between training and validation, at the samples for each class (or in all), and at
    the validation skill of the same training on half of the samples.
    Threshold: a gap of 0.15 with at most 30 samples a class (100 for a regression), and a loss of at least
    0.06 of skill when the data are halved.
    Source: Hestness et al., Deep Learning Scaling is Predictable, Empirically (2017).
    """
    assert evidence.data is not None
    answer = evidence.probes["half-the-data"]
    lost = (evidence.skill("val") or 0.0) - answer.skill
    if lost < 0.06:
        return
    yield Finding(
        "too-little-data",
        evidence.place("split"),
        {
            "samples": evidence.data.train.size,
            "skill_lost_by_half": lost,
            "training_skill": evidence.skill("train"),
            "validation_skill": evidence.skill("val"),
        },
        f"{evidence.data.train.size:,} training samples are few: with half of them validation skill falls by"
        f" {lost:.2f}, so more of them should raise it.",
        ("noise-on-inputs", "shift-images", "more-weight-decay"),
    )


@check(
    "a-handful-of-samples",
    needs=Needs.DATA | Needs.PARTS | Needs.RUN,
    confuses="a task so simple that a handful of samples is enough, which is left alone",
)
def far_too_few_samples(evidence: Evidence) -> Iterator[Finding]:
    """So few samples that no network could tell what they have in common.

    Looks at the number of training samples, for each class or in all, and at the run's validation skill.
    Threshold: at most 6 samples a class (40 in all for a regression), with a validation skill under 0.8 and
    0.1 under that of training, or a training skill under 0.8: so few make few steps as well.
    Source: Hestness et al., Deep Learning Scaling is Predictable, Empirically (2017), on the small-data
    region.
    """
    assert evidence.data is not None
    data, train, val = evidence.data, evidence.skill("train"), evidence.skill("val")
    classes = max(2, data.task.classes) if data.task.name in ("classification", "binary") else 0
    few = data.train.size <= (6 * classes if classes else 40)
    if not few or train is None or val is None or val >= 0.8 or (train - val < 0.1 and train >= 0.8):
        return
    yield Finding(
        "too-little-data",
        evidence.place("split"),
        {"samples": data.train.size, "classes": classes, "training_skill": train, "validation_skill": val},
        f"There are only {data.train.size} training samples{f' for {classes} classes' if classes else ''}.",
        ("noise-on-inputs", "more-weight-decay"),
    )


def _overfits(evidence: Evidence) -> bool:
    train, val = evidence.skill("train"), evidence.skill("val")
    return train is not None and val is not None and train - val > 0.15


def _is_small(evidence: Evidence) -> bool:
    assert evidence.data is not None
    data = evidence.data
    if data.task.name in ("classification", "binary"):
        return data.train.size <= 30 * max(2, data.task.classes)
    return data.train.size <= 100


@check(
    "missing-classes",
    needs=Needs.DATA | Needs.PARTS,
    confuses="a class so rare that a fair split leaves it out of validation",
)
def classes_that_one_part_lacks(evidence: Evidence) -> Iterator[Finding]:
    """Classes of validation that training never shows, or the reverse.

    Looks at the labels of both parts, (N,).
    Threshold: any class of validation without a training sample; a class of training of which at least 5
    samples were to be expected in validation, and there is none, or several of which 10 were.
    Source: Kohavi, A Study of Cross-Validation (1995), on stratification.
    """
    assert evidence.data is not None
    if evidence.data.task.name not in ("classification", "binary"):
        return
    train, val = evidence.data.train.counts(), evidence.data.val.counts()
    unseen = sorted(set(val) - set(train))
    total, held = sum(train.values()), sum(val.values())
    missing = {k: n / max(1, total) * held for k, n in sorted(train.items()) if k not in val}
    absent = [k for k, expected in missing.items() if expected >= 5 or sum(missing.values()) >= 10]
    if not unseen and not absent:
        return
    said = []
    if unseen:
        share = sum(val[k] for k in unseen) / max(1, held)
        said.append(
            f"Training never shows {_classes(unseen)}, which {'is' if len(unseen) == 1 else 'are'}"
            f" {share:.0%} of validation."
        )
    if absent:
        said.append(f"Validation lacks {_classes(absent)}, which training has.")
    yield Finding(
        "missing-classes",
        attrs.evolve(evidence.place("split")),
        {"unseen": unseen, "absent": absent, "measured": True},
        " ".join(said),
        (),
    )


def _classes(labels: list[int]) -> str:
    few = ", ".join(map(str, labels[:5]))
    return (
        f"class {few}"
        if len(labels) == 1
        else f"classes {few}{f' and {len(labels) - 5} more' if len(labels) > 5 else ''}"
    )
