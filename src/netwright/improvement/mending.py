"""What is put right before anything is raced: a recipe that cannot take a step, a yardstick that leaks."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import attrs

from netwright.catalogue import Idea
from netwright.diagnosis import Diagnosis, Tools, diagnose
from netwright.diagnosis.procedure import Propose
from netwright.improvement.state import State, idea_of, note_findings
from netwright.recipe import Recipe
from netwright.trials import Contender, Pace, claim
from netwright.trials.race import Claim, Ledger
from netwright.values import Edit, Event, Finding, NetwrightError, Note, TrialEnded, Verdict

# Causes that spoil what judges, where they are counted in validation as well.
SPOILS_THE_YARDSTICK = ("leakage", "overfit-situation", "label-misalignment")


def enable(
    recipe: Recipe,
    found: Diagnosis,
    tools: Tools,
    propose: Propose,
    state: State,
    ideas: Mapping[str, Idea],
) -> Generator[Event, None, tuple[Diagnosis, Pace | None, bool]]:
    """A recipe that cannot take a step: its leading finding's repair is applied, and judged against the
    untrained network."""
    for finding in found.findings:
        for edit in propose(found.evidence, found.findings)(finding.cause):
            if not recipe.judged_alike(edit):
                continue
            changed = recipe.with_edits(edit)
            try:
                next_found = yield from diagnose(changed, tools, propose, attempt=1)
            except NetwrightError as still:  # the repair does not make it trainable: the next one is tried
                yield Note(f"{edit.label}: still cannot train ({type(still).__name__})")
                continue
            if not next_found.trainable or next_found.plan is None:
                continue
            contender = Contender(idea_of(edit, finding, ideas), edit.attribute, (edit,), edit.label)
            state.ledger = Ledger(max(1, next_found.plan.confirmations))
            judged = yield from claim(
                recipe, contender, engine=tools.engine, seeds=tools.seeds.reproducing(5, 1),
                ledger=state.ledger, device=tools.device, control_epochs=0,
            )  # fmt: skip
            state.claims.append(judged)
            state.tried.add(edit)
            # Whatever it scores, the recipe takes no step without it: the symptom is gone on every seed.
            state.current = changed
            state.applied.append((contender, judged.verdict))
            _confirm_enabled(state, finding, edit, judged.verdict)
            return next_found, next_found.pace, next_found.plan.level == "claims"
    return found, None, False


def _confirm_enabled(state: State, finding: Finding, edit: Edit, verdict: Verdict) -> None:

    numbers = {
        "symptom": "the unchanged recipe cannot take a step",
        "repair": edit.label,
        "seeds": verdict.seeds,
        "effect": verdict.effect,
        "low": verdict.low,
        "high": verdict.high,
        "gone_on": verdict.seeds,
    }
    done = attrs.evolve(finding, status="confirmed", confidence=0.97, confirmation=numbers)
    state.findings = [done if f.id == finding.id else f for f in state.findings]


def mend_yardstick(
    state: State, found: Diagnosis, pace: Pace, tools: Tools, propose: Propose, ideas: Mapping[str, Idea]
) -> Generator[Event, None, Diagnosis]:
    """A leak is closed before anything is compared, and the recipe without it is diagnosed anew.

    What is measured is then another question: no score of before is subtracted from one of after, and from
    here on the baseline is the recipe without the leak (METHOD, 'The yardstick').
    """
    for finding in found.findings:
        counted = finding.status == "confirmed" and finding.evidence.get("measured")
        if not counted or finding.cause not in SPOILS_THE_YARDSTICK:
            continue
        edit = next(iter(propose(found.evidence, found.findings)(finding.cause)), None)
        if edit is None:
            continue
        mended = state.recipe.with_edits(edit)
        try:
            again = yield from diagnose(mended, tools, propose, attempt=1, known_pace=pace)
        except NetwrightError as wrong:
            yield Note(f"{edit.label}: cannot be trained ({type(wrong).__name__}); the leak stays")
            continue
        contender = Contender(idea_of(edit, finding, ideas), edit.attribute, (edit,), edit.label)
        verdict = Verdict(
            idea=contender.id, attribute=edit.attribute, verdict="yardstick changed", label=edit.label,
            edit=edit, control="none: scores with and without a leak are not compared",
            reason="the score answers an honest question now, and may well be lower",
        )  # fmt: skip
        yield TrialEnded(verdict)
        state.claims.append(Claim(contender, verdict))
        state.tried.add(edit)
        state.recipe = state.current = mended
        note_findings(state, again)
        return again
    return found
