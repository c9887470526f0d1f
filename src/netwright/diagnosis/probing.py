"""Which experiments are worth making, and making them: cheapest first, only what some check still needs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs
import numpy as np
from attrs import frozen

from netwright.catalogue import Check
from netwright.recipe import Recipe, TensorSamples
from netwright.runs import Copy, Evidence, Run, range_test
from netwright.runs.probes import BATCH_PROBES, STEP_PROBES, TRAINED_PROBES, label_shift, simple_models
from netwright.trials import Engine, Failure, Job
from netwright.trials.race import run_all
from netwright.values import Edit, Event, UserCodeError

Level = Literal["batch", "data", "trained", "training"]
WIDER, NARROWER = 4.0, 0.25


def _simple_models(evidence: Evidence, seed: int) -> Any:
    data, yardstick = evidence.data, evidence.yardstick
    return simple_models(data, yardstick, seed) if data is not None and yardstick is not None else None


def _label_shift(evidence: Evidence, seed: int) -> Any:
    data, recipe = evidence.data, evidence.recipe
    return label_shift(recipe, data, seed) if data is not None and recipe is not None else None


OF_DATA: Mapping[str, Callable[[Evidence, int], Any]] = {
    "simple-models": _simple_models,
    "label-shift": _label_shift,
}


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


def longer(evidence: Evidence) -> Edit | None:
    """Three times the epochs."""
    recipe = evidence.recipe
    return None if recipe is None else Edit.set("training.epochs", 3 * recipe.settings.epochs, "three times")


def without_augmentation(evidence: Evidence) -> Edit | None:
    recipe = evidence.recipe
    if recipe is None or recipe.settings.augment is None:
        return None
    return Edit.set("training.augment", None, "without augmentation")


def slower(evidence: Evidence) -> Edit | None:
    """A fifth of the rate."""
    rate = evidence.recipe.settings.lr if evidence.recipe is not None else None
    return None if not rate else Edit.set("training.lr", rate / 5, "a fifth of the rate")


TRAININGS: Mapping[str, Callable[[Evidence], Edit | None]] = {
    "half-the-data": half_the_data,
    "wider-copy": lambda evidence: scaled_width(evidence, WIDER),
    "narrower-copy": lambda evidence: scaled_width(evidence, NARROWER),
    "without-augmentation": without_augmentation,
    "longer-copy": longer,
    "slower-copy": slower,
}
PROBES: tuple[str, ...] = (
    *BATCH_PROBES, "range-test", *OF_DATA, *TRAINED_PROBES, *STEP_PROBES, *TRAININGS,
    "seeds-apart",
)  # fmt: skip


def wanted(evidence: Evidence, checks: Iterable[Check], level: Level) -> list[str]:
    """The probes of a level that some check still needs, whose other needs are met and whose `when` holds."""
    of_level = {
        "batch": tuple(BATCH_PROBES),
        "data": tuple(OF_DATA),
        "trained": tuple(TRAINED_PROBES),
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
    """One answer, or `None` where the probe does not apply. Raises what the user's network or the probe
    raises."""
    recipe, run = evidence.recipe, evidence.run
    if name in BATCH_PROBES:
        return BATCH_PROBES[name](evidence.subject, seed) if evidence.subject is not None else None
    if name in OF_DATA:
        return OF_DATA[name](evidence, seed)
    if recipe is None:
        return None
    if name in TRAINED_PROBES:
        return TRAINED_PROBES[name](recipe, run, seed, device) if run is not None else None
    return {**STEP_PROBES, "range-test": range_test}[name](recipe, seed=seed, device=device)


def ask_all(
    evidence: Sequence[Evidence], checks: Sequence[Check], level: Level, device: str
) -> list[Evidence]:
    """The evidence of each seed with the answers of the level's wanted probes; those of the data are asked
    once. One that fails is `None` among the answers, and its reason is kept: its checks are then skipped."""
    gathered = []
    shared: dict[str, tuple[Any, str]] = {}
    for seed, item in enumerate(evidence):
        answers, unanswered = dict(item.probes), dict(item.unanswered)
        # What raises in the first batch raises in every probe: the batch's own error says it.
        broken = item.batch is not None and item.batch.error is not None
        for name in wanted(item, checks, level):
            key = f"{name} {seed}" if level == "batch" else name
            if key not in shared:
                shared[key] = _tried(item, name, seed, device)
            answers[name], reason = shared[key]
            if reason and not broken:
                unanswered[name] = reason
        gathered.append(attrs.evolve(item, probes=answers, unanswered=unanswered))
    return gathered


def _tried(evidence: Evidence, name: str, seed: int, device: str) -> tuple[Any, str]:
    """The answer, and the reason where there is none for an exception."""
    try:
        return ask(evidence, name, seed, device), ""
    except Exception as raised:  # of the user's network, in a situation that it was not made for
        return None, f"{type(raised).__name__}: {raised}"


def train_copies(
    evidence: Sequence[Evidence],
    checks: Sequence[Check],
    engine: Engine,
    device: str,
    max_seconds: float | None,
) -> Generator[Event, None, list[Evidence]]:
    """Altered copies of the recipe, each trained once with the seed of each run that is in evidence."""
    answers: dict[int, dict[str, Any]] = {}
    unanswered: dict[int, dict[str, str]] = {}
    jobs: list[tuple[int, str, Job]] = []
    options: dict[str, Any] = {"max_seconds": max_seconds, "device": device}
    for item in evidence:
        recipe, run = item.recipe, item.run
        if recipe is None or run is None or run.seed in answers:
            continue
        names = wanted(item, checks, "training")
        answers[run.seed], unanswered[run.seed] = dict.fromkeys(names), {}
        for name in names:
            edit = TRAININGS[name](item)
            if edit is not None and builds(recipe, edit):
                job = Job(recipe.with_edits(edit), run.seed, None, f"probe: {name}", **options)
                jobs.append((run.seed, name, job))
    results = (yield from run_all(engine, [job for _, _, job in jobs])) if jobs else []
    for (seed, name, job), result in zip(jobs, results, strict=True):
        if isinstance(result, Failure):
            unanswered[seed][name] = result.reason
        else:
            answers[seed][name] = _skills(job.recipe, result, name)
    return [
        e
        if e.run is None
        else attrs.evolve(
            e,
            probes={**e.probes, **answers[e.run.seed]},
            unanswered={**e.unanswered, **unanswered[e.run.seed]},
        )
        for e in evidence
    ]


def _skills(recipe: Recipe, run: Run, name: str) -> Copy:
    metric = recipe.yardstick.metric
    return Copy(metric.skill(run.scores["train"]), metric.skill(run.scores["val"]), name)


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
        "longer-copy": "The same training with three times the epochs.",
        "slower-copy": "The same training at a fifth of the learning rate.",
    }
    text = known.get(name) or inspect.getdoc(functions[name]) or ""
    return " ".join(text.split("\n\n")[0].split())


def trained_run(recipe: Recipe, seed: int, device: str, engine: Engine) -> Run:
    """One training with its weights kept. Raises the user's error where it does not end."""
    job = Job(recipe, seed, None, "probe", keep_weights=True, device=device)
    result = next(item[1] for item in engine.run([job]) if isinstance(item, tuple))
    if isinstance(result, Failure):
        raise UserCodeError(result.reason, traceback=result.traceback)
    return result


