"""Confirmation by intervention: one thing is changed, on paired seeds, beside a sham and the best rival's
repair."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from attrs import frozen

from netwright.recipe import Recipe
from netwright.runs import Run
from netwright.trials import Engine, Failure, Job
from netwright.trials.race import compare_runs, margin_of, run_all
from netwright.values import ConfirmationEnded, Edit, Event, Finding

SEEDS = 5
LEARNS = 0.3
Repairs = Callable[[str], Sequence[Edit]]


@frozen
class Symptom:
    """What is seen, as a predicate of a run; fixed, with its horizon in epochs, before anything is changed.

    `diverges` and `does not learn` are predicates; `falls short` is decided by the rule of claims on the
    validation score.
    """

    kind: str
    epochs: int
    threshold: float = LEARNS

    @staticmethod
    def of(run: Run, recipe: Recipe) -> Symptom:
        """The symptom that the unchanged recipe's first run showed."""
        if run.diverged:
            return Symptom("diverges", recipe.settings.epochs)
        if recipe.yardstick.metric.skill(run.scores["train"]) < LEARNS:
            return Symptom("does not learn", recipe.settings.epochs)
        return Symptom("falls short", recipe.settings.epochs)

    def shown(self, run: Run, recipe: Recipe) -> bool:
        if self.kind == "diverges":
            return run.diverged
        return run.diverged or recipe.yardstick.metric.skill(run.scores["train"]) < self.threshold

    def words(self) -> str:
        return {
            "diverges": "the loss stops being finite",
            "does not learn": f"training skill stays under {self.threshold:g}",
            "falls short": "validation scores lower than with the repair",
        }[self.kind]


@frozen(eq=False)
class Confirmation:
    """The findings with their status, and for each confirmed one the edits that made its symptom go."""

    findings: tuple[Finding, ...]
    repairs: Mapping[str, tuple[Edit, ...]]
    reproduced: bool
    baseline: tuple[Run, ...] = ()


@frozen(eq=False)
class _Arm:
    """One change, on all seeds."""

    edits: tuple[Edit, ...]
    runs: tuple[Run, ...]


def confirm(
    recipe: Recipe,
    findings: Sequence[Finding],
    symptom: Symptom,
    *,
    repairs: Repairs,
    rivals: Callable[[str], Sequence[str]],
    engine: Engine,
    seeds: Sequence[int],
    device: str = "cpu",
    most: int = 3,
    max_seconds: float | None = None,
) -> Generator[Event, None, Confirmation]:
    """Settle the status of the leading findings (METHOD: 'What confirmed takes').

    `repairs(cause)` gives the edits that address a cause, the best first, `rivals(cause)` the causes most
    easily taken for it. The same seeds serve the unchanged recipe, the repair, a sham of equal cost and the
    rival's repair.
    """
    leading = [f for f in findings[:most] if repairs(f.cause)]
    if not leading:
        return Confirmation(tuple(findings), {}, reproduced=True)
    arms = _Arms(recipe, symptom, engine, list(seeds), device, max_seconds)
    baseline = yield from arms.run((), "unchanged")
    if baseline is None:
        return Confirmation(tuple(findings), {}, reproduced=False)
    shown = sum(symptom.shown(run, recipe) for run in baseline.runs)
    if symptom.kind != "falls short" and not shown:
        return Confirmation(tuple(findings), {}, reproduced=False, baseline=baseline.runs)
    if symptom.kind != "falls short" and shown < len(baseline.runs):
        symptom = attrs.evolve(symptom, kind="falls short")  # not on every seed: then by the rule of claims
        arms.symptom = symptom
    sham = None
    for edit in _shams(recipe, findings):
        sham = sham or (yield from arms.run((edit,), "sham"))
    settled: dict[str, Finding] = {}
    cures: dict[str, tuple[Edit, ...]] = {}
    for finding in leading:
        others = [f.cause for f in leading if f is not finding]
        rival_causes = list(dict.fromkeys([*others, *rivals(finding.cause)]))
        finding, cure = yield from _settle(arms, finding, baseline, sham, repairs, rival_causes)
        settled[finding.id] = finding
        if finding.status == "confirmed":
            cures[finding.id] = cure
        yield ConfirmationEnded(finding)
        if cures:
            break  # one is confirmed: it is applied and the network diagnosed again before the next
    if not cures and len(leading) > 1:
        yield from _try_pair(arms, leading[:2], baseline, sham, repairs, settled, cures)
    return Confirmation(
        tuple(settled.get(f.id, f) for f in findings), cures, reproduced=True, baseline=baseline.runs
    )


