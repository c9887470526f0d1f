"""What verbs return: the same names as the JSON documents of the interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from netwright.values.atlas import Atlas, Floats, Picked
from netwright.values.comparison import Comparison
from netwright.values.edit import Edit
from netwright.values.events import Spent
from netwright.values.finding import Finding
from netwright.values.layers import Cost, LayerLine, ModuleLine
from netwright.values.place import Attribute
from netwright.values.verdict import Verdict

Scores = Mapping[str, float | None]  # "train", "val", "test": means over seeds


@frozen
class Overview:
    """The one line that says what is being developed: `digits    1,797 images 1×8×8, 10 classes · …`."""

    name: str
    data: str
    network: str
    training: str


@frozen
class Change:
    """One line to change in the user's own code; `old` is what stands there, `not set` for nothing."""

    file: str | None
    line: int | None
    attribute: str
    old: str
    new: str


@frozen
class TestEffect:
    """Test data scored once, before and after together: the difference with its 95 % crossed bootstrap
    interval."""

    __test__ = False

    looks: int
    samples: int
    effect: float
    low: float
    high: float


@frozen
class Curve:
    """One training's course, an entry an epoch; `None` where there was nothing to measure."""

    label: str
    seed: int
    loss: tuple[float | None, ...]
    val_loss: tuple[float | None, ...]
    val_score: tuple[float | None, ...]


@frozen
class MetricName:
    """The number that judges; `trivial` is what ignoring the inputs reaches."""

    name: str
    higher_is_better: bool = True
    trivial: float = 0.0
    perfect: float = 1.0


@frozen
class ImproveResult:
    """What was wrong, what helped, how sure that is, and which lines to change.

    `stage_seconds` are wall seconds by stage; `verdicts` are of what was put to confirmation, `screened` and
    `failed` count what entered the screening and what failed there.
    """

    recipe: str
    fingerprint: str
    outcome: Literal["improved", "already good", "not improved", "inconclusive"]
    metric: MetricName
    before: Scores
    after: Scores
    findings: tuple[Finding, ...]
    considered: tuple[Finding, ...]
    verdicts: tuple[Verdict, ...]
    changes: tuple[Change, ...]
    test: TestEffect | None
    weights: str | None
    load: str | None
    spent: Spent
    report: str | None
    overview: Overview | None = None
    edits: tuple[Edit, ...] = ()
    budget: str = ""
    plan: str = ""
    scan: str = ""
    stage_seconds: Mapping[str, float] = field(factory=dict)
    baseline: str = ""
    curves_before: tuple[Curve, ...] = ()
    curves_after: tuple[Curve, ...] = ()
    weights_score: float | None = None
    weights_run: str = ""
    screened: int = 0
    failed: int = 0
    next_steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(factory=dict)
    device: str = "cpu"


@frozen
class DiagnoseResult:
    """The causes at or above the reporting threshold, the most probable first; the rest in `considered`.

    `first_answer` is what had been spent when the first of them was said, `first_confirmed` when the first
    was confirmed.
    """

    recipe: str
    fingerprint: str
    healthy: bool
    outcome: Literal["findings", "healthy", "inconclusive"]
    findings: tuple[Finding, ...]
    considered: tuple[Finding, ...]
    spent: Spent
    first_answer: Spent | None = None
    first_confirmed: Spent | None = None
    overview: Overview | None = None
    run: str = ""
    notes: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(factory=dict)


@frozen
class ProbeResult:
    """One experiment and its answer, numbers by name; `None` where it does not apply to this recipe."""

    recipe: str
    probe: str
    answer: Mapping[str, Any] | None
    question: str
    spent: Spent


@frozen
class Pattern:
    """Something in the data; `cost` is what it costs the metric, `None` where that was not measured."""

    pattern: str
    cost: float | None
    samples: tuple[str, ...]
    confidence: float
    explanation: str
    repair: str


@frozen
class ScanResult:
    """Patterns in the data that help or block training."""

    data: str
    patterns: tuple[Pattern, ...]
    spent: Spent
    notes: tuple[str, ...] = ()


@frozen
class LookResult:
    """The listing of a network, in execution order; of what `where` leaves, sorted by `sort` where they were
    given.

    `modules` are those with layers inside; `total` is of the whole network, `hidden` counts the lines that
    `where` left out. `depth` and `unfold` say how it is shown. `atlas` is there where inputs were looked at,
    `picked` what of it is shown, `raw` the outputs that were to be kept whole, by row.
    """

    name: str
    run: str
    layers: tuple[LayerLine, ...]
    inputs: int
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    modules: tuple[ModuleLine, ...] = ()
    total: Cost | None = None
    hidden: int = 0
    where: str = ""
    sort: str = ""
    depth: int | None = None
    unfold: bool = False
    against: Comparison | None = None
    atlas: Atlas | None = None
    picked: Picked = field(factory=Picked)
    raw: Mapping[str, Floats] = field(factory=dict)

    @property
    def lines_asked(self) -> bool:
        """Whether it was said how the lines of the listing are to be shown."""
        asked = self.where or self.sort or self.unfold or self.depth is not None or self.against is not None
        return bool(asked)


@frozen
class AttributesResult:
    """Every attribute of a recipe with its value and where it is set."""

    recipe: str
    attributes: tuple[Attribute, ...]
