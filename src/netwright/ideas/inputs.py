"""Ideas about what goes in: scaling, repairs, augmentation, the weight of classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from netwright.catalogue import idea
from netwright.ideas.situation import Situation
from netwright.patterns.parts import APART, told_apart
from netwright.recipe import Recipe, TensorSamples
from netwright.runs import PartSummary
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


@idea(attribute="input_scaling", addresses=("split-drift",), prior=0.7)
def prepare_training_alike(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Training inputs with the scale per feature or channel that validation's have, and both standardised.

    For inputs that were prepared apart, such as a scaling that was forgotten for one part. The ends of the
    range are matched, or mean and spread: whichever leaves a linear model less to tell the parts by, and only
    where that is no more than chance may give. Validation stays as it is; where test inputs are like
    training's, validation is the odd one and nothing is offered.
    Source: Sun et al., Return of Frustratingly Easy Domain Adaptation (2016), with means and spreads alone.
    """
    data, finding = situation.evidence.data, situation.finding("split-drift")
    if data is None or finding is None or "area" not in finding.evidence:
        return
    train, val = data.train, data.val
    if train.kind not in ("table", "image", "series"):
        return
    if not (train.floating and isinstance(recipe.training_samples, TensorSamples)):
        return
    if not all(np.isfinite(v).all() for v in (train.mean, train.std, val.mean, val.std)):
        return
    if _tests_like_training(recipe, train, val):
        return
    ways = [
        (_per_feature(situation, scale), _per_feature(situation, shift))
        for scale, shift in (
            _mapping(train.low, train.high - train.low, val.low, val.high - val.low),
            _mapping(train.mean, train.std, val.mean, val.std),
        )
    ]
    area, scale, shift = min(
        (told_apart(attrs.evolve(train, inputs=_mapped(train.inputs, *way)), val)[0], *way) for way in ways
    )
    if area >= APART:
        return
    std = np.where(val.std > 1e-9, val.std, 1.0)
    standard = {"mean": _per_feature(situation, val.mean), "std": _per_feature(situation, std)}
    parts = [
        {"kind": "map-inputs", "parameters": {"scale": scale, "shift": shift}},
        {"kind": "standardise-inputs", "parameters": standard},
    ]
    label = "training inputs prepared as validation's are, and standardised"
    yield Edit("together", {"edits": parts}, "input_scaling", label)


