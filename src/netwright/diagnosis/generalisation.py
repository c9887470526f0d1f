"""Causes visible between training and validation."""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs
import numpy as np

from netwright.catalogue import Needs, check
from netwright.patterns.labels import doubts
from netwright.runs import Evidence
from netwright.values import Finding, Place

RISE, DROP = 1.5, 0.03
GAP, PER_SAMPLE, MANY_PER_SAMPLE = 0.12, 5.0, 300.0


@check(
    "overfit-duration",
    needs=Needs.RECIPE | Needs.RUN,
    confuses=(
        "a validation set so small that its minimum is luck; over-confidence that costs loss but no decisions"
    ),
)
def best_long_before_the_end(evidence: Evidence) -> Iterator[Finding]:
    """Validation was best long before the training ended.

    Looks at the validation loss by epoch, smoothed over three: its lowest value and epoch against the last;
    and at the metric at that epoch against the last.
    Threshold: best within the first 70 % of the epochs, and either the metric lost 3 % of the way from
    trivial to perfect since, or the loss rose to 1.5 times its lowest with the metric lower too.
    Source: Prechelt, Early Stopping – But When? (1998).
    """
    assert evidence.run is not None
    run = evidence.run
    if (
        run.diverged
        or evidence.yardstick is None
        or len(run.val_loss) < 5
        or not np.isfinite(run.val_loss).all()
    ):
        return
    skill_now, train_skill = evidence.skill("val"), evidence.skill("train")
    if skill_now is None or train_skill is None or train_skill <= skill_now or train_skill < 0.3:
        return
    smooth = np.convolve(run.val_loss, np.ones(3) / 3, mode="valid")  # (epochs - 2,), centred on epoch k + 2
    best = int(np.argmin(smooth)) + 1
    rise = float(smooth[-1] / smooth.min()) if smooth.min() > 0 else 1.0
    metric = evidence.yardstick.metric
    scores = np.convolve(run.val_score, np.ones(3) / 3, mode="valid")
    drop = metric.skill(float(scores[best - 1])) - metric.skill(float(scores[-1]))
    if best + 1 > 0.7 * run.epochs or not (drop > DROP or (rise > RISE and drop > 0)):
        return
    yield Finding(
        "overfit-duration",
        evidence.place("epochs"),
        {
            "best_epoch": best + 1,
            "epochs": run.epochs,
            "loss_rise": rise,
            "metric_drop": drop,
            "training_skill": train_skill,
            "validation_skill": skill_now,
            "written": evidence.attribute("epochs").source,
        },
        f"Validation was best at epoch {best + 1} of {run.epochs}; since then its loss rose to {rise:.1f}"
        " times the lowest while the training loss went on falling.",
        ("train-shorter",),
    )


def _gap(evidence: Evidence) -> float | None:
    """How much more skill there is on the training than on the validation data."""
    train, val = evidence.skill("train"), evidence.skill("val")
    if train is None or val is None or (evidence.run is not None and evidence.run.diverged):
        return None
    return train - val


def _has_gap(evidence: Evidence) -> bool:
    gap = _gap(evidence)
    return gap is not None and gap > GAP


def _unregularised(evidence: Evidence) -> bool:
    assert evidence.recipe is not None and evidence.batch is not None and evidence.optimizer is not None
    settings = evidence.recipe.settings
    dropped = any("dropout" in c.name and c.settings.get("p") for c in evidence.batch.operations.forward)
    decay = float(evidence.optimizer.settings.get("weight_decay") or 0.0)
    light = decay * evidence.optimizer.lr * (evidence.run.steps if evidence.run else 0) < 0.05
    return not dropped and light and settings.augment is None


@check(
    "overfit-capacity",
    needs=Needs.RECIPE | Needs.BATCH | Needs.OPTIMIZER | Needs.RUN,
    probes=("narrower-copy",),
    when=lambda evidence: _has_gap(evidence) and _unregularised(evidence),
    confuses="too little data for any network; labels of which some are wrong",
)
def far_more_capacity_than_data(evidence: Evidence) -> Iterator[Finding]:
    """Far more capacity than the data support, with no regularisation.

    Looks at the run's gap between training and validation skill, at its parameters for each training sample,
    at dropout, weight decay and augmentation; and at a copy of the network with hidden layers a quarter as
    wide, trained the same way.
    Threshold: a gap of 0.12 with a training skill over 0.9, 5 parameters a sample, nothing that regularises,
    and a narrower copy that validates no worse by over 0.01; from 300 parameters a sample on, no worse by
    over one standard error of the validation score.
    Source: Goodfellow et al., Deep Learning (2016), section 5.2; Zhang et al. (2017).
    """
    assert evidence.recipe is not None and evidence.batch is not None
    answer, gap = evidence.probes["narrower-copy"], _gap(evidence)
    train, val = evidence.skill("train"), evidence.skill("val")
    if gap is None or train is None or val is None or train < 0.9:
        return
    parameters = sum(math.prod(p.shape) for p in evidence.batch.parameters)
    ratio = parameters / max(1, len(evidence.recipe.training_samples))
    allowed = 0.01 if ratio < MANY_PER_SAMPLE else max(0.01, evidence.standard_error("val") or 0.0)
    if ratio < PER_SAMPLE or answer.skill < val - allowed:
        return
    yield Finding(
        "overfit-capacity",
        evidence.place("width"),
        {
            "gap": gap,
            "parameters": parameters,
            "parameters_per_sample": ratio,
            "narrower_skill": answer.skill,
            "validation_skill": val,
            "training_skill": train,
        },
        f"{parameters:,} parameters for {len(evidence.recipe.training_samples):,} samples learn them to a"
        f" skill of {train:.2f} and validate at {val:.2f}; a quarter of the width validates at"
        f" {answer.skill:.2f}, and nothing regularises.",
        ("more-weight-decay", "dropout-after-hidden-layers", "narrower-layers"),
        also=("too-little-data",) if ratio >= MANY_PER_SAMPLE else (),
    )


