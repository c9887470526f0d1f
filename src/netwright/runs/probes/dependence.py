"""Whose inputs, and which of them, an output depends on.

Letters: B samples, T positions. Each probe works on a copy of the network in evaluation mode.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from netwright.recipe import seeded, tree_map, tree_tensors
from netwright.runs.probes.quiet import generator_of, gradients_of, quiet
from netwright.runs.subject import Subject

ROWS = 16
POSITIONS = 32


@frozen
class Mixing:
    """How far the output of one sample moves with the inputs of the others; 0 where it does not at all.

    `others` is the largest gradient at other samples over the largest at its own (whole-number inputs: the
    change of the output when the other samples are rolled, over its spread). `future` is the same for
    positions after the one that is predicted; `None` where the task is not to predict the next position.
    """

    others: float
    future: float | None = None
    by: str = "gradient"


def batch_mixing(subject: Subject, seed: int = 0) -> Mixing | None:
    """Gradient of one sample's output with respect to the inputs of the other samples, and of later
    positions.

    Whole-number inputs are rolled along the batch instead. `None` where the batch has a single sample or the
    outputs have no row for each.
    """
    used = quiet(subject)
    size = min(ROWS, len(subject.targets))
    inputs = tree_map(lambda t: t[:size], subject.inputs)
    if size < 2:
        return None
    floating = [t for _, t in tree_tensors(inputs) if t.is_floating_point()]
    whole = [t for _, t in tree_tensors(inputs) if not t.is_floating_point()]
    with seeded(seed, "mixing"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if floating and not whole:
            return _by_gradient(used, inputs, size, seed)
        return _by_rolling(used, inputs, size)


def _by_gradient(used: Subject, inputs: Any, size: int, seed: int) -> Mixing | None:
    leaves: list[Tensor] = []

    def leaf(value: Tensor) -> Tensor:
        made = value.detach().clone().requires_grad_(value.is_floating_point())
        leaves.append(made)
        return made

    outputs = used.outputs(tree_map(leaf, inputs))
    if len(outputs) != size or not outputs.requires_grad:
        return None
    weights = torch.randn(outputs[0].shape, generator=generator_of(seed)).to(outputs)
    worst = 0.0
    for row in (0, size // 2):
        given = gradients_of((outputs[row] * weights).sum(), leaves, keep=True)
        own = max((float(g[row].abs().max()) for g in given if g is not None), default=0.0)
        rest = max(
            (float(torch.cat([g[:row], g[row + 1 :]]).abs().max()) for g in given if g is not None),
            default=0.0,
        )
        worst = max(worst, rest / own if own > 0 else float(rest > 0))
    return Mixing(worst)


def _by_rolling(used: Subject, inputs: Any, size: int) -> Mixing | None:
    with torch.no_grad():
        outputs, again = used.outputs(inputs), used.outputs(inputs)
        if len(outputs) != size:
            return None
        spread = float(outputs.float().std()) or 1.0
        noise = float((outputs - again).abs().max())
        order = torch.tensor([0, *torch.arange(1, size).roll(1).tolist()])
        rolled = used.outputs(tree_map(lambda t: t[order], inputs))
        moved = float((rolled[0] - outputs[0]).abs().max())
        future = _future(used, inputs, outputs, spread, noise)
    return Mixing(_beyond(moved, noise) / spread, future, "rolling")


def _beyond(moved: float, noise: float) -> float:
    return moved if moved > 3 * noise else 0.0


def _future(used: Subject, inputs: Any, outputs: Tensor, spread: float, noise: float) -> float | None:
    """The change of outputs at early positions when late positions are rolled, for next-position tasks."""
    tokens = inputs if isinstance(inputs, Tensor) else None
    targets = used.targets[: len(outputs)]
    if tokens is None or tokens.ndim != 2 or targets.shape != tokens.shape or tokens.shape[1] < 4:
        return None
    if float((targets[:, :-1] == tokens[:, 1:]).float().mean()) < 0.95:
        return None
    length = tokens.shape[1]
    half = length // 2
    changed = tokens.clone()
    changed[:, half:] = tokens[:, half:].roll(1, 0)
    moved = (used.outputs(changed) - outputs).abs()
    axis = 1 if outputs.shape[1] == length else 2
    early = moved.narrow(axis, 0, half)
    return _beyond(float(early.max()), noise) / spread


@frozen
class InputUse:
    """On which of the inputs the output depends. `share_used` of the positions of the largest tensor move it;
    `unused` names tensors of several that do not; `axis_used` is the smallest share along one axis (T, C, …)
    of the slices that matter; `probed` positions were looked at. `idle` is the largest share, and `stretch`
    the number, of slices side by side along one axis that do not count at all."""

    share_used: float
    axis_used: float
    axis: int
    unused: tuple[str, ...]
    probed: int
    idle: float = 0.0
    stretch: int = 0


def input_use(subject: Subject, seed: int = 0) -> InputUse | None:
    """Which parts of the input reach the output: by gradient for numbers, by rolling along the batch for
    whole numbers and masks. `None` where the network gives no gradient."""
    used = quiet(subject)
    size = min(ROWS, len(subject.targets))
    inputs = tree_map(lambda t: t[:size], subject.inputs)
    named = dict(tree_tensors(inputs))
    largest = max(named, key=lambda n: named[n][0].numel())
    with seeded(seed, "input use"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unused = _unused(used, inputs, named, size)
        if named[largest].is_floating_point():
            mask = _used_by_gradient(used, inputs, named[largest], seed)
        else:
            mask = _used_by_rolling(used, inputs, largest, size)
    if mask is None or mask.ndim == 0:
        return None
    by_axis = [mask.movedim(axis, 0).reshape(width, -1).any(1) for axis, width in enumerate(mask.shape)]
    shares = [float(used_there.float().mean()) for used_there in by_axis]
    axis = min(range(mask.ndim), key=lambda k: shares[k])
    stretch = max((len(list(run)) for used, run in groupby(by_axis[axis].tolist()) if not used), default=0)
    idle = stretch / max(1, len(by_axis[axis]))
    return InputUse(float(mask.float().mean()), shares[axis], axis, unused, mask.numel(), idle, stretch)


def _used_by_gradient(used: Subject, inputs: Any, largest: Tensor, seed: int) -> Tensor | None:
    leaf = largest.detach().clone().requires_grad_()
    outputs = used.outputs(tree_map(lambda t: leaf if t is largest else t, inputs))
    if not outputs.requires_grad:
        return None
    weights = torch.randn(outputs.shape, generator=generator_of(seed)).to(outputs)
    given = gradients_of((outputs * weights).sum(), [leaf])[0]
    mask = torch.zeros_like(largest[0], dtype=torch.bool) if given is None else (given != 0).any(0)
    return None if _moves_all_the_same(used, inputs, largest, mask) else mask.cpu()


def _moves_all_the_same(used: Subject, inputs: Any, largest: Tensor, mask: Tensor) -> bool:
    """Whether outputs move with the values that have no gradient: it is cut on the way, and tells nothing."""
    if bool(mask.all()):
        return False
    changed = torch.where(mask, largest, largest.roll(1, 0))
    with torch.no_grad():
        outputs, again = used.outputs(inputs), used.outputs(inputs)
        moved = used.outputs(tree_map(lambda t: changed if t is largest else t, inputs))
    noise = float((again - outputs).abs().max())
    return _beyond(float((moved - outputs).abs().max()), noise) > 0


def _used_by_rolling(used: Subject, inputs: Any, name: str, size: int) -> Tensor | None:
    """(T,) whether rolling position t along the batch moves any output; positions where all samples agree
    count as used, since nothing can be said."""
    tokens = dict(tree_tensors(inputs))[name]
    if tokens.ndim < 2:
        return None
    flat_shape = tokens.shape[1:]
    with torch.no_grad():
        outputs = used.outputs(inputs)
        positions = range(0, flat_shape[0], max(1, flat_shape[0] // POSITIONS))
        found = []
        for position in positions:
            changed = tokens.clone()
            changed[:, position] = tokens[:, position].roll(1, 0)
            if bool((changed == tokens).all()):
                found.append(True)
                continue
            moved = used.outputs(tree_map(lambda t, c=changed: c if t is tokens else t, inputs))
            found.append(bool((moved != outputs).any()))
    return torch.tensor(found)


def _unused(used: Subject, inputs: Any, named: Mapping[str, Tensor], size: int) -> tuple[str, ...]:
    """Tensors of several whose roll along the batch changes nothing, though it changes them."""
    if len(named) < 2:
        return ()
    idle = []
    with torch.no_grad():
        outputs = used.outputs(inputs)
        for name, tensor in named.items():
            rolled = tensor.roll(1, 0)
            if bool((rolled == tensor).all()):
                continue
            moved = used.outputs(tree_map(lambda t, a=tensor, b=rolled: b if t is a else t, inputs))
            if bool((moved == outputs).all()):
                idle.append(name)
    return tuple(idle)


@frozen
class OrderSeen:
    """How far outputs move when the steps of a sequence change places, over their spread between samples;
    the smaller of two answers: all but the last step moved, all but the first."""

    change: float


def order_seen(subject: Subject, seed: int = 0) -> OrderSeen | None:
    """The outputs of up to 16 sequences, (B, T) or (B, T, F), against those with their steps in another
    order.

    `None` for inputs that are no single sequence of at least four steps, or outputs that are all the same.
    """
    used = quiet(subject)
    inputs = subject.inputs
    if not isinstance(inputs, Tensor) or inputs.ndim not in (2, 3) or inputs.shape[1] < 4 or len(inputs) < 2:
        return None
    inputs, steps = inputs[:ROWS], inputs.shape[1]
    order = torch.randperm(steps - 1, generator=generator_of(seed))
    if bool((order == torch.arange(steps - 1)).all()):
        order = order.flip(0)
    last, first = torch.tensor([steps - 1]), torch.tensor([0])
    moved = (torch.cat([order, last]), torch.cat([first, order + 1]))
    with seeded(seed, "order"), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        given = used.outputs(inputs)
        spread = float((given - given.mean(0)).abs().mean())
        if len(given) != len(inputs) or spread == 0:
            return None
        changes = [used.outputs(inputs[:, places.to(inputs.device)]) - given for places in moved]
    return OrderSeen(min(float(change.abs().max()) for change in changes) / spread)
