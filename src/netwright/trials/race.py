"""The race: a screening that claims nothing, then claims on fresh paired seeds."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from attrs import define, field, frozen

from netwright.recipe import Recipe
from netwright.runs import Run
from netwright.trials.engine import Engine, Failure, Job, RunEvent, outcomes
from netwright.trials.statistics import Comparison, compare, holm_adjusted, holm_alpha, stack, word_of
from netwright.values import Edit, IdeaScreened, TrialEnded, Verdict

COSTLIER = 1.10
MARGIN = 0.01


@frozen
class Contender:
    """Edits that enter the race together, under the name of who proposes them."""

    id: str
    attribute: str
    edits: tuple[Edit, ...]
    label: str
    late: bool = False

    @property
    def changes_epochs(self) -> bool:
        return self.attribute == "epochs"


@frozen(eq=False)
class Screened:
    """A contender after a rung: the mean difference to the baseline's validation score, `None` where it
    failed."""

    contender: Contender
    effect: float | None
    loss_effect: float
    reason: str = ""


@define
class Ledger:
    """All that was put to confirmation in one run of a verb; `planned` is fixed before the first."""

    planned: int
    p_values: list[float] = field(factory=list)

    def enter(self, p_value: float) -> bool:
        """Note a hypothesis and say whether it is rejected under Holm's correction over the whole run."""
        self.p_values.append(p_value)
        return holm_alpha(self.p_values, self.planned)[-1]

    @property
    def full(self) -> bool:
        return len(self.p_values) >= self.planned

    def adjusted(self) -> float:
        return holm_adjusted(self.p_values, self.planned)[-1]


@frozen(eq=False)
class Claim:
    """A verdict with the runs that it rests on; `None` runs where the contender failed."""

    contender: Contender
    verdict: Verdict
    control: tuple[Run, ...] = ()
    candidate: tuple[Run, ...] = ()


def run_all(engine: Engine, jobs: Sequence[Job]) -> Generator[RunEvent, None, list[Run | Failure]]:
    """All jobs' outcomes in the order of the jobs; the events are passed on."""
    results: list[Run | Failure | None] = [None] * len(jobs)
    for item in outcomes(engine, jobs):
        if isinstance(item, tuple):
            results[item[0]] = item[1]
        else:
            yield item
    return [r for r in results if r is not None]


def screen(
    recipe: Recipe,
    contenders: Sequence[Contender],
    *,
    engine: Engine,
    seeds: Sequence[int],
    epochs: int,
    device: str = "cpu",
    keep: int | None = None,
    max_seconds: float | None = None,
) -> Generator[RunEvent | IdeaScreened, None, list[Screened]]:
    """Each contender against the baseline on the same few seeds, `epochs` long with its own schedule
    compressed.

    Ranks, claims nothing. `keep` is how many go on (the others' events say dropped); contenders that may win
    `late` are ranked beside the others but never dropped at less than full length.
    """
    full = recipe.settings.epochs
    jobs = [
        Job(recipe, s, epochs, "screening: baseline", max_seconds=max_seconds, device=device) for s in seeds
    ]
    for contender in contenders:
        changed = recipe.with_edits(*contender.edits)
        length = max(1, round(changed.settings.epochs * epochs / full))
        jobs += [
            Job(changed, s, length, f"screening: {contender.label}", max_seconds=max_seconds, device=device)
            for s in seeds
        ]
    results = yield from run_all(engine, jobs)
    count = len(seeds)
    baseline = results[:count]
    ranked: list[Screened] = []
    for k, contender in enumerate(contenders):
        ours = results[count * (k + 1) : count * (k + 2)]
        ranked.append(_screened(contender, baseline, ours))
    ranked.sort(key=lambda s: (s.effect is None, -(s.effect or 0.0), -s.loss_effect))
    for place, screened in enumerate(ranked):
        late = screened.contender.late and epochs < full and screened.effect is not None
        dropped = screened.effect is None or (keep is not None and place >= keep and not late)
        yield IdeaScreened(
            screened.contender.id, screened.contender.edits[-1], screened.effect, epochs, count, dropped
        )
    return ranked


def _screened(
    contender: Contender, baseline: Sequence[Run | Failure], ours: Sequence[Run | Failure]
) -> Screened:
    failed = next((r for r in ours if isinstance(r, Failure)), None)
    if failed is not None:
        return Screened(contender, None, 0.0, failed.reason)
    pairs = [(b, o) for b, o in zip(baseline, ours, strict=True) if isinstance(b, Run) and isinstance(o, Run)]
    if not pairs:
        return Screened(contender, None, 0.0, "the baseline failed")
    effect = float(np.mean([o.scores["val"] - b.scores["val"] for b, o in pairs]))
    losses = [(b.val_loss[-1], o.val_loss[-1]) for b, o in pairs if len(b.val_loss) and len(o.val_loss)]
    # Equal scores are told apart by the validation loss, where both have the same loss function.
    fall = [float(b - o) for b, o in losses if np.isfinite(b) and np.isfinite(o)]
    return Screened(contender, effect, float(np.mean(fall)) if fall else 0.0)


