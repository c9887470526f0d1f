"""The atlas in the terminal: named patterns, a map of rows × inputs, one input, one layer, one unit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from netwright.values import (
    Atlas,
    AtlasInputs,
    Detail,
    Difference,
    Grid,
    InputLook,
    LayerLook,
    LookResult,
    Picked,
    UnitLook,
    difference,
    input_look,
    layer_look,
    share_right,
    unit_look,
)
from netwright.views import colour, words
from netwright.views.layout import Fitting, blank, bullet, columns, group, indented, joined, narrow, row, text

_LEVELS = "▁▂▃▄▅▆▇█"
_ROWS = 48
_SIDE = 16
_WIDEST = 120
_STRIP = 64
_FEW = ("belief", "support", "norm", "zeros", "gradient")  # of one input, in a narrow window


def look_view(result: LookResult) -> RenderableType:
    """What was picked of the atlas that a result holds; the whole map where nothing was."""
    atlas, picked = result.atlas, result.picked
    assert atlas is not None
    size = f"{len(atlas.rows)} rows × {words.plural(len(atlas.inputs), 'input')}"
    told = " · ".join(part for part in (result.run, size) if part)
    name = (
        row(result.name, text(told)) if len(result.name) < 10 else joined([(result.name, "bold"), (told, "")])
    )
    return group(name, blank(), _picked(atlas, picked), *[row("note", text(n)) for n in result.notes])


def _picked(atlas: Atlas, picked: Picked) -> RenderableType:
    if picked.layer is not None and picked.unit is not None:
        unit = unit_look(atlas, picked.layer, picked.unit)
        assert unit is not None
        return unit_view(unit, atlas.inputs)
    if picked.layer is not None:
        return layer_view(layer_look(atlas, picked.layer), atlas.inputs)
    if picked.input is not None and picked.versus is not None:
        return difference_view(difference(atlas, picked.input, picked.versus), atlas.inputs)
    if picked.input is not None:
        return input_view(input_look(atlas, picked.input), atlas.inputs)
    return atlas_view(atlas, picked.value)


def atlas_view(atlas: Atlas, statistic: str | None = None) -> RenderableType:
    """Patterns by name first, then the map of one statistic: beliefs where there are any, else norms."""
    moment = atlas.now
    name = statistic or ("belief" if moment.grid("belief") is not None else "norm")
    grid = moment.grid(name)
    lines: list[RenderableType | None] = []
    for n, pattern in enumerate(atlas.patterns):
        inputs = f"inputs {_some(pattern.inputs)}" if pattern.inputs else ""
        head = joined([(pattern.title, "bold"), (inputs, "dim")])
        lines.append(row("patterns" if n == 0 else "", bullet("yellow", head, text(pattern.explanation))))
    if not atlas.patterns:
        lines.append(row("patterns", text("none of those that have a name")))
    if grid is not None:
        lines += [blank(), _Map(atlas, grid)]
        said = f"{grid.label}: {grid.meaning}"
        lines += [row("", text(said, "dim")), row("", text(_reading(atlas, grid), "dim"))]
    lines += [row("note", text(note)) for note in atlas.notes]
    return narrow(group(*lines), _WIDEST)


def _reading(atlas: Atlas, grid: Grid) -> str:
    others = ", ".join(g.name for g in atlas.now.grids if g.name != grid.name)
    columns_of = "by class, within one by loss" if atlas.inputs.classes is not None else "by loss"
    block = " A block is the share of its inputs that are believed right." if grid.kind == "category" else ""
    return f"Columns are inputs, {columns_of}.{block} Other statistics: --value {others}"


class _Map:
    """Rows of the atlas as strips of inputs; as many columns as the window has room for."""

    def __init__(self, atlas: Atlas, grid: Grid) -> None:
        self.atlas, self.grid = atlas, grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        atlas, grid = self.atlas, self.grid
        chosen = _rows_shown(atlas)
        label = min(30, max((len(atlas.rows[n].said) for n in chosen), default=10))
        wide = max(16, min(_STRIP, options.max_width - label - 16))
        order = list(atlas.inputs.order or range(len(atlas.inputs)))
        buckets = _buckets(order, wide)
        known = [v for v in grid.values.numbers() if math.isfinite(v)]
        scale = _scale(grid, known)
        right = grid.kind == "category"
        head = _class_heads(atlas.inputs, buckets)
        if head:
            yield Text(" " * (label + 2) + head, style="dim", overflow="crop", no_wrap=True)
        for n in chosen:
            line = Text(overflow="crop", no_wrap=True)
            line.append(f"{words.clean(atlas.rows[n].said)[:label]:<{label}}  ", style="blue")
            values = grid.values.row(n)
            for bucket in buckets:
                part = _right_part(atlas, n, bucket) if right else _mean_part(values, bucket, scale)
                if part is None:
                    line.append("·", style="dim")
                else:
                    mark = _LEVELS[min(7, int(part * 8))]
                    line.append(mark, style=colour.sequential(0.15 + 0.85 * part))
            line.append(f"  {_said(atlas, grid, n)}")
            yield line
        hidden = len(atlas.rows) - len(chosen)
        if hidden:
            yield Text(
                f"{hidden} rows without weights are not shown here; --layer NAME shows one", style="dim"
            )


def _rows_shown(atlas: Atlas) -> list[int]:
    every = list(range(len(atlas.rows)))
    if len(every) <= _ROWS:
        return every
    layers = [n for n in every if atlas.rows[n].kind[:1].isupper()]
    layers = layers if len(layers) >= 8 else every
    step = math.ceil(len(layers) / _ROWS)
    return [*layers[::step], *([every[-1]] if layers[::step][-1] != every[-1] else [])]


def _buckets(order: Sequence[int], wide: int) -> list[list[int]]:
    count = min(wide, len(order))
    edges = [round(k * len(order) / count) for k in range(count + 1)] if count else []
    return [list(order[a:b]) for a, b in itertools.pairwise(edges)]


def _class_heads(inputs: AtlasInputs, buckets: Sequence[Sequence[int]]) -> str:
    """The name of a class above the first of its columns, where there is room."""
    if inputs.labels is None or inputs.classes is None:
        return ""
    line = [" "] * len(buckets)
    last, free = None, 0
    for n, bucket in enumerate(buckets):
        label = inputs.labels[bucket[0]] if bucket else None
        if label is None or label == last:
            continue
        last = label
        name = inputs.classes[int(label)] if 0 <= int(label) < len(inputs.classes) else f"{label:g}"
        if n >= free:
            shown = name[: len(buckets) - n]
            line[n : n + len(shown)] = list(shown)
            free = n + len(shown) + 1
    return "".join(line).rstrip()


def _scale(grid: Grid, known: Sequence[float]) -> Callable[[float], float]:
    """Value to 0…1, by decades where the grid is so scaled."""
    if grid.scale == "log":
        known = [math.log10(v) for v in known if v > 0]
    low, high = min(known, default=0.0), max(known, default=1.0)

    def part(value: float) -> float:
        if grid.scale == "log":
            value = math.log10(value) if value > 0 else low
        return (value - low) / (high - low) if high > low else 0.5

    return part


def _right_part(atlas: Atlas, n: int, bucket: Sequence[int]) -> float | None:
    values = atlas.now.grid("belief")
    labels = atlas.inputs.labels
    if values is None or labels is None:
        return None
    line = values.values.row(n)
    known = [line[i] == labels[i] for i in bucket if math.isfinite(line[i])]
    return sum(known) / len(known) if known else None


def _mean_part(
    values: Sequence[float], bucket: Sequence[int], scale: Callable[[float], float]
) -> float | None:
    known = [scale(values[i]) for i in bucket if math.isfinite(values[i])]
    return min(1.0, max(0.0, sum(known) / len(known))) if known else None


def _said(atlas: Atlas, grid: Grid, n: int) -> str:
    """What the row is over all inputs, in a word."""
    if grid.kind == "category":
        right = share_right(atlas, n)
        return f"{words.share(right)} right" if right is not None else ""
    known = sorted(v for v in grid.values.row(n) if math.isfinite(v))
    return f"median {words.number(known[len(known) // 2])}" if known else "not measured"


def input_view(look: InputLook, inputs: AtlasInputs) -> RenderableType:
    """One input through all rows: what it is, what is believed of it, and its numbers."""
    lines: list[RenderableType | None] = [row("input", joined(_who(look, inputs), " · "))]
    picture = _picture(inputs, look.index)
    if picture is not None:
        lines += [blank(), indented(picture, 10)]
    if look.depth is not None:
        settled = look.rows[look.depth].said if look.depth >= 0 else None
        told = (
            f"the belief is right from {settled} on" if settled else "the belief does not settle on its class"
        )
        lines.append(row("depth", text(told)))
    names = [name for name in ("belief", "support", "typicality", "strangeness", "norm", "mean", "spread",
                               "zeros", "saturated", "gradient", "mass") if name in look.values]  # fmt: skip

    def table(shown: Sequence[str]) -> RenderableType:
        rows = [
            [
                text(place.said, "blue"),
                *(_cell(name, look.values[name][n], inputs) for name in shown),
            ]
            for n, place in enumerate(look.rows)
        ]
        return columns(rows, ("layer", *shown), right=set(range(2, len(shown) + 1)))

    few = [name for name in names if name in _FEW]
    lines += [blank(), Fitting([lambda: table(names), lambda: table(few)])]
    for detail in look.details:
        if detail.kind in ("attribution", "contributions"):
            lines += [blank(), row("counts", _attribution(detail))]
    return group(*lines)


def _who(look: InputLook, inputs: AtlasInputs) -> list[tuple[str, str]]:
    said = [(f"{look.index}", "bold"), (look.id, "")]
    if look.label is not None:
        said.append((f"label {_class(look.label, inputs)}", ""))
    if look.prediction is not None:
        wrong = look.label is not None and inputs.classes is not None and look.label != look.prediction
        said.append((f"predicted {_class(look.prediction, inputs)}", "red" if wrong else "green"))
    if look.loss is not None:
        said.append((f"loss {words.number(look.loss)}", ""))
    return said


def _class(value: float, inputs: AtlasInputs) -> str:
    if inputs.classes is None:
        return words.number(value)
    known = 0 <= int(value) < len(inputs.classes)
    return inputs.classes[int(value)] if known else f"{value:g}"


def _cell(name: str, value: float | None, inputs: AtlasInputs) -> Text:
    if value is None:
        return Text("")
    if name == "belief":
        style = f"on {colour.of_class(int(value))}" if inputs.classes is not None else ""
        mark = Text("  ", style=style) if style else Text("")
        return mark.append(f" {_class(value, inputs)}", style="default on default")
    shares = ("support", "typicality", "zeros", "saturated")
    return text(words.share(value) if name in shares else f"{value:.3g}")


def _picture(inputs: AtlasInputs, index: int) -> Text | None:
    """The small picture of an input, two dots of height a character."""
    pictures = inputs.thumbnails
    if pictures is None:
        return None
    high, wide, deep = pictures.height, pictures.width, pictures.channels
    start = index * high * wide * deep
    data = pictures.data[start : start + high * wide * deep]
    step = max(1, math.ceil(max(high, wide) / (2 * _SIDE)))

    def dot(y: int, x: int) -> str:
        at = (y * wide + x) * deep
        red, green, blue = (data[at + (k if deep == 3 else 0)] for k in range(3))
        return f"#{red:02x}{green:02x}{blue:02x}"

    picture = Text()
    for y in range(0, high, 2 * step):
        for x in range(0, wide, step):
            below = dot(min(y + step, high - 1), x)
            picture.append("▀", style=f"{dot(y, x)} on {below}")
        picture.append("\n")
    return picture


def _attribution(detail: Detail) -> RenderableType:
    values = list(detail.values.numbers())
    names = detail.names or tuple(f"{n}" for n in range(len(values)))
    ranked = sorted(range(len(values)), key=lambda n: -abs(values[n]))[:8]
    flat = len(detail.values.shape) == 1
    told = [text(f"by {detail.method}")]
    if flat:
        told.append(text(", ".join(f"{names[n]} {words.signed(values[n], 3)}" for n in ranked)))
    else:
        high = detail.values.shape[0]
        wide = len(values) // max(1, high)
        told.append(
            text("most at " + ", ".join(f"({n // wide}, {n % wide})" for n in ranked) + " (row, column)")
        )
    if detail.randomised is not None:
        likeness = f"a network with random weights gives a picture alike by {detail.randomised:.2f} of 1"
        verdict = ": it shows the input more than the network" if detail.randomised > 0.5 else ""
        told.append(text(likeness + verdict, "yellow" if verdict else "dim"))
    return group(*told)


def difference_view(seen: Difference, inputs: AtlasInputs) -> RenderableType:
    """Two inputs row by row: where do they part?"""
    one, other = seen.one, seen.other
    lines: list[RenderableType | None] = [
        row("one", joined(_who(one, inputs), " · ")),
        row("other", joined(_who(other, inputs), " · ")),
    ]
    if seen.differs is not None:
        lines.append(row("part at", text(one.rows[seen.differs].said)))
    elif "belief" in one.values:
        lines.append(row("part at", text("no row: the same is believed of both all the way")))
    names = [n for n in ("belief", "norm", "mean", "spread", "zeros", "gradient") if n in one.values]
    rows: list[list[Text]] = []
    for n, place in enumerate(one.rows):
        cells: list[Text] = []
        for name in names:
            a, b = one.values[name][n], other.values[name][n]
            if name == "belief" and inputs.classes is not None:
                same = a == b
                said = (
                    ""
                    if a is None or b is None
                    else f"{_class(a, inputs)} {'=' if same else '≠'} {_class(b, inputs)}"
                )
                cells.append(text(said, "" if same else "bold yellow"))
            else:
                cells.append(text(words.signed(b - a, 3) if a is not None and b is not None else ""))
        rows.append([text(place.said, "blue"), *cells])
    head = ("layer", *(name if name == "belief" else f"{name} Δ" for name in names))
    return group(*lines, blank(), columns(rows, head, right=set(range(2, len(names) + 1)), wrap={0: 16}))


def layer_view(look: LayerLook, inputs: AtlasInputs) -> RenderableType:
    """One row over all inputs: its statistics with the inputs at both ends, and its units."""
    shape = "×".join(map(str, look.row.shape))
    head = [(look.row.kind, "bold magenta"), (look.row.title, "blue"), (shape, "")]
    lines: list[RenderableType | None] = [row("layer", joined(head))]
    if look.right is not None:
        lines.append(row("beliefs", text(f"{words.share(look.right)} right")))
    rows: list[list[Text]] = []
    for name, spread in look.spreads.items():
        bars = words.bars([len(members) for _, _, members in look.histograms[name]])
        numbers = [f"{v:.3g}" for v in (spread.low, spread.median, spread.high)]
        ends = [", ".join(map(str, some[:3])) for some in (spread.lowest, spread.highest)]
        rows.append(
            [text(name), *(text(v) for v in numbers), text(bars, "cyan"), *(text(e, "dim") for e in ends)]
        )
    titles = ("", "lowest", "median", "highest", "inputs", "lowest of", "highest of")
    lines += [blank(), columns(rows, titles, right={1, 2, 3}, wrap={5: 10, 6: 10})]
    units = look.units
    if units is None:
        return group(*lines)
    told = [f"{units.of} units"]
    if units.shown < units.of:
        told.append(f"the first {units.shown} are listed")
    told.append(f"{len(units.dead)} dead")
    told.append(words.plural(len(units.duplicates), "pair") + " that fire alike")
    if units.effective_rank is not None:
        told.append(f"effective rank {units.effective_rank:.1f}")
    lines += [blank(), row("units", text(" · ".join(told)))]
    if units.dead:
        lines.append(row("dead", text(_some(units.dead, 16))))
    if units.duplicates:
        pairs = ", ".join(f"{a} and {b}" for a, b, _ in units.duplicates[:8])
        lines.append(row("alike", text(pairs)))
    living = [top for top in units.top if top.unit not in units.dead][:12]
    rows = []
    for top in living:
        labels = ", ".join(_labelled(n, inputs) for n in top.inputs[:5])
        rows.append([text(f"unit {top.unit}", "blue"), text(f"{top.values[0]:.3g}"), text(labels)])
    if rows:
        lines += [blank(), columns(rows, ("", "at most", "excited most by inputs (their class)"), right={1})]
    return group(*lines)


def unit_view(look: UnitLook, inputs: AtlasInputs) -> RenderableType:
    """One unit: the inputs that excite it most."""
    head = [(look.row.kind, "bold magenta"), (look.row.title, "blue"), (f"unit {look.unit}", "bold")]
    lines: list[RenderableType | None] = [row("unit", joined(head))]
    if look.dead:
        return group(*lines, row("", text("dead: it is 0 for every input", "yellow")))
    for other, alike in look.duplicates:
        lines.append(row("alike", text(f"unit {other}, correlation {alike:.3f}")))
    if look.top is None:
        return group(*lines, row("", text("not among the units that were listed", "dim")))
    rows = [
        [text(f"{value:.4g}"), text(f"{n}"), text(inputs.ids[n]), text(_labelled(n, inputs, bare=True))]
        for n, value in zip(look.top.inputs, look.top.values, strict=True)
    ]
    return group(*lines, blank(), columns(rows, ("value", "input", "", "class"), right={0, 1}))


def _labelled(n: int, inputs: AtlasInputs, bare: bool = False) -> str:
    label = inputs.labels[n] if inputs.labels is not None else None
    if label is None:
        return "" if bare else f"{n}"
    return _class(label, inputs) if bare else f"{n} ({_class(label, inputs)})"


def _some(numbers: Sequence[int], most: int = 6) -> str:
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(map(str, numbers[:most])) + more
