"""The verbs: `improve`, `diagnose`, `scan`, `look`, `attributes`; the command line and notebooks call these
same functions. `look` has a file of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import attrs

from netwright import diagnosis as rooms
from netwright import values
from netwright.app.artefacts import write_network, write_report
from netwright.app.looking import look as look
from netwright.app.looking import look_at_runs
from netwright.app.overview import overview
from netwright.app.results import AttributesResult, DiagnoseResult, ImproveResult, ScanResult
from netwright.app.work import OnEvent, Work, fold, journal_folder, now, opened, working
from netwright.catalogue import Catalogue
from netwright.diagnosis import THRESHOLD
from netwright.ideas.situation import Situation, repairs_of
from netwright.improvement import Improvement
from netwright.improvement import improve as improve_events
from netwright.journal import Journal
from netwright.recipe import Recipe, user_code
from netwright.recipe.changes import changes_of
from netwright.runs import Evidence, Run
from netwright.runs.watch import Trace
from netwright.values import Budget, Finding, Spent, UserCodeError, UserError, to_json

SHORTEST, LONGEST = Budget(60, "seconds"), Budget(600, "seconds")  # of a diagnosis without a budget


def improve(
    recipe: Recipe | str,
    *,
    budget: str | Budget = "2m",
    seed: int = 0,
    device: str | None = None,
    journal: str | Path | None = None,
    test: bool = True,
    extensions: tuple[str, ...] = (),
    muted: dict[str, str] | None = None,
    workers: int | None = None,
    on_event: OnEvent | None = None,
) -> ImproveResult:
    """Scan, diagnose, try, keep and report until the budget is spent or nothing helps any more.

    `recipe` may be `FILE`, `FILE:NAME` or `module:NAME`. `test=False` keeps the test part sealed;
    `extensions` are files with further checks, ideas and edits; `muted` gives ids of checks to leave out,
    with a reason. An improvement that was interrupted goes on where it was when called again. Raises
    `UserError` and `UserCodeError`.
    """
    recipe = opened(recipe, extensions)
    limit = Budget.parse(budget)
    arguments = {"budget": str(limit), "seed": seed, "test": test, "muted": sorted(muted or {})}
    with working(
        "improve", recipe, limit, arguments, seed, device, journal, extensions, muted, workers
    ) as work:

        def look_at_test(samples: str, key: str) -> int:
            return work.journal.look(samples, f"improve {recipe.display_name}", now(), key)

        events = improve_events(recipe, work.tools, work.catalogue.ideas, look=look_at_test if test else None)
        plans: list[values.Plan] = []
        found: Improvement = fold(events, work, on_event, plans)
        result = _improve_result(recipe, found, work, str(limit), plans)
        work.finish(result.outcome, result.to_json())
        return result


def _improve_result(
    recipe: Recipe, found: Improvement, work: Work, budget: str, plans: list[values.Plan]
) -> ImproveResult:
    metric = recipe.yardstick.metric
    edits = found.improved.edits[len(recipe.edits) :]
    listed = AttributesResult(recipe.display_name, recipe.attributes())
    best = max(found.after, key=lambda r: r.scores["val"]) if found.after else None
    paths = write_network(work.folder, found.improved, best) if best is not None else (None, None)
    notes = [*recipe.data.parts.notes, *found.diagnosis.notes]
    if work.engine.remembered:
        notes.append(
            f"{work.engine.remembered} trainings were found finished in the journal and not made again"
        )
    result = ImproveResult(
        recipe=recipe.display_name,
        fingerprint=recipe.fingerprint,
        outcome=found.outcome,
        metric=values.MetricName(metric.name, metric.higher_is_better, metric.trivial, metric.perfect),
        before={**_means(found.before), "test": found.test_before},
        after={**_means(found.after), "test": found.test_after},
        findings=found.findings,
        considered=found.considered,
        verdicts=found.verdicts,
        changes=changes_of(recipe, edits) if edits else (),
        test=found.test,
        weights=paths[0],
        load=paths[1],
        spent=work.spent(),
        report=None,
        overview=overview(recipe, found.diagnosis.evidence if found.diagnosis.recipe is recipe else None),
        edits=edits,
        budget=budget,
        plan=plans[0].sentence if plans else "",
        scan=work.scanned,
        stage_seconds=work.stages,
        baseline=_baseline_words(recipe, found),
        curves_before=_curves(found.before, "before"),
        curves_after=_curves(found.after, "after") if found.after is not found.before else (),
        weights_score=best.scores["val"] if best is not None else None,
        weights_run=f"seed {best.seed}" if best is not None else "",
        screened=found.screened,
        failed=found.failed,
        next_steps=found.next_steps,
        notes=tuple(notes),
        skipped=found.skipped,
        device=work.tools.device,
        attributes=listed,
    )
    look = None
    if best is not None and best.weights is not None:
        first = max(found.before, key=lambda r: r.scores["val"]) if found.before else None
        compared = found.after is not found.before and first is not None and first.weights is not None
        before = (recipe, first) if compared and first is not None else None
        try:
            look = look_at_runs((found.improved, best), before, work.tools.device)
        except (UserError, UserCodeError) as raised:  # the numbers stand without the picture
            notes.append(f"the layers are not in the report: {raised}")
    result = attrs.evolve(result, look=look, notes=tuple(notes))
    report = write_report(work.folder, result, listed)
    return attrs.evolve(result, report=report)


def plan(
    recipe: Recipe | str,
    *,
    budget: str | Budget = "2m",
    seed: int = 0,
    device: str | None = None,
    journal: str | Path | None = None,
    extensions: tuple[str, ...] = (),
    on_event: OnEvent | None = None,
) -> values.Plan:
    """What `improve` would do with this budget; takes twenty steps to see what a training costs, and stops
    there."""
    recipe = opened(recipe, extensions)
    limit = Budget.parse(budget)
    with working("plan", recipe, limit, {}, seed, device, journal, extensions, None) as work:
        events = rooms.diagnose(recipe, work.tools, lambda evidence, findings: lambda cause: [])
        with user_code(recipe.display_name):
            for event in events:
                if on_event is not None:
                    on_event(event)
                if isinstance(event, values.PlanMade):
                    events.close()
                    work.finish("planned", to_json(event.plan))
                    return event.plan
        raise UserError(
            f"{recipe.display_name}: cannot take a step, so nothing can be planned; netwright diagnose"
            " says why"
        )


def diagnose(
    target: Recipe | str | Trace,
    *,
    budget: str | Budget | None = None,
    seed: int = 0,
    device: str | None = None,
    journal: str | Path | None = None,
    extensions: tuple[str, ...] = (),
    muted: dict[str, str] | None = None,
    workers: int | None = None,
    on_event: OnEvent | None = None,
) -> DiagnoseResult:
    """What blocks learning, or why it overfits: causes with where, how sure and why, the most probable first.

    Without a `budget` it may take as long as 30 trainings of the recipe do: a minute at least, ten at most.
    `target` is a recipe, its name, or the `Trace` of a watched loop, which is judged by what was seen without
    training anything. `workers` processes train, as many as there are cores unless given; 0 trains in this
    process, where a time limit cannot hold. Raises `UserError` and `UserCodeError`.
    """
    if isinstance(target, Trace):
        return _diagnose_trace(target, muted or {})
    recipe = opened(target, extensions)
    limit = Budget.parse(SHORTEST if budget is None else budget)
    with working(
        "diagnose",
        recipe,
        limit,
        {"budget": "as needed" if budget is None else str(limit), "seed": seed},
        seed,
        device,
        journal,
        extensions,
        muted,
        workers,
        LONGEST.amount if budget is None else None,
    ) as work:
        ideas = work.catalogue.ideas

        def propose(evidence: Evidence, findings: tuple[Finding, ...]) -> Any:
            situation = Situation(evidence, findings)
            return lambda cause: repairs_of(cause, ideas, evidence.recipe or recipe, situation)

        found = fold(rooms.diagnose_all(recipe, work.tools, propose), work, on_event, [])
        reproduced = found.reproduced or not found.findings
        result = DiagnoseResult(
            recipe=recipe.display_name,
            fingerprint=recipe.fingerprint,
            healthy=found.outcome == "healthy",
            outcome=found.outcome,  # type: ignore[arg-type]
            findings=found.findings,
            considered=found.considered,
            spent=work.spent(),
            first_answer=work.first_answer,
            first_confirmed=work.first_confirmed,
            overview=overview(recipe, found.evidence),
            run=f"seed {found.evidence.run.seed}" if found.evidence.run else f"untrained, seed {seed}",
            notes=(
                *recipe.data.parts.notes,
                *(() if reproduced else ("the symptom did not show again on fresh seeds",)),
                *found.notes,
            ),
            skipped=found.skipped,
        )
        work.finish(result.outcome, result.to_json())
        return result


def _diagnose_trace(trace: Trace, muted: dict[str, str]) -> DiagnoseResult:
    began = time.perf_counter()
    checks = Catalogue.collect().checks.values()
    evidence = trace.evidence()
    items = list(rooms.examine([evidence], checks, muted))
    ranking = rooms.rank(f for f in items if isinstance(f, Finding))
    skipped = {i.check: i.reason for i in items if not isinstance(i, Finding)}
    parameters = evidence.batch.parameters if evidence.batch else ()
    frozen = sum(not p.requires_grad for p in parameters)
    meant = 0 < frozen < len(parameters)
    notes = (
        (f"{frozen} of {len(parameters)} parameters are frozen, which is taken as meant",) if meant else ()
    )
    return DiagnoseResult(
        recipe=trace.name,
        fingerprint="",
        healthy=False,
        outcome="findings" if ranking.findings else "inconclusive",
        findings=ranking.findings,
        considered=ranking.considered,
        spent=Spent(time.perf_counter() - began),
        run=f"watched loop, {trace.steps} steps",
        notes=(
            "a watched loop is judged by what was seen; nothing was tried, so nothing is confirmed",
            *notes,
        ),
        skipped=skipped,
    )


def scan(recipe: Recipe | str, *, extensions: tuple[str, ...] = (), device: str | None = None) -> ScanResult:
    """Patterns in the data that help or block training; trains nothing."""
    recipe = opened(recipe, extensions)
    began = time.perf_counter()
    with user_code(recipe.display_name):
        _, found = rooms.scan(recipe, (recipe.catalogue or Catalogue.collect()).checks.values())
        about = overview(recipe)
    patterns = tuple(
        values.Pattern(
            f.cause,
            None,
            f.where.samples or (),
            f.confidence or 0.0,
            f.explanation,
            f.ideas[0] if f.ideas else "",
        )
        for f in found
        if (f.confidence or 0.0) >= THRESHOLD
    )
    return ScanResult(about.data, patterns, Spent(time.perf_counter() - began), recipe.data.parts.notes)


def attributes(recipe: Recipe | str, *, extensions: tuple[str, ...] = ()) -> AttributesResult:
    """Every attribute of a recipe with its value and the line where it is set."""
    recipe = opened(recipe, extensions)
    with user_code(recipe.display_name):
        return AttributesResult(recipe.display_name, recipe.attributes())


def history(
    recipe: Recipe | str, *, session: int | None = None, journal: str | Path | None = None
) -> list[dict[str, Any]]:
    """The sessions of the journal beside a recipe, newest first; or every event of one, as JSON."""
    folder = journal_folder(opened(recipe, ()), journal)
    if not (folder / "journal.db").is_file():
        raise UserError(f"{folder}: no journal there yet; netwright improve makes one")
    with Journal.open(folder) as store:
        sessions = store.sessions()
        if session is None:
            return sessions
        if session not in [row["id"] for row in sessions]:
            raise UserError(f"{folder}: no session {session} in the journal; there are {len(sessions)}")
        return [{"event": type(event).__name__, **to_json(event)} for event in store.events(session)]


def _means(runs: tuple[Run, ...]) -> dict[str, float | None]:
    def mean(part: str) -> float | None:
        return sum(r.scores[part] for r in runs) / len(runs) if runs else None

    return {"train": mean("train"), "val": mean("val")}


def _baseline_words(recipe: Recipe, found: Improvement) -> str:
    runs = found.before
    if not runs:
        return "nothing was trained"
    metric = recipe.yardstick.metric
    epochs = recipe.settings.epochs
    score = sum(r.scores["val"] for r in runs) / len(runs)
    if not any(run.steps for run in runs):
        return f"cannot take a step; untrained it scores {score:.2f} on validation · {len(runs)} seeds"
    chance = "ignoring the inputs gives" if metric.name == "r2" else "chance is"
    seeds = f"{len(runs)} seed{'s' if len(runs) > 1 else ''}"
    return f"validation {score:.2f}, {chance} {metric.trivial:.2f} · {seeds} × {epochs} epochs"


def _curves(runs: tuple[Run, ...], label: str) -> tuple[values.Curve, ...]:
    def plain(numbers: Any) -> tuple[float | None, ...]:
        return tuple(to_json(numbers))

    return tuple(
        values.Curve(label, r.seed, plain(r.epoch_loss), plain(r.val_loss), plain(r.val_score)) for r in runs
    )
