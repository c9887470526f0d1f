"""The listing's rows as words: one model for the terminal, the page and the comparison."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from netwright.values import Cost, Finding, LookResult, Row, cost, flat_rows, folded_rows
from netwright.views import words


@frozen
class Shown:
    """A row, said: `kind` a keyword, `name` an identifier, cells empty where there is nothing to say.

    `head` is the row of a module or of a repeated group, whose numbers are sums; `function` that of a call
    outside the layers. `tone` is that of the mark, `beside` what stands at it.
    """

    level: int
    kind: str
    name: str
    times: str
    head: bool
    function: bool
    shapes: str
    parameters: str
    megaflops: str
    memory: str
    time: str
    zeros: str
    behaviour: str
    gradient: str
    tone: words.Tone | None
    beside: str
    source: str


def shown_rows(result: LookResult) -> tuple[Shown, ...]:
    """What of a listing is shown: the folded tree, or the lines that were asked for."""
    known = {finding.id: finding for finding in result.findings}
    if result.where or result.sort:
        rows = flat_rows(result.layers)
    else:
        rows = folded_rows(result.layers, result.modules, depth=result.depth, unfold=result.unfold)
    return tuple(_shown(row, known) for row in rows)


def _shown(row: Row, known: Mapping[str, Finding]) -> Shown:
    line, module, spent = row.line, row.module, cost(row.lines)
    place = line or module
    shapes = ""
    if place is not None:
        shapes = words.shapes(place.input_shape, place.output_shape)
    tone, beside = _health(row, known)
    times = f"×{row.times}" if row.times > 1 else ""
    return Shown(
        level=row.level,
        kind=row.kind,
        name=_range(row.name, row.last),
        times=times,
        head=line is None,
        function=line is not None and not line.name and row.kind.islower(),
        shapes=shapes,
        parameters=words.count(spent.parameters) if spent.parameters else "",
        megaflops=words.megaflops(spent.flops),
        memory=words.size(spent.bytes),
        time=words.moment(spent.seconds),
        zeros=words.shares([x.behaviour.get("zeros") for x in row.copies]) if line else "",
        behaviour=words.bars(line.behaviour.get("histogram")) if line else "",
        gradient=words.exponents([x.behaviour.get("gradient") for x in row.copies]) if line else "",
        tone=tone,
        beside=beside,
        source=f"{place.file}:{place.line}" if place is not None and place.file and place.line else "",
    )


def _range(first: str, last: str) -> str:
    """`layers.0 … 5`."""
    if not last or last == first:
        return first
    shared, _, end = last.rpartition(".")
    return f"{first} … {end if shared == first.rpartition('.')[0] else last}"


def _health(row: Row, known: Mapping[str, Finding]) -> tuple[words.Tone | None, str]:
    """The tone of the row's mark and what stands beside it; no tone where nothing can be said."""
    line, lines = row.line, row.lines
    ids = [*(row.module.findings if row.module else ()), *(() if line else _inside(row))]
    ids += list(line.findings) if line else []
    if ids:
        ill = [known[f] for f in ids if f in known]
        causes = ", ".join(dict.fromkeys(known[f].cause if f in known else f for f in ids))
        return (words.tone(ill[0]) if ill else "warn"), causes
    if line is None:
        frozen = row.closed and any(x.parameters for x in lines) and not any(x.trainable for x in lines)
        return ("calm", "frozen") if frozen else (None, "")
    aside = _aside(row)
    if line.trainable is False and (line.parameters or line.shares):
        return "calm", ", ".join(part for part in ("frozen", aside) if part)
    gradient = line.behaviour.get("gradient")
    if gradient == 0:
        return "warn", ", ".join(part for part in ("no gradient", aside) if part)
    return ("good" if not words.missing(gradient) else None), aside


def _inside(row: Row) -> list[str]:
    """The findings about layers that are not shown."""
    return [f for line in row.lines for f in line.findings] if row.closed else []


def _aside(row: Row) -> str:
    line = row.line
    if line is None:
        return ""
    parts: list[str] = []
    if line.shares is not None:
        parts.append(f"shares {line.shares}" if line.shares else "shares its weights")
    if line.calls == 0 and line.kind != "Parameter":
        parts.append("not called")
    if line.calls > 1:
        parts.append(f"{line.calls:,} calls")
    return ", ".join(parts)


def total_of(result: LookResult) -> Cost:
    """Of the whole network, whatever is shown of it."""
    return result.total or cost(result.layers)


def total_words(spent: Cost, inputs: int) -> list[str]:
    """`5,930 parameters, all trainable`, `0.12 MFLOP`, `2.6 kB`, `0.2 ms for 64 inputs`."""
    trainable = "" if not spent.parameters else f", {words.count(spent.trainable)} trainable"
    if spent.parameters and spent.trainable == spent.parameters:
        trainable = ", all trainable"
    time = words.moment(spent.seconds)
    parts = [
        f"{words.plural(spent.parameters, 'parameter')}{trainable}",
        f"{words.megaflops(spent.flops)} MFLOP" if spent.flops else "",
        f"{words.size(spent.bytes)} of outputs" if spent.bytes else "",
        f"{time} for {words.plural(inputs, 'input')}" if time and inputs else time,
    ]
    return [part for part in parts if part]


def hidden_words(result: LookResult) -> str:
    """How much a filter left out; empty without one."""
    if not result.where:
        return ""
    total = result.hidden + (len(result.against.pairs) if result.against else len(result.layers))
    return f"{result.hidden:,} of {words.plural(total, 'line')} hidden by --where {result.where!r}"
