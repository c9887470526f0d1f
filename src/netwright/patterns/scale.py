"""The size of inputs and targets against what an initialisation assumes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from netwright.catalogue import Needs, check
from netwright.runs import Evidence
from netwright.values import Finding

OFFSET, FAR_OFFSET, SPREAD, SIZE = 5.0, 30.0, 100.0, 30.0
FITTED = 0.9
TARGET_SIZE, FEW_OUTPUTS, CONSTANT = 30.0, 16, 1e-6


@check(
    "input-scale",
    needs=Needs.DATA,
    confuses="sparse counts, where large spreads are natural; a rate that is too high for any scale",
)
def inputs_far_from_unit_scale(evidence: Evidence) -> Iterator[Finding]:
    """Inputs whose scale makes the first layer's outputs far from one.

    Looks at the training inputs, (N, ...), per feature (tables) or per channel (images, series): the distance
    of the mean from 0 in standard deviations, the ratio of the extreme standard deviations or of the extreme
    ranges, whichever is less, so that pixels that are hardly ever other than 0 are in no other unit (features
    of two values and constant ones left out), and the root mean square of all; where the network was run, at
    what reaches its first layer with weights, so that a network that scales its inputs itself is left alone.

    Threshold: mean further than 5 standard deviations in a table (under 30 only where the training data are
    not fitted to a skill of 0.9), spread over 100, or size over 30 or under 1/30; an initialisation assumes
    mean 0 and variance 1, and optimizers cope with one order of magnitude.
    Source: LeCun et al., Efficient BackProp (1998), section 4.3.
    """
    assert evidence.data is not None
    train = evidence.data.train
    if train.kind == "tokens" or _scales_itself(evidence):
        return
    # A feature of zeros and ones has exactly the variance of its mean; rare ones are no matter of scale.
    of_two_values = (
        (train.low == 0)
        & (train.high == 1)
        & np.isclose(train.std**2, train.mean * (1 - train.mean), rtol=0.02)
    )
    used = (train.std > 0) & ~of_two_values
    if not used.any():
        return
    mean, std = train.mean[used], train.std[used]
    offset = float(np.max(np.abs(mean) / std)) if train.kind == "table" else 0.0
    width = train.high[used] - train.low[used]
    spread = float(min(std.max() / std.min(), width.max() / max(float(width.min()), 1e-30)))
    size = float(np.sqrt(np.mean(mean**2 + std**2)))
    by_offset = spread <= SPREAD and 1 / SIZE <= size <= SIZE
    fitted = (evidence.skill("train") or 0.0) >= FITTED
    if by_offset and offset <= (FAR_OFFSET if fitted else OFFSET):
        return
    if spread > SPREAD:
        text = (
            f"Features differ in scale by a factor of {spread:,.0f}; the first layer sees mostly the largest."
        )
    elif size > SIZE or size < 1 / SIZE:
        text = f"Inputs have a size of about {size:,.3g} where the initial weights assume about 1."
    else:
        text = (
            f"The mean of a feature lies {offset:,.1f} standard deviations from 0; the first layer sees"
            " mostly that offset."
        )
    yield Finding(
        cause="input-scale",
        where=evidence.place("input_scaling"),
        evidence={
            "offset": offset,
            "spread": spread,
            "size": size,
            "mild": by_offset and offset <= FAR_OFFSET,
        },
        explanation=text,
        ideas=("standardise-inputs",),
    )


def _scales_itself(evidence: Evidence) -> bool:
    """Whether the network's first layer normalises, or what reaches its first weights is of unit scale."""
    if evidence.batch is None or evidence.data is None or not evidence.batch.layers:
        return False
    first = evidence.batch.layers[0]
    if "Norm" in first.kind:
        return True
    weighted = next((s for s in evidence.batch.layers if s.input_std is not None), None)
    if weighted is None or weighted.input_mean is None or weighted.input_std is None:
        return False
    train = evidence.data.train
    given = float(np.sqrt(np.nanmean(train.mean**2 + train.std**2)))
    reached = float(np.hypot(weighted.input_mean, weighted.input_std))
    return (
        np.isfinite(reached) and (reached < given / 3 or reached > given * 3) and 1 / SIZE <= reached <= SIZE
    )


@check(
    "target-scale",
    needs=Needs.DATA,
    confuses="a large unit that the loss or the last layer already takes into account",
)
def targets_far_from_unit_scale(evidence: Evidence) -> Iterator[Finding]:
    """Targets of a regression far from unit size, or of very different size between outputs.

    Looks at the training targets, (N,) or (N, K): mean and standard deviation, each column for itself.
    Threshold: root mean square over 30 or under 1/30, or up to 16 columns, constant ones not counted, that
    differ by a factor of 100 (more are one quantity in many places, such as pixels); the first steps then
    only move the last bias, and gradients grow with the square of the size.
    Source: Bishop, Neural Networks for Pattern Recognition (1995), section 8.2.
    """
    assert evidence.data is not None
    if evidence.data.task.name != "regression":
        return
    if evidence.recipe is not None and evidence.recipe.settings.target_scaling is not None:
        return
    values = evidence.data.train.targets.reshape(evidence.data.train.size, -1).float().numpy()
    values = values[np.isfinite(values).all(1)]
    if len(values) < 2:
        return
    sizes = np.sqrt((values**2).mean(0))
    stds = values.std(0)
    varying = stds[stds > CONSTANT * stds.max()]
    several = 1 < len(varying) <= FEW_OUTPUTS
    size, spread = float(sizes.max()), float(varying.max() / varying.min()) if several else 1.0
    far = size > TARGET_SIZE or size < 1 / TARGET_SIZE
    if far or spread > SPREAD:
        yield Finding(
            cause="target-scale",
            where=evidence.place("target_scaling"),
            evidence={
                "size": size,
                "spread": spread,
                "mean": float(values.mean()),
                "std": float(values.std()),
            },
            explanation=(
                f"Targets have a size of about {size:,.3g} where a new network gives about 1."
                if far
                else f"The targets' columns differ in size by a factor of {spread:,.0f}; the loss sees mostly"
                " the largest."
            ),
            ideas=("standardise-targets",),
        )