def _settle(
    arms: _Arms,
    finding: Finding,
    baseline: _Arm,
    sham: _Arm | None,
    repairs: Repairs,
    rival_causes: Sequence[str],
) -> Generator[Event, None, tuple[Finding, tuple[Edit, ...]]]:
    best: _Arm | None = None
    for edit in list(repairs(finding.cause))[:2]:
        arm = yield from arms.run((edit,), f"repair of {finding.cause}")
        if arm is not None and (best is None or arms.score(arm) > arms.score(best)):
            best = arm
        if best is not None and arms.gone(best, baseline):
            break
    if best is None:
        return finding, ()
    effect = compare_runs(arms.recipe, baseline.runs, best.runs)
    gone, sham_gone = arms.gone(best, baseline), sham is not None and arms.gone(sham, baseline)
    numbers: dict[str, Any] = {
        "symptom": arms.symptom.words(),
        "horizon_epochs": arms.symptom.epochs,
        "seeds": len(baseline.runs),
        "repair": best.edits[-1].label,
        "effect": effect.effect,
        "low": effect.low,
        "high": effect.high,
        "gone_on": arms.gone_on(best),
        "sham": sham.edits[-1].label if sham else None,
        "sham_gone_on": arms.gone_on(sham) if sham else None,
    }
    status, also = finding.status, finding.also
    if gone and not sham_gone:
        rival = yield from _best_rival(arms, baseline, repairs, rival_causes, best)
        if rival is None:
            status = "confirmed"
        else:
            cause, arm = rival
            numbers |= {
                "rival": cause,
                "rival_repair": arm.edits[-1].label,
                "rival_gone_on": arms.gone_on(arm),
            }
            better = compare_runs(arms.recipe, arm.runs, best.runs)
            numbers["better_than_rival"] = better.effect
            as_good = arms.gone(arm, baseline) and not (
                better.low > 0 or better.effect > margin_of(arms.recipe) * 5
            )
            status = "suspected" if as_good else "confirmed"
            also = tuple(dict.fromkeys((*also, cause))) if as_good else also
    elif not gone and effect.high < margin_of(arms.recipe):
        status = "refuted"
    confidence = {"confirmed": 0.97, "suspected": finding.confidence, "refuted": 0.05}[status]
    settled = attrs.evolve(finding, status=status, also=also, confirmation=numbers, confidence=confidence)
    return settled, best.edits


def _best_rival(
    arms: _Arms, baseline: _Arm, repairs: Repairs, causes: Sequence[str], best: _Arm
) -> Generator[Event, None, tuple[str, _Arm] | None]:
    """The rival cause whose repair does best, of at most two; the same change is no rival."""
    found: tuple[str, _Arm] | None = None
    tried = 0
    for cause in causes:
        edit = next(
            (e for e in repairs(cause) if e not in best.edits and e.attribute != best.edits[-1].attribute),
            None,
        )
        if edit is None or tried == 2:
            continue
        tried += 1
        arm = yield from arms.run((edit,), f"rival: {cause}")
        if arm is not None and (found is None or arms.score(arm) > arms.score(found[1])):
            found = cause, arm
    return found


