"""The diagnosis from the first look to the confirmed cause: cheapest evidence first, and only what the budget
affords."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any

import attrs
from attrs import field, frozen

from netwright.catalogue import Check, Needs
from netwright.diagnosis.confirmation import Confirmation, Repairs, Symptom, confirm
from netwright.diagnosis.probing import ask_all, train_copies
from netwright.diagnosis.ranking import FAILED, THRESHOLD, Ranking, examine, rank, rivals_of
from netwright.recipe import Recipe, blame, user_code
from netwright.runs import BatchError, Evidence, Run, data_evidence, examine_start, range_test
from netwright.runs.rate_range import MOST_RATES
from netwright.trials import Engine, Failure, Job, Meter, Pace, Seeds, make_plan
from netwright.trials.race import run_all
from netwright.values import (
    CheckSkipped,
    Event,
    Finding,
    FindingMade,
    Note,
    Plan,
    PlanMade,
    ScanEnded,
    StageStarted,
    UserCodeError,
    UserError,
)

ASKED_SEEDS = (0, 1)
OF_DATA = Needs.DATA | Needs.PARTS | Needs.RECIPE
PACE_STEPS = 20
CONFIRMATION_RUNS, COPIES = 13, 4
CERTAIN = 0.8
COUNTED = "Counted in the data: a fault of what judges is not shown by a score that rises."
SURE = 0.85
RANGE_STEPS, RANGE_SHARE = 30, 0.04
Propose = Callable[[Evidence, tuple[Finding, ...]], Repairs]


@frozen(eq=False)
class Tools:
    """What a verb hands to long work: where trainings run, what may be spent, the seeds, the checks, the
    device."""

    engine: Engine
    meter: Meter
    seeds: Seeds
    checks: tuple[Check, ...]
    device: str = "cpu"
    muted: Mapping[str, str] = field(factory=dict)
    max_seconds: float | None = None


@frozen(eq=False)
class Diagnosis:
    """What was found in one recipe. `repairs` holds, by finding, the edits that confirmed it; `baseline` the
    runs on the reproducing seeds; `trainable` is false where the unchanged recipe cannot take a step."""

    recipe: Recipe
    evidence: Evidence
    findings: tuple[Finding, ...]
    considered: tuple[Finding, ...]
    skipped: Mapping[str, str]
    plan: Plan | None
    pace: Pace | None
    repairs: Mapping[str, Sequence[Any]] = field(factory=dict)
    baseline: tuple[Run, ...] = ()
    trainable: bool = True
    reproduced: bool = True
    complete: bool = False

    @property
    def outcome(self) -> str:
        """`findings`, `healthy` (every applicable check ran, none fired), or `inconclusive`."""
        if not self.reproduced:
            return "inconclusive"
        if self.findings:
            return "findings"
        failed = any(reason.startswith(FAILED) for reason in self.skipped.values())
        return "healthy" if self.complete and not failed else "inconclusive"


def static_evidence(recipe: Recipe, device: str) -> list[Evidence]:
    """Data, network, optimizer and one batch, for each of the asked seeds; trains nothing.

    Raises `UserCodeError` where the user's network cannot be built.
    """
    name = recipe.origin.source if recipe.origin else recipe.display_name
    with user_code(name):
        data = data_evidence(recipe)
        gathered = []
        for seed in ASKED_SEEDS:
            start = examine_start(recipe, seed, device)
            gathered.append(
                Evidence(
                    recipe, data, start.network, start.batch, start.optimizer, yardstick=recipe.yardstick,
                    subject=start.subject,
                )
            )  # fmt: skip
    return gathered


def scan(
    recipe: Recipe, checks: Iterable[Check], device: str = "cpu"
) -> tuple[Evidence, tuple[Finding, ...]]:
    """The patterns in the data alone, ranked but not folded."""
    evidence = Evidence(recipe, data_evidence(recipe), yardstick=recipe.yardstick)
    only_data = [c for c in checks if Needs.DATA in c.needs and not c.needs & ~OF_DATA]
    evidence = ask_all([evidence], only_data, "data", device)[0]
    found = [f for f in examine([evidence], only_data) if isinstance(f, Finding)]
    ranking = rank(found)
    return evidence, (*ranking.findings, *ranking.considered)


def diagnose(
    recipe: Recipe,
    tools: Tools,
    propose: Propose,
    *,
    attempt: int = 0,
    known_pace: Pace | None = None,
) -> Generator[Event, None, Diagnosis]:
    """Scan, pace, one run with its layers recorded, the range test, ranking, and confirmation where it can be
    afforded.

    `propose(evidence, findings)` gives the repairs of a cause. Raises `UserCodeError` for an exception that
    no check explains.
    """
    began = tools.meter.clock()
    if attempt == 0:
        yield StageStarted("scan")
    static = ask_all(static_evidence(recipe, tools.device), tools.checks, "batch", tools.device)
    skipped: dict[str, str] = {}
    found = yield from _examine(static, tools, skipped, announce=False)
    if attempt == 0:
        data_only = tuple(f for f in rank(found).findings if _is_data(f, tools.checks))
        yield ScanEnded(data_only, tools.meter.clock() - began)
    error = static[0].batch.error if static[0].batch else None
    if error is not None and not rank(found).findings:
        raise unexplained(static[0], error)
    if error is None:
        yield from _announce(rank(found).findings)  # what is seen without training is said at once
    pace, plan = known_pace, None
    if error is None and pace is None:
        try:
            pace = yield from _measure_pace(recipe, tools)
        except UserCodeError:
            if not rank(found).findings:
                raise  # the first batch went through; a later one, or the loader, does not
        else:
            plan = make_plan(tools.meter.budget, pace, tools.meter.spent)
            yield PlanMade(plan)
    elif pace is not None:
        plan = make_plan(tools.meter.budget, pace, tools.meter.spent)
    if error is not None or pace is None or plan is None:
        ranking = rank(found)
        if error is not None:
            yield from _announce(ranking.findings)
        return Diagnosis(
            recipe, static[0], ranking.findings, ranking.considered, skipped, plan, pace, trainable=False
        )
    try:
        evidence, complete = yield from _dynamic_evidence(recipe, static, tools, plan, pace, attempt)
    except UserCodeError:
        ranking = rank(found)
        if not ranking.findings:
            raise
        return Diagnosis(
            recipe, static[0], ranking.findings, ranking.considered, skipped, plan, pace, trainable=False
        )
    skipped.clear()
    found = yield from _examine(evidence, tools, skipped, announce=True)
    ranking = rank(found)
    run = evidence[0].run
    if run is not None and not _is_settled(ranking) and tools.meter.affords(pace, COPIES):
        evidence = yield from train_copies(
            evidence, tools.checks, tools.engine, tools.device, tools.max_seconds
        )
        skipped.clear()
        found = yield from _examine(evidence, tools, skipped, announce=False)
        ranking = rank(found)
    yield from _announce(ranking.findings)
    ranking = _by_measurement(ranking)
    if not ranking.findings or run is None or not _affords_confirmation(tools, pace, plan, run, recipe):
        return Diagnosis(
            recipe, evidence[0], ranking.findings, ranking.considered, skipped, plan, pace, complete=complete
        )
    yield StageStarted("diagnosis", f"confirming {ranking.findings[0].cause}")
    repairs = propose(evidence[0], ranking.findings)
    settled = yield from _confirm(recipe, ranking.findings, run, repairs, tools, attempt)
    first = _settled(recipe, evidence[0], ranking, settled, skipped, plan, pace, complete)
    if settled.repairs or not _is_settled(ranking) or any(f.status == "confirmed" for f in first.findings):
        return first
    return (yield from _asked_further(first, evidence, tools, propose, pace, plan, attempt))


def _confirm(
    recipe: Recipe, findings: Sequence[Finding], run: Run, repairs: Repairs, tools: Tools, attempt: int
) -> Generator[Event, None, Confirmation]:
    """The leading findings put to trial on the attempt's own seeds, at the horizon of what `run` showed."""
    return (
        yield from confirm(
            recipe,
            findings,
            Symptom.of(run, recipe),
            repairs=repairs,
            rivals=rivals_of,
            engine=tools.engine,
            seeds=tools.seeds.reproducing(5, attempt),
            device=tools.device,
            max_seconds=tools.max_seconds,
        )
    )


