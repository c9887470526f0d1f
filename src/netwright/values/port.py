"""What is said of a network in another technology: its limits, its parity, where it first diverges."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

PortStatus = Literal["parity", "differs", "built", "unsupported", "absent", "planned"]
LimitKind = Literal["refused", "approximated", "changes meaning", "rewritten"]


@frozen
class Limit:
    """What of a network a technology does not do as the network does.

    `refused` keeps the port from being made, `approximated` and `changes meaning` say what differs unless the
    `remedy` is followed, `rewritten` says what the port has already changed without changing the function.
    `difference` is the id of a known difference between technologies (docs/ports.md).
    """

    layer: str | None
    file: str | None
    line: int | None
    limit: str
    remedy: str
    kind: LimitKind = "refused"
    difference: str | None = None


@frozen
class LayerParity:
    """One layer of both networks over the same inputs.

    `max_error` is the largest absolute difference, `relative_error` that over the layer's largest value,
    `cosine` the cosine of all its values, `beyond` the share of inputs (0…1) with a difference beyond the
    tolerance.
    """

    layer: str
    kind: str
    file: str | None
    line: int | None
    max_error: float
    relative_error: float
    cosine: float
    beyond: float
    within: bool


@frozen
class Picture:
    """Numbers to be shown in colour: a corner of one channel of a layer's result."""

    title: str
    rows: tuple[tuple[float, ...], ...]


@frozen
class Divergence:
    """The first layer whose results differ though what it is given does not, the likely reason, and what the
    catalogue of differences calls it. `runs` is how many runs it took to find; `pictures` are the two results
    and their difference, of the input that differs most."""

    layer: str
    likely: str
    difference: str | None = None
    file: str | None = None
    line: int | None = None
    relative_error: float | None = None
    runs: int = 1
    pictures: tuple[Picture, ...] = ()


@frozen
class Latency:
    """Seconds of one run at a batch size with so many threads: the median and the 95th percentile of
    `runs`."""

    median: float
    p95: float
    batch: int
    threads: int
    runs: int


@frozen
class TargetPort:
    """A network in one technology: `parity` within the tolerance, `differs` beyond it, `built` but not run,
    as nothing here runs it, `unsupported` where it could not be made, `absent` where the technology is not
    installed, `planned` where a plan meets nothing that it refuses. What was not measured is `None`; `reason`
    says in words why. Sizes are in bytes."""

    target: str
    title: str
    status: PortStatus
    reason: str = ""
    precision: str = "float32"
    max_error: float | None = None
    relative_error: float | None = None
    tolerance: float | None = None
    decision_changes: float | None = None
    metric_before: float | None = None
    metric_after: float | None = None
    inputs: int = 0
    first_divergence: Divergence | None = None
    layers: tuple[LayerParity, ...] = ()
    layers_of: int = 0
    size: int | None = None
    peak_memory: int | None = None
    latency: Latency | None = None
    latencies: tuple[Latency, ...] = ()
    limits: tuple[Limit, ...] = ()
    files: tuple[str, ...] = ()
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@frozen
class Port:
    """One network in other technologies. `run` says whose weights they are, `metric` the task's metric."""

    network: str
    targets: tuple[TargetPort, ...]
    run: str = ""
    metric: str | None = None
    parameters: int = 0
    layers: int = 0
    notes: tuple[str, ...] = field(default=())


@frozen
class Ports:
    """Every network that was ported, with every target: the matrix."""

    networks: tuple[Port, ...]
