"""Ideas about the loss and the scale of its targets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from netwright.catalogue import idea
from netwright.ideas.situation import Situation
from netwright.recipe import Recipe
from netwright.values import Edit


@idea(attribute="loss", addresses=("loss-output-mismatch",), prior=0.9)
def loss_takes_logits(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The loss that applies its own softmax or sigmoid, for a network that gives logits.

    Source: documentation of torch.nn.NLLLoss and BCELoss.
    """
    batch, loss = situation.evidence.batch, recipe.settings.loss
    if batch is None or batch.output_shape is None:
        return
    if loss == "nll" and not batch.rows_log_sum_to_zero:
        yield Edit.set("training.loss", "cross_entropy", "loss nll → cross_entropy")
    elif loss == "bce" and not batch.in_unit_interval:
        yield Edit.set("training.loss", "bce_with_logits", "loss bce → bce_with_logits")


@idea(attribute="loss", addresses=("loss-output-mismatch",), prior=0.8)
def loss_for_the_task(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The loss of the task that the targets show, with as many outputs as it needs.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 5.2.
    """
    data, batch, loss = situation.evidence.data, situation.evidence.batch, recipe.settings.loss
    if (
        data is None
        or batch is None
        or batch.output_shape is None
        or not situation.names("loss-output-mismatch")
    ):
        return
    width = batch.output_shape[-1] if len(batch.output_shape) > 1 else 1
    if data.task.name == "classification" and loss in ("mse", "l1", "huber"):
        if width == data.task.classes:
            yield Edit.set("training.loss", "cross_entropy", f"loss {loss} → cross_entropy")
        elif len(batch.output_shape) == 2:  # more outputs have no place in a row of single numbers
            last = next((s for s in reversed(batch.layers) if s.kind == "Linear"), None)
            if last is not None:
                parameters = {"layer": last.name, "width": data.task.classes, "loss": "cross_entropy"}
                label = f"loss {loss} → cross_entropy, {data.task.classes} outputs"
                yield Edit("change-task", parameters, "loss", label)
    elif data.task.name == "regression" and loss == "cross_entropy":
        yield Edit.set("training.loss", "mse", "loss cross_entropy → mse")
    elif data.task.name == "multilabel" and loss == "cross_entropy":
        yield Edit.set("training.loss", "bce_with_logits", "loss cross_entropy → bce_with_logits")


@idea(attribute="loss", addresses=("outlier-batch",), prior=0.2, late=True)
def huber_loss(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Huber's loss for a squared error, so that outliers weigh less.

    Source: Huber, Robust Estimation of a Location Parameter (1964).
    """
    data = situation.evidence.data
    if recipe.settings.loss == "mse" and data is not None and data.task.name == "regression":
        yield Edit.set("training.loss", "huber", "loss mse → huber")


@idea(attribute="target_scaling", addresses=("target-scale", "lr-too-low"), prior=0.5)
def standardise_targets(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The network learns targets of mean 0 and variance 1 and gives them back in their own unit.

    Source: Bishop, Neural Networks for Pattern Recognition (1995), section 8.2.
    """
    data = situation.evidence.data
    if data is None or data.task.name != "regression" or recipe.settings.target_scaling is not None:
        return
    if recipe.settings.loss not in ("mse", "l1", "huber"):
        return
    values = data.train.targets.reshape(data.train.size, -1).float().numpy()
    values = values[np.isfinite(values).all(1)]
    mean, std = values.mean(0), values.std(0)
    if len(values) and (np.abs(mean).max() > 0.1 or np.abs(std - 1).max() > 0.1) and (std > 0).all():
        parameters = {"mean": [float(v) for v in mean], "std": [float(v) for v in std]}
        yield Edit("standardise-targets", parameters, "target_scaling", "targets standardised")
