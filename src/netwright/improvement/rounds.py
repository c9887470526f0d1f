"""Rounds of repairs and ideas, each from what was kept before; and what of it is not missed."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from typing import Any, Literal

import numpy as np
from scipy.special import stdtrit

from netwright.catalogue import Idea
from netwright.diagnosis import Diagnosis, Tools, diagnose
from netwright.ideas.situation import Situation, contenders
from netwright.improvement.state import (
    FINAL_SEEDS,
    State,
    idea_of,
    keep,
    note_findings,
    reserved,
)
from netwright.recipe import Recipe
from netwright.trials import Contender, Failure, Job, Pace, claim, screen
from netwright.trials.race import Claim, compare_runs, run_all
from netwright.trials.statistics import seeds_needed
from netwright.values import (
    Edit,
    Event,
    Finding,
    Note,
    RoundEnded,
    Verdict,
)

CONFIRMED_A_ROUND = 3
GOOD_ENOUGH = 0.995


def race_rounds(
    state: State,
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
        if state.ledger.full or not tools.meter.affords(pace, reserved(state) + 20) or number + 1 == most:
            break
        found = yield from diagnose(state.current, tools, propose, attempt=number + 2, known_pace=pace)
        note_findings(state, found)


def _validation_skill(found: Diagnosis) -> float | None:
    runs = found.baseline or ((found.evidence.run,) if found.evidence.run else ())
    metric = found.recipe.yardstick.metric
    return float(np.mean([metric.skill(r.scores["val"]) for r in runs])) if runs else None


def _confirmed_repairs(
    state: State, found: Diagnosis, tools: Tools, ideas: Mapping[str, Idea], number: int
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
            idea_of(edits[-1], finding, ideas),
            edits[-1].attribute,
            edits,
            " and ".join(e.label for e in edits),
        )
        # Fresh seeds: those that confirmed have chosen the repair too.
        seeds = tools.seeds.confirming(number, _seeds_for(finding))
        judged = yield from claim(
            state.current, contender, engine=tools.engine, seeds=seeds,
            ledger=state.ledger, device=tools.device,
        )  # fmt: skip
        kept = keep(state, judged, settles=_settles(finding) or _excludes_zero(judged.verdict)) or kept
        if kept:
            break
    return kept


def _seeds_for(finding: Finding) -> int:
    """As many as the effect that confirmed the finding asks for, by its spread over those seeds."""
    told = finding.confirmation
    effect, low = told.get("effect"), told.get("low")
    if _settles(finding) or effect is None or low is None or not math.isfinite(low):
        return 5
    count = int(told.get("seeds") or 5)
    spread = (effect - low) / float(stdtrit(count - 1, 0.975)) * math.sqrt(count)
    return seeds_needed(effect, spread)


def _excludes_zero(verdict: Verdict) -> bool:
    """Whether both intervals exclude 0: the repair of a confirmed cause is then kept, also where the
    correction over the whole run leaves the verdict open; elimination and the end decide."""
    low, low_samples = verdict.low, verdict.low_samples
    return low is not None and low > 0 and (low_samples is None or low_samples > 0)


def _settles(finding: Finding) -> bool:
    """Whether the repair made a symptom of single runs go on every seed, which no score need say again."""
    told = finding.confirmation
    return bool(told.get("gone_on")) and told["gone_on"] == told.get("seeds")


def _race_ideas(
    state: State,
    found: Diagnosis,
    pace: Pace,
    tools: Tools,
    ideas: Mapping[str, Idea],
    number: int,
) -> Generator[Event, None, bool]:
    """Screen all that applies, shorter first where the budget asks for it; confirm the few that lead."""
    # What was taken for a symptom may be a cause of its own: its repairs race too.
    known = (*found.findings, *(f for f in found.considered if f.evidence.get("explained_by")))
    entered = contenders(ideas, state.current, Situation(found.evidence, known), state.tried)
    reserve = reserved(state) + 2 * FINAL_SEEDS
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
    passed = max(4, len(entered) // 3)
    ranked = yield from screen(
        state.current, entered, seeds=tools.seeds.screening(1), epochs=epochs, keep=passed, **common
    )
    state.screened += len(ranked)
    state.failed += sum(s.effect is None for s in ranked)
    late = [s for s in ranked[passed:] if s.contender.late and s.effect is not None and epochs < full]
    second = [s.contender for s in (*ranked[:passed], *late[:4]) if s.effect is not None]
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
        if state.ledger.full or not tools.meter.affords(pace, 2 * count, reserve=reserved(state)):
            state.unaffordable = not state.ledger.full
            break
        judged = yield from claim(
            state.current,
            screened.contender,
            seeds=tools.seeds.confirming(number, count),
            ledger=state.ledger,
            **common,
        )
        if keep(state, judged):
            return True
    return False


def race_proxies(
    state: State, found: Diagnosis, tools: Tools, ideas: Mapping[str, Idea]
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


def eliminate(state: State, pace: Pace, tools: Tools) -> Generator[Event, None, None]:
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
