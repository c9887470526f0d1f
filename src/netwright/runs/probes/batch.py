"""Experiments on one batch: a handful of forward and backward passes, no training.

Each takes a `Subject` and works on a copy of its network in evaluation mode, so that dropout is off and batch
statistics are constants; letters: B samples, T positions, K outputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from netwright.recipe import seeded, stream, tree_map, tree_tensors
from netwright.recipe.edits import core
from netwright.runs.subject import Subject

ROWS = 16
POSITIONS = 32
NOISE = 1e-4


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
    used = _quiet(subject)
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
    weights = torch.randn(outputs[0].shape, generator=_generator(seed)).to(outputs)
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
    of the slices that matter; `probed` positions were looked at."""

    share_used: float
    axis_used: float
    axis: int
    unused: tuple[str, ...]
    probed: int


def input_use(subject: Subject, seed: int = 0) -> InputUse | None:
    """Which parts of the input reach the output: by gradient for numbers, by rolling along the batch for
    whole numbers and masks. `None` where the network gives no gradient."""
    used = _quiet(subject)
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
    return InputUse(float(mask.float().mean()), shares[axis], axis, unused, mask.numel())


def _used_by_gradient(used: Subject, inputs: Any, largest: Tensor, seed: int) -> Tensor | None:
    leaf = largest.detach().clone().requires_grad_()
    outputs = used.outputs(tree_map(lambda t: leaf if t is largest else t, inputs))
    if not outputs.requires_grad:
        return None
    weights = torch.randn(outputs.shape, generator=_generator(seed)).to(outputs)
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
class StartLoss:
    """The loss before any step against that of answering 0 for everything, which a sound start is near."""

    loss: float
    expected: float


class _Constant(nn.Module):
    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, *_: Any, **__: Any) -> Tensor:
        return self.outputs


