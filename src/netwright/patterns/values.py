"""Values that no network can learn from."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import torch

from netwright.catalogue import Needs, check
from netwright.runs import Evidence, PartSummary
from netwright.values import Finding

SENTINELS = (-1.0, -9.0, -99.0, -999.0, -9999.0, -99999.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0)


@check(
    "bad-values",
    needs=Needs.DATA,
    confuses="a true measurement of -999; a NaN that the network itself masks",
)
def values_that_are_not_numbers(evidence: Evidence) -> Iterator[Finding]:
    """NaN or infinite values in inputs or targets, and codes for 'missing' among a table's numbers.

    Looks at up to 4,096 training inputs, (N, ...), and at all targets, (N, ...).
    Threshold: one value that is not finite is enough, since one NaN in a batch makes every weight NaN; a
    single number in 0.5 % of a feature's values, at one end of it, at least six standard deviations of the
    others away from them (three for -999 and its like).
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
        coded = _coded(train)
        if coded:
            feature, code, share = coded[0]
            yield Finding(
                cause="bad-values",
                where=attrs.evolve(evidence.place("data_repairs"), attribute="data_repairs"),
                evidence={
                    "features": [k for k, _, _ in coded],
                    "codes": [each for _, each, _ in coded],
                    "share": share,
                    "sentinel": True,
                },
                explanation=(
                    f"Feature {feature} holds {code:g} in {share:.0%} of the samples, far from all its other"
                    " values: that reads like a code for 'missing'."
                ),
                ideas=("fill-coded-inputs", "standardise-inputs"),
            )


def _coded(part: PartSummary) -> list[tuple[int, float, float]]:
    """(feature, code, share of the samples) of single values that repeat at one end of a feature, further
    from the next value than six times the spread of all others. Where one feature has a code, a single sample
    twice as far away is enough in the others: a code that was scaled with its feature is another number in
    each."""
    sure = _at_the_ends(part, 0.005, 3, 6)
    return sorted({*sure, *_at_the_ends(part, 0.0, 1, 12)}, key=lambda item: item not in sure) if sure else []


def _at_the_ends(
    part: PartSummary, least_share: float, least: int, far: float
) -> list[tuple[int, float, float]]:
    flat = part.flat
    found = []
    for feature in range(min(flat.shape[1], 400)):
        values = flat[:, feature]
        for code in (float(part.low[feature]), float(part.high[feature])):
            same = values == code
            share = float(same.float().mean())
            rest = values[~same]
            if not least_share <= share <= 0.4 or int(same.sum()) < least or len(torch.unique(rest)) < 12:
                continue
            spread = float(rest.std())
            gap = float((rest - code).abs().min())
            if spread > 0 and gap > (far / 2 if code in SENTINELS else far) * spread:
                found.append((feature, code, share))
                break
    return found
