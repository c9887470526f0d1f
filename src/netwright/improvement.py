"""The loop that joins the rooms: diagnose, try, keep what helps, until the budget is spent or nothing helps
any more."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from attrs import define, field, frozen

from netwright.catalogue import Idea
from netwright.diagnosis import Diagnosis, Tools, diagnose
from netwright.ideas.situation import Situation, contenders, repairs_of
from netwright.recipe import Recipe
from netwright.runs import Evidence, Run
from netwright.trials import Contender, Failure, Job, Pace, claim, screen
from netwright.trials.final import Look, final_runs, score_test
from netwright.trials.race import Claim, Ledger, compare_runs, run_all
from netwright.trials.statistics import seeds_needed
from netwright.values import (
    BaselineScored,
    Edit,
    Event,
    Finding,
    NetwrightError,
    Note,
    RoundEnded,
    StageStarted,
    TestEffect,
    TestScored,
    Verdict,
)

Outcome = Literal["improved", "already good", "not improved", "inconclusive"]
MAX_ROUNDS = 6
FINAL_SEEDS = 5
CONFIRMED_A_ROUND = 3
GOOD_ENOUGH = 0.995


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
class _State:
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
    state = _State(recipe, recipe, Ledger(max(1, first.plan.confirmations if first.plan else 1)))
    _note_findings(state, first)
    if not first.trainable:
        first, pace, claims = yield from _enable(recipe, first, tools, propose, state, ideas)
    elif first.baseline or first.evidence.run is not None:
        yield _baseline(recipe, first)
    if claims and pace is not None:
        yield StageStarted("trials")
        yield from _rounds(state, first, pace, tools, ideas, propose, rounds)
        if len(state.applied) > 1:
            yield from _eliminate(state, pace, tools)
    elif first.plan is not None and first.plan.level == "proxies" and pace is not None:
        yield from _proxies(state, first, tools, ideas)
    yield StageStarted("result")
    return (yield from _conclude(state, first, pace, tools, look, claims))


def _baseline(recipe: Recipe, found: Diagnosis) -> BaselineScored:
    runs = found.baseline or ((found.evidence.run,) if found.evidence.run else ())
    scores: dict[str, float | None] = {
        part: float(np.mean([run.scores[part] for run in runs])) for part in ("train", "val")
    }
    metric = recipe.yardstick.metric
    return BaselineScored(scores, len(runs), recipe.settings.epochs, metric.name, metric.trivial)


def _note_findings(state: _State, found: Diagnosis) -> None:
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


def _enable(
    recipe: Recipe,
    found: Diagnosis,
    tools: Tools,
    propose: Any,
    state: _State,
    ideas: Mapping[str, Idea],
) -> Generator[Event, None, tuple[Diagnosis, Pace | None, bool]]:
    """A recipe that cannot take a step: its leading finding's repair is applied, and judged against the
    untrained network."""
    for finding in found.findings:
        for edit in propose(found.evidence, found.findings)(finding.cause):
            changed = recipe.with_edits(edit)
            try:
                next_found = yield from diagnose(changed, tools, propose, attempt=1)
            except NetwrightError as still:  # the repair does not make it trainable: the next one is tried
                yield Note(f"{edit.label}: still cannot train ({type(still).__name__})")
                continue
            if not next_found.trainable or next_found.plan is None:
                continue
            contender = Contender(_idea_of(edit, finding, ideas), edit.attribute, (edit,), edit.label)
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


def _confirm_enabled(state: _State, finding: Finding, edit: Edit, verdict: Verdict) -> None:
    import attrs

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


def _idea_of(edit: Edit, finding: Finding, ideas: Mapping[str, Idea]) -> str:
    """The idea named by the finding that the edit's attribute is of."""
    named = (n for n in finding.ideas if n in ideas and ideas[n].attribute == edit.attribute)
    return next(named, edit.kind)


def _rounds(
    state: _State,
    found: Diagnosis,
    pace: Pace,
    tools: Tools,
    ideas: Mapping[str, Idea],
    propose: Any,
    most: int,
) -> Generator[Event, None, None]:
    """Each round starts from what was kept: confirmed repairs first, then the ideas' screening and claims."""
    for number in range(most):
        kept = yield from _confirmed_repairs(state, found, tools, ideas, number)
        if not kept:
            skill = _validation_skill(found)
            if skill is not None and skill >= GOOD_ENOUGH:
                break
            kept = yield from _race_ideas(state, found, pace, tools, ideas, number)
        if not kept:
            break
        yield RoundEnded(tuple(e for c, _ in state.applied for e in c.edits))
        if state.ledger.full or not tools.meter.affords(pace, _reserve(state) + 20) or number + 1 == most:
            break
        found = yield from diagnose(state.current, tools, propose, attempt=number + 2, known_pace=pace)
        _note_findings(state, found)


