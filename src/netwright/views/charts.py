"""Charts as inline SVG, made here: no script, no font and no style of anybody else.

Colours are CSS variables of the page with a fallback, so that light and dark are the page's to choose; before
and after are told apart by the dash and by their label too, never by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from attrs import frozen

from netwright.values import Curve, MetricName, Verdict
from netwright.views import sentences, words

INK, FAINT, GRID = "var(--ink, #1d2433)", "var(--faint, #667085)", "var(--line, #d8dde6)"
BEFORE, AFTER = "var(--before, #b8480e)", "var(--after, #0b6bb0)"
_WIDE, _HIGH = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 36
_ROW = 42  # height of a verdict

Point = tuple[float, float]
Values = Sequence[float | None]


@frozen
class Axis:
    """Numbers to a stretch of the picture, straight or by decades."""

    low: float
    high: float
    start: float
    end: float
    decades: bool = False

    def __call__(self, value: float) -> float:
        low, high = self._at(self.low), self._at(self.high)
        part = (self._at(value) - low) / (high - low) if high > low else 0.5
        return self.start + min(1.0, max(0.0, part)) * (self.end - self.start)

    def _at(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.decades else value

    def ticks(self) -> list[float]:
        if not self.decades:
            return _round_ticks(self.low, self.high)
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        step = max(1, math.ceil((last - first) / 5))
        return [10.0**n for n in range(first, last + 1, step) if self.low <= 10.0**n <= self.high]


def _round_ticks(low: float, high: float, most: int = 5) -> list[float]:
    if not high > low:
        return [low]
    raw = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * n for n in (1, 2, 5, 10) if unit * n >= raw)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _tick_words(value: float, ticks: Sequence[float], decades: bool) -> str:
    if decades:
        return words.number(value) if 1e-3 <= value < 1e5 else f"1e{round(math.log10(value))}"
    if max(abs(t) for t in ticks) >= 1e5:
        return words.exponent(value) if value else "0"
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(value) or 1.0
    return f"{value:,.{min(6, max(0, math.ceil(-math.log10(step) - 1e-9)))}f}"


def learning_curves(before: Sequence[Curve], after: Sequence[Curve], metric: MetricName) -> list[str]:
    """The loss and the validation metric over the epochs, before and after; only what was measured."""
    loss = _chart(
        "Training loss over the epochs",
        [("before", BEFORE, [c.loss for c in before]), ("after", AFTER, [c.loss for c in after])],
        may_be_decades=True,
    )
    name = f"Validation {sentences.metric_name(metric)} over the epochs"
    score = _chart(
        name,
        [("before", BEFORE, [c.val_score for c in before]), ("after", AFTER, [c.val_score for c in after])],
        level=("trivial", metric.trivial),
    )
    return [chart for chart in (loss, score) if chart]


def _finite(series: Values) -> list[float]:
    return [v for v in series if v is not None and math.isfinite(v)]


def _mean(curves: Sequence[Values]) -> list[float | None]:
    """The mean over the seeds where every seed has a value: a seed that breaks off does not bend it."""
    epochs = max((len(c) for c in curves), default=0)
    mean: list[float | None] = []
    for n in range(epochs):
        here = [c[n] for c in curves if n < len(c)]
        known = _finite(here)
        mean.append(sum(known) / len(known) if len(known) == len(curves) else None)
    return mean


def _chart(
    title: str,
    groups: Sequence[tuple[str, str, Sequence[Values]]],
    may_be_decades: bool = False,
    level: tuple[str, float] | None = None,
) -> str:
    """Thin lines for the seeds, a thick one for their mean; empty where nothing was measured."""
    values = [v for _, _, curves in groups for c in curves for v in _finite(c)]
    if not values:
        return ""
    low, high = min(values), max(values)
    least = min((v for v in values if v > 0), default=high)
    decades = may_be_decades and low >= 0 and high > 100 * least
    if decades:
        low = least
    elif level is not None and math.isfinite(level[1]):
        low, high = min(low, level[1]), max(high, level[1])
    if not decades:
        room = 0.05 * (high - low) or 0.05 * (abs(high) or 1.0)
        low, high = (low if low == 0 else low - room), high + room
    epochs = max(len(c) for _, _, curves in groups for c in curves)
    across = Axis(1, max(epochs, 2), _LEFT, _WIDE - _RIGHT)
    up = Axis(low, high, _HIGH - _BOTTOM, _TOP, decades)
    parts = [_frame(across, up, epochs)]
    if level is not None and not decades and math.isfinite(level[1]):
        y = up(level[1])
        parts.append(_line(_LEFT, y, _WIDE - _RIGHT, y, FAINT, 'stroke-dasharray="2 4"'))
        parts.append(_text(_WIDE - _RIGHT, y - 5, f"{level[0]} {words.number(level[1])}", "end", FAINT))
    broken = False
    for label, colour, curves in groups:
        dash = 'stroke-dasharray="7 4"' if label == "before" else ""
        for curve in curves:
            parts.append(_path(curve, across, up, colour, 'stroke-width="1" opacity="0.4"'))
            mark = _break(curve, across, up, colour)
            broken = broken or bool(mark)
            parts.append(mark)
        if len(curves) > 1:
            parts.append(_path(_mean(curves), across, up, colour, f'stroke-width="2.6" {dash}'))
    scale = ", logarithmic scale" if decades else ""
    legend = _legend([(label, colour, len(curves)) for label, colour, curves in groups if curves], broken)
    told = "; ".join(_told(label, curves) for label, _, curves in groups if curves)
    caption = f"<b>{escape(title)}</b>{escape(scale)}{legend}"
    return _figure("chart", caption, _svg(_WIDE, _HIGH, f"{title}{scale}", told, "".join(parts)))


def _told(label: str, curves: Sequence[Values]) -> str:
    """The picture in words: where each group begins and ends."""
    ends = [known for c in curves if (known := _finite(c))]
    if not ends:
        return f"{label}: nothing finite"
    starts, lasts = [e[0] for e in ends], [e[-1] for e in ends]
    stopped = sum(1 for c in curves if len(_finite(c)) < len(c))
    aside = f", {words.plural(stopped, 'seed')} with values that are not finite" if stopped else ""
    first, last = sum(starts) / len(starts), sum(lasts) / len(lasts)
    seeds = words.plural(len(curves), "seed")
    return f"{label}: from {words.number(first)} to {words.number(last)} over {seeds}{aside}"


def _frame(across: Axis, up: Axis, epochs: int) -> str:
    parts = []
    ticks = up.ticks() or [up.low, up.high]
    for tick in ticks:
        y = up(tick)
        parts.append(_line(_LEFT, y, _WIDE - _RIGHT, y, GRID))
        parts.append(_text(_LEFT - 8, y + 4, _tick_words(tick, ticks, up.decades), "end", FAINT))
    for tick in (
        sorted({1, *(round(t) for t in _round_ticks(1, epochs)), epochs}) if epochs < 9 else _ends(epochs)
    ):
        parts.append(_text(across(tick), _HIGH - _BOTTOM + 17, str(tick), "middle", FAINT))
    parts.append(_text((_LEFT + _WIDE - _RIGHT) / 2, _HIGH - 4, "epoch", "middle", FAINT))
    return "".join(parts)


def _ends(epochs: int) -> list[int]:
    inner = [round(t) for t in _round_ticks(1, epochs, 6)]
    return [1, *(t for t in inner if epochs * 0.06 < t < epochs * 0.94), epochs]


def _segments(series: Values) -> list[list[Point]]:
    """Runs of finite values as (epoch, value), broken where one is missing."""
    runs: list[list[Point]] = [[]]
    for n, value in enumerate(series, start=1):
        if value is not None and math.isfinite(value):
            runs[-1].append((n, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _path(series: Values, across: Axis, up: Axis, colour: str, style: str) -> str:
    parts = []
    for run in _segments(series):
        if len(run) == 1:
            x, y = across(run[0][0]), up(run[0][1])
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>')
            continue
        points = "L".join(f"{across(n):.1f} {up(v):.1f}" for n, v in run)
        parts.append(f'<path d="M{points}" fill="none" stroke="{colour}" stroke-linejoin="round" {style}/>')
    return "".join(parts)


def _break(series: Values, across: Axis, up: Axis, colour: str) -> str:
    """A cross where a line stops being finite: at its last value, or at the top where it has none."""
    missing = next((n for n, v in enumerate(series, 1) if v is None or not math.isfinite(v)), None)
    if missing is None:
        return ""
    before = [v for v in series[: missing - 1] if v is not None]
    x, y = across(max(1, missing - 1)), up(before[-1]) if before else up.end
    d = f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"
    title = f"<title>not finite or not measured from epoch {missing}</title>"
    return f'<path d="{d}" stroke="{colour}" stroke-width="2" fill="none">{title}</path>'


def _legend(groups: Sequence[tuple[str, str, int]], broken: bool) -> str:
    parts = []
    for label, colour, seeds in groups:
        dash = ' stroke-dasharray="7 4"' if label == "before" else ""
        swatch = (
            f'<svg width="26" height="8" aria-hidden="true"><path d="M1 4H25" stroke="{colour}"'
            f' stroke-width="3" fill="none"{dash}/></svg>'
        )
        parts.append(f'<span class="key">{swatch} {escape(label)} ({words.plural(seeds, "seed")})</span>')
    if broken:
        parts.append('<span class="key">× stops being finite</span>')
    if any(seeds > 1 for _, _, seeds in groups):
        parts.append('<span class="key">thick: mean while all seeds are finite</span>')
    return f'<span class="keys">{"".join(parts)}</span>'


def interval_plot(verdicts: Sequence[Verdict]) -> str:
    """Effects with their 95 % intervals, over seeds (thick) and samples (thin), against zero and the margin.

    Where a few effects are many times the others the axis is cut, so that the others can be read; what lies
    beyond is drawn as an arrow at the edge. The number stands beside every line.
    """
    shown = [v for v in words.by_merit(verdicts) if not words.missing(v.effect)]
    if not shown:
        return ""
    margin = max((v.margin for v in shown if v.margin is not None), default=None)
    low, high, cut = _reach(shown, margin)
    across = Axis(low, high, 12, _WIDE - 12)
    top = 8
    bottom = top + _ROW * len(shown)
    parts: list[str] = []
    if margin is not None:
        x, width = across(-margin), across(margin) - across(-margin)
        size = f'x="{x:.1f}" y="{top}" width="{width:.1f}" height="{bottom - top}"'
        parts.append(f'<rect {size} fill="{GRID}" opacity="0.6"/>')
    ticks = across.ticks()
    for tick in ticks:
        parts.append(_line(across(tick), top, across(tick), bottom, GRID))
        label = "0" if abs(tick) < 1e-12 else f"{'+' if tick > 0 else ''}{_tick_words(tick, ticks, False)}"
        parts.append(_text(across(tick), bottom + 17, label, "middle", FAINT))
    parts.append(_line(across(0), top, across(0), bottom, INK, 'stroke-width="1.5"'))
    for n, verdict in enumerate(shown):
        parts.append(_interval_row(verdict, across, top + n * _ROW))
    parts.append(_text(_WIDE / 2, bottom + 33, "effect on the metric; right of 0 is better", "middle", FAINT))
    told = "; ".join(_verdict_words(v) for v in shown)
    title = "Effects of what was tried, with 95 % intervals"
    keys = ["thick: over seeds", "thin: over seeds and samples"] + (
        ["arrow: beyond this scale"] if cut else []
    )
    legend = "".join(f'<span class="key">{key}</span>' for key in keys)
    if margin is not None:
        legend += '<span class="key"><i class="band"></i> too small to matter</span>'
    caption = f'<b>{title}</b><span class="keys">{legend}</span>'
    return _figure("chart tall", caption, _svg(_WIDE, bottom + 40, title, told, "".join(parts)))


def _reach(shown: Sequence[Verdict], margin: float | None) -> tuple[float, float, bool]:
    """The ends of the axis, and whether it is cut: where a few effects are over five times the usual one."""
    sizes = sorted(max(abs(b) for b in _bounds(v)) for v in shown)
    typical = max(sizes[len(sizes) // 2], 3 * margin if margin is not None else 0.0)
    small = [size for size in sizes if size <= 5 * typical]
    limit = 1.15 * max(small) if small and sizes[-1] > 5 * typical else math.inf
    known = [0.0, margin or 0.0, -(margin or 0.0), *(b for v in shown for b in _bounds(v))]
    low, high = max(min(known), -limit), min(max(known), limit)
    room = 0.06 * (high - low) or 0.1
    return low - room, high + room, math.isfinite(limit)


def _bounds(verdict: Verdict) -> list[float]:
    return _finite([verdict.effect, verdict.low, verdict.high, verdict.low_samples, verdict.high_samples])


def _interval_row(verdict: Verdict, across: Axis, y: float) -> str:
    tone = f"var(--{words.verdict_tone(verdict)}, #333)"
    label = words.clean(verdict.label or verdict.idea)
    short = label if len(label) <= 38 else f"{label[:37]}…"
    effect = verdict.effect or 0.0
    said = f"{words.signed(effect, words.place_values(verdict))} {verdict.verdict}"
    line = y + 30
    parts = [
        f"<title>{escape(_verdict_words(verdict))}</title>",
        _text(12, y + 16, short, "start", INK, 'class="lab halo"'),
        _text(_WIDE - 12, y + 16, said, "end", tone, 'class="halo"'),
    ]
    if not across.low <= effect <= across.high:
        x, way = (across.end, 1) if effect > 0 else (across.start, -1)
        d = f"M{x - 26 * way:.1f} {line:.1f}H{x:.1f}m{-7 * way} -5l{7 * way} 5l{-7 * way} 5"
        parts.append(f'<path d="{d}" fill="none" stroke="{tone}" stroke-width="3" stroke-linecap="round"/>')
        return f"<g>{''.join(parts)}</g>"
    thin = _finite([verdict.low_samples, verdict.high_samples])
    thick = _finite([verdict.low, verdict.high])
    if len(thin) == 2:
        parts.append(_line(across(thin[0]), line, across(thin[1]), line, tone))
    if len(thick) == 2:
        style = 'stroke-width="4" stroke-linecap="round"'
        parts.append(_line(across(thick[0]), line, across(thick[1]), line, tone, style))
    dot = f'cx="{across(effect):.1f}" cy="{line:.1f}" r="4.5"'
    parts.append(f'<circle {dot} fill="var(--paper, #fff)" stroke="{tone}" stroke-width="2.5"/>')
    return f"<g>{''.join(parts)}</g>"


def _verdict_words(verdict: Verdict) -> str:
    places = words.place_values(verdict)
    numbers = (
        f"{words.signed(verdict.effect, places)} {words.interval(verdict.low, verdict.high, places)}".strip()
    )
    return f"{words.clean(verdict.label or verdict.idea)}: {numbers}, {verdict.verdict}"


def score_scale(before: float | None, after: float | None, metric: MetricName) -> str:
    """Where the score stands between ignoring the inputs and perfect; empty where it lies far outside."""
    known = _finite([before, after])
    span = metric.perfect - metric.trivial
    if not known or not span or not math.isfinite(span):
        return ""
    parts_of = [(v - metric.trivial) / span for v in known]
    if min(parts_of) < -1 or max(parts_of) > 1.2:
        return ""
    low, high = min(0.0, *parts_of), max(1.0, *parts_of)
    across = Axis(low, high, 14, _WIDE - 14)

    def at(value: float) -> float:
        return across((value - metric.trivial) / span)

    y = 30
    parts = [_line(14, y, _WIDE - 14, y, GRID, 'stroke-width="6" stroke-linecap="round"')]
    ends = ((metric.trivial, "ignoring the inputs", "start"), (metric.perfect, "perfect", "end"))
    for value, label, anchor in ends:
        parts.append(_line(at(value), y - 8, at(value), y + 8, FAINT, 'stroke-width="1.5"'))
        parts.append(_text(at(value), y + 24, f"{label} {words.score(value)}", anchor, FAINT))
    first, last = words.from_to(before, after)
    points = (
        ((after, "now", AFTER),) if first == last else ((before, "before", BEFORE), (after, "after", AFTER))
    )
    marks = [(at(v), label, colour) for v, label, colour in points if v is not None and math.isfinite(v)]
    if len(marks) == 2:
        style = 'stroke-width="6" stroke-linecap="round" opacity="0.35"'
        parts.append(_line(marks[0][0], y, marks[1][0], y, AFTER, style))
    close = len(marks) == 2 and abs(marks[0][0] - marks[1][0]) < 50
    for n, (x, label, colour) in enumerate(marks):
        parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="7" fill="{colour}"/>')
        left = (marks[0][0] <= marks[1][0]) == (n == 0) if close else False
        anchor = ("end" if left else "start") if close else "middle"
        parts.append(_text(min(max(x, 30), _WIDE - 30), y - 14, label, anchor, colour))
    told = f"before {first or 'not measured'}, after {last or 'not measured'}"
    return _svg(_WIDE, 60, f"{sentences.metric_name(metric)} before and after", told, "".join(parts))


def _figure(kind: str, caption: str, picture: str) -> str:
    return f'<figure class="{kind}"><figcaption>{caption}</figcaption>{picture}</figure>'


def _svg(width: float, height: float, title: str, told: str, body: str) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}" preserveAspectRatio="xMinYMin"'
    return (
        f'<svg {size} role="img" class="plot">'
        f"<title>{escape(title)}</title><desc>{escape(told)}</desc>{body}</svg>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, style: str = "") -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" fill="none" {style}/>'


def _text(x: float, y: float, said: str, anchor: str, colour: str, style: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" {style}'.rstrip()
    return f"<text {place}>{escape(said)}</text>"
