"""Causes visible between training and validation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from netwright.catalogue import Needs, check
from netwright.runs import Evidence
from netwright.values import Finding

RISE, DROP = 1.5, 0.03


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
    if skill_now is None or train_skill is None or train_skill <= skill_now:
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
