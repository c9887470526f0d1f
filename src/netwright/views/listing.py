"""The listing: a coloured line a layer with shapes, cost, health and behaviour, indented by module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from netwright.values import Finding, LookResult
from netwright.views import words
from netwright.views.comparison import side_by_side
from netwright.views.layout import Fitting, blank, bullet, columns, group, indented, joined, narrow, row, text
from netwright.views.rows import Shown, hidden_words, shown_rows, total_of, total_words

_WIDEST = 160
_DEEPEST = 6  # levels of the module tree that are indented
_COLUMNS: Mapping[str, tuple[str, bool]] = {  # field: head, and whether it stands at the right
    "shapes": ("in → out", False),
    "parameters": ("params", True),
    "megaflops": ("MFLOP", True),
    "memory": ("mem", True),
    "time": ("time", True),
    "zeros": ("zero", True),
    "behaviour": ("behaviour", False),
    "gradient": ("gradient", True),
}
_LESS = frozenset(["memory", "time"])  # what a narrow window does without
_ALWAYS = frozenset(["shapes", "parameters", "megaflops"])


def listing(result: LookResult) -> RenderableType:
    """Layers in execution order; where a table does not fit the window, two lines a layer."""
    lines: list[RenderableType | None] = [
        row(result.name, text(_where_from(result)))
        if len(result.name) < 10
        else joined([(result.name, "bold"), (_where_from(result), "")])
    ]
    if result.against is not None:
        lines += [blank(), side_by_side(result)]
    elif result.layers:
        rows = shown_rows(result)
        forms = [
            lambda: _table(rows, frozenset(), True),
            lambda: _table(rows, frozenset(), False),
            lambda: _table(rows, _LESS, False),
            lambda: _folded(rows),
        ]
        lines += [blank(), Fitting(forms)]
    if result.against is None and (result.layers or result.hidden):
        lines.append(blank())
        lines.append(row("total", joined([(part, "") for part in _total(result)], gap=" · ")))
    if result.notes:
        lines.append(blank())
        lines += [row("note", text(note)) for note in result.notes]
    for finding in result.findings:
        lines += [blank(), indented(_explained(finding))]
    return narrow(group(*lines), _WIDEST)


def _total(result: LookResult) -> list[str]:
    hidden = hidden_words(result)
    return [*total_words(total_of(result), result.inputs), *([hidden] if hidden else [])]


def _where_from(result: LookResult) -> str:
    inputs = words.plural(result.inputs, "input")
    measured = f"behaviour over {inputs}" if result.inputs else "no inputs were run"
    return " · ".join(part for part in (result.run, measured) if part)


def _explained(finding: Finding) -> RenderableType:
    head = joined([(finding.cause, "bold"), (finding.explanation, "")], gap="  ")
    return bullet(words.COLOURS[words.tone(finding)], head)


def _health(shown: Shown) -> Text:
    beside = words.clean(shown.beside)
    if shown.tone is None:
        return Text(beside, style="dim", overflow="fold")
    mark = Text(words.MARK, style=words.COLOURS[shown.tone], overflow="fold")
    return mark.append(f" {beside}") if beside else mark


def _named(shown: Shown) -> Text:
    """Kind as a keyword, name as an identifier, indented by the module tree."""
    line = Text("  " * min(shown.level, _DEEPEST), overflow="fold")
    line.append(words.clean(shown.kind), style="magenta" if shown.function else "bold magenta")
    for part, style in ((shown.times, "bold"), (words.clean(shown.name), "blue")):
        if part:
            line.append(" " if line.plain.strip() else "").append(part, style=style)
    return line


def _cell(shown: Shown, name: str) -> Text:
    """A number; those of a module are sums, and fainter."""
    style = "cyan" if name == "behaviour" else "dim" if shown.head and name != "shapes" else ""
    return text(getattr(shown, name), style)


def _table(rows: Sequence[Shown], without: frozenset[str], sources: bool) -> RenderableType:
    names = [
        name
        for name in _COLUMNS
        if name not in without and (name in _ALWAYS or any(getattr(r, name) for r in rows))
    ]
    table = [
        [
            _named(shown),
            *(_cell(shown, name) for name in names),
            _health(shown),
            *([text(shown.source, "dim")] if sources else []),
        ]
        for shown in rows
    ]
    head = ["layer", *(_COLUMNS[name][0] for name in names), "", *([""] if sources else [])]
    right = {n for n, name in enumerate(names, 1) if _COLUMNS[name][1]}
    tight = {0: 24} if without else {}  # names break only where nothing more can be left out
    return columns(table, head, right=right, wrap={**tight, len(names) + 1: 14})


def _folded(rows: Sequence[Shown]) -> RenderableType:
    units = {
        "parameters": "{} params",
        "megaflops": "{} MFLOP",
        "zeros": "{} zero",
        "gradient": "gradient {}",
    }
    lines: list[RenderableType] = []
    for shown in rows:
        lines.append(joined([_named(shown), (shown.shapes, "")]))
        parts: list[tuple[str, str] | Text] = [
            (units.get(name, "{}").format(cell), "cyan" if name == "behaviour" else "")
            for name in _COLUMNS
            if name != "shapes" and (cell := getattr(shown, name))
        ]
        below = joined([*parts, _health(shown)], gap="  ")
        if below.pieces:
            lines.append(indented(below, 2 * min(shown.level, _DEEPEST) + 2))
    return group(*lines)
