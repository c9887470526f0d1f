"""Which experiments are worth making, and making them: cheapest first, only what some check still needs."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs
import numpy as np
from attrs import frozen

from netwright.catalogue import Check
from netwright.recipe import Recipe, TensorSamples
from netwright.runs import Clocks, Copy, Evidence, Run, range_test, train
from netwright.runs.probes import BATCH_PROBES, STEP_PROBES, TRAINED_PROBES, label_shift, simple_models
from netwright.trials import Engine, Failure, Job
from netwright.trials.race import run_all
from netwright.values import Edit, Event

Level = Literal["batch", "data", "trained", "steps", "training"]
WIDER, NARROWER = 4.0, 0.25


def _of_data(evidence: Evidence, seed: int) -> Mapping[str, Callable[[], Any]]:
    data, recipe = evidence.data, evidence.recipe
    if data is None or evidence.yardstick is None:
        return {}
    known: dict[str, Callable[[], Any]] = {
        "simple-models": lambda y=evidence.yardstick: simple_models(data, y, seed)
    }
    if recipe is not None:
        known["label-shift"] = lambda: label_shift(recipe, data, seed)
    return known


def half_the_data(evidence: Evidence) -> Edit | None:
    """Every second training sample left out, with the epochs doubled, so that the updates stay as many."""
    recipe = evidence.recipe
    if recipe is None or not isinstance(recipe.training_samples, TensorSamples):
        return None
    rows = list(range(0, len(recipe.training_samples), 2))
    longer = {"name": "epochs", "value": 2 * recipe.settings.epochs}
    parts = [{"kind": "drop-samples", "parameters": {"rows": rows}}, {"kind": "set", "parameters": longer}]
    return Edit("together", {"edits": parts}, "data", "half the data")


def scaled_width(evidence: Evidence, factor: float) -> Edit | None:
    """The network with hidden layers `factor` times as wide; `None` where first and last layers cannot be
    told."""
    batch = evidence.batch
    if batch is None or batch.output_shape is None:
        return None
    operations = batch.operations
    known = {p.layer for p in batch.parameters}
    with_weights = [c for c in operations.forward if c.parameters and c.layer in known]

    def past(call: Any) -> bool:
        return not (call.parameters and call.layer in known)

    firsts = {c.layer for c in with_weights if not any(True for _ in operations.before(c, past))}
    ends = operations.maker.get(operations.output) if operations.output is not None else None
    if ends is None:
        return None
    lasts = {ends.layer} if ends.parameters else {c.layer for c in operations.before(ends, past)}
    if not firsts or not lasts or firsts & lasts:
        return None
    label = f"hidden layers {factor:g} times as wide"
    parameters = {"factor": factor, "first": sorted(firsts), "last": sorted(lasts)}
    return Edit("scale-width", parameters, "width", label)


def without_augmentation(evidence: Evidence) -> Edit | None:
    recipe = evidence.recipe
    if recipe is None or recipe.settings.augment is None:
        return None
    return Edit.set("training.augment", None, "without augmentation")


TRAININGS: Mapping[str, Callable[[Evidence], Edit | None]] = {
    "half-the-data": half_the_data,
    "wider-copy": lambda evidence: scaled_width(evidence, WIDER),
    "narrower-copy": lambda evidence: scaled_width(evidence, NARROWER),
    "without-augmentation": without_augmentation,
}
PROBES: tuple[str, ...] = (
    *BATCH_PROBES, "simple-models", "label-shift", *TRAINED_PROBES, *STEP_PROBES, *TRAININGS,
)  # fmt: skip


def wanted(evidence: Evidence, checks: Iterable[Check], level: Level) -> list[str]:
    """The probes of a level that some check still needs, whose other needs are met and whose `when` holds."""
    of_level = {
        "batch": tuple(BATCH_PROBES),
        "data": ("simple-models", "label-shift"),
        "trained": tuple(TRAINED_PROBES),
        "steps": tuple(STEP_PROBES),
        "training": tuple(TRAININGS),
    }[level]
    names = {
        probe
        for check in checks
        if not check.needs & ~evidence.has and (check.when is None or check.when(evidence))
        for probe in check.probes
    }
    if level == "trained" and evidence.run is not None:
        names.add("trained-modes")  # read where it is there, by checks that can do without
    return [name for name in of_level if name in names and name not in evidence.probes]


def ask(evidence: Evidence, name: str, seed: int, device: str) -> Any:
    """One answer, or `None` where the probe does not apply to this network or data."""
    recipe, run = evidence.recipe, evidence.run
    try:
        if name in BATCH_PROBES:
            return BATCH_PROBES[name](evidence.subject, seed) if evidence.subject is not None else None
        if name in TRAINED_PROBES:
            return (
                TRAINED_PROBES[name](recipe, run, seed, device)
                if recipe is not None and run is not None
                else None
            )
        if name in STEP_PROBES:
            return STEP_PROBES[name](recipe, seed=seed, device=device) if recipe is not None else None
        make = _of_data(evidence, seed).get(name)
        return make() if make is not None else None
    except Exception:  # a network that a probe cannot be made on is no error: the probe does not apply
        return None


def ask_all(
    evidence: Sequence[Evidence], checks: Sequence[Check], level: Level, device: str
) -> list[Evidence]:
    """The evidence of each seed with the answers of the level's wanted probes; those of the data are asked
    once."""
    gathered = []
    shared: dict[str, Any] = {}
    for seed, item in enumerate(evidence):
        answers = dict(item.probes)
        for name in wanted(item, checks, level):
            if level == "batch":
                answers[name] = ask(item, name, seed, device)
            else:
                if name not in shared:
                    shared[name] = ask(item, name, seed, device)
                answers[name] = shared[name]
        gathered.append(attrs.evolve(item, probes=answers))
    return gathered


def train_copies(
    evidence: Sequence[Evidence],
    checks: Sequence[Check],
    engine: Engine,
    device: str,
    max_seconds: float | None,
) -> Generator[Event, None, list[Evidence]]:
    """Altered copies of the recipe, each trained once with the seed of the run."""
    first = evidence[0]
    answers: dict[str, Any] = {}
    jobs: list[tuple[str, Job]] = []
    for name in wanted(first, checks, "training"):
        edit = TRAININGS[name](first)
        answers[name] = None
        if (
            edit is not None
            and first.recipe is not None
            and first.run is not None
            and builds(first.recipe, edit)
        ):
            changed = first.recipe.with_edits(edit)
            jobs.append(
                (
                    name,
                    Job(
                        changed,
                        first.run.seed,
                        None,
                        f"probe: {name}",
                        max_seconds=max_seconds,
                        device=device,
                    ),
                )
            )
    if jobs:
        results = yield from run_all(engine, [job for _, job in jobs])
        for (name, _), result in zip(jobs, results, strict=True):
            if not isinstance(result, Failure) and first.recipe is not None:
                metric = first.recipe.yardstick.metric
                answers[name] = Copy(
                    metric.skill(result.scores["train"]), metric.skill(result.scores["val"]), name
                )
    return [attrs.evolve(e, probes={**e.probes, **answers}) for e in evidence]


def builds(recipe: Recipe, edit: Edit) -> bool:
    """Whether the edited network can be built and run on two samples."""
    import torch

    from netwright.runs.forward import forward

    try:
        changed = recipe.with_edits(edit)
        assert changed.settings is not None
        network = changed.build(0).eval()
        inputs, _ = changed.training_samples.head(2)
        with torch.no_grad():
            forward(network, inputs)
    except Exception:  # an edit that this network cannot take is no edit
        return False
    return True


AFTER_TRAINING = (*TRAINED_PROBES,)


def describe(name: str) -> str:
    """What a probe asks, in one sentence."""
    functions: dict[str, Callable[..., Any]] = {
        **BATCH_PROBES, **TRAINED_PROBES, **STEP_PROBES,
        "simple-models": simple_models, "label-shift": label_shift, "range-test": range_test,
        "half-the-data": half_the_data, "seeds-apart": seeds_apart,
    }  # fmt: skip
    known = {
        "wider-copy": "The same training with hidden layers four times as wide.",
        "narrower-copy": "The same training with hidden layers a quarter as wide.",
        "without-augmentation": "The same training without its augmentation.",
    }
    text = known.get(name) or inspect.getdoc(functions[name]) or ""
    return " ".join(text.split("\n\n")[0].split())


def trained_run(recipe: Recipe, seed: int, device: str) -> Run:
    """One training in this process, its weights kept."""
    events = train(
        recipe, seed, clocks=Clocks(time.perf_counter, time.process_time), device=device, keep_weights=True
    )
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def answer(evidence: Evidence, name: str, seed: int, device: str) -> Any:
    """The answer of one probe, made here and now; training-level ones train the altered copy once."""
    if name not in TRAININGS:
        return ask(evidence, name, seed, device)
    edit = TRAININGS[name](evidence)
    recipe = evidence.recipe
    if edit is None or recipe is None or not builds(recipe, edit):
        return None
    run = trained_run(recipe.with_edits(edit), seed, device)
    metric = recipe.yardstick.metric
    return Copy(metric.skill(run.scores["train"]), metric.skill(run.scores["val"]), name)


@frozen
class SeedsApart:
    """Validation scores of the same training with three seeds, their spread, and the standard error that the
    size of the validation part alone gives a score."""

    scores: tuple[float, ...]
    spread: float
    standard_error: float | None


def seeds_apart(recipe: Recipe, seed: int = 0, device: str = "cpu") -> SeedsApart:
    """How far apart seeds alone put the score, beside what the size of the validation part allows to tell.

    Source: Bouthillier et al., Accounting for Variance in Machine Learning Benchmarks (2021).
    """
    runs = [trained_run(recipe, seed + k, device) for k in range(3)]
    scores = tuple(run.scores["val"] for run in runs)
    each = runs[0].contributions.get("val")
    error = float(np.std(each, ddof=1) / len(each) ** 0.5) if each is not None and len(each) > 1 else None
    return SeedsApart(scores, float(np.std(scores, ddof=1)), error)
