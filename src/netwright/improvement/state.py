"""What the loop has found, tried and kept so far, and what it ends with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import define, field, frozen

from netwright.catalogue import Idea
from netwright.diagnosis import Diagnosis
from netwright.recipe import Recipe
from netwright.runs import Run
from netwright.trials import Contender
from netwright.trials.race import Claim, Ledger
from netwright.values import (
    Edit,
    Finding,
    TestEffect,
    Verdict,
)

Outcome = Literal["improved", "already good", "not improved", "inconclusive"]
FINAL_SEEDS = 5


@frozen(eq=False)
class Improvement:
    """What the loop ended with. `before` and `after` are the runs on the final seeds, of the recipe and of
    the edited one; `tests` their test scores, `None` where nothing was scored."""

    recipe: Recipe
    improved: Recipe
    outcome: Outcome
    findings: tuple[Finding, ...]
    considered: tuple[Finding, ...]
    skipped: Mapping[str, str]
    verdicts: tuple[Verdict, ...]
    before: tuple[Run, ...]
    after: tuple[Run, ...]
    test_before: float | None
    test_after: float | None
    test: TestEffect | None
    diagnosis: Diagnosis
    screened: int
    failed: int
    next_steps: tuple[str, ...]


@define
class State:
    recipe: Recipe
    current: Recipe
    ledger: Ledger
    claims: list[Claim] = field(factory=list)
    applied: list[tuple[Contender, Verdict]] = field(factory=list)
    tried: set[Edit] = field(factory=set)
    findings: list[Finding] = field(factory=list)
    considered: list[Finding] = field(factory=list)
    screened: int = 0
    failed: int = 0
    unaffordable: bool = False


def note_findings(state: State, found: Diagnosis) -> None:
    """Later rounds add what they confirm; what they only suspect of an edited recipe is no statement about
    the user's."""
    confirmed = {f.cause: f for f in found.findings if f.status == "confirmed"}
    # A cause that was suspected in the first round and is confirmed in a later one is confirmed.
    state.findings = [f if f.status == "confirmed" else confirmed.get(f.cause, f) for f in state.findings]
    known = {f.cause for f in state.findings}
    fresh = [f for f in found.findings if f.cause not in known]
    first = not state.applied
    state.findings += [f for f in fresh if first or f.status == "confirmed"]
    causes = {f.cause for f in (*state.findings, *state.considered)}
    if first:
        state.considered += [f for f in found.considered if f.cause not in causes]


def keep(state: State, judged: Claim, *, settles: bool = False) -> bool:
    """Apply what helps; and, where it `settles`, the repair of a confirmed cause that is not beyond doubt by
    itself, unless the score is against it. Whether all of it improved the recipe is decided at the end."""
    state.claims.append(judged)
    state.tried.update(judged.contender.edits)
    verdict = judged.verdict
    settled = settles and verdict.verdict == "unclear" and (verdict.effect or 0.0) > 0
    if verdict.verdict != "helps" and not settled:
        return False
    state.current = state.current.with_edits(*judged.contender.edits)
    state.applied.append((judged.contender, judged.verdict))
    return True


def idea_of(edit: Edit, finding: Finding, ideas: Mapping[str, Idea]) -> str:
    """The idea named by the finding that the edit's attribute is of."""
    named = (n for n in finding.ideas if n in ideas and ideas[n].attribute == edit.attribute)
    return next(named, edit.kind)


def reserved(state: State) -> float:
    """Trainings to keep back for the end: both final arms, and one elimination arm for each edit."""
    extra = FINAL_SEEDS * (len(state.applied) + 2) if len(state.applied) >= 1 else 0
    return 2 * FINAL_SEEDS + extra
