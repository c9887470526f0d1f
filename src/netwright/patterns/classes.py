"""How the classes are represented."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from netwright.catalogue import Needs, check
from netwright.runs import Evidence
from netwright.values import Finding

RATIO = 10.0
NEGLECTED, LEARNS = 0.1, 0.3


@check(
    "class-imbalance",
    needs=Needs.DATA | Needs.PARTS,
    confuses="rare classes that are easy: with a run at hand, classes that are recalled are no finding",
)
def rare_classes(evidence: Evidence) -> Iterator[Finding]:
    """Classes so unequal that the loss neglects some.

    Looks at the labels, (N,), of the training part; where a run is at hand, at the recall of each class in
    validation.
    Threshold: the largest class over 10 times the smallest; with a run, the rare classes' recall under 0.8 of
    the others' too.
    Source: Japkowicz and Stephen, The class imbalance problem (2002); He and Garcia, Learning from Imbalanced
    Data (2009).
    """
    assert evidence.data is not None
    if evidence.data.task.name not in ("classification", "binary"):
        return
    counts = evidence.data.train.counts()
    if len(counts) < 2:
        return
    ratio = max(counts.values()) / min(counts.values())
    if ratio <= RATIO:
        return
    rare = [label for label, count in counts.items() if count * RATIO < max(counts.values())]
    recall = _recall(evidence)
    rare_recall = float(np.mean([recall[k] for k in rare if k in recall])) if recall else None
    if recall and rare_recall is not None:
        others = [value for label, value in recall.items() if label not in rare]
        if others and rare_recall >= 0.8 * float(np.mean(others)):
            return
    said = "" if rare_recall is None else f" Of them {rare_recall:.0%} are recognised in validation."
    share = min(counts.values()) / sum(counts.values())
    learns = (evidence.skill("train") or 0.0) > LEARNS
    neglected = learns and rare_recall is not None and rare_recall < NEGLECTED
    yield Finding(
        cause="class-imbalance",
        where=evidence.place("class_weights"),
        evidence={
            "ratio": ratio,
            "rarest_share": share,
            "rare_recall": rare_recall,
            "rare_classes": rare,
            "neglected": neglected,
        },
        explanation=(
            f"The largest class has {ratio:,.0f} times the samples of the smallest ({share:.1%}).{said}"
        ),
        ideas=("weigh-classes",),
    )


def _recall(evidence: Evidence) -> dict[int, float]:
    """Share recognised of each class in validation, from the run's own scores of samples."""
    run = evidence.run
    if run is None or evidence.data is None or "val" not in run.contributions:
        return {}
    right = run.contributions["val"] > 0
    labels = evidence.data.val.labels
    return {int(k): float(right[labels == k].mean()) for k in np.unique(labels)}
