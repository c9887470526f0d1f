"""What an idea may look at, and small questions that several ideas ask."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import attrs
from attrs import field, frozen

from netwright.catalogue import Idea
from netwright.recipe import Recipe
from netwright.runs import Evidence, LayerState, RangeTest
from netwright.trials import Contender
from netwright.values import Edit, Finding, UserError

OF_THE_OUTPUT = ("targets_outside", "on_logits", "single_unit")
WEIGHTED = ("Linear", "Conv1d", "Conv2d", "Conv3d")


@frozen(eq=False)
class Situation:
    """The evidence of the recipe as it is now, and what was found in it."""

    evidence: Evidence
    findings: tuple[Finding, ...] = field(default=())

    @property
    def range_test(self) -> RangeTest | None:
        return self.evidence.range_test

    @property
    def rate(self) -> float | None:
        """The rate that the optimizer starts with."""
        return self.evidence.optimizer.lr if self.evidence.optimizer else None

    def names(self, cause: str) -> bool:
        return self.finding(cause) is not None

    def finding(self, cause: str) -> Finding | None:
        """What was found of a cause, also where another finding names it as an equivalent."""
        return next((f for f in self.findings if f.cause == cause), None) or next(
            (f for f in self.findings if cause in f.also), None
        )

    def at_the_output(self, cause: str) -> bool:
        """Whether what was found of a cause is of the outputs alone, so that hidden layers have no part."""
        finding = self.finding(cause)
        return finding is not None and any(finding.evidence.get(key) for key in OF_THE_OUTPUT)

    def hidden(self, kinds: Iterable[str]) -> list[LayerState]:
        """Layers of these kinds in execution order, without the layer that gives the output."""
        layers = self.evidence.batch.layers if self.evidence.batch else ()
        weighted = [s for s in layers if s.kind in WEIGHTED]
        last = weighted[-1].name if weighted else None
        return [s for s in layers if s.kind in tuple(kinds) and s.name != last]

    @property
    def classes(self) -> int:
        """The number of classes of the task; 0 for another."""
        data = self.evidence.data
        if data is None or data.task.name not in ("classification", "binary"):
            return 0
        return data.task.classes


def rounded(rate: float) -> float:
    """To one significant digit, so that a rate can be typed."""
    digits = -math.floor(math.log10(rate))
    return round(rate, digits)


def edits_of(idea: Idea, recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The idea's edits, with its attribute filled in; one that a recipe cannot take is no edit."""
    for edit in idea.function(recipe, situation):
        named = edit if edit.attribute else attrs.evolve(edit, attribute=idea.attribute)
        if _buildable(recipe, named):
            yield named


def _buildable(recipe: Recipe, edit: Edit) -> bool:
    """Whether the edit can be applied; structural edits are tried on a new network."""
    try:
        changed = recipe.with_edits(edit)
        assert changed.settings is not None
        changed.build(0)
    except (UserError, TypeError, ValueError, RuntimeError, AttributeError, IndexError):
        return False
    return True


def contenders(
    ideas: Mapping[str, Idea], recipe: Recipe, situation: Situation, tried: Iterable[Edit] = ()
) -> list[Contender]:
    """Every edit of every idea that applies and was not tried on this recipe: those that address a finding
    first, then by prior."""
    addressed = {f.cause for f in situation.findings}
    named = {name for f in situation.findings for name in f.ideas}
    before = set(tried)

    def order(idea: Idea) -> tuple[bool, float, str]:
        return (not (idea.id in named or addressed & set(idea.addresses)), -idea.prior, idea.id)

    found: list[Contender] = []
    for idea in sorted(ideas.values(), key=order):
        for edit in edits_of(idea, recipe, situation):
            if edit not in before and recipe.judged_alike(edit):  # another yardstick wins no race
                before.add(edit)
                found.append(Contender(idea.id, idea.attribute, (edit,), edit.label or idea.id, idea.late))
    return found


def repairs_of(cause: str, ideas: Mapping[str, Idea], recipe: Recipe, situation: Situation) -> list[Edit]:
    """The edits that address a cause: of the ideas that its finding names, in that order, then of others by
    prior."""
    finding = next((f for f in situation.findings if f.cause == cause), None)
    named = [ideas[name] for name in (finding.ideas if finding else ()) if name in ideas]
    others = sorted(
        (i for i in ideas.values() if cause in i.addresses and i not in named), key=lambda i: -i.prior
    )
    return [edit for idea in (*named, *others) for edit in edits_of(idea, recipe, situation)]
