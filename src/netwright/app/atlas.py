"""The atlas for the verb `look`: which inputs, by which loss, with which reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from netwright.atlas import Material, Wanted, glance, look_at, spreads, with_earlier
from netwright.recipe import Recipe, Samples, Task, TensorSamples, tree_map, tree_tensors
from netwright.recipe.samples import MapSamples, as_tensor
from netwright.recipe.task import UNIT_LOSSES, infer_task
from netwright.runs import Clocks, outputs_of, summarise, train
from netwright.runs.by_input import size_of
from netwright.runs.forward import forward, sample_losses
from netwright.values import Atlas, Floats, LayerLine, UserError

PARTS = ("val", "train")
COUNT = 500  # inputs of a part that are shown
REFERENCE = 2000  # training inputs that probes ask
PINNED = 200  # validation inputs that a training is watched with
ASKED = 1000  # training inputs that beliefs are then asked of
MOMENTS = 12  # epochs that are kept of a training
ALSO = ("beliefs", "gradients", "units")


@attrs.frozen
class Asked:
    """What the user asked the atlas for; `also` is `None` for all that can be had."""

    inputs: Any = None
    targets: Any = None
    count: int = COUNT
    also: tuple[str, ...] | None = None
    details: tuple[int | str, ...] | None = None
    attribution: str | None = None
    raw: tuple[str, ...] = ()
    before: bool = False
    epochs: bool = False

    def __attrs_post_init__(self) -> None:
        unknown = next((name for name in self.also or () if name not in ALSO), None)
        if unknown is not None:
            raise UserError(f"look: there is no {unknown!r} to ask for; say {', '.join(ALSO)}")
        if self.count < 1:
            raise UserError(f"look: {self.count} inputs are none; ask for 1 or more")

    def wants(self, name: str) -> bool:
        return self.also is None or name in self.also

    def wanted(self, label: str, known: bool, samples: Samples) -> Wanted:
        return Wanted(
            beliefs=known and self.wants("beliefs"),
            gradients=self.wants("gradients"),
            units=self.wants("units"),
            details=_numbers(self.details, samples),
            attribution=self.attribution,
            raw=self.raw,
            label=label,
        )


@attrs.frozen(eq=False)
class Found:
    """The atlas, outputs kept whole by row, and what is to be said beside the listing."""

    atlas: Atlas
    raw: Mapping[str, Floats]
    notes: tuple[str, ...] = ()


def of_recipe(
    recipe: Recipe,
    network: nn.Module,
    run: str,
    asked: Asked,
    lines: Sequence[LayerLine],
    seed: int,
    device: str,
    earlier: Iterable[tuple[str, nn.Module]] = (),
) -> Found:
    """The atlas of a recipe's network, as it is filled now, over a part of its data or other inputs.
    `earlier` are networks of the same make that are shown as the moments before."""
    where = torch.device(device)
    samples, labelled, notes = _samples_of(recipe, asked)
    train = recipe.data.parts.train
    reference = _spread(train, REFERENCE) if samples is not train else None
    material = _material(recipe, network.to(where), samples, labelled, reference, lines, where)
    wanted = asked.wanted(run, labelled, samples)
    moments = [glance(material, wanted, other.to(where), label) for label, other in earlier]
    if asked.epochs:
        for label, trained in _epochs(recipe, seed, device):
            moments.append(glance(material, wanted, trained, label))
            network = trained
        label = moments.pop().now.label
        material, wanted = attrs.evolve(material, network=network), attrs.evolve(wanted, label=label)
        notes = (*notes, "the lines of the listing are those of the network before this training")
    elif asked.before:
        label = f"untrained, seed {seed}"
        moments.append(glance(material, wanted, recipe.build(seed).to(where), label))
    looked = look_at(material, wanted)
    return Found(with_earlier(looked.atlas, moments), looked.raw, notes)


def _material(
    recipe: Recipe,
    network: nn.Module,
    samples: Samples,
    labelled: bool,
    reference: Samples | None,
    lines: Sequence[LayerLine],
    where: torch.device,
) -> Material:
    return Material(
        network,
        samples.to(where),
        kind=summarise(samples).kind,
        labelled=labelled,
        task=recipe.yardstick.task,
        at_zero=recipe.settings.loss_name not in UNIT_LOSSES,
        classes=recipe.data.parts.classes,
        reference=reference.to(where) if reference is not None else None,
        losses=lambda outputs, targets: sample_losses(recipe.settings, outputs, targets),
        goal=_goal(recipe) if labelled and recipe.settings.step is None else None,
        lines=lines,
        feature_names=recipe.data.features,
    )


@attrs.frozen(eq=False)
class Pinned:
    """The inputs that a training is watched with, the first of the validation part, always the same."""

    material: Material
    device: torch.device

    def glance(self, network: nn.Module, label: str) -> Atlas:
        """Statistics and beliefs of the inputs in the network as it is; it is left so."""
        return glance(self.material, Wanted(beliefs=True), network, label)

    def glance_at(self, inputs: Any, targets: Tensor, network: nn.Module) -> Atlas:
        """The same of other inputs of the same kind, (N, ...) and (N, ...)."""
        samples = TensorSamples(inputs, targets, "edited").to(self.device)
        material = attrs.evolve(self.material, samples=samples)
        return glance(material, Wanted(beliefs=True), network, "edited")


def pinned(recipe: Recipe, device: str, lines: Sequence[LayerLine] = (), count: int = PINNED) -> Pinned:
    """The pinned inputs of a recipe, with training inputs that beliefs are asked of."""
    where, parts = torch.device(device), recipe.data.parts
    some, count = parts.val, min(count, len(parts.val))
    if isinstance(some, MapSamples):
        inputs, targets, _ = next(some.take(range(count)).batches(count))
    else:
        inputs, targets = (
            some.take(range(count)).head(count) if isinstance(some, TensorSamples) else some.head(count)
        )
    samples = TensorSamples(inputs, targets, some.source)
    reference = _spread(parts.train, ASKED)
    material = _material(recipe, recipe.build(0).to(where), samples, True, reference, lines, where)
    return Pinned(material, where)


def of_network(network: nn.Module, asked: Asked, lines: Sequence[LayerLine]) -> Found:
    """The atlas of a network of the user's own over `asked.inputs`, with `asked.targets` where given."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    whole = isinstance(asked.inputs, PackedSequence)
    inputs = asked.inputs if whole else tree_map(lambda t: t.detach().to(device), asked.inputs)
    count = size_of(inputs)
    labelled = asked.targets is not None
    targets = as_tensor(asked.targets, "targets") if labelled else torch.zeros(count)
    if len(targets) != count:
        raise UserError(f"look: {count} inputs and {len(targets)} targets; give one for each")
    task = infer_task(targets, None, None) if labelled else None
    apart = not whole and all(t.ndim and len(t) == count for _, t in tree_tensors(inputs))
    kind_of = TensorSamples if apart else Together
    samples = kind_of(inputs, targets.to(device), "input")
    material = Material(
        network,
        samples,
        kind=summarise(samples).kind if isinstance(inputs, Tensor) and inputs.ndim > 1 else "other",
        labelled=labelled,
        task=task,
        losses=_plain_losses(task) if task is not None else None,
        goal=_plain_goal(task),
        lines=lines,
        call=(lambda network, inputs: network(*inputs)) if spreads(network, inputs) else forward,
    )
    asked = asked if asked.also is not None or labelled else attrs.evolve(asked, also=())
    wanted = asked.wanted("as it is", labelled, samples)
    if wanted.details is None and not labelled:
        wanted = attrs.evolve(wanted, details=())
    looked = look_at(material, wanted)
    return Found(looked.atlas, looked.raw)