def _validation_skill(found: Diagnosis) -> float | None:
    runs = found.baseline or ((found.evidence.run,) if found.evidence.run else ())
    metric = found.recipe.yardstick.metric
    return float(np.mean([metric.skill(r.scores["val"]) for r in runs])) if runs else None


def _reserve(state: _State) -> float:
    """Trainings to keep back for the end: both final arms, and one elimination arm for each edit."""
    extra = FINAL_SEEDS * (len(state.applied) + 2) if len(state.applied) >= 1 else 0
    return 2 * FINAL_SEEDS + extra


def _confirmed_repairs(
    state: _State, found: Diagnosis, tools: Tools, ideas: Mapping[str, Idea], number: int
) -> Generator[Event, None, bool]:
    """The repairs that confirmed a finding go to a claim, on seeds that had no part in choosing them."""
    kept = False
    done: set[tuple[Edit, ...]] = set()
    for finding in found.findings:
        edits = tuple(found.repairs.get(finding.id, ()))
        if finding.status != "confirmed" or not edits or edits in done or state.ledger.full:
            continue
        done.add(edits)
        contender = Contender(
            _idea_of(edits[-1], finding, ideas),
            edits[-1].attribute,
            edits,
            " and ".join(e.label for e in edits),
        )
        seeds = tools.seeds.confirming(
            number, 5
        )  # fresh ones: those that confirmed have chosen the repair too
        judged = yield from claim(
            state.current, contender, engine=tools.engine, seeds=seeds,
            ledger=state.ledger, device=tools.device,
        )  # fmt: skip
        kept = _keep(state, judged, settles=_settles(finding)) or kept
        if kept:
            break
    return kept


def _settles(finding: Finding) -> bool:
    """Whether the repair made a symptom of single runs go on every seed, which no score need say again."""
    told = finding.confirmation
    return bool(told.get("gone_on")) and told["gone_on"] == told.get("seeds")


def _keep(state: _State, judged: Claim, *, settles: bool = False) -> bool:
    """Apply what helps; and what settles a confirmed symptom unless the score is against it. Whether all of
    it improved the recipe is decided at the end, before and after together."""
    state.claims.append(judged)
    state.tried.update(judged.contender.edits)
    verdict = judged.verdict
    settled = settles and verdict.verdict == "unclear" and (verdict.effect or 0.0) > 0
    if verdict.verdict != "helps" and not settled:
        return False
    state.current = state.current.with_edits(*judged.contender.edits)
    state.applied.append((judged.contender, judged.verdict))
    return True


