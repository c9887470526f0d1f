"""Evidence as the diagnosis needs it, cheapest first: what is there before a step, what a training costs, one
run and the range test."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import attrs
from attrs import field, frozen

from netwright.catalogue import Check
from netwright.diagnosis.probing import ask_all
from netwright.recipe import Recipe, blame, user_code
from netwright.runs import BatchError, Evidence, Run, data_evidence, examine_start, range_test
from netwright.runs.rate_range import MOST_RATES
from netwright.trials import Engine, Failure, Job, Meter, Pace, Seeds
from netwright.trials.race import run_all
from netwright.values import Event, Note, Plan, StageStarted, UserCodeError, UserError

ASKED_SEEDS = (0, 1)
PACE_STEPS = 20
RANGE_STEPS, RANGE_SHARE = 30, 0.04
FITTED = 0.95


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


def measure_pace(recipe: Recipe, tools: Tools) -> Generator[Event, None, Pace]:
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


def dynamic_evidence(
    recipe: Recipe, static: list[Evidence], tools: Tools, plan: Plan, pace: Pace, attempt: int
) -> Generator[Event, None, tuple[list[Evidence], bool]]:
    """One full run and the range test, as far as the plan goes; and whether all that applies was gathered.

    A repaired recipe, one of a later `attempt`, that fits its training data needs no test of its rate.
    """
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
    fits = attempt > 0 and run is not None and not run.diverged and _training_skill(recipe, run) >= FITTED
    if plan.level != "static" and not fits:
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


def _training_skill(recipe: Recipe, run: Run) -> float:
    return recipe.yardstick.metric.skill(run.scores["train"])
