"""The verb `look`: the listing of a recipe or of a network, all of it or what was asked for, alone or beside
another."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from netwright import atlas
from netwright import diagnosis as rooms
from netwright.app import atlas as seeing
from netwright.app.results import LookResult
from netwright.app.weights import fill, weights_of
from netwright.app.work import device_for, opened
from netwright.catalogue import Catalogue
from netwright.recipe import Recipe, tree_map, tree_tensors, user_code
from netwright.recipe.source import layer_lines
from netwright.runs import Run, outputs_of
from netwright.runs.batch import first_batch
from netwright.values import (
    Comparison,
    Finding,
    Picked,
    UserError,
    Where,
    compared,
    cost,
    picked_of,
    sorted_by,
)

REPORTED = 300  # validation inputs in the report of an improvement


def look(
    target: Recipe | str | nn.Module,
    inputs: Any = None,
    *,
    weights: str | Path | None = None,
    partial: bool = False,
    seed: int = 0,
    device: str | None = None,
    journal: str | Path | None = None,
    extensions: tuple[str, ...] = (),
    where: str | None = None,
    sort: str | None = None,
    depth: int | None = None,
    unfold: bool = False,
    against: Recipe | str | nn.Module | None = None,
    targets: Any = None,
    count: int = seeing.COUNT,
    also: tuple[str, ...] | None = None,
    details: tuple[int | str, ...] | None = None,
    attribution: str | None = None,
    raw: tuple[str, ...] = (),
    before: bool = False,
    epochs: bool = False,
    picked: Mapping[str, str | int | None] | None = None,
) -> LookResult:
    """The listing, one line a layer with shape, parameters, FLOPs, memory, time, behaviour, gradient and
    health; with `inputs`, the atlas too: every layer with every input.

    `inputs` is `"val"` or `"train"` of a recipe, of which `count` are shown, or inputs of your own, with
    `targets` where they are known. Beside norm, mean, spread and share of zeros it holds what is named in
    `also` (`beliefs`, `gradients`, `units`); of a recipe all of them unless given. `details` are numbers or
    ids of inputs to follow through all layers, `attribution` how to explain them, `raw` names of layers whose
    outputs are kept whole. `before` adds the untrained network, `epochs` trains once and keeps the inputs at
    every epoch. A saved atlas is opened by the name of its file.

    Of a recipe it shows `weights`, else the journal's best finished run, else the seed's initial weights, and
    trains nothing. Of a network it needs `inputs`, a batch (B, ...), a tuple of them or a dictionary by name,
    and changes nothing in it. `where` leaves the lines for which an expression holds (`'conv and dead>0.3'`),
    `sort` puts the largest of a field first, `depth` folds what lies deeper into its module, `unfold` shows
    every line. `against` is another recipe, or a network that takes the same inputs, shown beside it.
    """
    if isinstance(target, (str, Path)) and str(target).endswith(atlas.SUFFIX):
        return _reopened(Path(target), picked)
    asked = seeing.Asked(inputs, targets, count, also, details, attribution, tuple(raw), before, epochs)
    chosen = Where.parse(where) if where is not None else None
    if depth is not None and depth < 1:
        raise UserError(f"--depth {depth}: say 1 or more, the levels of modules to show")
    if sort is not None:
        sorted_by((), sort)
    if against is not None and (sort is not None or depth is not None):
        raise UserError("--against lists the layers of both networks in order; leave out --sort and --depth")
    given = (seed, device, journal, extensions)
    result = _whole(target, inputs, weights, partial, *given, asked)
    if against is not None:
        shown = inputs
        if isinstance(against, nn.Module) and inputs is None and not isinstance(target, nn.Module):
            shown = first_batch(opened(target, extensions), seed)[0]
        shown = None if isinstance(shown, str) else shown
        other = _whole(against, shown, None, False, *given, seeing.Asked())
        result = attrs.evolve(result, against=_comparison(result, other))
    result = _chosen(attrs.evolve(result, depth=depth, unfold=unfold), chosen, sort)
    return attrs.evolve(result, picked=picked_of(result.atlas, picked)) if picked else result


def look_at_runs(after: tuple[Recipe, Run], before: tuple[Recipe, Run] | None, device: str) -> LookResult:
    """The listing and the atlas of a finished training over `REPORTED` validation inputs, beside the one
    before it. Raises `UserCodeError` for what the network raises."""
    recipe, run = after
    earlier: list[tuple[str, nn.Module]] = []
    with user_code(recipe.display_name):
        network, places = recipe.build_with_places(run.seed)
        fill(network, run)
        network.to(device)
        inputs = tree_map(lambda t: t.to(device), first_batch(recipe, run.seed)[0])
        found = atlas.read(network, inputs, places=places, clock=time.perf_counter)
        if before is not None:
            other = before[0].build(before[1].seed)
            fill(other, before[1])
            earlier.append(("before", other))
        label = "after" if earlier else f"seed {run.seed}"
        asked = seeing.Asked("val", count=REPORTED)
        seen = seeing.of_recipe(recipe, network, label, asked, found.lines, run.seed, device, earlier)
    return LookResult(
        recipe.display_name, label, found.lines, atlas.samples_in(inputs), notes=seen.notes,
        modules=found.modules, total=cost(found.lines), atlas=seen.atlas,
    )  # fmt: skip


def written(path: str | Path, content: str | bytes) -> None:
    """A file of a page or a picture. Raises `UserError` where it cannot be written."""
    data = content.encode() if isinstance(content, str) else content
    try:
        Path(path).write_bytes(data)
    except OSError as failed:
        raise UserError(f"{path}: cannot be written ({failed.strerror}); name another file") from failed


def _reopened(path: Path, picked: Mapping[str, str | int | None] | None) -> LookResult:
    found, about = atlas.reopen(path)
    shown = picked_of(found, picked) if picked else Picked()
    name, run = str(about.get("name", path.stem)), str(about.get("run", ""))
    return LookResult(name, run, (), len(found.inputs), atlas=found, picked=shown)


def _chosen(result: LookResult, where: Where | None, sort: str | None) -> LookResult:
    """What the expression leaves, in the order that was asked for."""
    lines = result.layers
    if where is not None and result.against is None:
        lines = tuple(line for line in lines if where(line))
    if sort is not None:
        lines = sorted_by(lines, sort)
    hidden, beside = len(result.layers) - len(lines), result.against
    if where is not None and beside is not None:
        pairs = tuple(
            p
            for p in beside.pairs
            if (p.left is not None and where(result.layers[p.left]))
            or (p.right is not None and where(beside.layers[p.right]))
        )
        hidden, beside = len(beside.pairs) - len(pairs), attrs.evolve(beside, pairs=pairs)
    return attrs.evolve(
        result,
        layers=lines,
        hidden=hidden,
        where=where.text if where else "",
        sort=sort or "",
        against=beside,
    )


def _comparison(result: LookResult, other: LookResult) -> Comparison:
    pairs = compared(result.layers, other.layers)
    return Comparison(other.name, other.run, other.layers, cost(other.layers), pairs)


def _whole(
    target: Recipe | str | nn.Module,
    inputs: Any,
    weights: str | Path | None,
    partial: bool,
    seed: int,
    device: str | None,
    journal: str | Path | None,
    extensions: tuple[str, ...],
    asked: seeing.Asked,
) -> LookResult:
    """Every line of one network, and its atlas where inputs were named."""
    if isinstance(target, nn.Module):
        return _of_network(target, inputs, asked)
    recipe = opened(target, extensions)
    where = device_for(device)
    with user_code(recipe.display_name):
        network, places = recipe.build_with_places(seed)
        static = rooms.static_evidence(recipe, where)
    run, notes = weights_of(recipe, network, weights, partial, seed, journal, where)
    error = static[0].batch.error if static[0].batch else None
    checks = (recipe.catalogue or Catalogue.collect()).checks.values()
    ranking = rooms.rank(f for f in rooms.examine(static, checks) if isinstance(f, Finding))
    if error is not None and not ranking.findings:
        raise rooms.unexplained(static[0], error)
    batch_inputs, targets = first_batch(recipe, seed)
    inputs = batch_inputs if inputs is None or isinstance(inputs, str) else inputs
    network.to(where)

    def backward(outputs: Any) -> torch.Tensor:
        return recipe.settings.make_loss()(outputs_of(outputs), targets.to(where))

    differentiable = recipe.settings.step is None and error is None and inputs is batch_inputs
    found = atlas.Listing((), ())
    with user_code(recipe.display_name):
        moved = tree_map(lambda t: t.to(where), inputs)
        try:
            found = atlas.read(
                network,
                moved,
                backward=backward if differentiable else None,
                places=places,
                findings=ranking.findings,
                clock=time.perf_counter,
            )
        except Exception:
            if error is None:
                raise
            # a patient whose forward fails: its findings are the answer
            notes = (*notes, "the network cannot be run as it is, so there are no layers to list")
    result = LookResult(
        recipe.display_name, run, found.lines, atlas.samples_in(inputs), ranking.findings, notes,
        found.modules, cost(found.lines),
    )  # fmt: skip
    if asked.inputs is None or (error is not None and not found.lines):
        return result
    with user_code(recipe.display_name):
        seen = seeing.of_recipe(recipe, network, run, asked, found.lines, seed, where)
    told = f"trained for this, seed {seed}, {seen.atlas.now.label}" if asked.epochs else result.run
    notes = seen.notes if asked.epochs else (*result.notes, *seen.notes)
    return attrs.evolve(result, atlas=seen.atlas, raw=seen.raw, run=told, notes=notes)


def _of_network(network: nn.Module, inputs: Any, asked: seeing.Asked) -> LookResult:
    name = type(network).__name__
    if inputs is None:
        raise UserError("look: a network needs inputs; nw.look(network, batch)")
    if any(is_lazy(p) for p in network.parameters()):
        raise UserError(f"look: {name} has lazy layers without weights yet; call it on a batch once first")
    if any(p.is_meta for p in network.parameters()):
        raise UserError(f"look: {name} is on the meta device and holds no numbers; give it weights first")
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    inputs = _moved(seeing.tensors(inputs), device)
    if any(t.ndim and not len(t) for _, t in tree_tensors(inputs)):
        raise UserError("look: the batch is empty; give one sample at least")
    with user_code(name):
        found = atlas.read(network, inputs, places=layer_lines(network), clock=time.perf_counter, spread=True)
        seen = seeing.of_network(network, attrs.evolve(asked, inputs=inputs), found.lines)
    return LookResult(
        name, "as it is", found.lines, atlas.samples_in(inputs), modules=found.modules,
        total=cost(found.lines), atlas=seen.atlas, raw=seen.raw,
    )  # fmt: skip


def _moved(inputs: Any, device: torch.device) -> Any:
    if isinstance(inputs, nn.utils.rnn.PackedSequence):
        whole: Any = inputs  # its `to` is typed as a tensor's with a dtype
        return whole.to(device)
    return tree_map(lambda t: t.to(device), inputs)
