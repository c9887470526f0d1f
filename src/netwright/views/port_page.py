"""Ports as a page: the matrix, every target with its proof, and every layer of every target in colour."""

from __future__ import annotations

import math

from attrs import frozen
from markupsafe import Markup

from netwright.values import LayerParity, Picture, Port, Ports, TargetPort
from netwright.views import words
from netwright.views.colour import diverging
from netwright.views.port_devices import device_said
from netwright.views.ports import error_of, limits_told, retraining
from netwright.views.report import render

_WIDE = 216  # pixels of a picture
TONES = {
    "parity": "good", "differs": "bad", "built": "calm", "unsupported": "warn", "absent": "faint",
    "planned": "good",
}  # fmt: skip


@frozen
class Cell:
    """One layer in one target: what stands in the cell, its colour, and the words beneath the pointer."""

    text: str
    colour: str
    title: str


def port_html(result: Ports) -> str:
    """Every network with every target, and the proof of each."""
    name = result.networks[0].network if len(result.networks) == 1 else f"{len(result.networks)} networks"
    return render(
        "port.html.j2",
        result=result,
        name=name,
        ids=list(dict.fromkeys(t.target for network in result.networks for t in network.targets)),
        tones=TONES,
        layers=[_layer_rows(network) for network in result.networks],
        picture=picture,
        said=device_said,
        score=_score,
        told=limits_told,
        retraining=retraining,
        error_of=error_of,
    )


def _score(port: TargetPort) -> str:
    if port.metric_after is None:
        return ""
    return " → ".join(dict.fromkeys(words.from_to(port.metric_before, port.metric_after)))


def _layer_rows(network: Port) -> list[tuple[str, str, str, list[Cell]]]:
    """Name, kind, place and a cell a target of every layer that some target was read at."""
    read = [{layer.layer: layer for layer in port.layers} for port in network.targets if port.layers]
    names: dict[str, LayerParity] = {}
    for layers in sorted(read, key=len, reverse=True):
        for name, layer in layers.items():
            names.setdefault(name, layer)
    rows: list[tuple[str, str, str, list[Cell]]] = []
    for name, layer in names.items():
        place = f"{layer.file}:{layer.line}" if layer.file and layer.line else ""
        cells = [_cell(layers.get(name)) for layers in read]
        rows.append((name, layer.kind, place, cells))
    return rows


def _cell(layer: LayerParity | None) -> Cell:
    if layer is None:
        return Cell("", "", "not read: fused with what follows, or not named")
    error = layer.relative_error
    part = 1.0 if not math.isfinite(error) else min(1.0, max(0.0, (math.log10(max(error, 1e-8)) + 8) / 8))
    title = (
        f"largest error {words.number(layer.max_error)}, relative {words.exponent(error)},"
        f" cosine {layer.cosine:.6f}, beyond the tolerance on {words.share(layer.beyond)} of the inputs"
    )
    return Cell(error_of(error, 0) or "∞", diverging(part), title)


def picture(shown: Picture) -> Markup:
    """A corner of a channel as an SVG image: pale where it is 0, by sign where it is not."""
    rows = shown.rows
    finite = [abs(v) for row in rows for v in row if math.isfinite(v)]
    most = max(finite, default=0.0) or 1.0
    side = max(6, min(24, _WIDE // max(len(rows), max(map(len, rows), default=1))))
    cells = "".join(
        f'<rect x="{x * side}" y="{y * side}" width="{side}" height="{side}"'
        f' fill="{_colour(value / most)}"><title>{value:.4g}</title></rect>'
        for y, row in enumerate(rows)
        for x, value in enumerate(row)
    )
    width, height = max(map(len, rows), default=1) * side, max(1, len(rows)) * side
    return Markup(  # numbers and colours of our own only
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img"'
        f' aria-label="{_of_us(shown.title)}">{cells}</svg>'
    )


def _colour(part: float) -> str:
    return diverging(part) if math.isfinite(part) else "#000000"


def _of_us(title: str) -> str:
    return title if title in ("original", "port", "difference") else "values"
