"""The listing: a coloured line a layer with shapes, cost, health and behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from netwright.values import Finding, LayerLine, LookResult
from netwright.views import words
from netwright.views.layout import Fitting, blank, bullet, columns, group, indented, joined, narrow, row, text

_WIDEST = 120
_DEEPEST = 4  # levels of the module tree that are indented
_HEAD = ("layer", "in → out", "params", "MFLOP", "zero", "behaviour", "gradient", "")


def listing(result: LookResult) -> RenderableType:
    """Layers in execution order; where a table does not fit the window, two lines a layer."""
    known = {finding.id: finding for finding in result.findings}
    top = min((layer.depth for layer in result.layers), default=0)
    lines: list[RenderableType | None] = [
        row(result.name, text(_where_from(result)))
        if len(result.name) < 10
        else joined([(result.name, "bold"), (_where_from(result), "")])
    ]
    if result.layers:
        lines.append(blank())
        lines.append(Fitting([lambda: _table(result, known, top), lambda: _folded(result, known, top)]))
    if result.notes:
        lines.append(blank())
        lines += [row("note", text(note)) for note in result.notes]
    for finding in result.findings:
        lines += [blank(), indented(_explained(finding))]
    return narrow(group(*lines), _WIDEST)


def _where_from(result: LookResult) -> str:
    inputs = words.plural(result.inputs, "input")
    measured = f"behaviour over {inputs}" if result.inputs else "no inputs were run"
    return " · ".join(part for part in (result.run, measured) if part)


def _explained(finding: Finding) -> RenderableType:
    head = joined([(finding.cause, "bold"), (finding.explanation, "")], gap="  ")
    return bullet(words.COLOURS[words.tone(finding)], head)


def layer_cells(layer: LayerLine) -> Mapping[str, str]:
    """What a line says of a layer, as words; empty where there is nothing to measure."""
    behaviour: Mapping[str, Any] = layer.behaviour
    return {
        "shapes": words.shapes(layer.input_shape, layer.output_shape),
        "parameters": words.count(layer.parameters) if layer.parameters else "",
        "megaflops": words.megaflops(layer.flops),
        "zeros": words.share(behaviour.get("zeros")),
        "behaviour": words.bars(behaviour.get("histogram")),
        "gradient": words.exponent(behaviour.get("gradient")),
    }


def layer_health(layer: LayerLine, known: Mapping[str, Finding]) -> tuple[words.Tone | None, str]:
    """The tone of the layer's mark and what stands beside it; no tone where nothing can be said."""
    if layer.findings:
        ill = [known[f] for f in layer.findings if f in known]
        causes = ", ".join(dict.fromkeys(known[f].cause if f in known else f for f in layer.findings))
        return (words.tone(ill[0]) if ill else "warn"), causes
    if layer.trainable is False and layer.parameters:
        return "calm", "frozen"
    return ("good", "") if not words.missing(layer.behaviour.get("gradient")) else (None, "")


def _health(layer: LayerLine, known: Mapping[str, Finding]) -> Text:
    tone, beside = layer_health(layer, known)
    if tone is None:
        return Text("")
    mark = Text(words.MARK, style=words.COLOURS[tone], overflow="fold")
    return mark.append(f" {words.clean(beside)}") if beside else mark


def _named(layer: LayerLine, top: int) -> Text:
    """Kind as a keyword, name as an identifier, indented by the module tree."""
    inset = "  " * min(layer.depth - top, _DEEPEST)
    line = Text(inset, overflow="fold").append(words.clean(layer.kind), style="bold magenta")
    return line.append(f" {words.clean(layer.name)}", style="blue") if layer.name else line


def _table(result: LookResult, known: Mapping[str, Finding], top: int) -> RenderableType:
    rows: list[list[Text]] = []
    for layer in result.layers:
        cells = [text(cell) for cell in layer_cells(layer).values()]
        cells[4].stylize("cyan")
        rows.append([_named(layer, top), *cells, _health(layer, known)])
    return columns(rows, _HEAD, right={2, 3, 4, 6}, wrap={0: 24, 7: 14})


def _folded(result: LookResult, known: Mapping[str, Finding], top: int) -> RenderableType:
    units = {
        "parameters": "{} params",
        "megaflops": "{} MFLOP",
        "zeros": "{} zero",
        "gradient": "gradient {}",
    }
    lines: list[RenderableType] = []
    for layer in result.layers:
        cells = layer_cells(layer)
        lines.append(joined([_named(layer, top), (cells["shapes"], "")]))
        parts: list[tuple[str, str] | Text] = [
            (units.get(name, "{}").format(cell), "cyan" if name == "behaviour" else "")
            for name, cell in cells.items()
            if cell and name != "shapes"
        ]
        below = joined([*parts, _health(layer, known)], gap="  ")
        if below.pieces:
            lines.append(indented(below, 2 * min(layer.depth - top, _DEEPEST) + 2))
    return group(*lines)