def _race_ideas(
    state: _State,
    found: Diagnosis,
    pace: Pace,
    tools: Tools,
    ideas: Mapping[str, Idea],
    number: int,
) -> Generator[Event, None, bool]:
    """Screen all that applies, shorter first where the budget asks for it; confirm the few that lead."""
    entered = contenders(ideas, state.current, Situation(found.evidence, found.findings), state.tried)
    reserve = _reserve(state) + 2 * FINAL_SEEDS
    epochs, full = state.current.settings.epochs, state.current.settings.epochs
    share = 1.0
    spare = max(0.0, tools.meter.left / max(pace.in_unit(tools.meter.budget), 1e-9) - reserve)
    if spare < 3 * len(entered):
        share = 1 / 3
        epochs = max(1, round(full * share))
    room = int(spare / (2 * share))
    if room < 2 or not entered:
        state.unaffordable = bool(entered)
        return False
    entered = entered[:room]
    common: dict[str, Any] = {
        "engine": tools.engine,
        "device": tools.device,
        "max_seconds": tools.max_seconds,
    }
    keep = max(4, len(entered) // 3)
    ranked = yield from screen(
        state.current, entered, seeds=tools.seeds.screening(1), epochs=epochs, keep=keep, **common
    )
    state.screened += len(ranked)
    state.failed += sum(s.effect is None for s in ranked)
    late = [s for s in ranked[keep:] if s.contender.late and s.effect is not None and epochs < full]
    second = [s.contender for s in (*ranked[:keep], *late[:4]) if s.effect is not None]
    if not second:
        return False
    again = yield from screen(
        state.current,
        second,
        seeds=tools.seeds.screening(3)[1:],
        epochs=full,
        keep=CONFIRMED_A_ROUND,
        **common,
    )
    spread = (
        float(np.std([r.scores["val"] for r in found.baseline], ddof=1)) * 2**0.5
        if len(found.baseline) > 1
        else 0.0
    )
    leading = [
        s for s in again if s.effect is not None and (s.effect > 0 or (s.effect == 0 and s.loss_effect > 0))
    ]
    for screened in leading[:CONFIRMED_A_ROUND]:
        count = seeds_needed(screened.effect or 0.0, spread)
        if state.ledger.full or not tools.meter.affords(pace, 2 * count, reserve=_reserve(state)):
            state.unaffordable = not state.ledger.full
            break
        judged = yield from claim(
            state.current,
            screened.contender,
            seeds=tools.seeds.confirming(number, count),
            ledger=state.ledger,
            **common,
        )
        if _keep(state, judged):
            return True
    return False


def _proxies(
    state: _State, found: Diagnosis, tools: Tools, ideas: Mapping[str, Idea]
) -> Generator[Event, None, None]:
    """Too little for a claim: the likeliest edits, shortened, as a ranking that claims nothing."""
    assert found.plan is not None and found.pace is not None
    entered = contenders(ideas, state.current, Situation(found.evidence, found.findings))
    cost = found.plan.proxy_epochs / max(1, found.pace.epochs)
    room = int(tools.meter.left / max(found.pace.in_unit(tools.meter.budget, cost), 1e-9)) - 1
    if room < 1 or not entered:
        return
    ranked = yield from screen(
        state.current, entered[:room], engine=tools.engine, seeds=tools.seeds.screening(1),
        epochs=found.plan.proxy_epochs, device=tools.device, max_seconds=tools.max_seconds,
    )  # fmt: skip
    state.screened += len(ranked)
    horizon = found.plan.proxy_epochs / max(1, found.pace.epochs)
    for screened in ranked[:5]:
        contender = screened.contender
        word: Literal["unclear", "failed"] = "failed" if screened.effect is None else "unclear"
        verdict = Verdict(
            idea=contender.id, attribute=contender.attribute, verdict=word, horizon=horizon, seeds=1,
            epochs=found.plan.proxy_epochs, label=contender.label, screened=screened.effect,
            edit=contender.edits[-1], reason=screened.reason or "a proxy of one seed claims nothing",
        )  # fmt: skip
        state.claims.append(Claim(contender, verdict))


def _eliminate(state: _State, pace: Pace, tools: Tools) -> Generator[Event, None, None]:
    """Take out, the weakest first and on fresh seeds, every edit that is not missed (METHOD, backward
    elimination)."""
    seeds = tools.seeds.elimination(FINAL_SEEDS)

    def jobs(recipe: Recipe, label: str) -> list[Job]:
        return [
            Job(recipe, s, None, label, max_seconds=tools.max_seconds, device=tools.device) for s in seeds
        ]

    for contender, _ in sorted(state.applied, key=lambda pair: pair[1].effect or 0.0):
        if len(state.applied) < 2 or not tools.meter.affords(pace, 2 * FINAL_SEEDS, reserve=2 * FINAL_SEEDS):
            break
        rest = [pair for pair in state.applied if pair[0] is not contender]
        try:
            without = state.recipe.with_edits(*(e for c, _ in rest for e in c.edits))
            without.build(0)
        except Exception:  # what stands on this edit cannot be built without it: it stays
            continue
        results = yield from run_all(
            tools.engine, [*jobs(state.current, "all edits"), *jobs(without, f"without {contender.label}")]
        )
        if any(isinstance(r, Failure) for r in results):
            continue
        full, less = results[:FINAL_SEEDS], results[FINAL_SEEDS:]
        missed = compare_runs(state.recipe, less, full)  # type: ignore[arg-type]
        if missed.low <= 0:
            state.applied, state.current = rest, without
            yield Note(f"{contender.label} is not missed when it is taken out and leaves the changes")


def _conclude(
    state: _State, found: Diagnosis, pace: Pace | None, tools: Tools, look: Look | None, claims: bool
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
    state: _State, found: Diagnosis, before: Sequence[Run], after: Sequence[Run], claims: bool
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


def _next_steps(state: _State, outcome: Outcome, pace: Pace | None, claims: bool) -> tuple[str, ...]:
    """What to do where it did not improve."""
    if outcome in ("improved", "already good"):
        return ()
    steps = []
    if not claims and pace is not None:
        from netwright.values import duration

        enough = duration(60 * pace.seconds / pace.workers)
        steps.append(f"A budget of about {enough} (60 trainings) buys verdicts for this recipe.")
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