def claim(
    recipe: Recipe,
    contender: Contender,
    *,
    engine: Engine,
    seeds: Sequence[int],
    ledger: Ledger,
    device: str = "cpu",
    max_seconds: float | None = None,
    control_epochs: int | None = None,
) -> Generator[RunEvent | TrialEnded, None, Claim]:
    """Baseline and candidate both run on the given fresh seeds; the verdict by METHOD's rules, Holm over the
    ledger.

    Where the candidate costs over 10 % more processor time, the control is the unchanged recipe given the
    same seconds. `control_epochs=0` is for a recipe that cannot take a step: its untrained network is then
    the control.
    """
    changed = recipe.with_edits(*contender.edits)

    def jobs(of: Recipe, label: str, epochs: int | None = None) -> list[Job]:
        return [
            Job(of, s, epochs, f"confirmation: {label}", max_seconds=max_seconds, device=device)
            for s in seeds
        ]

    results = yield from run_all(
        engine, [*jobs(recipe, "baseline", control_epochs), *jobs(changed, contender.label)]
    )
    control, candidate = results[: len(seeds)], results[len(seeds) :]
    failure = next((r for r in results if isinstance(r, Failure)), None)
    margin = margin_of(recipe)
    if failure is not None:
        verdict = _verdict(contender, "failed", len(seeds), changed, reason=failure.reason, margin=margin)
        yield TrialEnded(verdict)
        return Claim(contender, verdict)
    control_words = "unchanged recipe, same epochs"
    ratio = _cost_ratio(control, candidate)
    if control_epochs == 0:
        control_words = "unchanged recipe, which cannot train: its untrained network"
    elif contender.changes_epochs:
        control_words = f"unchanged recipe, its own {recipe.settings.epochs} epochs"
    elif ratio > COSTLIER:
        longer = round(recipe.settings.epochs * ratio)
        if longer > recipe.settings.epochs:
            extended = yield from run_all(engine, jobs(recipe, "baseline, same seconds", longer))
            if all(isinstance(r, Run) for r in extended):
                control, control_words = extended, f"unchanged recipe, same seconds ({longer} epochs)"
    verdict, kept = _judge(recipe, contender, changed, control, candidate, control_words, ledger, margin)
    yield TrialEnded(verdict)
    return Claim(contender, verdict, *kept)


def _judge(
    recipe: Recipe,
    contender: Contender,
    changed: Recipe,
    control: Sequence[Any],
    candidate: Sequence[Any],
    control_words: str,
    ledger: Ledger,
    margin: float,
) -> tuple[Verdict, tuple[tuple[Run, ...], tuple[Run, ...]]]:
    diverged = sum(run.diverged for run in candidate)
    before = sum(run.diverged for run in control)
    pairs = [(c, o) for c, o in zip(control, candidate, strict=True) if not o.diverged]
    kept = (tuple(control), tuple(candidate))
    count = len(candidate)
    if len(pairs) < max(2, count - 2):
        ledger.enter(1.0)
        reason = f"diverged on {diverged} of {count} seeds (control: {before})"
        return _verdict(
            contender, "failed", count, changed, reason=reason, margin=margin, diverged=diverged
        ), kept
    comparison = compare_runs(recipe, [c for c, _ in pairs], [o for _, o in pairs])
    rejected = ledger.enter(comparison.p_value)
    word = word_of(comparison, rejected, margin)
    reason = ""
    if diverged > before:
        reason = f"diverged on {diverged} of {count} seeds (control: {before}), which are not in the mean"
        word = "unclear" if word == "helps" else word
    elif word == "unclear" and comparison.low > 0:
        reason = f"adjusted p {ledger.adjusted():.2g} over {ledger.planned} planned confirmations"
    return (
        Verdict(
            idea=contender.id,
            attribute=contender.attribute,
            verdict=word,
            effect=comparison.effect,
            low=comparison.low,
            high=comparison.high,
            low_samples=comparison.low_samples,
            high_samples=comparison.high_samples,
            margin=margin,
            control=control_words,
            seeds=count,
            epochs=changed.settings.epochs,
            reason=reason,
            label=contender.label,
            p_value=comparison.p_value,
            p_adjusted=ledger.adjusted(),
            diverged=diverged,
            edit=contender.edits[-1],
        ),
        kept,
    )


def compare_runs(
    recipe: Recipe, control: Sequence[Run], candidate: Sequence[Run], part: str = "val"
) -> Comparison:
    """Paired runs on one part of the data, with the samples' contributions where the metric has them."""
    groups = recipe.data.parts.val_groups if part == "val" else None
    return compare(
        np.array([r.scores[part] for r in control]),
        np.array([r.scores[part] for r in candidate]),
        stack([r.contributions.get(part) for r in control]),
        stack([r.contributions.get(part) for r in candidate]),
        groups=groups,
    )


def margin_of(recipe: Recipe) -> float:
    """1 % of the way from trivial to perfect, in units of the metric."""
    metric = recipe.yardstick.metric
    return MARGIN * abs(metric.perfect - metric.trivial)


def _cost_ratio(control: Sequence[Any], candidate: Sequence[Any]) -> float:
    """Processor seconds an epoch, candidate over control, medians over seeds."""

    def pace(runs: Sequence[Any]) -> float:
        return float(np.median([r.cpu_seconds / max(1, len(r.epoch_loss)) for r in runs]))

    return pace(candidate) / max(pace(control), 1e-9)


def _verdict(
    contender: Contender,
    word: Any,
    seeds: int,
    changed: Recipe,
    *,
    reason: str,
    margin: float,
    diverged: int = 0,
) -> Verdict:
    return Verdict(
        idea=contender.id,
        attribute=contender.attribute,
        verdict=word,
        margin=margin,
        seeds=seeds,
        epochs=changed.settings.epochs,
        reason=reason,
        label=contender.label,
        diverged=diverged,
        edit=contender.edits[-1],
    )
