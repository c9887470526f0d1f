"""Ideas about the loss and the scale of its targets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from netwright.catalogue import idea
from netwright.ideas.forward import judged, rewrite
from netwright.ideas.situation import Situation
from netwright.recipe import Recipe
from netwright.values import Edit


@idea(attribute="loss", addresses=("loss-output-mismatch",), prior=0.9)
def loss_takes_logits(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The loss that applies its own softmax or sigmoid, for a network that gives logits; the logarithm of
    probabilities under nll.

    Source: documentation of torch.nn.NLLLoss and BCELoss.
    """
    batch, loss = situation.evidence.batch, recipe.settings.loss_name
    if batch is None or batch.output_shape is None:
        return
    if loss == "nll" and batch.rows_sum_to_one:
        yield Edit("log-outputs", {}, "loss", "nll of the logarithm of the softmax")
    elif loss == "nll" and not batch.rows_log_sum_to_zero:
        yield Edit.set("training.loss", "cross_entropy", "loss nll → cross_entropy")
    elif loss == "bce" and not batch.in_unit_interval:
        yield Edit.set("training.loss", "bce_with_logits", "loss bce → bce_with_logits")


@idea(
    attribute="loss",
    addresses=("loss-output-mismatch", "unstable-loss", "low-precision", "output-width"),
    prior=0.8,
)
def loss_for_the_task(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The loss of the task that the targets show, as torch computes it, with as many outputs as it needs.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 5.2.
    """
    data, batch, settings = situation.evidence.data, situation.evidence.batch, recipe.settings
    asked = situation.names("loss-output-mismatch") or situation.names("unstable-loss")
    if not isinstance(settings.loss, str):  # what casts by hand often scales by hand too
        asked = asked or situation.names("low-precision")
    if data is None or batch is None or batch.output_shape is None or settings.loss is None or not asked:
        return
    task, name, shape = data.task, settings.loss_name, batch.output_shape
    wanted = _loss_of(data.task.name, shape, batch.in_unit_interval)
    if wanted is None or name in (wanted, *_AS_GOOD.get(wanted, ())):
        return
    change = f"loss {name or 'of its own'} → {wanted}"
    classes = task.classes if wanted == "cross_entropy" else None
    if classes is None or shape[1:2] == (classes,):
        if wanted == "cross_entropy" and batch.rows_sum_to_one and name is None:
            parts = [
                {"kind": "log-outputs", "parameters": {}},
                {"kind": "set", "parameters": {"name": "loss", "value": "nll"}},
            ]
            yield Edit(
                "together", {"edits": parts}, "loss", "loss of its own → nll of the log of the outputs"
            )
            return
        yield Edit.set("training.loss", wanted, change)
        if wanted == "mse" and name is None:  # what it stood for may have been mild with large errors
            yield Edit.set("training.loss", "huber", "loss of its own → huber")
    elif len(shape) == 2:  # more outputs have no place in a row of single numbers
        last = next((s for s in reversed(batch.layers) if s.kind == "Linear"), None)
        if last is not None:
            parameters = {"layer": last.name, "width": classes, "loss": wanted}
            wider = Edit("change-task", parameters, "loss", f"{change}, {classes} outputs")
            end = judged(situation)
            if end is None or end.name not in ("sigmoid", "softmax"):
                yield wider
                return
            free = rewrite([end], "identity", "loss", f"no {end.name} at the end")
            parts = [{"kind": e.kind, "parameters": dict(e.parameters)} for e in (free, wider)]
            yield Edit("together", {"edits": parts}, "loss", f"{wider.label}, {free.label}")


# Losses under which the outputs of a task mean the same: what else is wrong with them is another idea's.
_AS_GOOD = {
    "cross_entropy": ("nll",),
    "bce_with_logits": ("bce",),
    "bce": ("bce_with_logits",),
    "mse": ("l1", "huber"),
}


def _loss_of(task: str, shape: tuple[int, ...], unit: bool) -> str | None:
    """The usual loss of a task, for outputs of a shape (N, ...) that lie in the unit interval or not."""
    if task == "binary" and len(shape) > 1 and shape[1] == 2:
        return "cross_entropy"
    of_chances = "bce" if unit else "bce_with_logits"
    return {
        "classification": "cross_entropy", "binary": of_chances, "multilabel": of_chances, "regression": "mse"
    }.get(task)  # fmt: skip


@idea(attribute="loss", addresses=("outlier-batch",), prior=0.2, late=True)
def huber_loss(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Huber's loss for a squared error, so that outliers weigh less.

    Source: Huber, Robust Estimation of a Location Parameter (1964).
    """
    data = situation.evidence.data
    if recipe.settings.plain_loss == "mse" and data is not None and data.task.name == "regression":
        yield Edit.set("training.loss", "huber", "loss mse → huber")


@idea(attribute="target_scaling", addresses=("target-scale", "lr-too-low"), prior=0.5)
def standardise_targets(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The network learns targets of mean 0 and variance 1 and gives them back in their own unit.

    Source: Bishop, Neural Networks for Pattern Recognition (1995), section 8.2.
    """
    data = situation.evidence.data
    if data is None or data.task.name != "regression" or recipe.settings.target_scaling is not None:
        return
    if recipe.settings.loss_name not in ("mse", "l1", "huber"):
        return
    values = data.train.targets.reshape(data.train.size, -1).float().numpy()
    values = values[np.isfinite(values).all(1)]
    mean, std = values.mean(0), values.std(0)
    if len(values) and (np.abs(mean).max() > 0.1 or np.abs(std - 1).max() > 0.1) and (std > 0).all():
        parameters = {"mean": [float(v) for v in mean], "std": [float(v) for v in std]}
        yield Edit("standardise-targets", parameters, "target_scaling", "targets standardised")
