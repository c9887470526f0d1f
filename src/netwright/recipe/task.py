"""What is asked of the network, and by which number it is judged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from attrs import field, frozen
from torch import Tensor

from netwright.values import UserError

TaskName = Literal["classification", "binary", "multilabel", "dense", "regression", "custom"]
Shape = tuple[int, ...] | None
TASKS: tuple[TaskName, ...] = ("classification", "binary", "multilabel", "dense", "regression", "custom")
UNIT_LOSSES = (
    "bce",
    "mse",
    "l1",
    "huber",
)  # a single output then means a probability or the class number itself
IGNORED = -100  # torch's own ignore_index
FEW_OUTPUTS, CONSTANT = 16, 1e-9  # columns; a share of the largest variance
WORST_R2 = -1.0  # below it every failure is the same failure; keeps a diverged run from deciding a mean


@frozen
class Task:
    """`name`, the number of `classes` (or target columns), and whether the kind of `targets` was open to
    doubt."""

    name: TaskName
    classes: int = 0
    ambiguous: bool = False


def infer_task(targets: Tensor, width: int | None, loss: str | None, shape: Shape = None) -> Task:
    """The task by the targets (N, ...) first, then by the output's width or `shape`, then by the loss.

    Whole numbers from 0 without gaps, few against N, are classes; {0, 1} in several columns is multi-label;
    whole numbers at many places of a sample, (N, ...), for a loss of classes are a class of every place
    (`dense`: pixels, tokens); other numbers are a regression. Few whole numbers that do not start at 0 are
    classes unless a single output says otherwise.
    """
    columns = targets.reshape(len(targets), -1)
    if columns.shape[1] > 1 and _of_every_place(targets, width, loss, shape):
        return Task("dense", int(columns.max()) + 1)
    if columns.shape[1] > 1:
        values = columns[: 1 << 16]
        binary = bool(((values == 0) | (values == 1)).all())
        if not binary:
            return Task("regression", columns.shape[1])
        one_each = bool((values.sum(1) == 1).all())
        exclusive = one_each and (loss is None or loss == "cross_entropy") and targets.ndim == 2
        return Task("classification" if exclusive else "multilabel", columns.shape[1], ambiguous=one_each)
    flat = columns[:, 0]
    finite = flat[torch.isfinite(flat)] if flat.is_floating_point() else flat
    if len(finite) == 0 or (flat.is_floating_point() and bool((finite != finite.round()).any())):
        return Task("regression", 1)
    distinct = torch.unique(finite)
    lowest, highest, count = int(distinct[0]), int(distinct[-1]), len(distinct)
    few = count <= max(2, min(1000, len(flat) // 10))
    if not few:
        # Whole numbers of which most occur once: amounts, unless they are exactly as many as the outputs.
        return Task(
            "classification" if width == highest + 1 and lowest == 0 and count > 2 else "regression",
            highest + 1,
        )
    if lowest == 0 and highest == 1:
        return Task("binary" if width == 1 or loss in ("bce", "bce_with_logits") else "classification", 2)
    gapless = highest - lowest + 1 <= 2 * count
    if lowest == 0 and gapless:
        return Task("classification", highest + 1, ambiguous=flat.is_floating_point() and width == 1)
    if width == 1 and (flat.is_floating_point() or loss in ("mse", "l1", "huber")):
        return Task("regression", 1, ambiguous=True)
    if gapless:
        return Task("classification", highest + 1, ambiguous=True)
    return Task("regression", 1, ambiguous=True)


def _of_every_place(targets: Tensor, width: int | None, loss: str | None, shape: Shape) -> bool:
    """Whether whole-number targets (N, ...) are the class of every place. Under a loss of classes they are,
    but for rows with one 1 in each where the output is as wide; under a loss of the user's own, where the
    outputs have one axis more, with room for all classes."""
    if targets.is_floating_point() or loss not in ("cross_entropy", "nll", None):
        return False
    known = targets[targets != IGNORED]
    if not len(known) or int(known.min()) < 0:
        return False
    if loss is None:
        places = tuple(targets.shape[1:])
        axis = shape[1] if shape is not None and shape[2:] == places else 0
        if shape is not None and shape[1:-1] == places:
            axis = max(axis, shape[-1])
        return axis > int(known.max())
    rows = targets.reshape(len(targets), -1)
    one_each = int(known.max()) <= 1 and bool((rows.sum(1) == 1).all())
    return not (one_each and targets.ndim == 2 and rows.shape[1] == width)


@frozen
class Metric:
    """A number over samples. `contributions(outputs, targets)` is (N,), its mean the metric; `None` for a
    metric of the user's that is no mean, then `whole(outputs, targets)` gives it. `trivial` is what
    ignoring the inputs reaches."""

    name: str
    trivial: float
    perfect: float
    contributions: Callable[[Tensor, Tensor], Tensor] | None = field(default=None, repr=False)
    whole: Callable[[Tensor, Tensor], float] | None = field(default=None, repr=False)
    higher_is_better: bool = True

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        if self.contributions is not None:
            return float(self.contributions(outputs, targets).double().mean())
        assert self.whole is not None
        return float(self.whole(outputs, targets))

    def skill(self, score: float) -> float:
        """0 for trivial, 1 for perfect."""
        return (score - self.trivial) / (self.perfect - self.trivial)


def decisions(outputs: Tensor, task: Task, at_zero: bool = True) -> Tensor:
    """The decided class (N,), the decided labels (N, K), or the outputs of a regression as (N, K).

    A single output is a logit (over 0) or, into a loss that wants probabilities, one of them (over 0.5).
    """
    flat = outputs.reshape(len(outputs), -1)
    if not at_zero and (flat.shape[1] == 1 or task.name == "multilabel"):
        flat = flat - 0.5
    if task.name == "classification" and flat.shape[1] > 1:
        return flat.nan_to_num(nan=-torch.inf).argmax(1)
    if task.name in ("classification", "binary", "multilabel"):
        return (flat > 0).long()[:, 0] if flat.shape[1] == 1 else (flat > 0).long()
    return flat


def labels_of(targets: Tensor) -> Tensor:
    """Class numbers (N,) of class numbers, a column of them, or one-hot rows."""
    if targets.ndim >= 2 and targets.shape[-1] > 1:
        return targets.reshape(len(targets), -1).argmax(1)
    return targets.reshape(-1).long()


def make_metric(
    metric: str | Callable[..., Any] | None, task: Task, train_targets: Tensor, loss: Any
) -> Metric:
    """The metric by name or from the user's function; by default accuracy, balanced where a class is over 10
    times rarer than another, and R² for a regression. Frozen by the training targets. Raises `UserError`
    for an unknown name."""
    if callable(metric):
        return _own_metric(metric, task, train_targets)
    if task.name == "custom":
        raise UserError(
            "recipe: task='custom' needs metric=, a function metric(outputs, targets) that returns a number"
        )
    at_zero = loss not in UNIT_LOSSES
    if task.name == "regression":
        return _regression(metric or "r2", train_targets)
    if task.name == "multilabel":
        if metric not in (None, "accuracy"):
            raise UserError(
                f"recipe: metric {metric!r} is not for several labels; say 'accuracy' or a function"
            )
        ones = train_targets.float().mean(0)
        return Metric(
            "label_accuracy", float(torch.maximum(ones, 1 - ones).mean()), 1.0, _label_accuracy(at_zero)
        )
    if task.name == "dense":
        if metric not in (None, "accuracy"):
            raise UserError(
                f"recipe: metric {metric!r} is not for a class of every place; say 'accuracy' or a function"
            )
        known = train_targets[train_targets != IGNORED].reshape(-1)
        commonest = float(torch.bincount(known).max() / max(1, len(known)))
        return Metric("accuracy", commonest, 1.0, _right_everywhere)
    labels = labels_of(train_targets)
    counts = torch.bincount(labels.clamp(min=0)).double()
    counts = counts[counts > 0]
    uneven = float(counts.max() / counts.min()) > 10
    name = metric or ("balanced_accuracy" if uneven else "accuracy")
    right = _right(task, at_zero)
    if name == "accuracy":
        return Metric("accuracy", float(counts.max() / counts.sum()), 1.0, right)
    if name == "balanced_accuracy":
        return Metric(
            "balanced_accuracy", 1.0 / max(len(counts), 1), 1.0, lambda o, t: right(o, t) * _weights(t)
        )
    raise UserError(
        f"recipe: metric {name!r} is not known; say 'accuracy', 'balanced_accuracy', 'r2' or a function"
    )


def _own_metric(metric: Callable[..., Any], task: Task, targets: Tensor) -> Metric:
    """The user's function, with what constant answers and the targets themselves score as its ends; 0 and 1
    where it cannot be asked. One of which less is better is turned round, so that more is better
    everywhere."""
    name = getattr(metric, "__name__", "metric")
    goal = targets.cpu()
    if task.name == "regression" and goal.is_floating_point():
        best, constant = goal, goal.mean(0, keepdim=True).expand_as(goal)
    elif task.name == "classification" and goal.ndim == 1 and task.classes > 1:
        best = 20.0 * torch.nn.functional.one_hot(goal.clamp(0, task.classes - 1), task.classes).float()
        constant = best.mean(0, keepdim=True).expand_as(best)
    else:
        return Metric(name, 0.0, 1.0, whole=metric)
    try:
        trivial, perfect = float(metric(constant, goal)), float(metric(best, goal))
    except Exception:  # it wants something else than the outputs; its own first use will say so
        return Metric(name, 0.0, 1.0, whole=metric)
    if not (math.isfinite(trivial) and math.isfinite(perfect)) or trivial == perfect:
        return Metric(name, 0.0, 1.0, whole=metric)
    if perfect > trivial:
        return Metric(name, trivial, perfect, whole=metric)
    return Metric(f"-{name}", -trivial, -perfect, whole=lambda outputs, goal: -float(metric(outputs, goal)))


def _right(task: Task, at_zero: bool) -> Callable[[Tensor, Tensor], Tensor]:
    def right(outputs: Tensor, targets: Tensor) -> Tensor:
        return (decisions(outputs, task, at_zero) == labels_of(targets)).double()

    return right


def _right_everywhere(outputs: Tensor, targets: Tensor) -> Tensor:
    """(N,) the share of a sample's places whose class is right, of outputs (N, C, ...), (N, ..., C) or with
    all places in a row, (N · places, C)."""
    first = outputs.ndim == targets.ndim + 1 and outputs.shape[:1] + outputs.shape[2:] == targets.shape
    decided = outputs.nan_to_num(nan=-torch.inf).argmax(1 if first else -1).reshape(targets.shape)
    known = (targets != IGNORED).reshape(len(targets), -1)
    right = (decided == targets).reshape(len(targets), -1) & known
    return right.sum(1).double() / known.sum(1).clamp(min=1)


def _label_accuracy(at_zero: bool) -> Callable[[Tensor, Tensor], Tensor]:
    def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
        flat = outputs.reshape(len(outputs), -1) - (0.0 if at_zero else 0.5)
        return ((flat > 0) == targets.reshape(len(targets), -1).bool()).double().mean(1)

    return accuracy


def _weights(targets: Tensor) -> Tensor:
    """(N,) so that every class present weighs the same and the mean is over classes."""
    _, member, counts = torch.unique(labels_of(targets), return_inverse=True, return_counts=True)
    return (len(member) / (len(counts) * counts.double()))[member]


def _without_giants(values: Tensor) -> Tensor:
    """(N, K) with NaN for the few numbers ten times as far from the median as 98 % of their column: next to
    them every answer would look perfect. Many columns are one quantity in many places: they stay."""
    if values.shape[1] > FEW_OUTPUTS:
        return values
    away = (values - values.nanmedian(0).values).abs()
    usual = torch.nanquantile(away[:: max(1, len(away) // 100_000)], 0.98, dim=0)
    return torch.where((away > 10 * usual) & (usual > 0), torch.nan, values)


def _regression(name: str, train_targets: Tensor) -> Metric:
    if name != "r2":
        raise UserError(f"recipe: metric {name!r} is not for a regression; say 'r2' or a function")
    flat = train_targets.reshape(len(train_targets), -1).double()
    finite = _without_giants(torch.where(torch.isfinite(flat), flat, torch.nan))
    mean = finite.nanmean(0)
    variance = ((finite - mean) ** 2).nanmean(0).nan_to_num()
    # Constant columns explain nothing. Of many columns, which are one quantity in many places, each counts by
    # its variance; of a few, all count the same.
    counted = variance > CONSTANT * variance.max()
    share = variance / variance.sum() if len(variance) > FEW_OUTPUTS else counted / counted.sum()
    weights = torch.where(counted, share / variance, 0.0) if counted.any() else torch.full_like(mean, 1e12)

    def explained(outputs: Tensor, targets: Tensor) -> Tensor:
        goal = targets.reshape(len(targets), -1).double().cpu()
        guess = outputs.reshape(len(outputs), -1).double().cpu()
        if guess.shape != goal.shape:
            guess = guess[:, :1].expand_as(goal) if guess.shape[1] else torch.full_like(goal, torch.nan)
        error = ((goal - guess) ** 2 * weights).sum(1)
        worst = 1 - WORST_R2
        error = error.nan_to_num(nan=worst, posinf=worst).clamp(max=1e12)
        if float(error.mean()) > worst:  # the whole run counts as the worst, its samples in proportion
            error = error * (worst / error.mean())
        return 1 - error

    return Metric("r2", 0.0, 1.0, explained)
