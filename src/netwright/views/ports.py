"""Ports in the terminal: a line a target, then what differs and what does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from netwright.values import Limit, Port, Ports, TargetPort
from netwright.views import words
from netwright.views.layout import blank, bullet, columns, group, indented, joined, row, text
from netwright.views.port_devices import device_lines

COLOURS = {
    "parity": "green", "differs": "red", "built": "cyan", "unsupported": "yellow", "absent": "bright_black",
    "planned": "green",
}  # fmt: skip
_LIMITS = 8  # of a target in the transcript; the report has all


def port_view(result: Ports) -> RenderableType:
    """Every network with every target; of several networks the matrix comes first."""
    parts: list[RenderableType] = [matrix(result), blank()] if len(result.networks) > 1 else []
    for network in result.networks:
        parts += [_network(network), blank()]
    return group(*parts[:-1])


def matrix(result: Ports) -> RenderableType:
    """A line a network, a column a target; the mark, and the largest error where there is one."""
    ids = list(dict.fromkeys(t.target for network in result.networks for t in network.targets))
    rows: list[list[Text]] = []
    for network in result.networks:
        by_id = {target.target: target for target in network.targets}
        rows.append([text(network.network, "bold"), *(cell(by_id.get(id)) for id in ids)])
    return columns(rows, ["network", *ids])


def cell(port: TargetPort | None) -> Text:
    if port is None:
        return text("")
    error = error_of(port.relative_error) or port.status
    return text(f"{words.MARK} {error}", COLOURS[port.status])


def _network(network: Port) -> RenderableType:
    about = f"{network.parameters:,} parameters, {network.layers} layers"
    body = joined([(about, ""), (network.run, "dim")], gap=" · ")
    short = len(network.network) < 10
    head = row(network.network, body) if short else group(text(network.network, "bold"), row("", body))
    planned = all(port.status in ("planned", "absent", "unsupported") for port in network.targets)
    table = (
        None
        if planned
        else columns([_line(port) for port in network.targets], _head(network), (2, 3, 4, 5, 6))
    )
    details = [block for port in network.targets for block in _details(port, planned)]
    notes = [row("note", text(note)) for note in network.notes]
    return group(head, blank(), table, blank() if table is not None and details else None, *details, *notes)


def _head(network: Port) -> list[str]:
    metric = network.metric or "metric"
    return ["target", "", "error", "decisions", metric, "size", "latency", "layers"]


def _line(port: TargetPort) -> list[Text]:
    before, after = port.metric_before, port.metric_after
    score = "" if after is None else " → ".join(dict.fromkeys(words.from_to(before, after)))
    changed = "" if port.decision_changes is None else words.share(port.decision_changes)
    layers = f"{sum(layer.within for layer in port.layers)}/{len(port.layers)}" if port.layers else ""
    return [
        text(port.target, "bold"),
        text(f"{words.MARK} {port.status}", COLOURS[port.status]),
        text(error_of(port.relative_error)),
        text(changed),
        text(score),
        text(words.size(port.size)),
        text(words.moment(port.latency.median) if port.latency else ""),
        text(layers),
    ]


def _details(port: TargetPort, planned: bool) -> Iterator[RenderableType]:
    """What a target's line cannot say: why it differs or was not made, what does not fit."""
    lines: list[RenderableType] = []
    if port.reason:
        lines.append(text(port.reason))
    first = port.first_divergence
    if first is not None:
        where = f"{first.file}:{first.line}" if first.file and first.line else ""
        error = f", error {words.exponent(first.relative_error)}" if first.relative_error is not None else ""
        lines.append(joined([(f"first differs at {first.layer}{error}", ""), (where, "dim")]))
        lines.append(indented(text(first.likely)))
    lines += device_lines(port)
    told = limits_told(port.limits)
    lines += [limit_line(*one) for one in told[:_LIMITS]]
    if len(told) > _LIMITS:
        lines.append(text(f"…{len(told) - _LIMITS} more in --json and --html", "dim"))
    lines += [text(note, "dim") for note in port.notes]
    if lines or planned:
        status = "nothing that does not fit" if planned and not lines else port.status
        head = joined([(port.title, "bold"), (status, COLOURS[port.status])])
        yield bullet(COLOURS[port.status], head, *lines)


def error_of(value: float | None, places: int = 1) -> str:
    """A relative error: `2.5e-7`, `0`; empty where it was not measured."""
    return "0" if value == 0 else words.exponent(value, places)


def limits_told(limits: Sequence[Limit]) -> list[tuple[Limit, int]]:
    """The limits, those of several layers in the same words once, with how many layers more they are of."""
    told: dict[tuple[str, str, str], tuple[Limit, int]] = {}
    for limit in limits:
        key = limit.kind, limit.limit, limit.remedy
        first, more = told.get(key, (limit, -1))
        told[key] = first, more + 1
    return list(told.values())


def limit_line(limit: Limit, more: int) -> RenderableType:
    where = f"{limit.file}:{limit.line}" if limit.file and limit.line else ""
    others = f"and {words.plural(more, 'layer')} more" if more else ""
    head = joined([(limit.kind, "bold"), (limit.layer or "", ""), (where, "dim"), (others, "")])
    advice = [f"→ {limit.remedy}"] if limit.remedy else []
    if limit.retrain:
        advice.append(f"→ or retrain with {retraining(limit)}")
    return group(head, indented(text(limit.limit)), *(indented(text(one)) for one in advice))


def retraining(limit: Limit) -> str:
    """What to retrain with, in words."""
    return ", ".join(edit.label for edit in limit.retrain)
