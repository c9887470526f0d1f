"""What checks see: the recipe, its data, its network in one batch, the optimizer, a run and a range test,
each optional."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor, nn

from netwright.catalogue import Needs
from netwright.recipe import Recipe, Samples, Task, Yardstick, labels_of, tree_tensors
from netwright.recipe.source import Birthplace, shown
from netwright.runs.loop import LoopEvidence
from netwright.runs.operations import Operation, Operations
from netwright.runs.rate_range import RangeTest
from netwright.runs.run import Run
from netwright.runs.subject import Subject
from netwright.runs.taps import LayerState
from netwright.values import Attribute, Place

Kind = Literal["image", "table", "tokens", "series", "other"]
LOOKED_AT = 4096
LITTLE = 0.5  # skill on the training data
SHAPING = (
    "Flatten",
    "Unflatten",
    "Identity",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "AlphaDropout",
)


@frozen(eq=False)
class PartSummary:
    """One part of the data, from up to `LOOKED_AT` samples spread over it; `size` is the true number.

    `inputs` (M, ...) are those looked at, the largest tensor where there are several, and `positions` (M,)
    their row numbers in the part.

    `mean`, `std`, `low`, `high` (F,) are per feature of a table, per channel of images and series;
    `bad_inputs` and `bad_targets` count samples with values that are not finite, `bad_rows` are rows of such;
    `targets` (N, ...) are all.
    """

    size: int
    looked_at: int
    inputs: Tensor
    positions: Tensor
    shape: tuple[int, ...]
    kind: Kind
    floating: bool
    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bad_inputs: int
    bad_targets: int
    bad_rows: tuple[int, ...]
    targets: Tensor

    @property
    def flat(self) -> Tensor:
        """(M, F) the inputs looked at, as numbers."""
        return self.inputs.reshape(len(self.inputs), -1).float()

    @property
    def labels(self) -> np.ndarray:
        """Class numbers (N,) of the targets, where they are classes."""
        return labels_of(self.targets).cpu().numpy()

    def counts(self) -> dict[int, int]:
        """Samples by class number; targets that are no finite number are of no class."""
        known = torch.isfinite(self.targets.reshape(self.size, -1).float()).all(1).cpu().numpy()
        names, counts = np.unique(self.labels[known], return_counts=True)
        return {int(n): int(c) for n, c in zip(names, counts, strict=True)}


@frozen(eq=False)
class DataEvidence:
    """The parts summarised; `task` as inferred. `test` is not looked at. Not `whole`: one batch stands for
    both."""

    train: PartSummary
    val: PartSummary
    task: Task
    shuffled_by_us: bool
    whole: bool = True


@frozen
class ParameterState:
    """A parameter after one backward pass; `gradient` is its norm, `None` where there was none."""

    name: str
    layer: str
    shape: tuple[int, ...]
    requires_grad: bool
    in_optimizer: bool
    gradient: float | None
    norm: float
    std: float
    constant: bool


@frozen
class BatchError:
    """What the first batch raised: `stage` is where (`forward`, `loss`, `backward`), `exception` as it was
    caught."""

    stage: str
    kind: str
    message: str
    exception: BaseException = field(repr=False, eq=False)
    layer: str | None = None


@frozen(eq=False)
class BatchEvidence:
    """One real batch through the network with its initial weights, in training mode, forward and backward.

    `loss_name` is the loss that is computed, by the name it has in `Training`, where it is one of torch's.
    `rows_sum_to_one` and `rows_log_sum_to_zero` say that outputs are probabilities or their logarithms over
    the last axis; `loss_after` is the loss on the same batch after one step of the optimizer.
    """

    size: int
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...] | None
    target_shape: tuple[int, ...]
    output_low: float | None = None
    output_high: float | None = None
    output_std_over_samples: float | None = None
    rows_sum_to_one: bool = False
    rows_log_sum_to_zero: bool = False
    in_unit_interval: bool = False
    loss_name: str | None = None
    loss: float | None = None
    loss_has_graph: bool = True
    loss_after: float | None = None
    layers: tuple[LayerState, ...] = ()
    parameters: tuple[ParameterState, ...] = ()
    operations: Operations = field(factory=Operations)
    error: BatchError | None = None

    @property
    def output_layer(self) -> LayerState | None:
        """The layer that makes the output's values: the last that does more than to reshape them or to drop
        some."""
        return next((s for s in reversed(self.layers) if s.kind not in SHAPING), None)

    @property
    def hidden_layers(self) -> tuple[LayerState, ...]:
        """All layers before the one that makes the output."""
        last = self.output_layer
        return self.layers[: self.layers.index(last)] if last is not None else ()

    def layer(self, name: str) -> LayerState | None:
        return next((s for s in self.layers if s.name == name), None)


@frozen(eq=False)
class NetworkEvidence:
    """The modules of the network: kinds by name in order of registration, and where each was made."""

    kinds: Mapping[str, str]
    places: Mapping[str, Birthplace]
    pretrained: bool = False


@frozen(eq=False)
class OptimizerEvidence:
    """Class name, rate and settings of the optimizer, and the names of the parameters that it holds."""

    kind: str
    lr: float
    settings: Mapping[str, Any]
    holds: tuple[str, ...]


@frozen(eq=False)
class Evidence:
    """Everything that is known; `has` says which parts. A check declares what it needs and is skipped without
    it.

    `batch` is one batch before the first step; `probes` are the answers of experiments by their id, `None`
    where one does not apply, `unanswered` the reasons of those that failed; `subject` is what they are made
    on, and is not for checks.
    """

    recipe: Recipe | None = None
    data: DataEvidence | None = None
    network: NetworkEvidence | None = None
    batch: BatchEvidence | None = None
    optimizer: OptimizerEvidence | None = None
    run: Run | None = None
    range_test: RangeTest | None = None
    loop: LoopEvidence | None = None
    unanswered: Mapping[str, str] = field(factory=dict)
    subject: Subject | None = field(default=None, repr=False)
    probes: Mapping[str, Any] = field(factory=dict)
    yardstick: Yardstick | None = None

    @property
    def has(self) -> Needs:
        parts = {
            Needs.RECIPE: self.recipe,
            Needs.DATA: self.data,
            Needs.NETWORK: self.network,
            Needs.BATCH: self.batch,
            Needs.OPTIMIZER: self.optimizer,
            Needs.RUN: self.run,
            Needs.RANGE_TEST: self.range_test,
            Needs.LOOP: self.loop,
            Needs.PARTS: self.data if self.data is not None and self.data.whole else None,
        }
        present = Needs.NONE
        for need, part in parts.items():
            if part is not None:
                present |= need
        return present

    def place(self, attribute: str) -> Place:
        """Where the user set an attribute of the recipe, or where it would be set."""
        return self.attribute(attribute).place

    def attribute(self, name: str) -> Attribute:
        if self.recipe is None:
            return Attribute(name, None, Place(attribute=name))
        return self.recipe.attribute(name)

    def call_place(self, call: Operation, attribute: str | None = None) -> Place:
        """The line of the user's source that makes a call, and the layer that was running."""
        inside = self.network is not None and hasattr(nn, self.network.kinds.get(call.layer, "?"))
        if call.place.file and not inside:
            return Place(call.layer or None, shown(call.place.file), call.place.line, None, attribute)
        return self.layer_place(call.layer, attribute)

    def layer_place(self, layer: str, attribute: str | None = None) -> Place:
        """A layer with the line of the user's source that made it."""
        born, above = None, layer
        while self.network and born is None:
            born = self.network.places.get(above)
            if not above:
                break
            above = above.rpartition(".")[0]  # made elsewhere: the line that made what holds it
        return Place(layer, shown(born.file) if born else None, born.line if born else None, None, attribute)

    def skill(self, part: str) -> float | None:
        """The run's score of `part` from 0 (trivial) to 1 (perfect)."""
        if self.run is None or self.yardstick is None or part not in self.run.scores:
            return None
        return self.yardstick.metric.skill(self.run.scores[part])

    @property
    def learns_little(self) -> bool:
        """Whether the run ended with a skill under 0.5 on its own training data, or not at all."""
        skill = self.skill("train")
        return self.run is not None and (self.run.diverged or (skill is not None and skill < LITTLE))

    def outdone_by(self, train_skill: float, val_skill: float, by: float = 0.08) -> bool:
        """Whether a copy reaches `by` more skill than the run on training data, and in validation as much and
        more than the standard error."""
        noise = self.standard_error("val") or 0.0
        least = (self.skill("train") or 0.0) + by, (self.skill("val") or 0.0) + max(by, noise)
        return train_skill >= least[0] and val_skill >= least[1]

    def standard_error(self, part: str) -> float | None:
        """Of the run's skill on `part`, by the spread over its samples; `None` for a metric that is no mean
        of them."""
        each = self.run.contributions.get(part) if self.run is not None else None
        if each is None or len(each) < 2 or self.yardstick is None:
            return None
        metric = self.yardstick.metric
        return float(np.std(each, ddof=1)) / len(each) ** 0.5 / abs(metric.perfect - metric.trivial)


