"""Ports on small devices, in words for the terminal and the page: what 8-bit integers cost and where, and
whether a device's budget holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import frozen
from rich.console import RenderableType

from netwright.values import AsInt8, Budgeted, DeviceBudget, Heavy, Suffering, TargetPort
from netwright.views import words
from netwright.views.layout import indented, joined

_WORST = 3  # layers that are named
_VERDICTS = {True: ("fits", "green"), False: ("does not fit", "red"), None: ("fit not known", "yellow")}


@frozen
class Said:
    """A line: a word in colour, what is said, and what is said beside it; `under` the line before it."""

    text: str
    aside: str = ""
    under: bool = False
    word: str = ""
    colour: str = ""


def device_lines(port: TargetPort) -> Iterator[RenderableType]:
    """What is said of a port's precision and of its budget in the terminal."""
    for line in device_said(port):
        body = joined([(line.word, f"bold {line.colour}"), (line.text, ""), (line.aside, "dim")])
        yield indented(body) if line.under else body


def device_said(port: TargetPort) -> Iterator[Said]:
    """What is said of a port's precision and of its budget; nothing where neither was asked for."""
    if port.precision == "int8" and port.size is not None and port.size_before is not None:
        yield Said(
            f"int8: {words.size(port.size_before)} → {words.size(port.size)}; every number is one of 256, so"
            " the decisions and the metric count, not the error"
        )
    if port.suffering:
        yield from _suffering(port)
    if port.budget is not None:
        yield from _budgeted(port.budget)


def _suffering(port: TargetPort) -> Iterator[Said]:
    first, *others = port.suffering[:_WORST]
    yield Said(f"suffers most: {_harm(first)}", _where(first))
    if others:
        yield Said("then " + ", ".join(_harm(one) for one in others), under=True)
    yield Said("", f"measured: {first.measured}, all others stay in float32", under=True)
    kept = port.kept_float
    if kept is None:
        return
    parts: list[str] = []
    if kept.metric is not None:
        parts.append("metric " + " → ".join(dict.fromkeys(words.from_to(port.metric_after, kept.metric))))
    if port.decision_changes is not None and kept.decision_changes is not None:
        before, after = 100 * port.decision_changes, 100 * kept.decision_changes
        parts.append(f"decisions changed {before:.1f} % → {after:.1f} %")
    more = kept.size - (port.size or 0)
    parts.append(f"{'+' if more >= 0 else '−'}{words.size(abs(more))}")
    file = Path(kept.files[0]).name
    yield Said(f"→ keep {_listed(kept.layers)} in float32: {', '.join(parts)}", f"measured, {file}", True)


def _harm(one: Suffering) -> str:
    changed = f", {words.share(one.decision_changes)} of the decisions" if one.decision_changes else ""
    return f"{_listed(one.layers)} ({words.share(one.share)} of the outputs' error{changed})"


def _listed(layers: Sequence[str]) -> str:
    return ", ".join(layers) if len(layers) <= 3 else f"{layers[0]} … {layers[-1]}"


def _where(one: Suffering | Heavy) -> str:
    return f"{one.file}:{one.line}" if one.file and one.line else ""


def _budgeted(found: Budgeted) -> Iterator[Said]:
    word, colour = _VERDICTS[found.fits]
    yield Said(limits_of(found.budget), _measured(found), word=word, colour=colour)
    if found.fits is not False:
        return
    if found.int8 is not None:
        yield Said(_as_int8(found.int8), under=True)
    needs: list[str] = []
    if found.trim is not None:
        needs.append(_trim(found.trim))
    if found.work is not None:
        needs.append(f"{words.share(found.work)} of the time must go")
    if needs:
        yield Said(f"by trimming: {', and '.join(needs)}", under=True)
    heaviest = ", ".join(map(_heavy, found.heaviest[:_WORST]))
    if heaviest:
        yield Said(f"most weights are in {heaviest}", under=True)


def limits_of(budget: DeviceBudget) -> str:
    """`2.0 MB, 50.0 ms`."""
    parts = (words.size(budget.size), words.moment(budget.seconds))
    return ", ".join(part for part in parts if part)


def _measured(found: Budgeted) -> str:
    parts = [words.size(found.size)]
    if found.p95 is not None:
        batch = "" if found.batch == 1 else f" at batch {found.batch}"
        threads = f" with {words.plural(found.threads, 'thread')}" if found.threads else ""
        parts.append(f"p95 {words.moment(found.p95)}{batch}{threads}")
    elif found.budget.seconds is not None:
        parts.append("not timed")
    return ", ".join(parts)


def _heavy(one: Heavy) -> str:
    inside = ", ".join(part for part in (words.share(one.share), _where(one)) if part)
    return f"{one.layer} {words.size(one.bytes)} ({inside})"


def _trim(share: float) -> str:
    if share > 1:
        return "the file is too large even without any parameter"
    return f"{words.share(share)} of the parameters must go"


def _as_int8(one: AsInt8) -> str:
    how = "measured" if one.measured else "computed: a quarter of the bytes that are weights"
    parts = [words.size(one.size)]
    if one.p95 is not None:
        parts.append(f"p95 {words.moment(one.p95)}")
    if one.metric is not None:
        parts.append(f"metric {words.score(one.metric, 3)}")
    verdict = {True: "fits", False: "does not fit", None: "its time is not known"}[one.fits]
    trim = f"; {_trim(one.trim)} then" if one.trim is not None else ""
    return f"as int8 ({how}): {', '.join(parts)}: {verdict}{trim}"
