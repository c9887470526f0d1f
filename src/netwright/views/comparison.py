"""Two networks beside each other, line by line; what differs is marked by a sign and by colour."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from attrs import frozen
from rich.console import RenderableType
from rich.text import Text

from netwright.values import Comparison, Cost, LayerLine, LookResult, Pair
from netwright.views import words
from netwright.views.layout import Fitting, blank, columns, group, joined, row, text
from netwright.views.rows import hidden_words, total_of

_SIGNS = {
    "same": (" ", "dim"),
    "changed": ("≠", "yellow"),
    "only left": ("−", "red"),
    "only right": ("+", "green"),
}
_FEW = 4  # equal lines in a row that are shown; more are counted
_SHOWN = {  # column: the fields that it tells of
    "layer": ("kind", "trainable"),
    "shapes": ("input_shape", "output_shape"),
    "parameters": ("parameters",),
    "megaflops": ("flops",),
}


@frozen
class Side:
    """One network's layer as words, and which of its cells differ from the other's."""

    layer: str
    name: str
    shapes: str
    parameters: str
    megaflops: str
    settings: str
    changed: frozenset[str]


@frozen
class Compared:
    """A row of the comparison; `same` > 0 stands for so many equal lines that are not shown."""

    sign: str
    left: Side | None
    right: Side | None
    same: int = 0


def compared_rows(result: LookResult) -> tuple[Compared, ...]:
    """Every pair of lines; equal ones in long stretches are only counted, unless all are to be shown."""
    beside = result.against
    assert beside is not None
    rows: list[Compared] = []
    equal: list[Compared] = []

    def flush() -> None:
        if len(equal) > _FEW and not result.unfold:
            rows.extend([equal[0], Compared("same", None, None, len(equal) - 2), equal[-1]])
        else:
            rows.extend(equal)
        equal.clear()

    for pair in beside.pairs:
        shown = _row(pair, result, beside)
        if shown.sign == "same":
            equal.append(shown)
            continue
        flush()
        rows.append(shown)
    flush()
    return tuple(rows)


def _row(pair: Pair, result: LookResult, beside: Comparison) -> Compared:
    left = result.layers[pair.left] if pair.left is not None else None
    right = beside.layers[pair.right] if pair.right is not None else None
    changed = frozenset(column for column, fields in _SHOWN.items() if set(fields) & set(pair.changed))
    if not changed and "settings" in pair.changed:  # else they say the same as the shapes
        changed = frozenset({"layer"})
    if left is None or right is None:
        sign = "only left" if right is None else "only right"
    else:
        sign = "changed" if changed else "same"
    return Compared(sign, _side(left, right, changed), _side(right, left, changed))


def _side(line: LayerLine | None, other: LayerLine | None, changed: frozenset[str]) -> Side | None:
    if line is None:
        return None
    differing: list[str] = []
    if other is not None and "layer" in changed and line.kind == other.kind:
        theirs = _settings(other)
        differing = [setting for setting in _settings(line) if setting not in theirs]
    return Side(
        line.kind,
        line.name or line.parent,
        words.shapes(line.input_shape, line.output_shape),
        words.count(line.parameters) if line.parameters else "",
        words.megaflops(line.flops),
        ", ".join(differing),
        changed,
    )


def _settings(line: LayerLine) -> list[str]:
    """`in_features=4`, `stride=(2, 2)`, `frozen`."""
    parts = re.split(r",\s*(?![^()]*\))", line.settings) if line.settings else []
    return [*parts, *(["frozen"] if line.trainable is False else [])]


def totals(result: LookResult) -> list[tuple[str, str, str, str]]:
    """What is summed up, of the one, of the other, and the difference."""
    beside = result.against
    assert beside is not None
    left, right = total_of(result), beside.total
    return [
        ("parameters", *_both(left.parameters, right.parameters, words.count)),
        ("trainable", *_both(left.trainable, right.trainable, words.count)),
        ("MFLOP", *_both(left.flops, right.flops, words.megaflops)),
        ("outputs", *_both(left.bytes, right.bytes, words.size)),
        ("time", words.moment(left.seconds), words.moment(right.seconds), _factor(left, right)),
    ]


def _both(left: int | None, right: int | None, said: Callable[[int | None], str]) -> tuple[str, str, str]:
    if left is None or right is None:
        return said(left), said(right), ""
    more = right - left
    return said(left), said(right), f"{'+' if more > 0 else '−'}{said(abs(more))}" if more else "the same"


def _factor(left: Cost, right: Cost) -> str:
    if not left.seconds or not right.seconds:
        return ""
    factor = right.seconds / left.seconds
    return f"×{factor:.1f}" if 0.1 <= factor < 100 else f"×{factor:.2g}"


def side_by_side(result: LookResult) -> RenderableType:
    """Both listings in a wide window; in a narrow one, both lines of what differs below each other."""
    beside = result.against
    assert beside is not None
    rows = compared_rows(result)
    sums = [[text(cell) for cell in cells] for cells in totals(result) if cells[1] or cells[2]]
    for cells in sums:
        cells[3].stylize("yellow" if cells[3].plain not in ("", "the same") else "dim")
    hidden = hidden_words(result)
    return group(
        row("against", joined([(beside.name, "bold"), (beside.run, "")])),
        blank(),
        Fitting([lambda: _wide(rows, result.name, beside.name), lambda: _narrow(rows)]),
        blank(),
        columns(sums, ["total", result.name, beside.name, ""], right={1, 2, 3}),
        *([blank(), text(hidden)] if hidden else []),
    )


def _same(count: int) -> Text:
    return text(f"… {words.plural(count, 'equal line')}", "dim")


def _wide(rows: Sequence[Compared], left: str, right: str) -> RenderableType:
    table: list[list[Text]] = []
    for shown in rows:
        if shown.same:
            table.append([text(""), _same(shown.same), *(text("") for _ in range(7))])
            continue
        mark, style = _SIGNS[shown.sign]
        cells = [*_cells(shown.left, False), *_cells(shown.right, shown.sign == "changed")]
        table.append([text(mark, style), *cells])
    head = ["", left, "in → out", "params", "MFLOP", right, "in → out", "params", "MFLOP"]
    return columns(table, head, right={3, 4, 7, 8})


def _cells(side: Side | None, marked: bool) -> list[Text]:
    if side is None:
        return [text("") for _ in range(4)]

    def style(column: str) -> str:
        return "yellow" if marked and column in side.changed else ""

    name = text(side.layer, style("layer") or "bold magenta")
    name.append(f" {words.clean(side.name)}" if side.name else "", style="blue")
    name.append(f" {words.clean(side.settings)}" if side.settings else "", style="yellow")
    cells = [(side.shapes, "shapes"), (side.parameters, "parameters"), (side.megaflops, "megaflops")]
    return [name, *(text(cell, style(column)) for cell, column in cells)]


def _narrow(rows: Sequence[Compared]) -> RenderableType:
    lines: list[RenderableType] = []
    for shown in rows:
        if shown.same:
            lines.append(_same(shown.same))
            continue
        both = [("−", "red", shown.left), ("+", "green", shown.right)]
        if shown.sign == "same":
            both = [(" ", "", shown.left)]
        for mark, style, side in both:
            if side is None:
                continue
            told = [
                (side.shapes, style if "shapes" in side.changed else ""),
                (
                    f"{side.parameters} params" if side.parameters else "",
                    style if "parameters" in side.changed else "",
                ),
                (
                    f"{side.megaflops} MFLOP" if side.megaflops else "",
                    style if "megaflops" in side.changed else "",
                ),
                (side.settings, style),
            ]
            lines.append(joined([text(f"{mark} {side.layer} {side.name}".rstrip(), style), *told], gap="  "))
    return group(*lines)
