"""Causes in what is done to the training inputs on their way in."""

from __future__ import annotations

from collections.abc import Iterator

from netwright.catalogue import Needs, check
from netwright.runs import Evidence
from netwright.values import Finding


def _augments_and_fails(evidence: Evidence) -> bool:
    skill = evidence.skill("val")
    return (
        evidence.recipe is not None
        and evidence.recipe.settings.augment is not None
        and skill is not None
        and skill < 0.95
    )


@check(
    "destructive-augmentation",
    needs=Needs.RECIPE | Needs.RUN,
    probes=("without-augmentation",),
    when=_augments_and_fails,
    confuses="an augmentation that is sound and only asks for a longer training",
)
def augmentation_that_changes_the_label(evidence: Evidence) -> Iterator[Finding]:
    """An augmentation that changes what the label says.

    Looks at the validation skill of the run, and of the same training without its augmentation.
    Threshold: 0.05 of skill and 1.5 standard errors of it more without the augmentation, and no lower
    training skill.
    Source: Cubuk et al., AutoAugment (2019), section 4, on operations that hurt; Shorten and Khoshgoftaar, A
    survey on Image Data Augmentation (2019), 'safety'.
    """
    answer = evidence.probes["without-augmentation"]
    val, train = evidence.skill("val") or 0.0, evidence.skill("train") or 0.0
    gain = answer.skill - val
    noise = 1.5 * (evidence.standard_error("val") or 0.0)
    if gain < max(0.05, noise) or answer.train_skill < train - 0.02:
        return
    yield Finding(
        "destructive-augmentation",
        evidence.place("augment"),
        {
            "gain_without": gain,
            "validation_skill": val,
            "skill_without": answer.skill,
            "written": evidence.attribute("augment").source,
        },
        f"Without the augmentation validation skill is {answer.skill:.2f} instead of {val:.2f}: what it makes"
        " of the inputs no longer fits their labels.",
        ("no-augmentation",),
    )