class Together(TensorSamples):
    """Inputs that cannot be taken apart (packed sequences, states beside them): one batch of all."""

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[tuple[Any, Tensor, Tensor]]:
        yield self.inputs, self.all_targets, torch.arange(len(self))


def _samples_of(recipe: Recipe, asked: Asked) -> tuple[Samples, bool, tuple[str, ...]]:
    """The inputs, whether their targets are known, and what to say of the choice."""
    parts = recipe.data.parts
    if asked.inputs == "test":
        raise UserError("look: test inputs stay sealed until the end; look at val or train")
    if isinstance(asked.inputs, str):
        if asked.inputs not in PARTS:
            raise UserError(f"look: no part {asked.inputs!r} of the data; say {' or '.join(PARTS)}")
        part: Samples = getattr(parts, asked.inputs)
        some = _spread(part, asked.count)
        word = {"val": "validation", "train": "training"}[asked.inputs]
        which = "spread evenly" if part.shuffles else "those of the loader's first batch"
        note = f"the atlas shows {len(some):,} of {len(part):,} {word} inputs, {which}"
        return some, True, (note,) if len(some) < len(part) else ()
    inputs = tensors(asked.inputs)
    count = next((len(t) for _, t in tree_tensors(inputs) if t.ndim), 0)
    if count == 0:
        raise UserError("look: the inputs hold no tensor with an axis of inputs")
    if asked.targets is None:
        zeros = torch.zeros((count, *parts.val.targets().shape[1:]), dtype=parts.val.targets().dtype)
        return TensorSamples(inputs, zeros, "input"), False, ()
    targets = as_tensor(asked.targets, "targets")
    if len(targets) != count:
        raise UserError(f"look: {count} inputs and {len(targets)} targets; give one for each")
    return TensorSamples(inputs, targets, "input"), True, ()


