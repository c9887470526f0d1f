"""The order in which samples arrive."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from netwright.catalogue import Needs, check
from netwright.runs import Evidence
from netwright.values import Finding


@check(
    "unshuffled",
    needs=Needs.DATA | Needs.PARTS,
    confuses=(
        "a curriculum on purpose; a series whose order is its content (the network then keeps a state across"
        " batches)"
    ),
)
def samples_in_order(evidence: Evidence) -> Iterator[Finding]:
    """Batches that arrive ordered by class or by value.

    Looks at the targets, (N,), in the order of training when nothing shuffles them: the share of neighbours
    with the same label against the share expected by chance, or the correlation of neighbours of a
    regression.
    Threshold: halfway between chance and fully sorted for labels, correlation over 0.5 for numbers.
    Source: Bengio, Practical recommendations for gradient-based training (2012), section 3.1.
    """
    assert evidence.data is not None
    if evidence.data.shuffled_by_us:
        return
    train = evidence.data.train
    if train.size < 20:
        return
    if evidence.data.task.name in ("classification", "binary"):
        labels = train.labels
        _, counts = np.unique(labels, return_counts=True)
        chance = float(((counts / counts.sum()) ** 2).sum())
        together = float((labels[1:] == labels[:-1]).mean())
        if together <= chance + 0.5 * (1 - chance):
            return
        numbers = {"neighbours_alike": together, "by_chance": chance}
        said = f"{together:.0%} of neighbouring samples have the same label ({chance:.0%} by chance)"
    else:
        values = train.targets.reshape(train.size, -1)[:, 0].float().numpy()
        if not np.isfinite(values).all() or values.std() == 0:
            return
        correlation = float(np.corrcoef(values[1:], values[:-1])[0, 1])
        if correlation <= 0.5:
            return
        numbers = {"neighbours_correlation": correlation}
        said = f"neighbouring targets correlate at {correlation:.2f}"
    yield Finding(
        cause="unshuffled",
        where=evidence.place("shuffle"),
        evidence={**numbers, "written": evidence.attribute("shuffle").source},
        explanation=(
            f"Nothing shuffles the training data and {said}: each batch teaches one thing and the next"
            " undoes it."
        ),
        ideas=("shuffle-each-epoch",),
    )