def _asked_further(
    first: Diagnosis,
    evidence: Sequence[Evidence],
    tools: Tools,
    propose: Propose,
    pace: Pace,
    plan: Plan,
    attempt: int,
) -> Generator[Event, None, Diagnosis]:
    """What looked certain did not stand its trial: the experiments that were spared are made after all."""
    recipe = first.recipe
    evidence = yield from train_copies(evidence, tools.checks, tools.engine, tools.device, tools.max_seconds)
    skipped: dict[str, str] = {}
    found = yield from _examine(evidence, tools, skipped, announce=False)
    known = {f.id for f in (*first.findings, *first.considered)}
    fresh = tuple(f for f in rank(found).findings if f.id not in known)
    run = evidence[0].run
    if not fresh or run is None or not _affords_confirmation(tools, pace, plan, run, recipe):
        return attrs.evolve(first, evidence=evidence[0])
    yield from _announce(fresh)
    repairs = propose(evidence[0], (*fresh, *first.findings))
    settled = yield from _confirm(recipe, fresh, run, repairs, tools, attempt)
    second = _settled(
        recipe, evidence[0], Ranking(fresh, ()), settled, first.skipped, plan, pace, first.complete
    )
    weighed = sorted((*second.findings, *first.findings), key=_order)
    return attrs.evolve(
        second,
        findings=tuple(weighed),
        considered=(*second.considered, *first.considered),
        reproduced=first.reproduced,
        baseline=second.baseline or first.baseline,
    )


