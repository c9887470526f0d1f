"""Ideas about what goes in: scaling, repairs, augmentation, the weight of classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from netwright.catalogue import idea
from netwright.ideas.situation import Situation
from netwright.recipe import Recipe
from netwright.values import Edit


def _per_feature(situation: Situation, values: np.ndarray) -> list[Any]:
    """Values (F,) in a shape that broadcasts against the inputs: (F,), or (C, 1, 1) for images."""
    data = situation.evidence.data
    assert data is not None
    if data.train.kind == "image" and len(data.train.shape) == 3:
        return [[[float(v)]] for v in values]
    return [float(v) for v in values]


@idea(attribute="input_scaling", addresses=("input-scale", "lr-too-high", "saturation"), prior=0.6)
def standardise_inputs(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Inputs with mean 0 and variance 1 per feature or channel, by the statistics of the training part.

    Source: LeCun et al., Efficient BackProp (1998), section 4.3.
    """
    data = situation.evidence.data
    if data is None or data.train.kind not in ("table", "image", "series") or not data.train.floating:
        return
    train = data.train
    if any(edit.kind == "standardise-inputs" for edit in recipe.edits) or not np.isfinite(train.mean).all():
        return
    unit = np.abs(train.mean).max() < 0.25 and np.abs(train.std - 1).max() < 0.25
    if unit:
        return
    std = np.where(train.std > 1e-12, train.std, 1.0)
    parameters = {"mean": _per_feature(situation, train.mean), "std": _per_feature(situation, std)}
    each = {"table": "feature", "image": "channel", "series": "feature"}[train.kind]
    yield Edit("standardise-inputs", parameters, "input_scaling", f"inputs standardised per {each}")


@idea(attribute="data_repairs", addresses=("bad-values",), prior=0.9)
def fill_bad_inputs(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Values that are not finite become the training mean of their feature.

    Source: Little and Rubin, Statistical Analysis with Missing Data (2019), section 4.2.
    """
    data = situation.evidence.data
    if data is None or not data.train.floating or not (data.train.bad_inputs or data.val.bad_inputs):
        return
    if any(edit.kind == "fill-inputs" for edit in recipe.edits):
        return
    mean = np.where(np.isfinite(data.train.mean), data.train.mean, 0.0)
    parameters = {"fill": _per_feature(situation, mean)}
    yield Edit("fill-inputs", parameters, "data_repairs", "missing inputs filled with the feature's mean")


@idea(attribute="data_repairs", addresses=("bad-values",), prior=0.5)
def drop_bad_samples(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Training samples whose inputs or targets are not finite are left out.

    Source: Little and Rubin, Statistical Analysis with Missing Data (2019), section 3.2.
    """
    data = situation.evidence.data
    if data is None or not data.train.bad_rows or len(data.train.bad_rows) > data.train.size // 2:
        return
    if data.train.looked_at < data.train.size or not hasattr(recipe.training_samples, "take"):
        return
    rows = data.train.bad_rows
    yield Edit(
        "drop-samples", {"rows": rows}, "data_repairs", f"{len(rows):,} samples with bad values dropped"
    )


@idea(attribute="augment", addresses=("too-little-data", "overfit-capacity"), prior=0.3, late=True)
def shift_images(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Images moved by up to an eighth of their size.

    Source: Krizhevsky et al., ImageNet Classification with Deep CNNs (2012), section 4.1.
    """
    if _is_image(situation) and recipe.settings.augment is None:
        yield Edit.set("training.augment", "shift", "augmentation none → shift")


@idea(attribute="augment", addresses=("too-little-data", "overfit-capacity"), prior=0.2, late=True)
def noise_on_inputs(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Gaussian noise of a tenth of the inputs' spread.

    Source: Bishop, Training with Noise is Equivalent to Tikhonov Regularization (1995).
    """
    data = situation.evidence.data
    if data is not None and data.train.floating and recipe.settings.augment is None:
        yield Edit.set("training.augment", "noise", "augmentation none → noise")


def _is_image(situation: Situation) -> bool:
    data = situation.evidence.data
    return data is not None and data.train.kind == "image" and len(data.train.shape) == 3


@idea(attribute="class_weights", addresses=("class-imbalance",), prior=0.7)
def weigh_classes(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Each class's loss weighted by one over its number of samples, mean weight 1.

    Source: King and Zeng, Logistic Regression in Rare Events Data (2001).
    """
    data, loss = situation.evidence.data, recipe.settings.loss
    if (
        data is None
        or loss not in ("cross_entropy", "nll", "bce_with_logits")
        or recipe.settings.class_weights
    ):
        return
    if not situation.names("class-imbalance"):
        return
    counts = data.train.counts()
    classes = max(counts) + 1
    batch = situation.evidence.batch
    if batch is not None and batch.output_shape is not None and len(batch.output_shape) > 1:
        classes = max(classes, batch.output_shape[1]) if loss != "bce_with_logits" else 2
    weights = [1.0 / max(counts.get(k, 0), 1) for k in range(classes)]
    present = [w for k, w in enumerate(weights) if counts.get(k)]
    mean = sum(present) / len(present)
    edit = Edit.set(
        "training.class_weights", [round(w / mean, 4) for w in weights], "classes weighted by 1 / count"
    )
    yield edit
