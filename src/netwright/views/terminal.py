"""Results in the terminal: renderables of rich in the layout of the transcript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from netwright.values import (
    AttributesResult,
    Change,
    DiagnoseResult,
    Finding,
    ImproveResult,
    Overview,
    Pattern,
    ProbeResult,
    ScanResult,
    Verdict,
)
from netwright.views import sentences, words
from netwright.views.layout import Fitting, blank, bullet, columns, group, indented, joined, narrow, row, text
from netwright.views.listing import listing

__all__ = [
    "attributes_table",
    "changes_table",
    "diagnose_view",
    "finding_block",
    "improve_lines",
    "listing",
    "overview_line",
    "probe_view",
    "scan_view",
    "verdict_table",
]

_SHOWN = 8  # verdicts in the transcript; the report has all
_STATUS = {"confirmed": "bold", "suspected": "", "refuted": "dim"}


def overview_line(overview: Overview) -> RenderableType:
    """What is being developed, in a line."""
    parts = [(overview.data, ""), (overview.network, ""), (overview.training, "")]
    body = joined(parts, gap=" · ")
    if len(overview.name) < 10:
        return row(overview.name, body)
    return group(text(overview.name, "bold"), row("", body))


def finding_block(finding: Finding) -> RenderableType:
    """Cause, status, place and the text as written there; the explanation and how it was confirmed below."""
    colour, where = words.COLOURS[words.tone(finding)], finding.where
    sure = finding.status == "suspected" and finding.confidence is not None
    head = joined(
        [
            (f"{finding.cause:<14}", f"bold {colour}"),
            (f"{finding.status:<9}", _STATUS[finding.status]),
            (words.source(where), ""),
            (f"layer {where.layer}" if where.layer else "", ""),
            (str(finding.evidence.get("written") or ""), ""),
            (f"{words.share(finding.confidence)} sure" if sure else "", "dim"),
            (f"or {', '.join(finding.also)}, whose repair does the same" if finding.also else "", ""),
        ]
    )
    told = [finding.explanation, words.confirmed_by(finding)]
    below = text("\n".join(part for part in told if part))
    return bullet(colour, head, below if below else None)


def verdict_table(verdicts: Sequence[Verdict]) -> RenderableType:
    """What was tried, what helps first, with both intervals; two lines each in a narrow window."""
    return _verdicts(verdicts, samples=any(not words.missing(v.low_samples) for v in verdicts))


def _verdicts(verdicts: Sequence[Verdict], samples: bool) -> RenderableType:
    ordered = words.by_merit(verdicts)
    if not ordered:
        return text("nothing was tried", "dim")
    return Fitting([lambda: _verdicts_wide(ordered, samples), lambda: _verdicts_folded(ordered, samples)])


def _numbers(verdict: Verdict) -> tuple[str, str, str]:
    places = words.place_values(verdict)
    return (
        words.signed(verdict.effect, places),
        words.interval(verdict.low, verdict.high, places),
        words.interval(verdict.low_samples, verdict.high_samples, places),
    )


def _word(verdict: Verdict) -> Text:
    word = Text(verdict.verdict, style=words.COLOURS[words.verdict_tone(verdict)], overflow="fold")
    aside = words.aside(verdict)
    return word.append(f" ({aside})", style="dim") if aside else word


def _verdicts_wide(verdicts: Sequence[Verdict], samples: bool) -> RenderableType:
    rows: list[list[Text]] = []
    for verdict in verdicts:
        effect, seeds, over_samples = _numbers(verdict)
        cells = [text(verdict.label or verdict.idea), text(effect, "bold"), text(seeds)]
        rows.append([*cells, *([text(over_samples)] if samples else []), _word(verdict)])
    head = ("", "", "over seeds", "over samples", "") if samples else None
    return columns(rows, head, wrap={0: 24, 4: 24} if samples else {0: 18, 3: 16})


def _verdicts_folded(verdicts: Sequence[Verdict], samples: bool) -> RenderableType:
    lines: list[RenderableType] = []
    for verdict in verdicts:
        effect, seeds, beside = _numbers(verdict)
        beside = f"over samples {beside}" if samples and beside else ""
        lines.append(text(verdict.label or verdict.idea))
        parts = [(effect, "bold"), (seeds, ""), (beside, ""), _word(verdict)]
        lines.append(indented(joined(parts, gap="  ")))
    return group(*lines)


def changes_table(changes: Sequence[Change]) -> RenderableType:
    """The lines to change in the user's own code."""

    def place(change: Change) -> str:
        where = f"{change.file}:{change.line}" if change.file and change.line else change.file
        return where or f"({change.attribute})"

    def wide() -> RenderableType:
        rows = [[text(place(c)), _old(c), Text("→"), text(c.new, "green")] for c in changes]
        return columns(rows)

    def folded() -> RenderableType:
        return group(*(_folded_change(place(change), change) for change in changes))

    return Fitting([wide, folded])


