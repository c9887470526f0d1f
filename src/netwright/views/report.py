"""Results as one HTML file that opens from disk: its script and its pictures are inside, and it may reach
nothing else."""

from __future__ import annotations

import base64
import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any, TypeVar

from attrs import frozen
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from netwright.values import (
    AttributesResult,
    Change,
    DiagnoseResult,
    Finding,
    ImproveResult,
    LookResult,
    MetricName,
    Verdict,
)
from netwright.views import sentences, words
from netwright.views.comparison import compared_rows, totals
from netwright.views.page import embedded, look_page, page
from netwright.views.rows import hidden_words, shown_rows, total_of, total_words

T = TypeVar("T")

_PARTS = {"train": "training", "val": "validation", "test": "test"}


def report_html(
    result: ImproveResult, attributes: AttributesResult | None = None, look: LookResult | None = None
) -> str:
    """The whole of an improvement: what was wrong, what was tried, how sure that is, what to change, and the
    network inside, before and after."""
    part, before, after = sentences.judged_on(result)
    first, last = words.from_to(before, after)
    return render(
        "report.html.j2",
        result=result,
        attributes=[words.attribute_cells(a) for a in attributes.attributes] if attributes else [],
        first=first,
        last=last,
        on=_judged_words(result, part),
        meaning=sentences.metric_meaning(result.metric),
        scale=score_scale(before, after, result.metric),
        curves=bool(result.curves_before or result.curves_after),
        effects=any(not words.missing(v.effect) for v in result.verdicts),
        look=look,
        data=Markup(embedded(_improve_page(result, look))),
        verdicts=[_verdict_row(v) for v in words.by_merit(result.verdicts)],
        control=_common([v.control for v in result.verdicts]),
        margin=_common([v.margin for v in result.verdicts]),
        places=_by_place(result.changes),
        scores=[(_PARTS.get(p, p), *_scores(result, p)) for p in result.after],
    )


def _improve_page(result: ImproveResult, look: LookResult | None) -> dict[str, Any]:
    return page(
        result.recipe,
        look.run if look else "",
        layers=look.layers if look else (),
        atlas=look.atlas if look else None,
        findings=result.findings,
        curves=(*result.curves_before, *result.curves_after),
        metric=result.metric,
        verdicts=result.verdicts,
    )


@frozen
class Mark:
    """A score on the way from ignoring the inputs (0) to perfect (1): its place in percent of the line."""

    name: str
    said: str
    at: float


def score_scale(before: float | None, after: float | None, metric: MetricName) -> tuple[Mark, ...]:
    """Where the score stood and stands between ignoring the inputs and perfect; empty where it lies far
    outside."""
    span = metric.perfect - metric.trivial
    first, last = words.from_to(before, after)
    scores = (("before", first, before), ("after", last, after))
    known = [(name, said, v) for name, said, v in scores if v is not None and math.isfinite(v)]
    if not known or not span or not math.isfinite(span):
        return ()
    if len(known) == 2 and known[0][1] == known[1][1]:
        known = [("now", known[1][1], known[1][2])]
    parts = [(name, said, (v - metric.trivial) / span) for name, said, v in known]
    if any(not -1 <= part <= 1.2 for _, _, part in parts):
        return ()
    low, high = min(0.0, *(p for _, _, p in parts)), max(1.0, *(p for _, _, p in parts))
    ends = (
        ("ignoring the inputs", words.score(metric.trivial), 0.0),
        ("perfect", words.score(metric.perfect), 1.0),
    )
    return tuple(Mark(name, said, 100 * (part - low) / (high - low)) for name, said, part in (*ends, *parts))


def diagnose_html(result: DiagnoseResult) -> str:
    """The findings of a diagnosis, as a page."""
    return render("diagnose.html.j2", result=result, said=sentences.diagnosis_words(result))


