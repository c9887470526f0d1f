"""What is said of a network in another technology: its limits, its parity, where it first diverges."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from netwright.values.device import Budgeted
from netwright.values.edit import Edit

PortStatus = Literal["parity", "differs", "built", "unsupported", "absent", "planned"]
Precision = Literal["float32", "int8"]
LimitKind = Literal["refused", "approximated", "changes meaning", "rewritten"]


@frozen
class Limit:
    """What of a network a technology does not do as the network does.

    `refused` keeps the port from being made, `approximated` and `changes meaning` say what differs unless the
    `remedy` is followed, `rewritten` says what the port has already changed without changing the function.
    `difference` is the id of a known difference between technologies (docs/ports.md). `retrain` are edits, to
    be made together, that alter the function and make the layer fit: an idea to retrain with.
    """

    layer: str | None
    file: str | None
    line: int | None
    limit: str
    remedy: str
    kind: LimitKind = "refused"
    difference: str | None = None
    retrain: tuple[Edit, ...] = ()


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
class Suffering:
    """What quantising some layers, most often one, does by itself: all others stay in 32 bits.

    `error` is what the outputs differ by, as root mean square over that of the original's; `share` (0…1) is
    its square over the sum of those of all layers. `measured` says on how many inputs.
    """

    layers: tuple[str, ...]
    kind: str
    file: str | None
    line: int | None
    share: float
    error: float
    decision_changes: float | None = None
    metric: float | None = None
    measured: str = ""


@frozen
class KeptFloat:
    """The port quantised but for `layers`, which stay in 32 bits, over all inputs; `size` is in bytes."""

    layers: tuple[str, ...]
    error: float
    decision_changes: float | None
    metric: float | None
    size: int
    files: tuple[str, ...]


@frozen
class TargetPort:
    """A network in one technology: `parity` within the tolerance, `differs` beyond it, `built` but not run,
    as nothing here runs it, `unsupported` where it could not be made, `absent` where the technology is not
    installed, `planned` where a plan meets nothing that it refuses. What was not measured is `None`; `reason`
    says in words why. Sizes are in bytes; `size_before` is that of the files
    in 32 bits that were quantised.

    Of `int8` every number is rounded to one of 256, so `parity` says little and `differs` need not matter:
    there the decisions and the metric are what counts, and `suffering` has the layers that cost them, the
    worst first.
    """

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
    size_before: int | None = None
    peak_memory: int | None = None
    latency: Latency | None = None
    latencies: tuple[Latency, ...] = ()
    limits: tuple[Limit, ...] = ()
    files: tuple[str, ...] = ()
    suffering: tuple[Suffering, ...] = ()
    kept_float: KeptFloat | None = None
    budget: Budgeted | None = None
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