def _folded_change(place: str, change: Change) -> RenderableType:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=1)
    grid.add_column(overflow="fold")
    grid.add_row("", _old(change))
    grid.add_row("→", text(change.new, "green"))
    return group(text(place), indented(grid))


def _old(change: Change) -> Text:
    return text(change.old, "red" if change.old != "not set" else "dim")


def improve_lines(result: ImproveResult) -> RenderableType:
    """The transcript of an improvement."""
    lines: list[RenderableType | None] = []
    if result.overview is not None:
        lines += [overview_line(result.overview), blank()]
    seconds = result.stage_seconds
    if result.scan:
        lines.append(row("scan", text(result.scan), seconds.get("scan")))
    if result.baseline:
        lines.append(row("baseline", text(result.baseline), seconds.get("baseline")))
    lines += _diagnosis(result.findings)
    lines += _trials(result)
    lines.append(row("result", joined([(said, "bold") for said in sentences.result_words(result)], " · ")))
    lines += _rest(result.considered, result.notes, result.skipped)
    if result.changes:
        lines += [blank(), text("Change in your code", "bold"), indented(changes_table(result.changes))]
    elif result.findings or result.verdicts:
        lines += [blank(), text("There is nothing to change in your code.")]
    if result.next_steps:
        lines += [blank(), text("What to try next", "bold")]
        lines += [indented(text(step)) for step in result.next_steps]
    if not result.changes and not result.next_steps:
        lines.append(blank())
    lines.append(_last_line(result))
    return narrow(group(*lines))


def _diagnosis(findings: Sequence[Finding]) -> list[RenderableType | None]:
    if not findings:
        return [row("diagnosis", text("nothing that blocks learning was found"))]
    return [row("diagnosis" if n == 0 else "", finding_block(f)) for n, f in enumerate(findings)]


def _trials(result: ImproveResult) -> list[RenderableType | None]:
    ordered = words.by_merit(result.verdicts)
    told = [v for v in ordered if v.verdict != "failed"][:_SHOWN]
    kept = [v for v in ordered if v.verdict == "helps"]
    told += [v for v in kept if v not in told]
    parts: list[str] = []
    if more := len(ordered) - len(told):
        parts.append(f"…{more} more")
    if result.screened:
        parts.append(f"{result.screened} screened")
    if result.failed:
        parts.append(f"{result.failed} failed early")
    if not ordered and not parts:
        return []
    rest = text(f"{', '.join(parts)} ( netwright journal shows all )", "dim") if parts else None
    return [row("trials", group(_verdicts(told, samples=False) if told else None, rest))]


def _rest(
    considered: Sequence[Finding], notes: Sequence[str], skipped: Mapping[str, str]
) -> list[RenderableType | None]:
    """What was ruled out, what the user should know besides, and what did not run."""
    lines: list[RenderableType | None] = []
    refuted = ", ".join(f.cause for f in considered if f.status == "refuted")
    symptoms = ", ".join(
        f"{f.cause} (a symptom of {f.evidence['explained_by']})"
        for f in considered
        if f.evidence.get("explained_by")
    )
    unlikely = ", ".join(
        f.cause for f in considered if f.status != "refuted" and not f.evidence.get("explained_by")
    )
    folded = ("ruled out", refuted), ("explained", symptoms), ("unlikely", unlikely)
    lines += [row(label, text(causes, "dim")) for label, causes in folded if causes]
    lines += [row("note", text(note)) for note in notes]
    if skipped:
        lines.append(row("skipped", text(sentences.skipped_words(skipped), "dim")))
    return lines


