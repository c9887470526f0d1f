"""Results as one HTML file that opens from disk: no script, no font, no picture from anywhere else."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from netwright.values import (
    AttributesResult,
    Change,
    DiagnoseResult,
    Finding,
    ImproveResult,
    LookResult,
    Verdict,
)
from netwright.views import charts, sentences, words
from netwright.views.comparison import compared_rows, totals
from netwright.views.rows import hidden_words, shown_rows, total_of, total_words

T = TypeVar("T")

_PARTS = {"train": "training", "val": "validation", "test": "test"}


def report_html(result: ImproveResult, attributes: AttributesResult | None = None) -> str:
    """The whole of an improvement: what was wrong, what was tried, how sure that is, and what to change."""
    part, before, after = sentences.judged_on(result)
    first, last = words.from_to(before, after)
    curves = charts.learning_curves(result.curves_before, result.curves_after, result.metric)
    return render(
        "report.html.j2",
        result=result,
        attributes=[words.attribute_cells(a) for a in attributes.attributes] if attributes else [],
        first=first,
        last=last,
        on=_judged_words(result, part),
        meaning=sentences.metric_meaning(result.metric),
        scale=Markup(charts.score_scale(before, after, result.metric)),
        curves=[Markup(chart) for chart in curves],
        intervals=Markup(charts.interval_plot(result.verdicts)),
        verdicts=[_verdict_row(v) for v in words.by_merit(result.verdicts)],
        control=_common([v.control for v in result.verdicts]),
        margin=_common([v.margin for v in result.verdicts]),
        places=_by_place(result.changes),
        scores=[(_PARTS.get(p, p), *_scores(result, p)) for p in result.after],
    )


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
    )


def frame(html: str, height: int) -> str:
    """A page in a frame of its own for a notebook: no script, no reach outside, kept when it is saved."""
    return (
        f'<iframe sandbox="" srcdoc="{escape(html, quote=True)}" title="Netwright" loading="lazy"'
        f' style="width:100%;height:{int(height)}px;border:0;border-radius:8px"></iframe>'
    )


def render(template: str, **values: Any) -> str:
    """A page from its template."""
    return _environment().get_template(template).render(**values)


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