def look_html(result: LookResult) -> str:
    """The listing of a network, as a page."""
    rows = () if result.against else shown_rows(result)
    return render(
        "look.html.j2",
        result=result,
        rows=rows,
        total=total_words(total_of(result), result.inputs),
        hidden=hidden_words(result),
        compared=compared_rows(result) if result.against else (),
        totals=totals(result) if result.against else (),
        data=Markup(embedded(look_page(result, result.atlas))),
    )


@frozen
class Module:
    """The script of the browser views, and its digest for the page's content policy."""

    text: Markup
    digest: str


@functools.cache
def module() -> Module:
    """The browser views as they stand in a page."""
    text = (resources.files("netwright.views") / "static" / "netwright.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return Module(Markup(text), f"sha256-{digest}")


def frame(html: str, height: int) -> str:
    """A page in a frame of its own for a notebook: no reach outside of it, kept when it is saved."""
    return (
        f'<iframe sandbox="allow-scripts" srcdoc="{escape(html, quote=True)}" title="Netwright"'
        f' loading="lazy" style="width:100%;height:{int(height)}px;border:0;border-radius:8px"></iframe>'
    )


def render(template: str, **values: Any) -> str:
    """A page from its template; `data` are those of its views."""
    return _environment().get_template(template).render(module=module(), **values)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("netwright.views", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    shared: dict[str, Any] = {"words": words, "sentences": sentences, "cause": _cause}
    environment.globals.update(shared)
    environment.filters["spaced"] = words.named
    return environment


def _shown(value: Any) -> Any:
    """What a template prints: user text without control characters; what is missing stays empty."""
    if value is None:
        return ""
    return words.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _cause(finding: Finding) -> Mapping[str, Any]:
    """A finding as the page shows it."""
    return {
        "tone": words.tone(finding),
        "place": words.source(finding.where),
        "written": finding.evidence.get("written"),
        "rows": words.evidence_rows(finding.evidence),
        "confirmed": words.confirmed_by(finding),
        "samples": words.said(finding.where.samples) if finding.where.samples else "",
    }


def _verdict_row(verdict: Verdict) -> Mapping[str, Any]:
    places = words.place_values(verdict)
    horizon = "" if verdict.horizon >= 1 else f" ({words.share(verdict.horizon)} of the full training)"
    epochs = words.plural(verdict.epochs, "epoch")
    screened = words.signed(verdict.screened, words.decimals(verdict.screened))
    return {
        "verdict": verdict,
        "tone": words.verdict_tone(verdict),
        "effect": words.signed(verdict.effect, places),
        "over_seeds": words.interval(verdict.low, verdict.high, places),
        "over_samples": words.interval(verdict.low_samples, verdict.high_samples, places),
        "epochs": f"{epochs}{horizon}" if verdict.epochs else horizon.strip(" ()"),
        "screened": screened if verdict.effect is None else "",
        "p": words.number(verdict.p_adjusted) if verdict.p_adjusted is not None else "",
        "margin": words.roughly(verdict.margin) if verdict.margin is not None else "",
    }


def _common(values: Sequence[T]) -> T | None:
    """What is the same for all, so that it is said once."""
    return values[0] if values and all(v == values[0] for v in values) else None


def _by_place(changes: Sequence[Change]) -> list[tuple[str, list[Change]]]:
    """Changes of one line together, in the order in which the lines come first."""
    places: dict[str, list[Change]] = {}
    for change in changes:
        where = f"{change.file}:{change.line}" if change.file and change.line else change.file
        places.setdefault(where or change.attribute, []).append(change)
    return list(places.items())


def _scores(result: ImproveResult, part: str) -> tuple[str, str]:
    before, after = (words.score(scores.get(part), 3) for scores in (result.before, result.after))
    return before or "not measured", after or "not measured"


def _judged_words(result: ImproveResult, part: str) -> str:
    name = sentences.metric_name(result.metric)
    name = f"{name[0].upper()}{name[1:]}"
    if part == "test" and result.test is not None:
        return f"{name} on {words.plural(result.test.samples, 'sample')} that it never saw"
    return f"{name} on the validation samples; nothing unseen was scored"