def _numbers(names: tuple[int | str, ...] | None, samples: Samples) -> tuple[int, ...] | None:
    """Inputs by their number or id, as numbers. Raises `UserError` for one that there is not."""
    if names is None:
        return None
    ids = samples.ids(range(len(samples)))
    found = []
    for name in names:
        if isinstance(name, str) and name in ids:
            found.append(ids.index(name))
        elif isinstance(name, int) or name.isdigit():
            found.append(int(name))
        else:
            raise UserError(f"look: no input {name!r}; there are {len(ids)}, from 0 ({ids[0]})")
    return tuple(found)


def _spread(part: Samples, count: int) -> Samples:
    """At most `count` samples spread evenly over a part, in memory."""
    if len(part) <= count and isinstance(part, TensorSamples):
        return part
    rows = np.linspace(0, len(part) - 1, min(count, len(part))).round().astype(np.int64)
    if isinstance(part, TensorSamples):
        return part.take(rows)
    inputs, targets = part.head(len(rows))
    ids = part.source
    return TensorSamples(inputs, targets, ids, rows[: len(targets)])


def tensors(inputs: Any) -> Any:
    """Arrays of NumPy as tensors, also in tuples, lists and dictionaries; the rest as it is."""
    if isinstance(inputs, np.ndarray):
        return as_tensor(inputs, "inputs")
    if type(inputs) in (tuple, list):
        return type(inputs)(tensors(value) for value in inputs)
    return {k: tensors(v) for k, v in inputs.items()} if isinstance(inputs, Mapping) else inputs


def _goal(recipe: Recipe) -> Callable[[Any, Tensor], Tensor]:
    """The sum over inputs of each one's own loss."""
    loss = recipe.settings.make_loss()

    def goal(outputs: Any, targets: Tensor) -> Tensor:
        tensor = outputs_of(outputs)
        each = sample_losses(recipe.settings, tensor, targets)
        return each.sum() if each is not None else loss(tensor, targets) * len(targets)

    return goal


def _plain_losses(task: Task) -> Callable[[Tensor, Tensor], Tensor | None]:
    """Cross-entropy or squared error, as the targets are; a network's own loss is not known."""

    def losses(outputs: Tensor, targets: Tensor) -> Tensor | None:
        flat = outputs.reshape(len(outputs), -1)
        if task.name == "classification" and flat.shape[1] > 1:
            return nn.functional.cross_entropy(flat, targets.long(), reduction="none")
        if task.name == "binary":
            goal = targets.reshape(-1).float()
            return nn.functional.binary_cross_entropy_with_logits(flat[:, 0], goal, reduction="none")
        if task.name == "regression" and flat.shape == targets.reshape(len(targets), -1).shape:
            return (flat - targets.reshape(flat.shape)).square().mean(1)
        return None

    return losses


def _plain_goal(task: Task | None) -> Callable[[Any, Tensor], Tensor]:
    """The sum of the losses where targets are known, else of each input's largest output."""
    losses = _plain_losses(task) if task is not None else None

    def goal(outputs: Any, targets: Tensor) -> Tensor:
        tensor = outputs_of(outputs)
        each = losses(tensor, targets) if losses is not None else None
        return each.sum() if each is not None else tensor.reshape(len(tensor), -1).amax(1).sum()

    return goal


def _epochs(recipe: Recipe, seed: int, device: str) -> Generator[tuple[str, nn.Module]]:
    """The network before a training that is made for this, and after some epochs spread over it, the last one
    always. The same module all the time; looking at it does not touch the training."""
    yield f"untrained, seed {seed}", recipe.build(seed).to(device)
    total = recipe.settings.epochs
    chosen = {round(k) for k in np.linspace(1, total, min(MOMENTS, total))}
    met: list[tuple[int, nn.Module]] = []
    clocks = Clocks(time.perf_counter, time.process_time)
    events = train(
        recipe, seed, clocks=clocks, device=device, tapped=False, score_parts=("val",),
        after_epoch=lambda network, epoch: met.append((epoch, network)),
    )  # fmt: skip
    told = 0
    for _ in events:
        if met and met[-1][0] in chosen and met[-1][0] != told:
            told = met[-1][0]
            yield f"epoch {told}", met[-1][1]
    if met and met[-1][0] != told:  # it ended early
        yield f"epoch {met[-1][0]}", met[-1][1]