def _order(finding: Finding) -> tuple[bool, bool, float]:
    """Faults of the yardstick first, then what is confirmed, then the most probable."""
    counted = finding.status == "confirmed" and bool(finding.evidence.get("measured"))
    return (not counted, finding.status != "confirmed", -(finding.confidence or 0.0))


def _by_measurement(ranking: Ranking) -> Ranking:
    """Faults of the yardstick are confirmed by having been counted, never by a score that rises."""

    def confirmed(finding: Finding) -> Finding:
        if not finding.evidence.get("measured") or (finding.confidence or 0.0) < THRESHOLD:
            return finding
        return attrs.evolve(finding, status="confirmed", confirmation={"sentence": COUNTED})

    return Ranking(tuple(map(confirmed, ranking.findings)), ranking.considered)


def _affords_confirmation(tools: Tools, pace: Pace, plan: Plan, run: Run, recipe: Recipe) -> bool:
    """Five seeds of the recipe and of the repair, a sham and two rivals, at the symptom's horizon."""
    if plan.level not in ("claims", "proxies"):
        return False
    share = Symptom.of(run, recipe).epochs / max(1, recipe.settings.epochs)
    return tools.meter.affords(pace, CONFIRMATION_RUNS * share)


def diagnose_all(
    recipe: Recipe, tools: Tools, propose: Propose, *, rounds: int = 3
) -> Generator[Event, None, Diagnosis]:
    """Diagnose, apply what was confirmed, and diagnose again: several causes at once are the rule.

    The later rounds add what they confirm; the rest is what the recipe as it is shows.
    """
    first = yield from diagnose(recipe, tools, propose)
    found, current = first, recipe
    for attempt in range(1, rounds):
        edits = next((tuple(e) for e in found.repairs.values()), ())
        run = found.evidence.run
        if not edits or found.pace is None or run is None:
            break
        current = current.with_edits(*edits)
        if not tools.meter.affords(found.pace, 2 + CONFIRMATION_RUNS):
            break
        try:
            found = yield from diagnose(current, tools, propose, attempt=attempt, known_pace=found.pace)
        except (UserError, UserCodeError):  # the repaired recipe fails elsewhere: what was found stands
            break
        known = {f.cause for f in first.findings}
        fresh = tuple(f for f in found.findings if f.status == "confirmed" and f.cause not in known)
        if fresh:
            yield from _announce(fresh)
        confirmed = tuple(f for f in first.findings if f.status == "confirmed")
        rest = tuple(f for f in first.findings if f.status != "confirmed")
        added = {f.cause for f in fresh}
        first = attrs.evolve(
            first,
            findings=(*confirmed, *fresh, *(f for f in rest if f.cause not in added)),
            considered=tuple(f for f in first.considered if f.cause not in added),
        )
    return first