def _mapping(
    place: np.ndarray, size: np.ndarray, other_place: np.ndarray, other_size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift (F,) that bring values of one place and size to another; what does not vary in one part
    is scaled as the others are."""
    varies = (size > 1e-9) & (other_size > 1e-9)
    ratio = other_size / np.where(varies, size, 1.0)
    scale = np.where(varies, ratio, np.median(ratio[varies]) if varies.any() else 1.0)
    return scale, other_place - scale * place


def _mapped(inputs: Tensor, scale: list[Any], shift: list[Any]) -> Tensor:
    return inputs.float() * torch.tensor(scale) + torch.tensor(shift)


def _tests_like_training(recipe: Recipe, train: PartSummary, val: PartSummary) -> bool:
    """Whether the test inputs are nearer to training's in size than to validation's."""
    test = recipe.data.parts.test
    if test is None:
        return False
    inputs = test.head(400)[0]
    if not isinstance(inputs, Tensor):
        return False
    flat = inputs.reshape(len(inputs), -1).float()

    def far(part: PartSummary) -> float:
        known = part.flat
        return float((flat.mean(0) - known.mean(0)).abs().mean() + (flat.std(0) - known.std(0)).abs().mean())

    return far(train) < far(val)


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


@idea(attribute="data_repairs", addresses=("bad-values",), prior=0.8)
def fill_coded_inputs(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """A code for 'missing' becomes the mean of its feature's other values.

    Source: Little and Rubin, Statistical Analysis with Missing Data (2019), section 4.2.
    """
    finding, data = situation.finding("bad-values"), situation.evidence.data
    if finding is None or data is None or not finding.evidence.get("sentinel") or not data.train.floating:
        return
    flat = data.train.flat
    chosen = [int(k) for k in finding.evidence["features"]]
    codes = [float(code) for code in finding.evidence["codes"]]
    known = [flat[:, k][flat[:, k] != code] for k, code in zip(chosen, codes, strict=True)]
    fill = [round(float(values.mean()), 6) for values in known]
    std = [round(float(values.std()), 6) or 1.0 for values in known]
    parameters = {"features": chosen, "codes": codes, "fill": fill, "std": std}
    said = f"{codes[0]:g}" if len(set(codes)) == 1 else f"{codes[0]:g} and its like"
    yield Edit("fill-code", parameters, "data_repairs", f"{said} filled with the feature's mean")


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
    data, loss = situation.evidence.data, recipe.settings.plain_loss
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


@idea(attribute="augment", addresses=("destructive-augmentation",), prior=0.9)
def no_augmentation(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Training inputs as they are.

    Source: Shorten and Khoshgoftaar, A survey on Image Data Augmentation (2019), 'safety'.
    """
    old = recipe.settings.augment
    if old is not None and situation.names("destructive-augmentation"):
        name = old if isinstance(old, str) else getattr(old, "__name__", "own")
        yield Edit.set("training.augment", None, f"augmentation {name} → none")


@idea(attribute="data_repairs", addresses=("label-misalignment",), prior=0.9)
def targets_to_their_inputs(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Training targets moved along the source to where the data say that they belong.

    Source: the probe label-shift; Northcutt et al., Confident Learning (2021), on trusting the data over a
    label.
    """
    finding = situation.finding("label-misalignment")
    by = finding.evidence.get("best_shift") if finding is not None and finding.evidence.get("shifted") else 0
    if by and isinstance(recipe.training_samples, TensorSamples):
        first = int(finding.evidence.get("first") or 0) if finding is not None else 0
        parameters = {"by": int(by), **({"first": first} if first else {})}
        label = f"targets{f' from row {first} on' if first else ''} moved by {-int(by):+d}"
        if finding is None or not finding.evidence.get("measured"):
            yield Edit("shift-targets", parameters, "data_repairs", label)
        elif not recipe.data.parts.val_meta and isinstance(recipe.data.parts.val, TensorSamples):
            parts = [
                {"kind": "shift-targets", "parameters": parameters},
                {"kind": "shift-validation-targets", "parameters": {"by": int(by)}},
            ]
            yield Edit("together", {"edits": parts}, "data_repairs", f"{label}, validation's too")


def _dropped(
    recipe: Recipe, situation: Situation, causes: tuple[str, ...], what: str, named: str = "rows"
) -> Iterator[Edit]:
    """The training samples that a finding names, left out."""
    for cause in causes:
        finding = situation.finding(cause)
        rows = finding.evidence.get(named) if finding is not None else None
        if (
            rows
            and hasattr(recipe.training_samples, "take")
            and len(rows) <= len(recipe.training_samples) // 2
        ):
            chosen = {"rows": [int(r) for r in rows]}
            yield Edit("drop-samples", chosen, "data_repairs", f"{len(rows):,} {what} dropped")
            return


@idea(attribute="data_repairs", addresses=("label-noise", "overfit-memorised-noise"), prior=0.6)
def drop_suspicious_samples(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Training samples whose label simple models reject are left out.

    Source: Northcutt et al., Confident Learning (2021), section 3.2.
    """
    causes = ("label-noise", "overfit-memorised-noise")
    yield from _dropped(recipe, situation, causes, "samples with doubtful labels")


@idea(attribute="data_repairs", addresses=("duplicates",), prior=0.5)
def drop_copies(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Each training sample once.

    Source: Lee et al., Deduplicating Training Data Makes Language Models Better (2022).
    """
    yield from _dropped(recipe, situation, ("duplicates",), "copies")


@idea(attribute="data_repairs", addresses=("outlier-batch",), prior=0.6)
def drop_outliers(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Training samples far outside all others are left out.

    Source: Barnett and Lewis, Outliers in Statistical Data (1994).
    """
    yield from _dropped(recipe, situation, ("outlier-batch",), "outliers")


def _blanked(situation: Situation, index: list[int], label: str) -> Iterator[Edit]:
    data = situation.evidence.data
    if data is None or not data.train.floating or not index:
        return
    mean = data.train.flat.nanmean(0)
    parameters = {"index": index, "fill": [round(float(mean[k]), 6) for k in index]}
    yield Edit("blank-inputs", parameters, "data_repairs", label)


@idea(attribute="data_repairs", addresses=("leakage",), prior=0.5)
def without_the_feature(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The feature that gives the answer away is the same for all samples.

    Source: Kaufman et al., Leakage in Data Mining (2012), section 5.
    """
    finding = situation.finding("leakage")
    feature = finding.evidence.get("feature") if finding is not None else None
    if feature is not None:
        yield from _blanked(situation, [int(feature)], f"without feature {feature}")


@idea(attribute="data_repairs", addresses=("leakage",), prior=0.5)
def without_the_shared(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Training samples that are in validation as well are left out of training.

    Source: Kapoor and Narayanan, Leakage and the reproducibility crisis (2023), on duplicates.
    """
    what = "samples that are in validation too"
    yield from _dropped(recipe, situation, ("leakage",), what, "training_rows")


@idea(attribute="data_repairs", addresses=("overfit-situation",), prior=0.6)
def blank_the_shortcut(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The part of the input that decides in training only is the same for all samples.

    Source: Geirhos et al., Shortcut Learning in Deep Neural Networks (2020).
    """
    finding, answer = situation.finding("overfit-situation"), situation.evidence.probes.get("situations")
    if finding is None:
        return
    if finding.evidence.get("index"):
        yield from _blanked(situation, finding.evidence["index"], f"without {finding.evidence['part']}")
    elif answer is not None and answer.shortcut is not None:
        index = [int(k) for k in answer.shortcut.index]
        yield from _blanked(situation, index, f"without {answer.shortcut.name}")
