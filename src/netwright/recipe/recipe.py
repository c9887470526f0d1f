"""What is being developed: data, network, training, and the edits made since."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs import field, frozen
from torch import nn

from netwright.catalogue import Catalogue, EditKind
from netwright.recipe.attributes import attributes_of
from netwright.recipe.data import Data
from netwright.recipe.fingerprint import digest
from netwright.recipe.samples import Samples, tree_map
from netwright.recipe.source import Birthplace, birthplace, layer_places
from netwright.recipe.streams import seeded
from netwright.recipe.task import TASKS, UNIT_LOSSES, Metric, Task, infer_task, make_metric
from netwright.recipe.training import Training
from netwright.recipe.weights import load_into
from netwright.values import Attribute, Edit, UserError


@frozen
class Origin:
    """How a recipe was named on the command line: the file or module, and the variable in it."""

    source: str
    name: str


@frozen
class Yardstick:
    """By what every version of a recipe is judged; fixed by the unedited recipe."""

    task: Task
    metric: Metric


def _is(kind: type, words: str) -> Callable[..., None]:
    def validate(_: Any, attribute: Any, value: Any) -> None:
        if not isinstance(value, kind):
            raise UserError(f"recipe: {attribute.name}= is a {type(value).__name__}; give {words}")

    return validate


def _builds(_: Any, attribute: Any, value: Any) -> None:
    if isinstance(value, nn.Module):
        raise UserError(
            "recipe: network= is a network; give the function that builds it, so that seeds can differ"
        )
    if not callable(value):
        raise UserError(
            f"recipe: network= is a {type(value).__name__}; give a function that returns an nn.Module"
        )


def _task(_: Any, attribute: Any, value: Any) -> None:
    if value is not None and value not in TASKS:
        raise UserError(f"recipe: task={value!r} is not known; say one of {', '.join(TASKS)}")


@frozen(eq=False, slots=False)
class Recipe:
    """Data, a function that builds the network, and its training.

    `task` and `metric` say what the targets leave open; `start` is a checkpoint whose layers count as
    pretrained; `edits` are applied when the network is built. Raises `UserError` for arguments of another
    kind.
    """

    data: Data = field(validator=_is(Data, "nw.Data(...)"))
    network: Callable[[], nn.Module] = field(validator=_builds)
    training: Training = field(validator=_is(Training, "nw.Training(...)"))
    task: str | None = field(default=None, validator=_task)
    metric: str | Callable[..., Any] | None = None
    start: str | Path | None = None
    edits: tuple[Edit, ...] = field(default=(), converter=tuple)
    origin: Origin | None = field(default=None, kw_only=True, repr=False)
    unedited: Recipe | None = field(default=None, kw_only=True, repr=False)
    catalogue: Catalogue | None = field(default=None, kw_only=True, repr=False)
    made_at: Birthplace = field(factory=birthplace, init=False, repr=False)

    def with_edits(self, *edits: Edit) -> Recipe:
        """This recipe with further edits; the yardstick and the data stay those of the unedited one, but for
        edits on the validation samples."""
        if not edits:
            return self
        changed = attrs.evolve(self, edits=(*self.edits, *edits), unedited=self.base)
        for edit, kind in changed._expanded[len(self._expanded) :]:
            if kind.on == "validation":
                change = functools.partial(kind.function, **edit.parameters)
                object.__setattr__(changed, "data", changed.data.with_validation(change))
        object.__setattr__(changed, "made_at", self.made_at)
        return changed

    def judged_alike(self, edit: Edit) -> bool:
        """Whether scores before and after an edit may be compared: it leaves the validation samples alone."""
        return self.with_edits(edit).data is self.data

    @property
    def base(self) -> Recipe:
        """The recipe as the user wrote it."""
        return self.unedited or self

    @property
    def display_name(self) -> str:
        source = self.origin.source if self.origin else self.made_at.file or "recipe"
        return Path(source).stem if source.endswith(".py") else source

    @functools.cached_property
    def settings(self) -> Training:
        """The training with the edits applied."""
        training = self.training
        for edit, kind in self._expanded:
            if kind.on == "training":
                training = kind.function(training, **edit.parameters)
        object.__setattr__(training, "made_at", self.training.made_at)
        return training

    @functools.cached_property
    def training_samples(self) -> Samples:
        """The training part with the edits applied; test samples are never edited."""
        samples = self.data.parts.train
        for edit, kind in self._expanded:
            if kind.on == "samples":
                samples = kind.function(samples, **edit.parameters)
        return samples

    def build(self, seed: int = 0) -> nn.Module:
        """A new network: the user's function under the seed's initialisation stream, `start` loaded, edits
        applied."""
        return self.build_with_places(seed)[0]

    def build_with_places(self, seed: int = 0) -> tuple[nn.Module, dict[str, Birthplace]]:
        """The network, and the line of the user's source that made each layer, by the layer's name."""
        with seeded(seed, "initialisation"), layer_places() as made:
            network = self.network()
        if not isinstance(network, nn.Module):
            raise UserError(f"recipe: network() returned a {type(network).__name__}; return an nn.Module")
        places = {name: made[id(m)] for name, m in network.named_modules() if id(m) in made}
        if self.start is not None:
            load_into(network, self.start, partial=True)  # a new head on a pretrained body is the rule
        for edit, kind in self._expanded:
            if kind.on == "network":
                network = kind.function(network, **edit.parameters, seed=seed)
        return network, places

    def restore(self, path: str | Path) -> nn.Module:
        """The network of a weights file that Netwright wrote, with the edits that the file names."""
        from safetensors import safe_open

        edits: tuple[Edit, ...] = ()
        if str(path).endswith(".safetensors") and Path(path).is_file():
            import json

            with safe_open(str(path), framework="pt") as file:
                listed = json.loads((file.metadata() or {}).get("edits", "[]"))
            edits = tuple(Edit(**document) for document in listed)
        network = self.with_edits(*edits).build(0)
        load_into(network, path)
        return network.eval()

    @functools.cached_property
    def _expanded(self) -> tuple[tuple[Edit, EditKind], ...]:
        """Primitive edits with their kinds; edits made of others are opened."""
        known = (self.catalogue or Catalogue.collect()).edits
        out: list[tuple[Edit, EditKind]] = []

        def expand(edit: Edit) -> None:
            kind = known.get(edit.kind)
            if kind is None:
                raise UserError(
                    f"recipe: no kind of edit {edit.kind!r} is installed; known are"
                    f" {', '.join(sorted(known))}"
                )
            if kind.on == "edits":
                for part in kind.function(**edit.parameters):
                    expand(part)
            else:
                out.append((edit, kind))

        for edit in self.edits:
            expand(edit)
        return tuple(out)

    @functools.cached_property
    def output_shape(self) -> tuple[int, ...] | None:
        """What the unedited network gives for two samples, or `None` where it cannot be run as it is."""
        inputs, _ = self.data.parts.train.head(2)
        try:
            with seeded(0, "probe"), torch.no_grad():
                outputs = self.base.build(0).eval()(inputs)
        except Exception:  # whatever it raises is shown by the first verb that runs the network
            return None
        if not isinstance(outputs, torch.Tensor) or outputs.ndim < 1:
            return None
        return tuple(outputs.shape)

    @property
    def output_width(self) -> int | None:
        """Outputs a sample of the unedited network."""
        shape = self.output_shape
        return None if shape is None else shape[-1] if len(shape) > 1 else 1

    @functools.cached_property
    def yardstick(self) -> Yardstick:
        """Task and metric, frozen by the unedited recipe."""
        if self.unedited is not None:
            return self.unedited.yardstick
        targets = self.data.parts.train.targets()
        loss = self.training.loss_name
        if self.task == "custom":
            task = Task("custom")
        else:
            task = infer_task(targets, self.output_width, loss, self.output_shape)
            if self.task is not None:
                task = attrs.evolve(task, name=self.task, ambiguous=False)
        return Yardstick(task, make_metric(self.metric, task, targets, loss))

    def judged(self, outputs: torch.Tensor) -> torch.Tensor:
        """Outputs as the yardstick reads them, where an edit has changed what they mean (logits or
        probabilities)."""
        before, now = (t.loss_name in UNIT_LOSSES for t in (self.base.training, self.settings))
        single = outputs.ndim == 1 or outputs.shape[-1] == 1
        if before == now or self.yardstick.task.name not in ("binary", "classification", "multilabel"):
            return outputs
        if self.yardstick.task.name != "multilabel" and not single:
            return outputs
        return outputs.sigmoid() if before else torch.logit(outputs, eps=1e-6)

    def attributes(self) -> tuple[Attribute, ...]:
        """Every attribute with its value now and where the user set it."""
        return attributes_of(self)

    def attribute(self, name: str) -> Attribute:
        return next(
            (a for a in self.attributes() if a.name == name),
            Attribute(name, None, place=_nowhere(self, name)),
        )

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of everything that changes the training; the same in every process."""
        fields = {
            a.name: getattr(self.training, a.name)
            for a in attrs.fields(Training)
            if a.name not in ("made_at",)
        }
        start = (
            hashlib.sha256(Path(self.start).read_bytes()).hexdigest()
            if self.start is not None and _is_file(self.start)
            else str(self.start)
        )
        # Where a call stands is for the reader; what it is counts.
        edits = [(e.kind, {k: v for k, v in e.parameters.items() if k != "at"}) for e in self.edits]
        return digest(
            self.data.parts.fingerprint,
            self.network,
            fields,
            self.task,
            self.metric,
            start,
            edits,
            torch.__version__,
        )


def _nowhere(recipe: Recipe, name: str) -> Any:
    from netwright.recipe.source import shown
    from netwright.values import Place

    return Place(file=shown(recipe.made_at.file) or None, line=recipe.made_at.line or None, attribute=name)


def _is_file(path: str | Path) -> bool:
    return Path(path).is_file()


def example_inputs(recipe: Recipe, count: int = 2, device: torch.device | str = "cpu") -> Any:
    """The first inputs of the training part, a tree of tensors (count, ...)."""
    return tree_map(lambda t: t.to(device), recipe.data.parts.train.head(count)[0])
