"""What a diagnosis ends with, and how a confirmation's answers change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
from attrs import field, frozen

from netwright.catalogue import Check, Needs
from netwright.diagnosis.confirmation import Confirmation
from netwright.diagnosis.ranking import FAILED, THRESHOLD, UNASKED, Ranking, of_degree, only_eased
from netwright.diagnosis.repetition import UNSAID
from netwright.diagnosis.symptom import Symptom
from netwright.recipe import Recipe
from netwright.runs import Evidence, Run
from netwright.trials import Pace
from netwright.values import Finding, Plan

COUNTED = "Counted in the data: a fault of what judges is not shown by a score that rises."
# None of these keeps a network from fitting its training data.
NOT_WHY = ("leakage", "noisy-validation", "duplicates")
SURE, LITTLE, MUCH = 0.75, 0.03, 0.15  # a confidence; shares of the way from trivial to perfect


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
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """`findings`, `healthy` (every applicable check ran, none fired), or `inconclusive`."""
        if not self.reproduced:
            return "inconclusive"
        if self.findings:
            return "findings"
        failed = any(reason.startswith((FAILED, UNASKED)) for reason in self.skipped.values())
        return "healthy" if self.complete and self.learns and not failed else "inconclusive"

    @property
    def settled(self) -> bool:
        """Whether anything is confirmed that may be why: where even the training data are not learnt, what is
        wrong with the samples that judge is not."""
        confirmed = [f for f in self.findings if f.status == "confirmed"]
        return bool(self.repairs) or any(self.may_be_why(f) for f in confirmed)

    def may_be_why(self, finding: Finding) -> bool:
        """Whether the cause can explain what the run shows: only the training's own faults explain training
        data that are not learnt."""
        return finding.cause not in NOT_WHY or not self.evidence.learns_little

    @property
    def learns(self) -> bool:
        """Whether the run of the unchanged recipe fits its own training data to some degree: one that does
        not is not healthy, even where no check says why. Of a task of the user's own nobody knows what its
        metric gives for nothing learnt: there only a loss that stops being finite tells."""
        run = self.evidence.run
        if run is None:
            return True
        if self.recipe.yardstick.task.name == "custom":
            return not run.diverged
        return Symptom.of(run, self.recipe).kind == "falls short"


def is_likely(finding: Finding, evidence: Evidence) -> bool:
    """Whether the cause is nearly sure, or its repair gained much where it was tried."""
    metric = evidence.yardstick.metric if evidence.yardstick else None
    scale = abs(metric.perfect - metric.trivial) if metric else 1.0
    gained = finding.confirmation.get("effect") or 0.0
    return (finding.confidence or 0.0) >= SURE or gained >= MUCH * scale


def place_of(finding: Finding, evidence: Evidence) -> int:
    """Where a cause is told, the first first. Faults of the yardstick come first, for nothing can be judged
    before they are mended. Where training itself learns little, whatever is likely and may be why comes
    before them, a mere guess after them."""
    counted = finding.status == "confirmed" and bool(finding.evidence.get("measured"))
    if not evidence.learns_little:
        return 0 if counted else 1
    if finding.cause in NOT_WHY:
        return 2
    return 0 if counted else 1 if finding.status == "confirmed" or is_likely(finding, evidence) else 3


def by_weight(evidence: Evidence) -> Callable[[Finding], tuple[int, bool, float]]:
    """The order of what was found in one recipe: by place, then what is confirmed, then the most probable."""

    def weight(finding: Finding) -> tuple[int, bool, float]:
        return place_of(finding, evidence), finding.status != "confirmed", -(finding.confidence or 0.0)

    return weight


def by_measurement(ranking: Ranking) -> Ranking:
    """Faults of the yardstick are confirmed by having been counted, never by a score that rises."""

    def confirmed(finding: Finding) -> Finding:
        if not finding.evidence.get("measured") or (finding.confidence or 0.0) < THRESHOLD:
            return finding
        return attrs.evolve(finding, status="confirmed", confirmation={"sentence": COUNTED})

    return Ranking(tuple(map(confirmed, ranking.findings)), ranking.considered)


def is_settled(ranking: Ranking) -> bool:
    """Whether what is found needs no further experiments before it is put to confirmation."""
    return any((f.confidence or 0.0) >= SURE for f in ranking.findings)


def settled_by(found: Diagnosis, settled: Confirmation) -> Diagnosis:
    """The confirmed first; what was tried in vain falls below the threshold; symptoms of a confirmed cause
    are folded."""
    metric = found.recipe.yardstick.metric
    scale = abs(metric.perfect - metric.trivial)
    weighed = []
    for finding in settled.findings:
        tried = finding.confirmation.get("repair") is not None and not finding.confirmation.get("gone")
        if finding.status == "suspected" and tried and not only_eased(finding.cause):
            finding = attrs.evolve(finding, confidence=tried_in_vain(finding, scale))
        weighed.append(finding)
    weighed.sort(key=by_weight(found.evidence))
    kept = tuple(f for f in weighed if f.status != "refuted" and (f.confidence or 0.0) >= THRESHOLD)
    below = tuple(f for f in weighed if f not in kept)
    return attrs.evolve(
        found,
        findings=kept,
        considered=(*below, *(f for f in found.considered if f.id not in {g.id for g in weighed})),
        repairs=settled.repairs,
        baseline=settled.baseline,
        reproduced=settled.reproduced,
    )


def tried_in_vain(finding: Finding, scale: float = 1.0) -> float:
    """The confidence after a repair that did not clearly help; `scale` is the way from trivial to perfect.

    Odds stay where it helped much, if not on every seed; they are two times smaller where it helped a little,
    but not beyond doubt; three times where it did nothing on the first seed; six times where five seeds bound
    what it could help by little. What is probable without it stays above the threshold and a guess falls
    below; so does a cause of degree, which is one only where its repair matters: an effect this large does,
    whatever its interval.
    """
    told = finding.confirmation
    confidence = finding.confidence or 0.0
    if (told.get("effect") or 0.0) >= MUCH * scale:
        return confidence
    if told.get("effect") is None:
        divisor = 3
    else:
        divisor = 6 if told.get("high", 0.0) < LITTLE * scale else 2 if told["effect"] > 0 else 3
    odds = confidence / max(1e-9, 1 - confidence) / divisor
    return min(odds / (1 + odds), UNSAID if of_degree(finding.cause) else 1.0)


def of_training(checks: Iterable[Check]) -> frozenset[str]:
    """The ids of the checks that look at a training."""
    return frozenset(c.id for c in checks if c.needs & (Needs.RUN | Needs.RANGE_TEST))


def without_a_symptom(found: Diagnosis, checks: Iterable[Check]) -> Diagnosis:
    """Where fresh seeds do not show what the first run did, what is seen without any run still stands."""
    of_runs = of_training(checks)
    standing = tuple(f for f in found.findings if f.check not in of_runs)
    if not standing:
        return found
    rest = tuple(f for f in found.findings if f.check in of_runs)
    return attrs.evolve(
        found,
        findings=standing,
        considered=(*rest, *found.considered),
        reproduced=True,
        notes=(*found.notes, "what the first run showed did not show again on fresh seeds"),
    )
