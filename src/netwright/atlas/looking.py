"""The atlas of a network: one pass for the statistics, further ones for what is asked for beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from attrs import field, frozen
from numpy.typing import NDArray
from torch import Tensor, nn

from netwright.atlas import beliefs as asking
from netwright.atlas.arrays import array, floats
from netwright.atlas.attribution import attribution
from netwright.atlas.columns import columns
from netwright.atlas.details import details
from netwright.atlas.features import Features, features_of
from netwright.atlas.gradients import Goal, gradients
from netwright.atlas.grids import belief_grids, gradient_grids, statistic_grids
from netwright.atlas.maps import input_maps
from netwright.atlas.patterns import Asked, patterns
from netwright.atlas.units import UnitReader
from netwright.recipe import Samples, Task, decisions, labels_of, tree_map
from netwright.runs.by_input import Call, Output, Reader, Saturation, Seen, Statistics, read_all
from netwright.runs.forward import EVALUATION_BATCH, forward, outputs_of
from netwright.values import (
    Atlas,
    AtlasRow,
    Detail,
    Floats,
    InputDetails,
    LayerLine,
    Moment,
    UserError,
)

Numbers = NDArray[np.float32]


@frozen(eq=False)
class Material:
    """What is looked at. `labelled` says that the targets of `samples` are known; `reference` are inputs with
    known targets that probes ask, the samples themselves where it is `None`; `losses(outputs, targets)` is
    (B,), `goal(outputs, targets)` what gradients are taken of."""

    network: nn.Module
    samples: Samples
    kind: str = "other"
    labelled: bool = True
    task: Task | None = None
    at_zero: bool = True
    classes: tuple[str, ...] | None = None
    reference: Samples | None = None
    losses: Callable[[Tensor, Tensor], Tensor | None] | None = None
    goal: Goal | None = None
    lines: Sequence[LayerLine] = ()
    feature_names: tuple[str, ...] | None = None
    call: Call = forward


@frozen
class Wanted:
    """What is computed beside the statistics; `details` are the numbers of inputs that are followed through
    all layers, by default a few that tell something, `raw` names of rows whose outputs are kept whole."""

    beliefs: bool = False
    gradients: bool = False
    units: bool = False
    details: tuple[int, ...] | None = None
    attribution: str | None = None
    raw: tuple[str, ...] = ()
    batch_size: int = EVALUATION_BATCH
    label: str = "now"


@frozen(eq=False)
class Looked:
    """The atlas, and the outputs that were to be kept whole, (N, ...) by the title of their row."""

    atlas: Atlas
    raw: Mapping[str, Floats] = field(factory=dict)


def look_at(material: Material, wanted: Wanted = Wanted()) -> Looked:
    """The atlas of a network over its samples. Raises what the network raises; it is left as it was."""
    network, samples = material.network, material.samples
    readers: list[Reader] = [Statistics(), Saturation()]
    probed = wanted.beliefs and material.labelled and _probes(material.task)
    if probed:
        readers.append(Features())
    units, kept, outputs = UnitReader(), _Kept(wanted.raw), list[Tensor]()

    def also(output: Output, start: int) -> None:
        if wanted.units:
            units.read(output, start)
        kept.read(output)

    def each(result: Any, targets: Any, rows: Any) -> None:
        outputs.append(outputs_of(result).detach().cpu())

    seen = read_all(network, samples.batches(wanted.batch_size), readers, each, also, material.call)
    if not seen.spots:
        raise UserError("look: no layer gave floating numbers by input, so there is nothing to show")
    kept.check(seen)
    rows = _rows(seen, material.lines)
    keys = [(spot.name, spot.call) for spot in seen.spots]
    answers = _Answers.of(material, torch.cat(outputs), samples)
    features = features_of(seen) if probed else None
    probes = _probed(material, seen, features, answers, wanted) if features is not None else None
    grids = statistic_grids(seen)
    if probes is not None:
        grids += belief_grids(probes.beliefs, probes.reference, probes.classes)
    if wanted.gradients and material.goal is not None:
        batches = samples.batches(wanted.batch_size)
        asked_of = gradients(network, batches, material.goal, seen.count, material.call)
        grids += gradient_grids(*asked_of, keys, seen.count)
    weighted = frozenset(n for n, spot in enumerate(seen.spots) if _has_weights(spot.module))
    depth = probes.depths if probes is not None else None
    named = answers.names is not None
    asked = Asked(
        rows,
        dict(seen.numbers),
        answers.labels if named else None,
        answers.predictions if named else None,
        probes.beliefs if probes else None,
        depth,
        features,
        weighted,
        material.classes,
    )
    batch = _inputs_of(samples)
    atlas = Atlas(
        rows=rows,
        inputs=columns(
            samples.ids(range(seen.count)), batch, material.kind, labels=answers.labels,
            predictions=answers.predictions, losses=answers.losses, classes=answers.names,
        ),
        moments=(Moment(wanted.label, tuple(grids)),),
        depths=tuple(int(d) for d in depth) if depth is not None else None,
        patterns=patterns(asked),
        maps=input_maps(features, weighted) if features is not None else (),
        units=units.units(keys) if wanted.units else (),
        notes=_notes(material, seen, probes, wanted),
    )  # fmt: skip
    chosen = telling(atlas) if wanted.details is None else wanted.details
    shown = followed(material, chosen, wanted, keys)
    return Looked(attrs.evolve(atlas, details=shown), kept.whole())


def telling(atlas: Atlas, most: int = 12) -> tuple[int, ...]:
    """Inputs worth following: those that patterns name first, the worst, and one of every class."""
    inputs = atlas.inputs
    found = [n for pattern in atlas.patterns for n in pattern.inputs[:2]]
    losses = [-1.0 if v is None else v for v in inputs.losses or ()]
    found += sorted(range(len(losses)), key=lambda n: -losses[n])[:2]
    labels = inputs.labels if inputs.classes is not None else None
    met: set[float | None] = set()
    for n in inputs.order:
        if labels is None or labels[n] not in met:
            found.append(n)
            met.add(labels[n] if labels is not None else None)
    return tuple(dict.fromkeys(found))[:most]


def followed(
    material: Material, chosen: Sequence[int], wanted: Wanted, keys: Sequence[tuple[str, int]]
) -> tuple[InputDetails, ...]:
    """The chosen inputs through all layers, with what of them counts where that was asked for."""
    count = len(material.samples)
    for index in chosen:
        if not 0 <= index < count:
            raise UserError(f"look: no input {index}; there are {count}, from 0")
    places = {key: n for n, key in enumerate(keys)}
    items: dict[int, tuple[Detail, ...]] = {}
    for inputs, _, rows in material.samples.batches(wanted.batch_size) if chosen else ():
        here = {int(row): n for n, row in enumerate(rows)}
        asked = [index for index in chosen if index in here]
        if not asked:
            continue
        told = details(material.network, inputs, places, [here[i] for i in asked], material.call)
        items |= dict(zip(asked, told, strict=True))
        if wanted.attribution is not None:
            for index in asked:
                one = tree_map(lambda t, n=here[index]: t[n : n + 1], inputs)
                shown = attribution(material.network, one, wanted.attribution, call=material.call)
                items[index] = (*items[index], _named(shown, material))
    return tuple(InputDetails(index, items[index]) for index in chosen if index in items)


def glance(material: Material, wanted: Wanted, network: nn.Module, label: str) -> Atlas:
    """What is wanted of another network of the same make, without what belongs to one moment alone."""
    made = attrs.evolve(wanted, units=False, details=(), attribution=None, raw=(), label=label)
    return look_at(attrs.evolve(material, network=network), made).atlas


def with_earlier(atlas: Atlas, earlier: Iterable[Atlas]) -> Atlas:
    """The atlas with the moments of others, in their order, before its own."""
    return attrs.evolve(atlas, moments=(*(_aligned(other, atlas) for other in earlier), *atlas.moments))


def _aligned(other: Atlas, atlas: Atlas) -> Moment:
    """The moment of another atlas by the rows of this one."""
    at = {(row.name, row.call): n for n, row in enumerate(other.rows)}
    rows = [at.get((row.name, row.call), -1) for row in atlas.rows]
    if rows == list(range(len(other.rows))):
        return other.now
    grids = []
    for grid in other.now.grids:
        values = array(grid.values)
        missing = np.full(values.shape[1], np.nan, dtype=np.float32)
        grids.append(
            attrs.evolve(grid, values=floats(np.stack([values[r] if r >= 0 else missing for r in rows])))
        )
    return Moment(other.now.label, tuple(grids))


def _named(shown: Detail, material: Material) -> Detail:
    """An attribution to the features of a table is a list of contributions."""
    if len(shown.values.shape) != 1:
        return shown
    return attrs.evolve(shown, kind="contributions", names=material.feature_names)


def _inputs_of(samples: Samples) -> Any:
    inputs = getattr(samples, "inputs", None)
    return samples.head(len(samples))[0] if inputs is None else inputs


def _probes(task: Task | None) -> bool:
    return task is not None and task.name in ("classification", "binary", "regression")


def _has_weights(module: nn.Module | None) -> bool:
    return module is not None and any(p.ndim > 1 for p in module.parameters())


def _rows(seen: Seen, lines: Sequence[LayerLine]) -> tuple[AtlasRow, ...]:
    """The rows, each with its line of the listing: a layer by its name, a function as the next one of its
    kind in the same module."""
    at = {line.name: n for n, line in enumerate(lines) if line.name}
    functions: dict[tuple[str, str], list[int]] = {}
    for n, line in enumerate(lines):
        if not line.name:
            functions.setdefault((line.parent, line.kind), []).append(n)
    met: dict[tuple[str, str], int] = {}
    rows = []
    for spot, shape in zip(seen.spots, seen.shapes, strict=True):
        line = at.get(spot.name, -1)
        if spot.module is None:
            key = spot.parent, spot.kind
            here = functions.get(key, [])
            line = here[min(met.get(key, 0), len(here) - 1)] if here else -1
            met[key] = met.get(key, 0) + 1
        rows.append(AtlasRow(spot.name, spot.kind, spot.parent, line, spot.call, shape))
    return tuple(rows)


class _Kept:
    """Outputs that are to be kept whole."""

    def __init__(self, names: Sequence[str]) -> None:
        self._wanted = set(names)
        self._parts: dict[str, list[Tensor]] = {}

    def read(self, output: Output) -> None:
        spot = output.spot
        title = spot.name if spot.call == 1 else f"{spot.name} (call {spot.call})"
        if title in self._wanted:
            self._parts.setdefault(title, []).append(output.values.detach().float().cpu())

    def check(self, seen: Seen) -> None:
        missing = self._wanted - self._parts.keys()
        if missing:
            some = ", ".join(spot.name for spot in seen.spots[:8])
            more = ", …" if len(seen.spots) > 8 else ""
            raise UserError(f"look: no row {sorted(missing)[0]!r} to keep; there are {some}{more}")

    def whole(self) -> dict[str, Floats]:
        return {name: floats(torch.cat(parts).numpy()) for name, parts in self._parts.items()}


@frozen(eq=False)
class _Answers:
    """Of N inputs: labels, predictions and losses (N,), NaN where unknown; `names` of the classes."""

    labels: NDArray[np.float64] | None
    predictions: NDArray[np.float64] | None
    losses: NDArray[np.float64] | None
    names: tuple[str, ...] | None

    @staticmethod
    def of(material: Material, outputs: Tensor, samples: Samples) -> _Answers:
        task, targets = material.task, samples.targets().cpu()
        names: tuple[str, ...] | None = None
        labels = predictions = losses = None
        if task is not None and task.name in ("classification", "binary"):
            names = material.classes or tuple(str(n) for n in range(max(2, task.classes)))
            labels = labels_of(targets).double().numpy() if material.labelled else None
            decided = decisions(outputs, task, material.at_zero)
            predictions = decided.reshape(len(decided), -1)[:, 0].double().numpy()
        elif task is not None and task.name == "regression":
            predictions = outputs.reshape(len(outputs), -1)[:, 0].double().numpy()
            labels = targets.reshape(len(targets), -1)[:, 0].double().numpy() if material.labelled else None
        if material.labelled and material.losses is not None:
            try:
                each = material.losses(outputs, targets)
            except (RuntimeError, IndexError, ValueError):  # outputs or labels that the loss is not legal for
                each = None
            losses = each.double().numpy() if each is not None else None
        return _Answers(labels, predictions, losses, names)


@frozen(eq=False)
class _Probed:
    beliefs: asking.Beliefs
    depths: NDArray[np.int64] | None
    reference: int
    classes: bool


def _probed(material: Material, seen: Seen, mine: Numbers, answers: _Answers, wanted: Wanted) -> _Probed:
    assert answers.labels is not None and material.task is not None
    classes = material.task.name != "regression"
    if material.reference is None:
        there, known, own = mine, answers.labels, np.arange(seen.count)
    else:
        other = read_all(
            material.network, material.reference.batches(wanted.batch_size), [Features()], call=material.call
        )
        at = {(spot.name, spot.call): n for n, spot in enumerate(other.spots)}
        asked = [at.get((spot.name, spot.call), -1) for spot in seen.spots]
        found = features_of(other)
        there = np.where(
            (np.array(asked) >= 0)[:, None, None], found[np.clip(asked, 0, None)], np.float32("nan")
        )
        targets = material.reference.targets().cpu()
        known = (labels_of(targets) if classes else targets.reshape(len(targets), -1)[:, 0]).double().numpy()
        own = None
    told = asking.ask(mine, answers.labels, there, known, own, classes=classes)
    depth = asking.depths(told.belief, answers.labels) if classes else None
    return _Probed(told, depth, len(known), classes)


def _notes(material: Material, seen: Seen, probes: _Probed | None, wanted: Wanted) -> tuple[str, ...]:
    notes = []
    if probes is not None:
        where = "training inputs" if material.reference is not None else "these inputs, each without itself"
        notes.append(
            f"beliefs are the vote of the {probes.beliefs.neighbours} nearest of {probes.reference} {where},"
            " by 128 numbers that keep distances (random projections where a row holds more)"
        )
    elif wanted.beliefs:
        why = "no targets were given" if not material.labelled else "the task has no single answer an input"
        notes.append(f"beliefs were not asked: {why}")
    if wanted.gradients and material.goal is None:
        notes.append("gradients were not measured: no loss is known for these inputs")
    return tuple(notes)
