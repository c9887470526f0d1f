"""Diagnose, try, keep what helps, until the budget is spent or nothing helps any more."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np

from netwright.catalogue import Idea
from netwright.diagnosis import Diagnosis, Tools, diagnose
from netwright.ideas.situation import Situation, repairs_of
from netwright.improvement.mending import enable, mend_yardstick
from netwright.improvement.rounds import eliminate, race_proxies, race_rounds
from netwright.improvement.state import (
    FINAL_SEEDS,
    Improvement,
    Outcome,
    State,
    note_findings,
)
from netwright.recipe import Recipe
from netwright.runs import Evidence, Run
from netwright.trials import Pace
from netwright.trials.final import Look, final_runs, score_test
from netwright.trials.race import Ledger, compare_runs
from netwright.values import (
    BaselineScored,
    Event,
    Finding,
    StageStarted,
    TestScored,
)

MAX_ROUNDS = 6


def improve(
    recipe: Recipe,
    tools: Tools,
    ideas: Mapping[str, Idea],
    *,
    look: Look | None = None,
    rounds: int = MAX_ROUNDS,
) -> Generator[Event, None, Improvement]:
    """Scan, diagnose, try, keep: yields the events of all of it and returns the `Improvement`.

    `look(samples, key)` notes a look at the test samples of that digest and gives the count of looks; without
    it the test stays sealed.
    """

    def propose(evidence: Evidence, findings: tuple[Finding, ...]) -> Any:
        situation = Situation(evidence, findings)
        return lambda cause: repairs_of(cause, ideas, evidence.recipe or recipe, situation)

    first = yield from diagnose(recipe, tools, propose)
    pace = first.pace
    claims = first.plan is not None and first.plan.level == "claims"
    state = State(recipe, recipe, Ledger(max(1, first.plan.confirmations if first.plan else 1)))
    note_findings(state, first)
    if not first.trainable:
        first, pace, claims = yield from enable(recipe, first, tools, propose, state, ideas)
    elif first.baseline or first.evidence.run is not None:
        yield baseline(recipe, first)
        if claims and pace is not None:
            first = yield from mend_yardstick(state, first, pace, tools, propose, ideas)
    if claims and pace is not None:
        yield StageStarted("trials")
        yield from race_rounds(state, first, pace, tools, ideas, propose, rounds)
        if len(state.applied) > 1:
            yield from eliminate(state, pace, tools)
    elif first.plan is not None and first.plan.level == "proxies" and pace is not None:
        yield from race_proxies(state, first, tools, ideas)
    yield StageStarted("result")
    return (yield from _conclude(state, first, pace, tools, look, claims))


def baseline(recipe: Recipe, found: Diagnosis) -> BaselineScored:
    runs = found.baseline or ((found.evidence.run,) if found.evidence.run else ())
    scores: dict[str, float | None] = {
        part: float(np.mean([run.scores[part] for run in runs])) for part in ("train", "val")
    }
    metric = recipe.yardstick.metric
    return BaselineScored(scores, len(runs), recipe.settings.epochs, metric.name, metric.trivial)


def _conclude(
    state: State, found: Diagnosis, pace: Pace | None, tools: Tools, look: Look | None, claims: bool
) -> Generator[Event, None, Improvement]:
    recipe, current = state.recipe, state.current
    before: tuple[Run, ...] = ()
    after: tuple[Run, ...] = ()
    if claims:
        trainable = found.trainable and state.recipe is found.recipe
        seeds = tools.seeds.final(FINAL_SEEDS)
        before, after = yield from final_runs(
            recipe, current, trainable, engine=tools.engine, seeds=seeds, device=tools.device
        )
    elif found.evidence.run is not None:
        before = after = (found.evidence.run,)
    test_before = test_after = None
    test = None
    own = claims or found.recipe is recipe  # else the one run is of the repaired recipe alone
    if (
        look is not None
        and own
        and before
        and before[0].weights is not None
        and recipe.data.parts.test is not None
    ):
        test, test_before, test_after = score_test(recipe, current, before, after, look, tools.device)
        yield TestScored(test.looks, test.samples, test.effect, test.low, test.high, test_before, test_after)
    outcome = _outcome(state, found, before, after, claims)
    return Improvement(
        recipe=recipe,
        improved=current,
        outcome=outcome,
        findings=tuple(state.findings),
        considered=tuple(state.considered),
        skipped=found.skipped,
        verdicts=tuple(c.verdict for c in state.claims),
        before=before,
        after=after,
        test_before=test_before,
        test_after=test_after,
        test=test,
        diagnosis=found,
        screened=state.screened,
        failed=state.failed,
        next_steps=_next_steps(state, outcome, pace, claims),
    )


def _outcome(
    state: State, found: Diagnosis, before: Sequence[Run], after: Sequence[Run], claims: bool
) -> Outcome:
    if not claims or not before:
        return "inconclusive"
    if state.applied:
        effect = compare_runs(state.recipe, before, after)
        low_samples = effect.low if effect.low_samples is None else effect.low_samples
        return "improved" if effect.low > 0 and low_samples > 0 else "inconclusive"
    if state.findings or state.unaffordable:
        return "not improved"
    return "already good" if found.complete else "inconclusive"


def _next_steps(state: State, outcome: Outcome, pace: Pace | None, claims: bool) -> tuple[str, ...]:
    """What to do where it did not improve."""
    if outcome in ("improved", "already good"):
        return ()
    steps = []
    if not claims and pace is not None:
        from netwright.values import duration

        enough = duration(60 * pace.seconds / pace.workers)
        steps.append(f"A budget of about {enough} (60 trainings) buys verdicts for this recipe.")
    mended = [c.verdict.label for c in state.claims if c.verdict.verdict == "yardstick changed"]
    if mended:
        steps.append(f"What is measured was mended ({mended[0]}): judge by the scores from here on.")
    steps += [f"{f.cause} is suspected: {f.explanation}" for f in state.findings if f.status != "confirmed"]
    refuted = [f.cause for f in state.considered if f.status == "refuted"]
    if refuted:
        steps.append(f"Ruled out by intervention: {', '.join(refuted)}.")
    tried = [c.verdict for c in state.claims if c.verdict.verdict in ("unclear", "no difference")]
    if tried:
        steps.append(f"Tried without a clear gain: {', '.join(v.label for v in tried[:4])}.")
    if state.unaffordable:
        steps.append("More ideas apply than this budget could confirm; give it more.")
    return tuple(steps)