def _settled(
    recipe: Recipe,
    evidence: Evidence,
    ranking: Ranking,
    settled: Confirmation,
    skipped: Mapping[str, str],
    plan: Plan,
    pace: Pace,
    complete: bool,
) -> Diagnosis:
    """The confirmed first; what was tried in vain falls below the threshold; symptoms of a confirmed cause
    are folded."""
    weighed = []
    for finding in settled.findings:
        tried = finding.confirmation.get("repair") is not None
        if finding.status == "suspected" and tried and not finding.also:
            undecided = (finding.confirmation.get("effect") or 0.0) > 0 and (
                finding.confidence or 0.0
            ) >= CERTAIN
            finding = attrs.evolve(finding, confidence=_tried_in_vain(finding.confidence or 0.0, undecided))
        weighed.append(finding)
    weighed.sort(key=_order)
    kept = tuple(f for f in weighed if f.status != "refuted" and (f.confidence or 0.0) >= THRESHOLD)
    below = tuple(f for f in weighed if f not in kept)
    return Diagnosis(
        recipe,
        evidence,
        kept,
        (*below, *ranking.considered),
        skipped,
        plan,
        pace,
        repairs=settled.repairs,
        baseline=settled.baseline,
        reproduced=settled.reproduced,
        complete=complete,
    )


def _is_settled(ranking: Ranking) -> bool:
    """Whether what is found needs no further experiments before it is put to confirmation."""
    return any((f.confidence or 0.0) >= SURE for f in ranking.findings)


def _tried_in_vain(confidence: float, undecided: bool) -> float:
    """The confidence after a repair that did not clearly help: odds five times smaller (two where it helped,
    but not beyond doubt), so that what is certain from the code alone stays above the threshold and a
    guess falls below."""
    odds = confidence / max(1e-9, 1 - confidence) / (2 if undecided else 5)
    return odds / (1 + odds)


def _examine(
    evidence: Sequence[Evidence], tools: Tools, skipped: dict[str, str], *, announce: bool
) -> Generator[Event, None, list[Finding]]:
    found = []
    for item in examine(evidence, tools.checks, tools.muted):
        if isinstance(item, CheckSkipped):
            skipped[item.check] = item.reason
            if announce:
                yield item
        else:
            found.append(item)
    return found


def _announce(findings: Iterable[Finding]) -> Generator[Event, None, None]:
    for finding in findings:
        yield FindingMade(finding)


def unexplained(evidence: Evidence, error: BatchError) -> UserCodeError:
    """The user's error of an exception in the first batch that no check explains."""
    return blame(error.exception, _where(evidence, error))


