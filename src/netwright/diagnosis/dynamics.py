"""Causes visible while it trains: the rate and the length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from netwright.catalogue import Needs, check
from netwright.runs import Evidence
from netwright.values import Finding

ABOVE, BELOW, FALLS, HARDLY = 2.0, 30.0, 0.04, 0.3
STILL_RISING = 0.03
SOME = 0.1
FEW, GAINS = 5, 0.05


@check(
    "lr-too-high",
    needs=Needs.RECIPE | Needs.OPTIMIZER | Needs.RANGE_TEST,
    confuses="inputs of a large scale, which make every rate too high; a loss that is summed over the batch",
)
def rate_above_what_falls(evidence: Evidence) -> Iterator[Finding]:
    """A learning rate at which the loss cannot fall.

    Looks at the range test: the largest rate at which the loss fell at least half as far as at the best one,
    against the rate that is set; and at the run, which must have failed to learn its own training data. A
    loss that is summed over the batch instead of averaged has the same effect and is named.
    Threshold: twice the largest falling rate, with a training skill under 0.5 or a loss that is not finite;
    four times with a skill under 0.95. Nothing is said where the loss falls by less than 4 % at every rate.
    Source: Smith, Cyclical Learning Rates (2017), section 3.3.
    """
    assert evidence.range_test is not None and evidence.optimizer is not None
    largest, rate = evidence.range_test.largest_falling_rate, evidence.optimizer.lr
    if largest is None or rate <= ABOVE * largest or max(evidence.range_test.falls) < FALLS:
        return  # a loss that hardly falls at any rate says nothing about this one
    skill = evidence.skill("train")
    diverged = evidence.run is not None and evidence.run.diverged
    mild = skill is not None and skill >= 0.5 and not diverged
    if mild and (rate <= 2 * ABOVE * largest or (skill or 0.0) >= 0.95):
        return
    first = ""
    factor = None
    call = evidence.batch.operations.loss_call if evidence.batch else None
    summed = call is not None and call.settings.get("reduction") == "sum"
    said = (
        "The loss is summed over the batch instead of averaged, so its gradients are as many times larger. "
        if summed
        else ""
    )
    if evidence.batch and evidence.batch.loss and evidence.batch.loss_after is not None:
        factor = evidence.batch.loss_after / evidence.batch.loss
        if factor > 2:
            first = f"The first step makes the loss {factor:,.0f} times larger. "
    yield Finding(
        "lr-too-high",
        evidence.place("lr"),
        {
            "rate": rate,
            "largest_falling_rate": largest,
            "best_rate": evidence.range_test.best_rate,
            "first_step_factor": factor,
            "training_skill": skill,
            "mild": mild,
            "summed": summed,
            "written": evidence.attribute("lr").source,
        },
        f"{said}{first}It falls steadily up to a rate of {largest:.2g} (range test,"
        f" {evidence.range_test.steps} steps); this one is {rate / largest:,.0f} times that.",
        ("lower-learning-rate",),
    )


def _learns_half(evidence: Evidence) -> bool:
    skill = evidence.skill("train")
    return skill is not None and SOME < skill < 0.9 and evidence.run is not None and not evidence.run.diverged


@check(
    "better-at-a-lower-rate",
    needs=Needs.RECIPE | Needs.OPTIMIZER | Needs.RUN,
    probes=("slower-copy",),
    when=_learns_half,
    confuses="a schedule that is missing, which lowers the rate as well",
)
def steps_too_long_to_settle(evidence: Evidence) -> Iterator[Finding]:
    """A learning rate at which the loss falls and does not get far.

    Looks at the run's skill on its own training data, and at that of a copy trained at a fifth of the rate.
    Threshold: a training skill under 0.9 that the copy raises by 0.08, and validation skill by 0.08 and more
    than its standard error.
    Source: Bengio, Practical recommendations for gradient-based training (2012), section 3.1.1.
    """
    assert evidence.optimizer is not None
    answer = evidence.probes["slower-copy"]
    train, val = evidence.skill("train") or 0.0, evidence.skill("val") or 0.0
    if not evidence.outdone_by(answer.train_skill, answer.skill):
        return
    yield Finding(
        "lr-too-high",
        evidence.place("lr"),
        {
            "rate": evidence.optimizer.lr,
            "training_skill": train,
            "training_skill_slower": answer.train_skill,
            "validation_skill": val,
            "validation_skill_slower": answer.skill,
            "mild": True,
            "written": evidence.attribute("lr").source,
        },
        f"At a fifth of the rate the same training reaches a skill of {answer.train_skill:.2f} instead of"
        f" {train:.2f} on its own data, and {answer.skill:.2f} instead of {val:.2f} in validation.",
        ("lower-learning-rate",),
    )


@check(
    "lr-too-low",
    needs=Needs.RECIPE | Needs.OPTIMIZER | Needs.RANGE_TEST | Needs.RUN,
    confuses="gradients that vanish, or inputs of a tiny scale: a larger rate only hides them",
)
def rate_below_what_would_fall_faster(evidence: Evidence) -> Iterator[Finding]:
    """A learning rate at which the loss falls steadily and has hardly begun.

    Looks at the range test's best rate against the one that is set, and at the run: its training skill, and
    whether the training loss was still falling over its last quarter.
    Threshold: 30 times below the best rate (10 with a skill under 0.7), training skill under 0.9, and a loss
    that either hardly moved at all or made at least a twentieth of its whole fall in the last quarter of the
    epochs.
    Source: Bengio, Practical recommendations for gradient-based training (2012), section 3.1.1.
    """
    assert evidence.range_test is not None and evidence.optimizer is not None and evidence.run is not None
    best, rate, skill = evidence.range_test.best_rate, evidence.optimizer.lr, evidence.skill("train")
    below = BELOW if skill is None or skill >= 0.7 else BELOW / 3
    if (
        best is None
        or rate <= 0
        or rate * below > best
        or skill is None
        or skill >= 0.9
        or evidence.run.diverged
    ):
        return
    loss = evidence.run.epoch_loss
    quarter = max(1, len(loss) // 4)
    begun = float((loss[0] - loss[-1]) / max(abs(loss[0]), 1e-12))
    falling = (
        float((loss[-1 - quarter] - loss[-1]) / max(abs(loss[0]), 1e-12)) if len(loss) > quarter else begun
    )
    if begun > HARDLY and falling < 0.05 * begun:  # it has come to rest: something else holds it
        return
    yield Finding(
        "lr-too-low",
        evidence.place("lr"),
        {
            "rate": rate,
            "best_rate": best,
            "training_skill": skill,
            "fall_in_last_quarter": falling,
            "written": evidence.attribute("lr").source,
        },
        f"The loss falls steadily and has hardly begun: in a range test it fell furthest at {best:.2g},"
        f" {best / rate:,.0f} times this rate.",
        ("raise-learning-rate",),
    )


@check(
    "too-few-epochs",
    needs=Needs.RECIPE | Needs.RUN,
    confuses="a rate that is too low, which needs more epochs too",
)
def stopped_while_improving(evidence: Evidence) -> Iterator[Finding]:
    """A training that ended while validation was still improving at a useful rate.

    Looks at the validation metric's means over the last and the last but one fifth of the epochs, and at the
    training loss over the same.
    Threshold: 3 % of the way from trivial to perfect gained from fifth to fifth, training loss falling, and
    validation loss at its lowest in the last fifth.
    Source: Prechelt, Early Stopping – But When? (1998), on the reverse question.
    """
    assert evidence.run is not None
    run = evidence.run
    if run.diverged or evidence.yardstick is None or len(run.val_score) < FEW:
        return
    metric = evidence.yardstick.metric
    skills = np.array([metric.skill(float(v)) for v in run.val_score])
    fifth = max(1, len(skills) // 5)
    gain = (
        float(skills[-fifth:].mean() - skills[-2 * fifth : -fifth].mean())
        if len(skills) >= 2 * fifth
        else 0.0
    )
    loss_falls = float(run.epoch_loss[-1] - run.epoch_loss[-1 - fifth]) < 0
    losses = run.val_loss
    lowest_last = bool(np.isfinite(losses).all()) and int(np.argmin(losses)) >= len(losses) - fifth
    measured = bool(np.isfinite(losses).any())
    if gain < STILL_RISING or not loss_falls or (measured and not lowest_last):
        return
    yield Finding(
        "too-few-epochs",
        evidence.place("epochs"),
        {
            "gain_in_last_fifth": gain,
            "epochs": run.epochs,
            "validation_skill": float(skills[-1]),
            "slight": float(skills[-1]) > 0.85,
            "written": evidence.attribute("epochs").source,
        },
        f"Validation still rose by {gain:.1%} of the way to perfect over the last fifth of the {run.epochs}"
        " epochs when training stopped.",
        ("train-longer",),
    )


def _is_short(evidence: Evidence) -> bool:
    run, val = evidence.run, evidence.skill("val")
    return run is not None and not run.diverged and len(run.val_score) < FEW and (val or 0.0) < 0.95


@check(
    "very-short-training",
    needs=Needs.RECIPE | Needs.RUN,
    probes=("longer-copy",),
    when=_is_short,
    confuses="a rate that is too low, which needs more epochs too",
)
def more_epochs_would_help(evidence: Evidence) -> Iterator[Finding]:
    """A training of a few epochs, too short to see in its curve whether it was still improving.

    Looks at the validation skill of the same training with three times the epochs.
    Threshold: at most 4 epochs, a validation skill under 0.95, and 0.05 more for the longer training.
    Source: Prechelt, Early Stopping – But When? (1998), on the reverse question.
    """
    assert evidence.run is not None
    answer, val = evidence.probes["longer-copy"], evidence.skill("val") or 0.0
    if answer.skill < val + GAINS:
        return
    yield Finding(
        "too-few-epochs",
        evidence.place("epochs"),
        {
            "epochs": evidence.run.epochs,
            "validation_skill": val,
            "longer_skill": answer.skill,
            "written": evidence.attribute("epochs").source,
        },
        f"Three times the {evidence.run.epochs} epochs raise validation skill from {val:.2f} to"
        f" {answer.skill:.2f}.",
        ("train-longer",),
    )
