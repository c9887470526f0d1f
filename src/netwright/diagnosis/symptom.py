"""What is seen of a recipe that does not do its job, fixed with its horizon before anything is changed."""

from __future__ import annotations

import math
from typing import Literal

from attrs import frozen

from netwright.recipe import Recipe
from netwright.runs import Run

LEARNS = 0.3
EARLY, EARLY_STEPS = 0.1, 30
Kind = Literal["diverges", "does not learn", "falls short"]


@frozen
class Symptom:
    """What is seen, as a predicate of a run; fixed, with its horizon in epochs, before anything is changed.

    `diverges` and `does not learn` are predicates of one run; `falls short` is decided by the rule of claims
    on the validation score, and afterwards for each seed by half the repair's effect.
    """

    kind: Kind
    epochs: int
    threshold: float = LEARNS

    @staticmethod
    def of(run: Run, recipe: Recipe) -> Symptom:
        """The symptom of the unchanged recipe's first run, with the number of epochs that show it."""
        full = recipe.settings.epochs
        if run.diverged:
            return Symptom("diverges", min(full, max(len(run.epoch_loss), _early(run, full))))
        if recipe.yardstick.metric.skill(run.scores["train"]) < LEARNS:
            return Symptom("does not learn", _early(run, full))
        return Symptom("falls short", full)

    def shown(self, run: Run, recipe: Recipe) -> bool:
        if self.kind == "diverges":
            return run.diverged
        return run.diverged or recipe.yardstick.metric.skill(run.scores["train"]) < self.threshold

    def words(self) -> str:
        return {
            "diverges": "the loss stops being finite",
            "does not learn": f"training skill stays under {self.threshold:g}",
            "falls short": "validation scores lower than with the repair",
        }[self.kind]


def _early(run: Run, full: int) -> int:
    """A tenth of the epochs, and at least as many as make 30 steps."""
    per_epoch = max(1.0, run.steps / max(1, len(run.epoch_loss)))
    return min(full, max(1, math.ceil(EARLY * full), math.ceil(EARLY_STEPS / per_epoch)))