@check(
    "overfit-memorised-noise",
    needs=Needs.DATA | Needs.PARTS | Needs.RUN,
    probes=("simple-models",),
    when=_has_gap,
    confuses="rare but true cases that only a network can tell",
)
def wrong_labels_learnt_by_heart(evidence: Evidence) -> Iterator[Finding]:
    """A gap between training and validation that is made of wrongly labelled samples learnt by heart.

    Looks at the training samples whose label simple models reject (see label-noise): the share of them that
    the network gives the rejected label nonetheless.
    Threshold: label noise as the check of that name sees it, and the network agrees with the wrong label on
    half of the samples.
    Source: Arpit et al., A Closer Look at Memorization in Deep Networks (2017).
    """
    assert evidence.data is not None and evidence.run is not None
    simple = evidence.probes["simple-models"]
    right = evidence.run.contributions.get("train")
    if right is None or not len(simple.rows):
        return
    part = evidence.data.train
    rows = part.positions.numpy()[simple.rows]
    if len(right) != part.size or rows.max(initial=0) >= len(right):
        return
    seen = doubts(simple, part.labels[rows])
    if seen is None or not seen.noisy:
        return
    rejected, share = seen.rejected, float(seen.rejected.mean())
    learnt = float((right[rows[rejected]] > 0).mean())
    gap = _gap(evidence)
    if learnt < 0.5:
        return
    bad = rows[rejected]
    samples = evidence.recipe.data.parts.train.ids(bad[:100].tolist()) if evidence.recipe else None
    yield Finding(
        "overfit-memorised-noise",
        attrs.evolve(evidence.place("data_repairs"), samples=samples),
        {"share_rejected": share, "learnt_by_heart": learnt, "gap": gap, "rows": bad.tolist()},
        f"{len(bad)} training labels look wrong, and the network has learnt {learnt:.0%} of them by heart:"
        f" that is part of the gap of {gap or 0:.2f} to validation.",
        ("drop-suspicious-samples", "smooth-labels", "train-shorter"),
        also=("label-noise",),
    )


@check(
    "overfit-situation",
    needs=Needs.DATA | Needs.PARTS | Needs.RUN | Needs.RECIPE,
    probes=("situations",),
    when=lambda evidence: (evidence.skill("train") or 0.0) > 0.5 and (evidence.skill("val") or 1.0) < 0.97,
    confuses="a slice that is hard for every network; a feature that is a true cause",
)
def good_in_one_situation_only(evidence: Evidence) -> Iterator[Finding]:
    """A shortcut decides: good where it holds, bad where it does not.

    Looks at the trained network on validation inputs in which one feature, column or region at a time is
    dealt out anew among the samples, in training and in validation, (N, ...): a shortcut is what training
    skill hangs on and validation skill does not gain from. And at slices (classes, columns, clusters of the
    last hidden layer) whose validation skill falls far below the others'.
    Threshold: a part of the input on which training skill hangs with 0.3 and over, and validation skill at
    least 0.15 less than training; or a slice of at least 20 samples and 5 % with a skill 0.4 and four
    standard errors below the rest.
    Source: Geirhos et al., Shortcut Learning in Deep Neural Networks (2020); Breiman, Random Forests (2001),
    on permuting a feature; Eyuboglu et al., Domino (2022), on slices.
    """
    answer = evidence.probes["situations"]
    shortcut = answer.shortcut
    if shortcut is not None:
        yield Finding(
            "overfit-situation",
            attrs.evolve(evidence.place("data_repairs"), attribute="data_repairs"),
            {
                "part": shortcut.name,
                "hangs_in_training": shortcut.in_training,
                "hangs_in_validation": shortcut.in_validation,
                "slices": [s.words() for s in answer.slices],
            },
            f"The answers hang on {shortcut.name}: dealt out anew, training skill falls by"
            f" {shortcut.in_training:.2f}, validation skill by {shortcut.in_validation:.2f}. It holds in"
            " training and not outside it.",
            ("blank-the-shortcut",),
        )
    elif answer.slices:
        worst = answer.slices[0]
        yield Finding(
            "overfit-situation",
            Place(samples=worst.samples, attribute="data_repairs"),
            {
                "slices": [s.words() for s in answer.slices],
                "skill": worst.score,
                "rest": worst.rest,
                "slice_only": True,
            },
            f"Good where {worst.elsewhere}, bad where {worst.name}: {worst.score:.2f} on {worst.count}"
            f" samples against {worst.rest:.2f} on the others.",
            ("weigh-classes",),
        )
