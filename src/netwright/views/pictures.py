"""Views as PNG, drawn by matplotlib (an extra): the map, one input, one layer; tables as they stand in the
terminal."""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console, RenderableType
from rich.segment import Segment

from netwright.values import Atlas, Detail, Grid, InputLook, LayerLook, UserError
from netwright.views import colour, words

_DPI = 120
_TILES = 16


def _figure(width: float, height: float) -> Any:
    """A figure of its own, without pyplot and its global state."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("pictures need matplotlib: pip install 'netwright[atlas]'")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": "Netwright"})
    return out.getvalue()


def _scale(kind: str, classes: int = 0) -> Any:
    from matplotlib.colors import ListedColormap

    if kind == "category":
        return ListedColormap([colour.of_class(n) for n in range(max(1, classes))])
    if kind == "diverging":
        return ListedColormap([colour.diverging(k / 127.5 - 1) for k in range(256)])
    return ListedColormap([colour.sequential(k / 255) for k in range(256)])


def _norm(grid: Grid, values: Any) -> Any:
    from matplotlib.colors import LogNorm, Normalize

    known = values[np.isfinite(values)]
    if grid.kind == "diverging":
        most = float(np.abs(known).max()) if known.size else 1.0
        return Normalize(-(most or 1.0), most or 1.0)
    if grid.scale == "log":
        above = known[known > 0]
        if above.size and above.max() > above.min():
            return LogNorm(float(above.min()), float(above.max()), clip=True)
    return Normalize(float(known.min()) if known.size else 0.0, float(known.max()) if known.size else 1.0)


def atlas_png(atlas: Atlas, statistic: str | None = None) -> bytes:
    """Rows × inputs of one statistic at every moment: inputs by class, prediction depth as a line."""
    name = statistic or ("belief" if atlas.now.grid("belief") is not None else "norm")
    moments = [m for m in atlas.moments if m.grid(name) is not None]
    if not moments:
        raise UserError(
            f"look: no statistic {name!r}; there are {', '.join(g.name for g in atlas.now.grids)}"
        )
    rows = len(atlas.rows)
    high = min(30.0, max(3.0, 0.16 * rows + 1.6))
    figure = _figure(11.0, high * len(moments))
    order = list(atlas.inputs.order) or list(range(len(atlas.inputs)))
    for n, moment in enumerate(moments):
        axes = figure.add_subplot(len(moments), 1, n + 1)
        grid = moment.grid(name)
        assert grid is not None
        _map(axes, figure, atlas, grid, order)
        axes.set_title(f"{grid.label} · {moment.label}", loc="left", fontsize=10)
    return _png(figure)


def _map(axes: Any, figure: Any, atlas: Atlas, grid: Grid, order: Sequence[int]) -> None:
    values = np.frombuffer(grid.values.data, "<f4").reshape(grid.values.shape)[:, order]
    classes = len(atlas.inputs.classes or ())
    scale = _scale(grid.kind, classes).with_extremes(bad="#bbbbbb")
    masked = np.ma.masked_invalid(values)
    options: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "cmap": scale}
    if grid.kind == "category":
        image = axes.imshow(masked, vmin=-0.5, vmax=max(1, classes) - 0.5, **options)
    else:
        image = axes.imshow(masked, norm=_norm(grid, values), **options)
    step = max(1, math.ceil(len(atlas.rows) / 60))
    axes.set_yticks(range(0, len(atlas.rows), step))
    titles = [r.said for r in atlas.rows]
    axes.set_yticklabels([t[:34] for t in titles[::step]], fontsize=7)
    _class_ticks(axes, atlas, order)
    if atlas.depths is not None and grid.name in ("belief", "support"):
        depths = [atlas.depths[n] if atlas.depths[n] >= 0 else np.nan for n in order]
        axes.plot(
            range(len(order)), [d - 0.5 for d in depths], color="#000000", lw=0.8, drawstyle="steps-mid"
        )
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.01)
    if grid.kind == "category" and atlas.inputs.classes is not None and classes <= 20:
        bar.set_ticks(range(classes), labels=list(atlas.inputs.classes), fontsize=7)
    bar.ax.tick_params(labelsize=7)


def _class_ticks(axes: Any, atlas: Atlas, order: Sequence[int]) -> None:
    labels, names = atlas.inputs.labels, atlas.inputs.classes
    if labels is None or names is None:
        axes.set_xlabel("inputs", fontsize=8)
        return
    starts = [n for n in range(len(order)) if n == 0 or labels[order[n]] != labels[order[n - 1]]]
    for start in starts[1:]:
        axes.axvline(start - 0.5, color="#ffffff", lw=1.0)
    ends = [*starts[1:], len(order)]
    axes.set_xticks([(a + b - 1) / 2 for a, b in zip(starts, ends, strict=True)])
    told = [labels[order[s]] for s in starts]
    axes.set_xticklabels(
        [names[int(v)] if v is not None and 0 <= int(v) < len(names) else "?" for v in told], fontsize=7
    )
    axes.set_xlabel("inputs by class, within one by loss", fontsize=8)


def input_png(look: InputLook, atlas: Atlas) -> bytes:
    """One input: its picture, what is believed of it by row, and what every layer holds of it."""
    details = [d for d in look.details if d.kind != "vector"] or list(look.details)
    lines = max(1, math.ceil((len(details) + 1) / 3))
    figure = _figure(11.0, 3.1 * lines + 0.6)
    label = "" if look.label is None else f", label {_class(look.label, atlas)}"
    guess = "" if look.prediction is None else f", predicted {_class(look.prediction, atlas)}"
    figure.suptitle(f"input {look.index}{label}{guess}", fontsize=11, x=0.01, ha="left")
    grid = figure.add_gridspec(lines, 3)
    axes = figure.add_subplot(grid[0, 0])
    _thumbnail(axes, look, atlas)
    for n, detail in enumerate(details, 1):
        axes = figure.add_subplot(grid[n // 3, n % 3])
        _detail(axes, detail)
        place = look.rows[detail.row].said if detail.row >= 0 else "input"
        shown = detail.values.shape[0] if detail.kind == "maps" else detail.of
        some = f", {shown} of {detail.of}" if detail.kind == "maps" and shown < detail.of else ""
        axes.set_title(f"{place} · {detail.kind}{some}", fontsize=8, loc="left")
    return _png(figure)


def _class(value: float, atlas: Atlas) -> str:
    names = atlas.inputs.classes
    return names[int(value)] if names is not None and 0 <= int(value) < len(names) else f"{value:.4g}"


def _thumbnail(axes: Any, look: InputLook, atlas: Atlas) -> None:
    axes.set_axis_off()
    pictures = atlas.inputs.thumbnails
    if pictures is None:
        told = atlas.inputs.texts[look.index] if atlas.inputs.texts else look.id
        axes.text(0, 1, told, fontsize=8, va="top", wrap=True)
        return
    size = pictures.height * pictures.width * pictures.channels
    data = np.frombuffer(pictures.data[look.index * size : (look.index + 1) * size], np.uint8)
    picture = data.reshape(pictures.height, pictures.width, pictures.channels)
    shown = picture[..., 0] if pictures.channels == 1 else picture
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(look.id, fontsize=8, loc="left")


def _detail(axes: Any, detail: Detail) -> None:
    values = np.frombuffer(detail.values.data, "<f4").reshape(detail.values.shape)
    most = float(np.nanmax(np.abs(values))) if values.size and np.isfinite(values).any() else 1.0
    signed = detail.kind in ("attribution", "contributions", "states", "vector")
    options: dict[str, Any] = {
        "cmap": _scale("diverging" if signed else "sequential"),
        "interpolation": "nearest",
    }
    if signed:
        options |= {"vmin": -most or -1.0, "vmax": most or 1.0}
    if values.ndim == 3:
        values = _tiled(values)
    if values.ndim == 1 and detail.kind in ("contributions", "attribution"):
        axes.barh(range(len(values)), values, color=[colour.diverging(np.sign(v)) for v in values])
        names = detail.names or [str(n) for n in range(len(values))]
        axes.set_yticks(range(len(values)), labels=[n[:18] for n in names], fontsize=6)
        axes.invert_yaxis()
        return
    flat = values if values.ndim == 2 else values[None]
    axes.imshow(flat, aspect="auto" if flat is not values or signed else None, **options)
    axes.set_xticks([])
    axes.set_yticks([])


def _tiled(maps: Any) -> Any:
    """(C, H, W) beside each other, with a gap."""
    maps = maps[:_TILES]
    across = math.ceil(math.sqrt(len(maps)))
    down = math.ceil(len(maps) / across)
    high, wide = maps.shape[1:]
    whole = np.full((down * (high + 1) - 1, across * (wide + 1) - 1), np.nan, np.float32)
    for n, one in enumerate(maps):
        top, left = (n // across) * (high + 1), (n % across) * (wide + 1)
        whole[top : top + high, left : left + wide] = one
    return whole


def layer_png(look: LayerLook, atlas: Atlas) -> bytes:
    """One row over all inputs: a histogram a statistic, and the largest value of every unit."""
    names = list(look.spreads)
    charts = len(names) + (look.units is not None)
    lines = max(1, math.ceil(charts / 3))
    figure = _figure(11.0, 2.4 * lines + 0.5)
    figure.suptitle(f"{look.row.kind} {look.row.title}", fontsize=11, x=0.01, ha="left")
    for n, name in enumerate(names):
        axes = figure.add_subplot(lines, 3, n + 1)
        bars = look.histograms[name]
        widths = [max(b - a, 1e-12) for a, b, _ in bars]
        axes.bar(
            [a for a, _, _ in bars],
            [len(m) for _, _, m in bars],
            widths,
            align="edge",
            color=colour.CLASSES[0],
        )
        axes.set_title(f"{name} ({len(atlas.inputs)} inputs)", fontsize=8, loc="left")
        axes.tick_params(labelsize=7)
    if look.units is not None:
        axes = figure.add_subplot(lines, 3, len(names) + 1)
        tops = [t.values[0] if t.values else 0.0 for t in look.units.top]
        axes.bar(range(len(tops)), tops, 1.0, color=colour.CLASSES[2])
        dead = [u for u in look.units.dead if u < len(tops)]
        axes.plot(dead, [0.0] * len(dead), "x", color=colour.CLASSES[5], label=f"{len(look.units.dead)} dead")
        axes.set_title(
            f"largest value of {look.units.shown} of {look.units.of} units", fontsize=8, loc="left"
        )
        axes.tick_params(labelsize=7)
        if dead:
            axes.legend(fontsize=7)
    return _png(figure)


def text_png(renderable: RenderableType, width: int = 120) -> bytes:
    """Whatever the terminal shows, as a picture."""
    console = Console(
        width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False
    )
    lines = list(Segment.split_lines(console.render(renderable)))
    figure = _figure(width * 0.075, max(1.0, 0.165 * len(lines) + 0.3))
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-1, width + 1)
    axes.set_ylim(len(lines) + 0.6, -0.6)
    for y, line in enumerate(lines):
        x = 0
        for segment in line:
            style = segment.style
            told = words.clean(segment.text)
            if told.strip() or (style is not None and style.bgcolor is not None):
                ink, ground = "#1d2433", None
                if style is not None and style.color is not None and style.color.triplet is not None:
                    ink = style.color.triplet.hex
                elif style is not None and style.color is not None and style.color.number is not None:
                    ink = _ANSI.get(style.color.number, ink)
                if style is not None and style.dim:
                    ink = "#7a8494"
                if style is not None and style.bgcolor is not None and style.bgcolor.triplet is not None:
                    ground = style.bgcolor.triplet.hex
                heavy = "bold" if style is not None and style.bold else "normal"
                for k, letter in enumerate(told):
                    if ground is not None:
                        axes.add_patch(_cell(x + k, y, ground))
                    if letter.strip():
                        axes.text(x + k + 0.5, y, letter, family="DejaVu Sans Mono", fontsize=8, color=ink,
                                  weight=heavy, ha="center", va="center")  # fmt: skip
            x += segment.cell_length
    return _png(figure)


_ANSI = {
    1: "#b3261e", 2: "#17764a", 3: "#8f5a00", 4: "#0b6bb0", 5: "#8a3ffc", 6: "#0b6374", 9: "#b3261e",
    10: "#17764a", 11: "#8f5a00", 12: "#0b6bb0", 13: "#8a3ffc", 14: "#0b6374",
}  # fmt: skip


def _cell(x: float, y: float, ground: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y - 0.5), 1, 1, facecolor=ground, edgecolor="none")