def answer(evidence: Evidence, name: str, seed: int, device: str, engine: Engine) -> Any:
    """The answer of one probe, whatever it takes: what asks a trained network trains it, what compares with
    an altered copy trains that."""
    recipe = evidence.recipe
    if name in TRAINED_PROBES and recipe is not None:
        evidence = attrs.evolve(evidence, run=trained_run(recipe, seed, device, engine))
    if name == "seeds-apart" and recipe is not None:
        return seeds_apart(recipe, seed, device, engine)
    if name not in TRAININGS:
        return ask(evidence, name, seed, device)
    edit = TRAININGS[name](evidence)
    if edit is None or recipe is None or not builds(recipe, edit):
        return None
    return _skills(recipe, trained_run(recipe.with_edits(edit), seed, device, engine), name)


@frozen
class SeedsApart:
    """Validation scores of the same training with three seeds, their spread, and the standard error that the
    size of the validation part alone gives a score."""

    scores: tuple[float, ...]
    spread: float
    standard_error: float | None


def seeds_apart(recipe: Recipe, seed: int, device: str, engine: Engine) -> SeedsApart:
    """How far apart seeds alone put the score, beside what the size of the validation part allows to tell.

    Source: Bouthillier et al., Accounting for Variance in Machine Learning Benchmarks (2021).
    """
    runs = [trained_run(recipe, seed + k, device, engine) for k in range(3)]
    scores = tuple(run.scores["val"] for run in runs)
    each = runs[0].contributions.get("val")
    error = float(np.std(each, ddof=1) / len(each) ** 0.5) if each is not None and len(each) > 1 else None
    return SeedsApart(scores, float(np.std(scores, ddof=1)), error)