def start_loss(subject: Subject, seed: int = 0) -> StartLoss | None:
    """The loss at initialisation against its expected value: log(K) for K even classes, the mean square of
    the targets for a squared error. Source: Karpathy, A Recipe for Training Neural Networks (2019), step
    2."""
    used = _quiet(subject)
    with torch.no_grad(), seeded(seed, "start loss"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = used.outputs()
        loss = float(used.loss(used.network, used.inputs, used.targets))
        neutral = torch.full_like(outputs, 0.5 if used.loss_name == "bce" else 0.0)
        if used.loss_name == "nll":
            neutral = neutral.log_softmax(1)
        expected = float(used.loss(_Constant(neutral), used.inputs, used.targets))
    return StartLoss(loss, expected)


@frozen
class LossExtremes:
    """Legal outputs and batches for which a loss written by hand is not finite, in words."""

    failing: tuple[str, ...] = ()


def loss_extremes(subject: Subject, seed: int = 0) -> LossExtremes | None:
    """The loss of outputs far apart and of batches of a single class, where the ordinary outputs give a
    finite one.

    Of torch's own losses by name nothing is asked: they are finite. `None` for one that replaces forward as
    well.
    """
    recipe = subject.recipe
    if recipe is not None and isinstance(recipe.settings.loss, str):
        return LossExtremes()
    if recipe is not None and recipe.settings.step is not None:
        return None
    used = _quiet(subject)
    failing: list[str] = []
    with torch.no_grad(), seeded(seed, "loss extremes"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = used.outputs()

        def finite(made: Tensor, targets: Tensor) -> bool:
            return bool(torch.isfinite(used.loss(_Constant(made), used.inputs, targets)).all())

        if not finite(outputs, used.targets):
            sound = bool(torch.isfinite(outputs).all()) and bool(torch.isfinite(used.targets.float()).all())
            return LossExtremes(("an ordinary batch of finite outputs and targets",) if sound else ())
        unit = float(outputs.min()) >= 0 and float(outputs.max()) <= 1
        signs = torch.ones_like(outputs)
        signs.reshape(-1)[::2] = -1
        for sign in (1, -1):
            far = (signs * sign > 0).to(outputs) if unit else 60 * sign * signs
            if not finite(far, used.targets):
                failing.append("outputs of 0 and 1" if unit else "outputs of ±60")
                break
        blown = _blown_up(used, outputs)
        if blown is not None:
            failing.append(blown)
        flat = used.targets.reshape(len(used.targets), -1)
        if flat.shape[1] == 1 and not used.targets.is_floating_point():
            for value in flat.unique()[:10]:
                rows = (flat[:, 0] == value).nonzero()[:, 0]
                if not finite(outputs[rows], used.targets[rows]):
                    failing.append(f"a batch in which every target is {float(value):g}")
                    break
    return LossExtremes(tuple(failing))


def _blown_up(used: Subject, outputs: Tensor) -> str | None:
    """A target near 0 whose loss alone is a thousand times the usual, though the output is no further from
    it."""
    if not used.targets.is_floating_point() or used.targets[0].numel() != 1 or outputs[0].numel() != 1:
        return None
    every = used.targets if used.recipe is None else used.recipe.training_samples.targets().to(used.targets)
    every = every.reshape(-1)
    every = every[torch.isfinite(every)]
    nearest = every[every.abs().argsort()[:32]]
    usual = every[:: max(1, len(every) // 32)][:32]

    def loss(target: Tensor) -> float:  # of an output that is one standard deviation off
        goal = target.reshape(used.targets[:1].shape)
        made = (goal + every.std()).reshape(outputs[:1].shape)
        return float(used.loss(_Constant(made), used.inputs, goal))

    middle = float(torch.tensor([loss(t) for t in usual]).median())
    for target in nearest:
        value = loss(target)
        if middle > 0 and not value < 1e3 * middle:
            return (
                f"a target of {float(target):.2g}, where it is a thousand times larger than for as large an"
                " error elsewhere"
            )
    return None


@frozen
class Modes:
    """The same batch twice in evaluation mode, and once in training mode: the largest difference of outputs
    over their spread."""

    repeated: float
    training: float


def evaluation_modes(subject: Subject, seed: int = 0) -> Modes:
    """Whether evaluation repeats itself, and how far training mode is from it on the same data."""
    used = _quiet(subject)
    with torch.no_grad(), seeded(seed, "modes"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = used.outputs(), used.outputs()
        spread = float(first.float().std()) or 1.0
        repeated = float((first - second).abs().max()) / spread
        used.network.train()
        trained = used.outputs()
    return Modes(repeated if repeated > NOISE else 0.0, float((trained - first).abs().max()) / spread)


@frozen
class GradientCheck:
    """Autograd against central differences in float64, by parameter: `error` is |numeric − autograd| over the
    larger. `functions` are the gradients written by hand that the pass goes through; `layer` is the one with
    the largest error."""

    functions: tuple[str, ...]
    error: float = 0.0
    layer: str = ""
    checked: int = 0


def gradient_check(subject: Subject, seed: int = 0) -> GradientCheck | None:
    """Directional derivatives of the loss along each parameter, where a gradient was written by hand.

    `None` where none was, or where the network cannot be run in float64.
    Source: PyTorch documentation, torch.autograd.gradcheck.
    """
    used = _quiet(subject)
    with seeded(seed, "gradient check"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        functions = _handwritten(used.loss(used.network, used.inputs, used.targets))
        if not functions:
            return None
        used.network.double()
        inputs = tree_map(lambda t: t.double() if t.is_floating_point() else t, used.inputs)
        targets = used.targets.double() if used.targets.is_floating_point() else used.targets
        try:
            loss = used.loss(used.network, inputs, targets)
            parameters = [(n, p) for n, p in core(used.network).named_parameters() if p.requires_grad]
            given = gradients_of(loss, [p for _, p in parameters])
        except (RuntimeError, TypeError):
            return None
        worst, layer = 0.0, ""
        generator = _generator(seed)
        for (name, parameter), gradient in zip(parameters, given, strict=True):
            direction = torch.randn(parameter.shape, generator=generator).to(parameter)
            numeric = _slope(used, inputs, targets, parameter, direction)
            analytic = float((gradient * direction).sum()) if gradient is not None else 0.0
            size = max(abs(numeric), abs(analytic))
            error = abs(numeric - analytic) / size if size > 1e-9 else 0.0
            if error > worst:
                worst, layer = error, name.rpartition(".")[0]
    return GradientCheck(functions, worst, layer, len(parameters))


@torch.no_grad()
def _slope(used: Subject, inputs: Any, targets: Tensor, parameter: Tensor, direction: Tensor) -> float:
    step = 1e-6
    losses = []
    for sign in (1, -2):
        parameter.add_(direction, alpha=sign * step)
        losses.append(float(used.loss(used.network, inputs, targets)))
    parameter.add_(direction, alpha=step)
    return (losses[0] - losses[1]) / (2 * step)


def _handwritten(loss: Tensor) -> tuple[str, ...]:
    """Names of the `torch.autograd.Function` subclasses in the graph behind `loss`."""
    waiting: list[Any] = [loss.grad_fn]
    seen, found = set[Any](), set[str]()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            found.add(type(node).__name__.removesuffix("Backward"))
        waiting.extend(parent for parent, _ in node.next_functions)
    return tuple(sorted(found))


@frozen
class Precision:
    """The batch in the recipe's precision against float32: shares of gradients that are exactly 0 in each,
    and whether the outputs and the gradients of each are finite."""

    zero: float
    zero_in_full: float
    finite: bool
    finite_in_full: bool


def precision(subject: Subject, seed: int = 0) -> Precision | None:
    """What half precision loses in one backward pass. `None` for a network that trains in float32.

    Source: Micikevicius et al., Mixed Precision Training (2018), section 3.2.
    """
    halves = (torch.float16, torch.bfloat16)
    cast = subject.recipe is not None and subject.recipe.settings.precision != "float32"
    own = any(p.dtype in halves for p in subject.network.parameters())
    if not (cast or own):
        return None
    with seeded(seed, "precision"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        low = _gradients(_quiet(subject), subject.inputs, subject.targets)
        full = _quiet(subject)
        full.network.float()
        inputs = tree_map(lambda t: t.float() if t.is_floating_point() else t, subject.inputs)
        with torch.autocast(subject.targets.device.type, enabled=False):
            reference = _gradients(_plain(full), inputs, subject.targets)
    return Precision(_zero(low), _zero(reference), _finite(low), _finite(reference))


def _plain(subject: Subject) -> Subject:
    """The same without the recipe's own autocast."""
    recipe = subject.recipe
    if recipe is None or recipe.settings.step is not None:
        return subject
    import attrs

    from netwright.runs.forward import forward, outputs_of

    loss = recipe.settings.make_loss()
    return attrs.evolve(subject, loss=lambda n, i, t: loss(outputs_of(forward(n, i)), t))


def _gradients(used: Subject, inputs: Any, targets: Tensor) -> list[Tensor]:
    parameters = [p for p in used.network.parameters() if p.requires_grad]
    loss = used.loss(used.network, inputs, targets)
    if not loss.requires_grad:
        return []
    given = gradients_of(loss, parameters)
    return [g.detach() for g in given if g is not None]


def gradients_of(of: Tensor, inputs: Sequence[Tensor], keep: bool = False) -> list[Tensor | None]:
    """The gradients by each of `inputs`; `None` where there is none."""
    return list(torch.autograd.grad(of, inputs, retain_graph=keep, allow_unused=True))


def _zero(gradients: list[Tensor]) -> float:
    count = sum(g.numel() for g in gradients)
    return float(sum((g == 0).sum() for g in gradients)) / max(1, count)


def _finite(gradients: list[Tensor]) -> bool:
    return all(bool(torch.isfinite(g).all()) for g in gradients)


def _quiet(subject: Subject) -> Subject:
    used = subject.copy()
    used.network.eval()
    return used


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(stream(seed, "probe"))