def _try_pair(
    arms: _Arms,
    pair: Sequence[Finding],
    baseline: _Arm,
    sham: _Arm | None,
    repairs: Repairs,
    settled: dict[str, Finding],
    cures: dict[str, tuple[Edit, ...]],
) -> Generator[Event, None, None]:
    """Two leading causes repaired together, where neither repair alone shows an effect."""
    edits = tuple(repairs(f.cause)[0] for f in pair)
    if edits[0].attribute == edits[1].attribute:
        return
    arm = yield from arms.run(edits, "repair of both")
    if arm is None or not arms.gone(arm, baseline) or (sham is not None and arms.gone(sham, baseline)):
        return
    effect = compare_runs(arms.recipe, baseline.runs, arm.runs)
    for finding in pair:
        numbers = {
            "symptom": arms.symptom.words(),
            "horizon_epochs": arms.symptom.epochs,
            "seeds": len(baseline.runs),
            "together": True,
            "repair": " and ".join(e.label for e in edits),
            "effect": effect.effect,
            "low": effect.low,
            "high": effect.high,
            "gone_on": arms.gone_on(arm),
        }
        done = attrs.evolve(
            settled.get(finding.id, finding), status="confirmed", confidence=0.9, confirmation=numbers
        )
        settled[finding.id] = done
        cures[finding.id] = edits
        yield ConfirmationEnded(done)


class _Arms:
    """Runs changes on the same seeds, each once, and says whether the symptom went."""

    def __init__(
        self,
        recipe: Recipe,
        symptom: Symptom,
        engine: Engine,
        seeds: list[int],
        device: str,
        max_seconds: float | None,
    ) -> None:
        self.recipe, self.symptom, self.engine = recipe, symptom, engine
        self.seeds, self.device, self.max_seconds = seeds, device, max_seconds
        self._done: dict[tuple[Edit, ...], _Arm | None] = {}

    def run(self, edits: tuple[Edit, ...], what: str) -> Generator[Event, None, _Arm | None]:
        """The change on every seed; `None` where a training failed."""
        if edits not in self._done:
            changed = self.recipe.with_edits(*edits)
            jobs = [
                Job(changed, s, None, f"diagnosis: {what}", max_seconds=self.max_seconds, device=self.device)
                for s in self.seeds
            ]
            results = yield from run_all(self.engine, jobs)
            runs = tuple(r for r in results if not isinstance(r, Failure))
            self._done[edits] = _Arm(edits, runs) if len(runs) == len(jobs) else None
        return self._done[edits]

    def score(self, arm: _Arm) -> float:
        return float(np.mean([run.scores["val"] for run in arm.runs]))

    def gone_on(self, arm: _Arm) -> int | None:
        """The number of seeds on which the symptom went; `None` where it is no predicate of a single run."""
        if self.symptom.kind == "falls short":
            return None
        return sum(not self.symptom.shown(run, self.recipe) for run in arm.runs)

    def gone(self, arm: _Arm, baseline: _Arm) -> bool:
        """On all seeds; where the symptom is to fall short, by both intervals and more than the margin."""
        count = self.gone_on(arm)
        if count is not None:
            return count == len(arm.runs)
        effect = compare_runs(self.recipe, baseline.runs, arm.runs)
        low_samples = effect.low_samples if effect.low_samples is not None else effect.low
        return effect.low > 0 and low_samples > 0 and effect.effect > margin_of(self.recipe)


def _shams(recipe: Recipe, findings: Sequence[Finding]) -> list[Edit]:
    """Changes of equal cost that should do nothing, of attributes that no finding names; the second is for an
    optimizer that takes no weight decay."""
    named = {f.where.attribute for f in findings}
    decay = recipe.settings.weight_decay or 0.0
    shams = [
        Edit.set("training.weight_decay", decay + 1e-7, f"weight decay {decay:g} → {decay + 1e-7:g}"),
        Edit.set("training.clip", 1e6, "gradient norm clipped at 1e6"),
    ]
    return [edit for edit in shams if edit.attribute not in named]