def summarise(samples: Samples) -> PartSummary:
    """One part of the data in numbers; reads at most `LOOKED_AT` inputs and all targets."""
    inputs, _ = samples.head(LOOKED_AT)
    tensors = [t for _, t in tree_tensors(inputs)]
    first = max(tensors, key=lambda t: t.numel())
    targets = samples.targets()
    floating = first.is_floating_point()
    values = first.float() if floating or first.dtype == torch.uint8 else first.double()
    kind = _kind(first)
    flat = _by_feature(values, kind)  # (M, F)
    finite = torch.isfinite(flat)
    known = torch.where(finite, flat, torch.nan)
    mean = known.nanmean(0)
    std = ((known - mean) ** 2).nanmean(0).sqrt()
    low = torch.where(finite, flat, torch.inf).amin(0)
    high = torch.where(finite, flat, -torch.inf).amax(0)
    bad = ~torch.isfinite(first.reshape(len(first), -1).float()).all(1)
    bad_targets = ~torch.isfinite(targets.reshape(len(targets), -1).float()).all(1)
    positions = torch.linspace(0, len(samples) - 1, len(first)).round().long()
    rows = sorted({*positions[bad].tolist(), *bad_targets.nonzero()[:, 0].tolist()})
    return PartSummary(
        size=len(samples),
        looked_at=len(first),
        inputs=first,
        positions=positions,
        shape=tuple(first.shape[1:]),
        kind=kind,
        floating=floating,
        mean=mean.numpy(),
        std=std.numpy(),
        low=low.numpy(),
        high=high.numpy(),
        bad_inputs=int(bad.sum()),
        bad_targets=int(bad_targets.sum()),
        bad_rows=tuple(rows[:1000]),
        targets=targets,
    )


def data_evidence(recipe: Recipe) -> DataEvidence:
    parts = recipe.data.parts
    return DataEvidence(
        summarise(recipe.training_samples),
        summarise(parts.val),
        recipe.yardstick.task,
        recipe.settings.shuffle and parts.train.shuffles,
    )


def _kind(inputs: Tensor) -> Kind:
    """By shape and type: (N, C, H, W) images, (N, F) floats a table, whole numbers (N, T) tokens, (N, T, D) a
    series."""
    if inputs.ndim == 4 or (inputs.ndim == 3 and inputs.dtype == torch.uint8):
        return "image"
    if inputs.ndim <= 2:
        return "table" if inputs.is_floating_point() or inputs.dtype == torch.bool else "tokens"
    return "series" if inputs.ndim == 3 else "other"


def _by_feature(values: Tensor, kind: Kind) -> Tensor:
    """(M, F): features of a table; channels (axis 1) of images; the last axis of a series; all as one
    otherwise."""
    if kind == "table":
        return values.reshape(len(values), -1)
    if kind == "image" and values.ndim == 4:
        return values.transpose(1, 3).reshape(-1, values.shape[1])
    if kind == "series":
        return values.reshape(-1, values.shape[-1])
    return values.reshape(-1, 1)