def _last_line(result: ImproveResult) -> RenderableType:
    own = words.score(result.weights_score)
    network = ("Network ", result.weights, f" (itself {own} on validation)" if own and result.weights else "")
    pieces = [
        Text(overflow="fold").append(label).append(words.clean(path), style="bold").append(aside, style="dim")
        for label, path, aside in (network, ("Report ", result.report, ""))
        if path
    ]
    pieces.append(text(sentences.spent_words(result.spent), "dim"))
    return Fitting([lambda: columns([pieces]), lambda: group(*pieces)])


def diagnose_view(result: DiagnoseResult) -> RenderableType:
    """What blocks learning, the most probable first; or that nothing does."""
    lines: list[RenderableType | None] = []
    if result.overview is not None:
        lines += [overview_line(result.overview), blank()]
    if result.findings:
        lines += _diagnosis(result.findings)
    if not result.findings or result.outcome != "findings":
        lines.append(row("diagnosis" if not result.findings else "", text(sentences.diagnosis_words(result))))
    lines += _rest(result.considered, result.notes, result.skipped)
    ideas = dict.fromkeys(idea for finding in result.findings for idea in finding.ideas)
    if ideas:
        lines.append(row("ideas", text(f"{', '.join(ideas)} ( netwright improve tries them )")))
    spent = sentences.spent_words(result.spent)
    lines += [blank(), text(f"{result.run}, {spent}" if result.run else spent, "dim")]
    return narrow(group(*lines))


def probe_view(result: ProbeResult) -> RenderableType:
    """One experiment: what was asked, and the answer, a line a number."""
    lines: list[RenderableType | None] = [
        row("probe", joined([(result.probe, "bold"), (result.recipe, "")])),
        row("", text(result.question)),
        blank(),
    ]
    if result.answer is None:
        lines.append(row("answer", text("does not apply to this recipe"), result.spent.seconds))
        return narrow(group(*lines))
    for n, (name, value) in enumerate(result.answer.items()):
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        if len(shown) > 300:
            shown = f"{len(cast(list[Any], value))} values"
        lines.append(row("answer" if n == 0 else "", text(f"{name.replace('_', ' ')}  {shown}")))
    lines += [blank(), text(sentences.spent_words(result.spent), "dim")]
    return narrow(group(*lines))


def scan_view(result: ScanResult) -> RenderableType:
    """Patterns in the data, with what they cost where that was measured."""
    lines: list[RenderableType | None] = []
    if result.data:
        lines += [row("data", text(result.data)), blank()]
    if not result.patterns:
        lines.append(row("scan", text("nothing in the data that costs anything"), result.spent.seconds))
    for n, pattern in enumerate(result.patterns):
        lines.append(row("scan" if n == 0 else "", _pattern_block(pattern)))
    lines += [row("note", text(note)) for note in result.notes]
    if result.patterns:
        lines += [blank(), text(sentences.spent_words(result.spent), "dim")]
    return narrow(group(*lines))


def _pattern_block(pattern: Pattern) -> RenderableType:
    cost = words.number(pattern.cost) if pattern.cost is not None else None
    head = joined(
        [
            (pattern.pattern, "bold yellow"),
            (f"costs {cost}" if cost else "cost not measured", "" if cost else "dim"),
            (words.plural(len(pattern.samples), "sample") if pattern.samples else "", ""),
            (f"{words.share(pattern.confidence)} sure", "dim"),
        ]
    )
    repair = text(f"Repair: {pattern.repair}") if pattern.repair else None
    samples = text(f"Samples: {words.said(pattern.samples)}", "dim") if pattern.samples else None
    return bullet("yellow", head, text(pattern.explanation), repair, samples)


def attributes_table(result: AttributesResult) -> RenderableType:
    """Every attribute with its value now, and where it is set."""
    told = [words.attribute_cells(attribute) for attribute in result.attributes]

    def wide() -> RenderableType:
        rows = [[text(name, "cyan"), text(value), text(where), text(how)] for name, value, where, how in told]
        return columns(rows, wrap={1: 24, 3: 24})

    def folded() -> RenderableType:
        lines: list[RenderableType] = []
        for name, value, where, how in told:
            lines.append(joined([(name, "cyan"), (value, "")]))
            lines.append(indented(joined([(where, ""), (how, "dim")])))
        return group(*lines)

    return group(text(result.recipe, "bold"), Fitting([wide, folded]))