def _where(evidence: Evidence, error: BatchError) -> str:
    """The file and layer to name for an exception that has no line of the user's."""
    name = error.layer or ""
    place = evidence.layer_place(name)
    layer = f"layer {name} in the " if name else ""
    source = (
        f"{place.file}:{place.line}"
        if place.line
        else evidence.recipe.display_name
        if evidence.recipe
        else ""
    )
    before = f"{source}: " if source else ""
    return f"{before}{layer}{error.stage} pass" if error.stage != "loss" else f"{before}the loss"


def _is_data(finding: Finding, checks: Iterable[Check]) -> bool:
    return any(c.id == finding.check and not c.needs & ~OF_DATA for c in checks)


def _measure_pace(recipe: Recipe, tools: Tools) -> Generator[Event, None, Pace]:
    """Twenty steps, extrapolated to one training."""
    job = Job(recipe, tools.seeds.base, None, "pace", max_steps=PACE_STEPS, device=tools.device)
    yield StageStarted("baseline", f"{PACE_STEPS} steps to see what a training costs")
    results = yield from run_all(tools.engine, [job])
    result = results[0]
    if isinstance(result, Failure):
        raise failed(result)
    settings, samples = recipe.settings, recipe.training_samples
    per_epoch = max(1, -(-len(samples) // settings.batch_size)) if samples.shuffles else max(1, result.steps)
    steps = per_epoch * settings.epochs
    return Pace(result.seconds * steps / max(1, result.steps), steps, settings.epochs, tools.engine.workers)


def failed(failure: Failure) -> UserError | UserCodeError:
    """The error to show for a training of the user's own recipe that did not end."""
    if failure.kind == "user-code":
        return UserCodeError(failure.reason, traceback=failure.traceback)
    if failure.kind == "user":
        return UserError(failure.reason)
    return UserError(
        f"the training of the unchanged recipe did not end: {failure.reason}; make it smaller or shorter"
    )


def _dynamic_evidence(
    recipe: Recipe, static: list[Evidence], tools: Tools, plan: Plan, pace: Pace, attempt: int
) -> Generator[Event, None, tuple[list[Evidence], bool]]:
    """One full run and the range test, as far as the plan goes; and whether all that applies was gathered."""
    run: Run | None = None
    if plan.level in ("proxies", "claims"):
        if attempt == 0:
            yield StageStarted("baseline", f"one run of {pace.epochs} epochs")
        seed = tools.seeds.screening(1)[0]
        job = Job(
            recipe, seed, None, "baseline", keep_weights=True, tapped=True,
            max_seconds=tools.max_seconds, device=tools.device,
        )  # fmt: skip
        results = yield from run_all(tools.engine, [job])
        if isinstance(results[0], Failure):
            raise failed(results[0])
        run = results[0]
    test = None
    share = RANGE_STEPS * MOST_RATES / pace.steps
    if plan.level != "static":
        # A short training gets a short test: all of its rates together cost half of one.
        steps = min(RANGE_STEPS, max(12, int(RANGE_SHARE * pace.steps)))
        if tools.meter.budget.unit == "seconds" and not tools.meter.affords(pace, share * pace.workers * 2):
            steps = max(8, int(RANGE_STEPS * tools.meter.left / max(pace.seconds * share * 4, 1e-9)))
        if steps < 12 and plan.level != "probes":
            yield Note(f"range test shortened to {steps} steps to stay within the budget")
        if attempt == 0:
            yield StageStarted("diagnosis", "learning-rate range test")
        with user_code(recipe.display_name):
            test = range_test(
                recipe, seed=tools.seeds.base, steps=min(steps, RANGE_STEPS), device=tools.device
            )
        made = test.made if test is not None else 0
        tools.meter.charge(0, made, samples=made * recipe.settings.batch_size)
    gathered = [attrs.evolve(e, run=run, range_test=test) for e in static]
    if run is not None:
        with user_code(recipe.display_name):
            for level in ("trained", "data"):
                gathered = ask_all(gathered, tools.checks, level, tools.device)  # type: ignore[arg-type]
    return gathered, run is not None
