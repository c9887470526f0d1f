"""Confirmation by intervention: one thing is changed, on paired seeds, beside a sham and the best rival's
repair."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from attrs import frozen

from netwright.diagnosis.ranking import of_degree, only_eased
from netwright.diagnosis.symptom import Symptom
from netwright.recipe import Recipe
from netwright.runs import Run
from netwright.trials import Comparison, Engine, Failure, Job
from netwright.trials.race import compare_runs, margin_of, run_all
from netwright.values import ConfirmationEnded, Edit, Event, Finding

SEEDS = 5
LONGER = 3
CURVE = 60
# Of a cause of degree: what its repair must gain of the way from trivial to perfect, and of the skill.
MATTERS, MATTERS_OF_SKILL = 0.03, 0.06
CANDIDATES, RIVALS, PAIRED = 3, 2, 4
# The place of the seed that chooses among changes: one that chose by their score has no part in deciding, and
# is the one whose run is known already.
CHOOSER = {"diverges": 0, "does not learn": 0, "falls short": SEEDS}
Repairs = Callable[[str], Sequence[Edit]]


@frozen(eq=False)
class Confirmation:
    """The findings with their status, and for each confirmed one the edits that made its symptom go."""

    findings: tuple[Finding, ...]
    repairs: Mapping[str, tuple[Edit, ...]]
    reproduced: bool
    baseline: tuple[Run, ...] = ()


@frozen(eq=False)
class _Arm:
    """One change, on the first seeds, at one horizon."""

    edits: tuple[Edit, ...]
    runs: tuple[Run, ...]

    @property
    def score(self) -> float:
        return float(np.mean([run.scores["val"] for run in self.runs]))


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
    explained: Sequence[Finding] = (),
) -> Generator[Event, None, Confirmation]:
    """Settle the status of the leading findings (METHOD: 'What confirmed takes').

    `seeds` are five fresh ones and, last, that of the run which raised the findings.

    `repairs(cause)` gives the edits that address a cause, the best first, `rivals(cause)` the causes most
    easily taken for it. The same seeds serve the unchanged recipe, the repair, a sham of equal cost and the
    rival's repair. A change is looked at on one seed; only what does something there gets the others, and
    where a score decides, that one, which chose the change, has no part in it.
    What is to be shown *not* to make the symptom go is done with as soon as one seed shows it. What was
    taken for symptoms of the leading findings, `explained`, enters the pairs.
    """
    repairs = _comparable(recipe, repairs)
    leading = [f for f in findings if repairs(f.cause)][:most]
    if not leading:
        return Confirmation(tuple(findings), {}, reproduced=True)
    arms = _Arms(recipe, engine, list(seeds), device, max_seconds)
    # That it falls short is decided beside the repair: until one promises something, one seed is enough.
    if symptom.kind == "falls short":
        baseline = yield from arms.run((), symptom.epochs, "unchanged", 1, CHOOSER[symptom.kind])
    else:
        baseline = yield from arms.run((), symptom.epochs, "unchanged", SEEDS)
    if baseline is None:
        return Confirmation(tuple(findings), {}, reproduced=False)
    stages = _stages(recipe, symptom, baseline)
    if stages is None:
        return Confirmation(tuple(findings), {}, reproduced=False, baseline=baseline.runs)
    shams = _shams(recipe, findings)
    settled: dict[str, Finding] = {}
    cures: dict[str, tuple[Edit, ...]] = {}
    for finding in leading:
        others = [f.cause for f in leading if f is not finding]
        causes = list(dict.fromkeys([*others, *rivals(finding.cause)]))
        finding, cure = yield from _settle(arms, stages, finding, shams, repairs, causes)
        settled[finding.id] = finding
        if finding.status == "confirmed" and cure:
            cures[finding.id] = cure
        yield ConfirmationEnded(finding)
        if cures:
            break  # one is confirmed: it is applied and the network diagnosed again before the next
    alone = any(f.confirmation.get("gone") for f in settled.values())
    if not cures and not alone:  # one that goes with another cause's repair as well is no pair
        extra = [*explained, *(Finding(c, confidence=0.0) for f in leading[:1] for c in rivals(f.cause))]
        known = {f.cause for f in leading}
        entered = [*leading, *(f for f in extra if f.cause not in known and repairs(f.cause))][:PAIRED]
        yield from _try_pairs(arms, stages, entered, shams, repairs, settled, cures)
    full = arms.known((), recipe.settings.epochs)
    told = [*findings, *(f for f in explained if f.id in settled)]
    return Confirmation(tuple(settled.get(f.id, f) for f in told), cures, reproduced=True, baseline=full)


def _comparable(recipe: Recipe, repairs: Repairs) -> Repairs:
    """The repairs that leave what judges alone; each answer builds networks and is asked for again and
    again."""

    @functools.cache
    def given(cause: str) -> Sequence[Edit]:
        return [edit for edit in repairs(cause) if recipe.judged_alike(edit)]

    return given


def _stages(recipe: Recipe, symptom: Symptom, baseline: _Arm) -> list[Symptom] | None:
    """The symptom at its own horizon, at three times that, at the full one, then by the rule of claims;
    `None` where fresh seeds do not show it."""
    full = recipe.settings.epochs
    if symptom.kind == "falls short":
        return [symptom]
    shown = sum(symptom.shown(run, recipe) for run in baseline.runs)
    if not shown:
        return None
    by_claim = Symptom("falls short", full)
    if shown < len(baseline.runs):  # not on every seed: then by the rule of claims
        return [by_claim]
    horizons = dict.fromkeys((symptom.epochs, min(full, LONGER * symptom.epochs), full))
    return [*(attrs.evolve(symptom, epochs=epochs) for epochs in horizons), by_claim]


def _settle(
    arms: _Arms,
    stages: Sequence[Symptom],
    finding: Finding,
    shams: Sequence[Edit],
    repairs: Repairs,
    rival_causes: Sequence[str],
) -> Generator[Event, None, tuple[Finding, tuple[Edit, ...]]]:
    candidates = list(repairs(finding.cause))[:CANDIDATES]
    for stage in stages:
        best = yield from _promising(arms, stage, [(edit,) for edit in candidates], finding.cause)
        if best is None:
            continue
        what = f"repair of {finding.cause}"
        judged = yield from _judge(arms, stage, best, what, of_degree(finding.cause))
        if judged is None:
            continue
        baseline, arm, gone = judged
        if not gone and stage is not stages[-1]:
            continue
        return (yield from _conclude(arms, stage, finding, baseline, arm, gone, shams, repairs, rival_causes))
    return finding if not candidates else _in_vain(finding, candidates[0]), ()


def _in_vain(finding: Finding, edit: Edit) -> Finding:
    """The finding after a repair that did nothing on the first seed: no verdict, and less trust in it."""
    numbers = {**finding.confirmation, "repair": edit.label, "seeds": 1, "effect": None, "gone_on": 0}
    return attrs.evolve(finding, confirmation=numbers)


def _promising(
    arms: _Arms, stage: Symptom, candidates: Sequence[tuple[Edit, ...]], cause: str
) -> Generator[Event, None, tuple[Edit, ...] | None]:
    """Of the candidates, each on one seed, the one that does best; `None` where none does anything."""
    chooser = CHOOSER[stage.kind]
    baseline = yield from arms.run((), stage.epochs, "unchanged", 1, chooser)
    if baseline is None:
        return None
    best: tuple[float, tuple[Edit, ...]] | None = None
    for edits in candidates:
        arm = yield from arms.run(edits, stage.epochs, f"repair of {cause}", 1, chooser)
        if arm is None:
            continue
        gain = arm.score - baseline.score
        if stage.kind == "falls short":
            does = gain > margin_of(arms.recipe)
        else:
            does = not stage.shown(arm.runs[0], arms.recipe)
        if does and (best is None or gain > best[0]):
            best = gain, edits
        if does and stage.kind != "falls short":
            break
    return best[1] if best else None


def _judge(
    arms: _Arms, stage: Symptom, edits: tuple[Edit, ...], what: str, degree: bool = False
) -> Generator[Event, None, tuple[_Arm, _Arm, bool] | None]:
    """The change and the unchanged recipe on all seeds, and whether the symptom is gone."""
    baseline = yield from arms.run((), stage.epochs, "unchanged", SEEDS)
    arm = yield from arms.run(edits, stage.epochs, what, SEEDS)
    if baseline is None or arm is None:
        return None
    if stage.kind != "falls short":
        return baseline, arm, not any(stage.shown(run, arms.recipe) for run in arm.runs)
    effect = compare_runs(arms.recipe, baseline.runs, arm.runs)
    low_samples = effect.low_samples if effect.low_samples is not None else effect.low
    enough = _what_matters(arms.recipe, baseline) if degree else margin_of(arms.recipe)
    return baseline, arm, effect.low > 0 and low_samples > 0 and effect.effect > enough


def _what_matters(recipe: Recipe, baseline: _Arm) -> float:
    """The gain, in units of the metric, below which a cause of degree blocks nothing."""
    metric = recipe.yardstick.metric
    share = max(MATTERS, MATTERS_OF_SKILL * metric.skill(baseline.score))
    return share * abs(metric.perfect - metric.trivial)


def _conclude(
    arms: _Arms,
    stage: Symptom,
    finding: Finding,
    baseline: _Arm,
    best: _Arm,
    gone: bool,
    shams: Sequence[Edit],
    repairs: Repairs,
    rival_causes: Sequence[str],
) -> Generator[Event, None, tuple[Finding, tuple[Edit, ...]]]:
    effect = compare_runs(arms.recipe, baseline.runs, best.runs)
    numbers = _numbers(arms, stage, baseline, best)
    status, also = finding.status, finding.also
    numbers["gone"] = gone
    if gone:
        sham = yield from _cures_too(arms, stage, [(edit,) for edit in shams[:1]], baseline, best, "sham")
        numbers |= {
            "sham": shams[0].label if shams else None,
            "sham_gone_on": sham[1] if sham else None,
            "sham_seeds": sham[2] if sham else 0,
        }
        cured_by_sham = sham is not None and sham[1] == SEEDS
        if not cured_by_sham:
            causes = _rival_edits(repairs, rival_causes, best.edits)
            rival = yield from _cures_too(arms, stage, [e for _, e in causes], baseline, best, "rival")
            status = "confirmed"
            if rival is not None:
                cause = next(c for c, e in causes if e == rival[0].edits)
                numbers |= {
                    "rival": cause,
                    "rival_repair": rival[0].edits[-1].label,
                    "rival_gone_on": rival[1],
                    "rival_seeds": rival[2],
                }
                if rival[1] == SEEDS:
                    better = yield from _better_at_full_length(arms, stage, rival[0], best)
                    numbers["better_than_rival"] = better.effect if better else None
                    if better is None or not (better.low > 0 or better.effect > margin_of(arms.recipe) * 5):
                        status, also = "suspected", tuple(dict.fromkeys((*also, cause)))
    elif effect.high < margin_of(arms.recipe) and not only_eased(finding.cause):
        status = "refuted"
    if finding.evidence.get("measured"):
        status, also = finding.status, finding.also  # what was counted no score undoes
    confidence = {"confirmed": 0.97, "suspected": finding.confidence, "refuted": 0.05}[status]
    settled = attrs.evolve(finding, status=status, also=also, confirmation=numbers, confidence=confidence)
    return settled, best.edits if gone else ()


def _better_at_full_length(
    arms: _Arms, stage: Symptom, rival: _Arm, best: _Arm
) -> Generator[Event, None, Comparison | None]:
    """Where both make the symptom go, how much more the repair reaches than its rival in whole trainings:
    early on the faster one leads, whichever is right."""
    full = arms.recipe.settings.epochs
    if stage.epochs < full:
        rival_runs = yield from arms.run(rival.edits, full, "rival", SEEDS)
        best_runs = yield from arms.run(best.edits, full, "repair", SEEDS)
        if rival_runs is None or best_runs is None:
            return None
        rival, best = rival_runs, best_runs
    return compare_runs(arms.recipe, rival.runs, best.runs)


def _numbers(arms: _Arms, stage: Symptom, baseline: _Arm, best: _Arm) -> dict[str, Any]:
    effect = compare_runs(arms.recipe, baseline.runs, best.runs)
    return {
        "symptom": stage.words(),
        "horizon_epochs": stage.epochs,
        "seeds": len(baseline.runs),
        "repair": " and ".join(e.label for e in best.edits),
        "effect": effect.effect,
        "low": effect.low,
        "high": effect.high,
        # What falls short is a matter of the interval, not of single seeds.
        "gone_on": None if stage.kind == "falls short" else arms.gone_on(stage, best.runs, baseline, best),
        "runs": {"unchanged": [r.key for r in baseline.runs], "repaired": [r.key for r in best.runs]},
        "curves": {"unchanged": _curve(baseline), "repaired": _curve(best)},
    }


def _curve(arm: _Arm) -> list[list[float]]:
    """Validation scores by epoch, one list a seed; of a long training every so many epochs."""
    step = [max(1, -(-len(r.val_score) // CURVE)) for r in arm.runs]
    return [[round(float(v), 4) for v in r.val_score[::k]] for r, k in zip(arm.runs, step, strict=True)]


def _rival_edits(
    repairs: Repairs, causes: Sequence[str], best: tuple[Edit, ...]
) -> list[tuple[str, tuple[Edit, ...]]]:
    """One repair for each of the first rivals that is another change than the one to be confirmed."""
    found = []
    for cause in causes:
        edit = next((e for e in repairs(cause) if e not in best and e.attribute != best[-1].attribute), None)
        if edit is not None:
            found.append((cause, (edit,)))
    return found[:RIVALS]


def _cures_too(
    arms: _Arms,
    stage: Symptom,
    changes: Sequence[tuple[Edit, ...]],
    baseline: _Arm,
    best: _Arm,
    what: str,
) -> Generator[Event, None, tuple[_Arm, int, int] | None]:
    """Of changes that should not make the symptom go: the one that does it on most seeds, on how many, of how
    many asked. Each is done with at the first seed on which the symptom stays."""
    found: tuple[_Arm, int, int] | None = None
    for edits in changes:
        count = gone = 0
        arm: _Arm | None = None
        for count in range(1, SEEDS + 1):
            arm = yield from arms.run(edits, stage.epochs, what, count)
            if arm is None:
                break
            gone = arms.gone_on(stage, arm.runs, baseline, best)
            if gone < count:
                break
        if arm is not None and (found is None or gone > found[1]):
            found = arm, gone, count
    return found


def _try_pairs(
    arms: _Arms,
    stages: Sequence[Symptom],
    leading: Sequence[Finding],
    shams: Sequence[Edit],
    repairs: Repairs,
    settled: dict[str, Finding],
    cures: dict[str, tuple[Edit, ...]],
) -> Generator[Event, None, None]:
    """Two leading causes repaired together, where neither repair alone shows an effect; what is not missed
    when it is taken out again is no cause."""
    stage = stages[max(0, len(stages) - 2)]  # the symptom in a whole training
    pairs: list[tuple[tuple[Finding, Finding], tuple[Edit, ...]]] = []
    for first, second in itertools.combinations(leading, 2):
        edits = repairs(first.cause)[0], repairs(second.cause)[0]
        if edits[0].attribute != edits[1].attribute:
            pairs.append(((first, second), edits))
    chosen = yield from _promising(arms, stage, [edits for _, edits in pairs], "two causes")
    if chosen is None:
        return
    both = next(findings for findings, edits in pairs if edits == chosen)
    judged = yield from _judge(arms, stage, chosen, "repair of both", any(of_degree(f.cause) for f in both))
    if judged is None or not judged[2]:
        return
    baseline, arm, _ = judged
    sham = yield from _cures_too(arms, stage, [(edit,) for edit in shams[:1]], baseline, arm, "sham")
    if sham is not None and sham[1] == SEEDS:
        return
    enough = yield from _cures_too(arms, stage, [(edit,) for edit in chosen], baseline, arm, "one of two")
    if enough is not None and enough[1] == SEEDS:
        arm = enough[0]
        both = tuple(f for f, edit in zip(both, chosen, strict=True) if edit in arm.edits)
    numbers = {**_numbers(arms, stage, baseline, arm), "gone": True, "together": len(both) > 1}
    for finding in both:
        if finding.id not in settled and not finding.check:
            continue  # a rival's repair that nothing was found for: it only helped
        done = attrs.evolve(
            settled.get(finding.id, finding), status="confirmed", confidence=0.9, confirmation=numbers
        )
        settled[finding.id] = done
        cures[finding.id] = arm.edits
        yield ConfirmationEnded(done)


class _Arms:
    """Runs changes on the same seeds, each once for a horizon, and says whether the symptom went."""

    def __init__(
        self, recipe: Recipe, engine: Engine, seeds: list[int], device: str, max_seconds: float | None
    ) -> None:
        self.recipe, self.engine, self.seeds = recipe, engine, seeds
        self.device, self.max_seconds = device, max_seconds
        self._done: dict[tuple[tuple[Edit, ...], int, int], Run | None] = {}

    def run(
        self, edits: tuple[Edit, ...], epochs: int, what: str, count: int, first: int = 0
    ) -> Generator[Event, None, _Arm | None]:
        """The change on `count` seeds from the `first` on; `None` where a training failed."""
        seeds = self.seeds[first : first + count]
        changed = self.recipe.with_edits(*edits)
        share = epochs / self.recipe.settings.epochs
        length = max(1, round(changed.settings.epochs * share))
        missing = [s for s in seeds if (edits, epochs, s) not in self._done]
        shortened = None if length == changed.settings.epochs else length
        options: dict[str, Any] = {"max_seconds": self.max_seconds, "device": self.device}
        jobs = [Job(changed, s, shortened, f"diagnosis: {what}", **options) for s in missing]
        results = (yield from run_all(self.engine, jobs)) if jobs else []
        for seed, result in zip(missing, results, strict=True):
            self._done[edits, epochs, seed] = None if isinstance(result, Failure) else result
        runs = [self._done[edits, epochs, s] for s in seeds]
        return _Arm(edits, tuple(r for r in runs if r is not None)) if all(runs) else None

    def known(self, edits: tuple[Edit, ...], epochs: int) -> tuple[Run, ...]:
        """What has been run of a change at a horizon."""
        runs = (self._done.get((edits, epochs, s)) for s in self.seeds)
        return tuple(r for r in runs if r is not None)

    def gone_on(self, stage: Symptom, runs: Sequence[Run], baseline: _Arm, best: _Arm) -> int:
        """On how many of the seeds the symptom is gone; where it is to fall short, on how many at least half
        of the repair's effect is reached."""
        if stage.kind != "falls short":
            return sum(not stage.shown(run, self.recipe) for run in runs)
        half = 0.5 * (best.score - baseline.score)
        pairs = zip(runs, baseline.runs, strict=False)
        return sum(run.scores["val"] >= unchanged.scores["val"] + half for run, unchanged in pairs)


def _shams(recipe: Recipe, findings: Sequence[Finding]) -> list[Edit]:
    """Changes of equal cost that should do nothing, of attributes that no finding names; the second is for an
    optimizer that takes no weight decay."""
    named = {f.where.attribute for f in findings}
    decay = recipe.settings.weight_decay or 0.0
    shams = [
        Edit.set("training.weight_decay", decay + 1e-7, f"weight decay {decay:g} → {decay + 1e-7:g}"),
        Edit.set("training.clip", 1e6, "gradient norm clipped at 1e6"),
    ]
    usable = []
    for edit in shams:
        try:
            recipe.with_edits(edit).settings.make_optimizer(recipe.build(0))
        except Exception:  # an optimizer that does not take it
            continue
        if edit.attribute not in named:
            usable.append(edit)
    return usable
