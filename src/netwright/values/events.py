"""The typed events of long work: the terminal, the journal, the report and a test read the same stream.

Every event is frozen and goes to JSON and back; `run` is the key of one training (its fingerprint, seed and
horizon).
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from netwright.values.budget import Plan
from netwright.values.edit import Edit
from netwright.values.finding import Finding
from netwright.values.port import TargetPort
from netwright.values.verdict import Verdict


@frozen
class StageStarted:
    """A stage of a verb begins: `scan`, `baseline`, `diagnosis`, `trials`, `result`."""

    stage: str
    detail: str = ""


@frozen
class Note:
    """A sentence for the user that is no finding (a fallback taken, something left undone)."""

    text: str


@frozen
class PlanMade:
    """The cost of one training is known and the budget has been laid out."""

    plan: Plan


@frozen
class ScanEnded:
    """The data were scanned; `patterns` are the findings in them."""

    patterns: tuple[Finding, ...]
    seconds: float


@frozen
class RunStarted:
    """A training begins; `purpose` says why, in a few words."""

    run: str
    purpose: str
    seed: int
    epochs: int


@frozen
class EpochEnded:
    """`loss` is the mean over the epoch's training samples; `val_score` the metric; `None` where there is no
    validation."""

    run: str
    epoch: int
    epochs: int
    loss: float
    val_loss: float | None
    val_score: float | None


@frozen
class RunEnded:
    """A training finished, or was found finished in the journal (`remembered`)."""

    run: str
    seed: int
    epochs: int
    steps: int
    seconds: float
    scores: Mapping[str, float]
    diverged: bool
    remembered: bool = False


@frozen
class RunFailed:
    """A training that could not end: the user's code raised, or its process died."""

    run: str
    reason: str
    traceback: str = ""


@frozen
class BaselineScored:
    """The unchanged recipe over its seeds."""

    scores: Mapping[str, float | None]
    seeds: int
    epochs: int
    metric: str
    trivial: float


@frozen
class FindingMade:
    """A finding after ranking, before any confirmation."""

    finding: Finding


@frozen
class ConfirmationEnded:
    """A finding with its status settled."""

    finding: Finding


@frozen
class IdeaScreened:
    """An idea's place in the screening, which claims nothing; `effect` is `None` where it failed."""

    idea: str
    edit: Edit
    effect: float | None
    epochs: int
    seeds: int
    dropped: bool


@frozen
class TrialEnded:
    """An idea went to confirmation and has its verdict."""

    verdict: Verdict


@frozen
class RoundEnded:
    """The edits that stay, after a round of trials."""

    edits: tuple[Edit, ...]
    val_score: float | None = None


@frozen
class TestScored:
    """Test data were scored, baseline and result together; `looks` counts how often these samples were looked
    at."""

    __test__ = False  # pytest: not a test class

    looks: int
    samples: int
    effect: float
    low: float
    high: float
    before: float
    after: float


@frozen
class Spent:
    """What a verb has used up."""

    seconds: float = 0.0
    epochs: int = 0
    steps: int = 0
    trials: int = 0
    samples: int = 0


@frozen
class CheckSkipped:
    """A check whose needs were not met, or that was muted."""

    check: str
    reason: str = field(default="")


@frozen
class ColumnMeasured:
    """The statistics of every layer at one step of a training that is watched: by name a number a layer,
    in the order of `layers`, which is left out where it is that of the column before."""

    run: str
    step: int
    epoch: int
    loss: float | None
    values: Mapping[str, tuple[float | None, ...]]
    layers: tuple[str, ...] | None = None


@frozen
class MomentKept:
    """What the pinned inputs were after an epoch, in a file named relative to the journal's folder."""

    run: str
    epoch: int
    artifact: str


@frozen
class StateChanged:
    """Where a training that is watched stands: `running`, `paused`, `ended` or `failed`, after `step`
    steps, in or after the `epoch`; `checkpoints` are the epochs that it can go back to."""

    run: str
    state: str
    epoch: int
    step: int
    checkpoints: tuple[int, ...]
    message: str = ""


@frozen
class TargetStarted:
    """A port to a technology begins; `stage` is what is done: `plan`, `build`, `quantise`, `outputs`,
    `layers`, `time`, `suffering`."""

    target: str
    stage: str = "build"


@frozen
class TargetEnded:
    """A port to a technology is finished, with its proof."""

    port: TargetPort


Event = (
    StageStarted
    | Note
    | PlanMade
    | ScanEnded
    | RunStarted
    | EpochEnded
    | RunEnded
    | RunFailed
    | BaselineScored
    | FindingMade
    | ConfirmationEnded
    | IdeaScreened
    | TrialEnded
    | RoundEnded
    | TestScored
    | CheckSkipped
    | ColumnMeasured
    | MomentKept
    | StateChanged
    | TargetStarted
    | TargetEnded
)
