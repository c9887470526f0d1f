"""From what the checks see to a ranked list of causes; symptoms of a cause are folded under it."""

from __future__ import annotations

import functools
import inspect
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import attrs
from attrs import frozen

from netwright.catalogue import Check, Needs
from netwright.runs import Evidence
from netwright.values import CheckSkipped, Finding

THRESHOLD = 0.5
FAILED, UNASKED = "failed", "needs the probe"
OF_TRAINING = ("lr-too-high", "lr-too-low", "too-few-epochs", "batch-size")
_UNKNOWN: dict[str, Any] = {"prior": 0.1, "ratio": 15, "severity": "warning", "explains": [], "rivals": []}


@frozen
class Ranking:
    """`findings` at or above the reporting threshold, the most probable first; the rest, and what is
    explained by a finding above it, in `considered`."""

    findings: tuple[Finding, ...]
    considered: tuple[Finding, ...]


def examine(
    evidence: Sequence[Evidence], checks: Iterable[Check], muted: Mapping[str, str] | None = None
) -> Iterator[Finding | CheckSkipped]:
    """Every check over the evidence of one or more seeds; a cause is stated only where the check fires at
    each of them.

    `muted` gives the ids of checks to leave out, each with its reason. A check whose needs are not met is
    skipped.
    """
    for check in checks:
        if muted and check.id in muted:
            yield CheckSkipped(check.id, f"muted: {muted[check.id]}")
            continue
        if Needs.LOOP in check.needs and evidence[0].loop is None:
            continue  # a question to loops alone
        lacking = check.needs & ~evidence[0].has
        if lacking:
            yield CheckSkipped(check.id, f"needs {lacking.words()}")
            continue
        if check.when is not None and not check.when(evidence[0]):
            continue  # not a question for this network
        failed = next((p for p in check.probes if p in evidence[0].unanswered), None)
        if failed is not None:
            yield CheckSkipped(check.id, f"{FAILED}: the probe {failed}: {evidence[0].unanswered[failed]}")
            continue
        if (
            check.probes
            and all(p in evidence[0].probes for p in check.probes)
            and any(evidence[0].probes[p] is None for p in check.probes)
        ):
            continue  # asked, and it does not apply here
        unasked = [p for p in check.probes if p not in evidence[0].probes]
        if unasked:
            yield CheckSkipped(check.id, f"{UNASKED} {unasked[0]}")
            continue
        reference = _reference(check)
        try:
            found = [
                _first_by_cause(check, item)
                for item in evidence
                if not check.needs & ~item.has and all(item.probes.get(p) is not None for p in check.probes)
            ]
            if check.when is not None and not all(map(check.when, evidence[1:])):
                continue  # another seed does not even raise the question
        except Exception as raised:  # one check that fails costs its answer, not the diagnosis
            yield CheckSkipped(check.id, f"{FAILED}: {type(raised).__name__}: {raised}")
            continue
        for cause, finding in found[0].items():
            if all(cause in other for other in found[1:]):  # asked again before it is said
                yield attrs.evolve(finding, check=check.id, confuses=check.confuses, reference=reference)


def _first_by_cause(check: Check, evidence: Evidence) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
    for finding in check.function(evidence):
        found.setdefault(finding.cause, finding)
    return found


def _reference(check: Check) -> str:
    _, _, source = (inspect.getdoc(check.function) or "").partition("Source:")
    return " ".join(source.split())


def rank(found: Iterable[Finding]) -> Ranking:
    """Confidence by prior odds × likelihood ratio (`causes.toml`), then folding of what a likelier cause
    explains."""
    scored = sorted((_scored(f) for f in found), key=lambda f: (-(f.confidence or 0.0), f.id))
    kept: list[Finding] = []
    folded: list[Finding] = []
    for finding in scored:
        if any(k.cause == finding.cause for k in kept):  # said by another sign already, and likelier
            folded.append(finding)
            continue
        above = next((k for k in scored if _explains(k, finding, scored)), None)
        if above is not None:
            note = {**finding.evidence, "explained_by": above.cause}
            folded.append(attrs.evolve(finding, evidence=note, confidence=(finding.confidence or 0.0) * 0.3))
        else:
            kept.append(finding)
    findings = tuple(f for f in kept if (f.confidence or 0.0) >= THRESHOLD)
    below = tuple(f for f in kept if (f.confidence or 0.0) < THRESHOLD)
    return Ranking(findings, (*below, *folded))


def _explains(cause: Finding, symptom: Finding, scored: Sequence[Finding]) -> bool:
    """Whether `symptom` is folded under `cause`: what is itself there before any training is no symptom of
    its rate or length."""
    if cause is symptom or (cause.confidence or 0.0) < THRESHOLD:
        return False
    if cause.cause in OF_TRAINING and symptom.evidence.get("at_start"):
        return False
    if symptom.cause == "dead-units" and symptom.evidence.get("bias_size", 0.0) > 1:
        return cause.cause == "initialisation"  # whatever comes in, it starts below the rectifier's edge
    if symptom.cause not in _entry(cause)["explains"]:
        return False
    # Two causes that explain each other: the likelier one stands, which `scored` has first.
    mutual = cause.cause in _entry(symptom)["explains"]
    return not mutual or scored.index(cause) < scored.index(symptom)


def _scored(finding: Finding) -> Finding:
    entry = _entry(finding)
    ratio = float(entry["ratio"])
    for name, other in entry.get("when", {}).items():
        if finding.evidence.get(name):
            ratio = float(other)
    odds = entry["prior"] / (1 - entry["prior"]) * ratio
    return attrs.evolve(finding, confidence=odds / (1 + odds), severity=entry["severity"])


def rivals_of(cause: str) -> tuple[str, ...]:
    """The causes most easily taken for `cause`."""
    return tuple(_causes().get(cause, _UNKNOWN)["rivals"])


def only_eased(cause: str) -> bool:
    """Whether ideas ease the cause and none repairs it, so that their failure says nothing against it."""
    return bool(_causes().get(cause, _UNKNOWN).get("eased"))


def of_degree(cause: str) -> bool:
    """Whether the cause is a matter of degree, of which nearly every recipe could have more or less: it is
    said only where its repair gains what matters."""
    return bool(_causes().get(cause, _UNKNOWN).get("degree"))


def _entry(finding: Finding) -> dict[str, Any]:
    return _causes().get(finding.cause, _UNKNOWN)


@functools.cache
def _causes() -> dict[str, dict[str, Any]]:
    return tomllib.loads(resources.files("netwright.diagnosis").joinpath("causes.toml").read_text("utf-8"))
