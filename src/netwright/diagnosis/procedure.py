"""The diagnosis from the first look to the confirmed cause: cheapest evidence first, and only what the budget
affords."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Sequence

import attrs

from netwright.catalogue import Check, Needs
from netwright.diagnosis.conclusion import (
    MUCH,
    SURE,
    Diagnosis,
    by_measurement,
    by_weight,
    is_settled,
    of_training,
    place_of,
    settled_by,
    without_a_symptom,
)
from netwright.diagnosis.confirmation import SEEDS, Confirmation, Repairs, confirm
from netwright.diagnosis.gathering import (
    Tools,
    dynamic_evidence,
    measure_pace,
    static_evidence,
    unexplained,
)
from netwright.diagnosis.probing import TRAININGS, ask_all, train_copies
from netwright.diagnosis.ranking import (
    Ranking,
    examine,
    of_degree,
    rank,
    rivals_of,
)
from netwright.diagnosis.repetition import ask_another_run, of_one_run, unsaid
from netwright.diagnosis.symptom import Symptom
from netwright.recipe import Recipe, user_code
from netwright.runs import Evidence, Run, data_evidence
from netwright.runs.probes import overfit_batch
from netwright.trials import Pace, make_plan
from netwright.values import (
    CheckSkipped,
    Event,
    Finding,
    FindingMade,
    Plan,
    PlanMade,
    ScanEnded,
    StageStarted,
    UserCodeError,
    UserError,
)

OF_DATA = Needs.DATA | Needs.PARTS | Needs.RECIPE
CONFIRMATION_RUNS, COPIES = 13, 4
AGAIN = 10  # attempts beyond those of the rounds, so that their seeds are others
BY_HEART, GOOD = 0.9, 0.9
Propose = Callable[[Evidence, tuple[Finding, ...]], Repairs]


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
    uncover: bool = True,
) -> Generator[Event, None, Diagnosis]:
    """Scan, pace, one run with its layers recorded, the range test, ranking, and confirmation where it can be
    afforded.

    `propose(evidence, findings)` gives the repairs of a cause. With `uncover`, a cause that is seen in the
    recipe itself but whose repair alone shows nothing is repaired for once, to see what it hides. Raises
    `UserCodeError` for an exception that no check explains.
    """
    so_far, static = yield from _before_training(recipe, tools, attempt, known_pace)
    pace, plan = so_far.pace, so_far.plan
    stopped = static[0].batch is not None and static[0].batch.error is not None
    if stopped or pace is None or plan is None:
        return so_far
    try:
        evidence, complete = yield from dynamic_evidence(recipe, static, tools, plan, pace, attempt)
    except UserCodeError:
        if not so_far.findings:
            raise
        return so_far
    whole = evidence[0].run
    if whole is not None and not whole.diverged and len(whole.epoch_loss) == recipe.settings.epochs:
        # A whole training tells its cost better than its first steps, which also warm the machine up.
        pace = attrs.evolve(pace, seconds=whole.seconds)
        plan = make_plan(tools.meter.budget, pace, tools.meter.spent)
        so_far = attrs.evolve(so_far, pace=pace)
    skipped: dict[str, str] = {}
    evidence, ranking, certain = yield from _asked_of_training(evidence, tools, skipped, pace, attempt)
    yield from _announce(ranking.findings)
    ranking = by_measurement(ranking)
    so_far = attrs.evolve(
        so_far,
        evidence=evidence[0],
        findings=ranking.findings,
        considered=ranking.considered,
        skipped=skipped,
        trainable=True,
        complete=complete and certain,
    )
    run = evidence[0].run
    if not ranking.findings and not so_far.learns and attempt == 0:
        return attrs.evolve(so_far, notes=_narrowed_down(recipe, tools))
    if not ranking.findings or run is None or not _affords_confirmation(tools, pace, plan, run, recipe):
        return so_far
    yield StageStarted("diagnosis", f"confirming {ranking.findings[0].cause}")
    explained = tuple(f for f in ranking.considered if f.evidence.get("explained_by"))
    repairs = propose(evidence[0], (*ranking.findings, *explained))
    settled = yield from _confirm(recipe, ranking.findings, run, repairs, tools, attempt, explained)
    first = settled_by(so_far, settled)
    if not settled.reproduced:
        return without_a_symptom(first, tools.checks)
    if first.settled:
        return first
    said = {f.cause for f in first.findings}
    fallen = {f.cause for f in ranking.findings if f.cause not in said}
    if fallen or is_settled(ranking):
        first = yield from _asked_further(first, evidence, tools, propose, attempt, fallen)
    sure = frozenset(f.id for f in ranking.findings if (f.confidence or 0.0) >= SURE)
    if uncover and not first.settled:
        first = yield from _uncovered(first, sure, tools, propose, attempt)
    return first


def _before_training(
    recipe: Recipe, tools: Tools, attempt: int, known_pace: Pace | None
) -> Generator[Event, None, tuple[Diagnosis, list[Evidence]]]:
    """What the recipe, its data and one batch show, and what a training costs; without pace or plan where no
    step can be taken."""
    began = tools.meter.clock()
    if attempt == 0:
        yield StageStarted("scan")
    static = ask_all(static_evidence(recipe, tools.device), tools.checks, "batch", tools.device)
    skipped: dict[str, str] = {}
    found = yield from _examine(static, tools, skipped, announce=False)
    ranking = rank(found)
    if attempt == 0:
        data_only = tuple(f for f in ranking.findings if _is_data(f, tools.checks))
        yield ScanEnded(data_only, tools.meter.clock() - began)
    error = static[0].batch.error if static[0].batch else None
    if error is not None and not ranking.findings:
        raise unexplained(static[0], error)
    yield from _announce(ranking.findings)  # what is seen without training is said at once
    pace, plan = known_pace, None
    if error is None and pace is None:
        try:
            pace = yield from measure_pace(recipe, tools)
        except UserCodeError:
            if not ranking.findings:
                raise  # the first batch went through; a later one, or the loader, does not
        else:
            tools.meter.suit(pace)
            plan = make_plan(tools.meter.budget, pace, tools.meter.spent)
            yield PlanMade(plan)
    elif pace is not None:
        plan = make_plan(tools.meter.budget, pace, tools.meter.spent)
    so_far = Diagnosis(
        recipe, static[0], ranking.findings, ranking.considered, skipped, plan, pace, trainable=False
    )
    return so_far, static


def _asked_of_training(
    evidence: Sequence[Evidence], tools: Tools, skipped: dict[str, str], pace: Pace, attempt: int
) -> Generator[Event, None, tuple[Sequence[Evidence], Ranking, bool]]:
    """What the trained network shows, asked again on another seed where one run accuses, with altered copies
    where nothing is settled; and whether all that had to be asked could be afforded."""
    found = yield from _examine(evidence, tools, skipped, announce=True)
    ranking, certain = rank(found), True
    run, recipe = evidence[0].run, evidence[0].recipe
    assert recipe is not None
    open_question = run is not None and (attempt == 0 or _below_the_bar(evidence[0]))
    spared = is_settled(ranking)
    if open_question and not spared and tools.meter.affords(pace, COPIES):
        evidence, found = yield from _with_copies(evidence, tools, skipped)
        ranking = rank(found)
    accused = of_one_run(ranking.findings, tools.checks)
    if run is not None and accused and Symptom.of(run, recipe).kind == "falls short":
        asking = of_one_run(found, tools.checks)  # what is folded may come up where another falls
        if tools.meter.affords(pace, 1 + _copies(asking)):
            evidence = yield from ask_another_run(evidence, asking, tools, attempt)
            skipped.clear()
            found = yield from _examine(evidence, tools, skipped, announce=False)
            ranking = rank(found)
        else:
            ranking, certain = unsaid(ranking, tools.checks), False
    if open_question and spared and not is_settled(ranking) and tools.meter.affords(pace, 2 * COPIES):
        # What looked settled fell away when it was asked again.
        evidence, found = yield from _with_copies(evidence, tools, skipped)
        ranking = rank(found)
    return evidence, ranking, certain


def _with_copies(
    evidence: Sequence[Evidence], tools: Tools, skipped: dict[str, str]
) -> Generator[Event, None, tuple[list[Evidence], list[Finding]]]:
    """The evidence with the altered copies that the checks ask for, and what they say of it."""
    asked = yield from train_copies(evidence, tools.checks, tools.engine, tools.device, tools.max_seconds)
    skipped.clear()
    return asked, (yield from _examine(asked, tools, skipped, announce=False))


def _narrowed_down(recipe: Recipe, tools: Tools) -> tuple[str, ...]:
    """Where nothing says why a recipe does not learn: whether it can learn a single batch by heart says on
    which side to look."""
    with user_code(recipe.display_name):
        answer = overfit_batch(recipe, seed=tools.seeds.base, device=tools.device)
    if answer is None:
        return ()
    tools.meter.charge(0, 2 * answer.steps, samples=2 * answer.steps * answer.rows)
    if answer.skill >= BY_HEART:
        told = f"is learnt by heart (Adam, {answer.rate:g}): look at the data, the rate and the length first"
    else:
        told = (
            f"is not learnt by heart in {answer.steps} steps of Adam (skill {answer.skill:.2f}): look at the"
            " network and the loss first"
        )
    return (f"No check says why it does not learn. A single batch of {answer.rows} samples {told}.",)


def _confirm(
    recipe: Recipe,
    findings: Sequence[Finding],
    run: Run,
    repairs: Repairs,
    tools: Tools,
    attempt: int,
    explained: Sequence[Finding] = (),
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
            seeds=[*tools.seeds.reproducing(SEEDS, attempt), run.seed],
            device=tools.device,
            max_seconds=tools.max_seconds,
            explained=explained,
        )
    )


def _asked_further(
    first: Diagnosis,
    evidence: Sequence[Evidence],
    tools: Tools,
    propose: Propose,
    attempt: int,
    fallen: Collection[str],
) -> Generator[Event, None, Diagnosis]:
    """What looked certain did not stand its trial: the experiments that were spared are made after all, and
    what the `fallen` explained has to be explained otherwise."""
    recipe, pace, plan = first.recipe, first.pace, first.plan
    skipped: dict[str, str] = {}
    evidence, found = yield from _with_copies(evidence, tools, skipped)
    known = {f.id for f in first.findings}
    left = rank(f for f in found if f.cause not in fallen).findings
    fresh = tuple(f for f in left if f.id not in known)
    run = evidence[0].run
    first = attrs.evolve(first, evidence=evidence[0], skipped=skipped)
    if not fresh or run is None or pace is None or plan is None:
        return first
    if not _affords_confirmation(tools, pace, plan, run, recipe):
        return first
    yield from _announce(fresh)
    repairs = propose(evidence[0], (*fresh, *first.findings))
    settled = yield from _confirm(recipe, fresh, run, repairs, tools, attempt)
    second = settled_by(attrs.evolve(first, considered=()), settled)
    weighed = sorted((*second.findings, *first.findings), key=by_weight(first.evidence))
    return attrs.evolve(
        second,
        findings=tuple(weighed),
        considered=(*second.considered, *(f for f in first.considered if f.id not in {g.id for g in fresh})),
        reproduced=first.reproduced,
        baseline=second.baseline or first.baseline,
    )


def _uncovered(
    first: Diagnosis, sure: Collection[str], tools: Tools, propose: Propose, attempt: int
) -> Generator[Event, None, Diagnosis]:
    """What a cause hides that is plain to see in the recipe (the `sure` ids) but whose repair alone shows
    nothing.

    It is repaired for once and the recipe diagnosed anew; what is confirmed there is kept, and then the cause
    itself is put to trial once more, on the recipe in which that is repaired.
    """
    recipe, pace = first.recipe, first.pace
    later = of_training(tools.checks)
    finding = next((f for f in first.findings if f.id in sure and f.check not in later), None)
    if finding is None or pace is None or not tools.meter.affords(pace, 2 * CONFIRMATION_RUNS):
        return first
    repairs = propose(first.evidence, first.findings)(finding.cause)
    edits = tuple(edit for edit in repairs if recipe.judged_alike(edit))[:1]
    if not edits:
        return first
    attempt += AGAIN
    changed = recipe.with_edits(*edits)
    try:
        below = yield from diagnose(changed, tools, propose, attempt=attempt, known_pace=pace, uncover=False)
    except (UserError, UserCodeError):  # the repaired recipe fails elsewhere: nothing is uncovered
        return first
    other = next((f for f in below.findings if f.id in below.repairs), None)
    run = below.evidence.run
    if other is None or run is None:
        return first
    cure = tuple(below.repairs[other.id])
    settled = yield from _confirm(recipe.with_edits(*cure), [finding], run, lambda _: edits, tools, attempt)
    again = settled.findings[0]
    both = (*edits, *cure)
    numbers = {**other.confirmation, "together": True, "repair": " and ".join(e.label for e in both)}
    other = attrs.evolve(other, confirmation=numbers)
    kept = [f for f in first.findings if f.cause not in (again.cause, other.cause)]
    kept += [other] if again.status == "refuted" else [again, other]
    return attrs.evolve(
        first,
        findings=tuple(sorted(kept, key=by_weight(first.evidence))),
        considered=tuple(f for f in first.considered if f.cause != other.cause),
        repairs={f.id: both for f in (again, other) if f.status == "confirmed"},
    )


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
        confirmed = (f for f in found.findings if f.status == "confirmed" and f.cause not in known)
        # What a repaired recipe could still gain a little by is mostly no fault of the user's.
        fresh = tuple(f for f in confirmed if not of_degree(f.cause) or _gains(f, recipe) >= MUCH)
        if fresh:
            yield from _announce(fresh)
        confirmed = tuple(f for f in first.findings if f.status == "confirmed")
        rest = tuple(f for f in first.findings if f.status != "confirmed")
        added = {f.cause for f in fresh}
        told = (*confirmed, *fresh, *(f for f in rest if f.cause not in added))
        seen = first.evidence
        first = attrs.evolve(
            first,
            findings=tuple(sorted(told, key=lambda f: place_of(f, seen))),  # else as the rounds gave them
            considered=tuple(f for f in first.considered if f.cause not in added),
        )
    if first.findings and not first.learns and not any(map(first.may_be_why, first.findings)):
        # What judges is at fault, and something else is: where to look for it.
        first = attrs.evolve(first, notes=(*first.notes, *_narrowed_down(recipe, tools)))
    return first


def _gains(finding: Finding, recipe: Recipe) -> float:
    """What the repair of a confirmed finding gained, of the way from trivial to perfect."""
    metric = recipe.yardstick.metric
    return float(finding.confirmation.get("effect") or 0.0) / abs(metric.perfect - metric.trivial)


def _copies(checks: Iterable[Check]) -> int:
    """How many altered copies the checks ask for."""
    return len({probe for check in checks for probe in check.probes if probe in TRAININGS})


def _below_the_bar(evidence: Evidence) -> bool:
    """Whether a repaired recipe does worse than the simplest models, so that copies are worth training."""
    simple, skill = evidence.probes.get("simple-models"), evidence.skill("val") or 0.0
    return skill < (GOOD if simple is None else simple.best)


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


def _is_data(finding: Finding, checks: Iterable[Check]) -> bool:
    return any(c.id == finding.check and not c.needs & ~OF_DATA for c in checks)
