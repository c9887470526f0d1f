"""Values that no network can learn from."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

from netwright.catalogue import Needs, check
from netwright.runs import Evidence
from netwright.values import Finding

SENTINELS = (-999.0, -9999.0, -99999.0, 999999.0)


@check(
    "bad-values",
    needs=Needs.DATA,
    confuses="a true measurement of -999; a NaN that the network itself masks",
)
def values_that_are_not_numbers(evidence: Evidence) -> Iterator[Finding]:
    """NaN or infinite values in inputs or targets, and codes for 'missing' among a table's numbers.

    Looks at up to 4,096 training inputs, (N, ...), and at all targets, (N, ...).
    Threshold: one value is enough, since one NaN in a batch makes every weight NaN.
    Source: Breck et al., Data Validation for Machine Learning (MLSys 2019), section 3.
    """
    assert evidence.data is not None
    train, val = evidence.data.train, evidence.data.val
    inputs, targets = train.bad_inputs + val.bad_inputs, train.bad_targets + val.bad_targets
    if inputs or targets:
        what = " and ".join(
            f"{count:,} {name}" for count, name in ((inputs, "inputs"), (targets, "targets")) if count
        )
        looked = (
            ""
            if train.looked_at == train.size
            else f" (first {train.looked_at:,} of {train.size:,} looked at)"
        )
        samples = evidence.recipe.data.parts.train.ids(train.bad_rows[:100]) if evidence.recipe else None
        place = evidence.place("input_scaling")
        yield Finding(
            cause="bad-values",
            where=attrs.evolve(place, samples=samples, attribute="data_repairs"),
            evidence={
                "bad_inputs": inputs,
                "bad_targets": targets,
                "share": train.bad_inputs / max(train.looked_at, 1),
            },
            explanation=(
                f"{what} hold values that are NaN or infinite{looked}; one of them in a batch makes the loss"
                " NaN."
            ),
            ideas=("fill-bad-inputs", "drop-bad-samples"),
        )
    elif train.kind == "table":
        coded = [k for k in range(len(train.low)) if train.low[k] in SENTINELS or train.high[k] in SENTINELS]
        far = [
            k
            for k in coded
            if max(abs(train.low[k]), abs(train.high[k])) > 5 * abs(np.median(train.mean)) + 5
        ]
        if far:
            yield Finding(
                cause="bad-values",
                where=evidence.place("data_repairs"),
                evidence={"features": far, "sentinel": True},
                explanation=(
                    f"Feature {far[0]} holds the code {train.low[far[0]]:g}, which reads like 'missing'."
                ),
                ideas=("standardise-inputs",),
            )
