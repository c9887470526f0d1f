"""Ideas about how long, in which batches, in which order and on which schedule to train."""

from __future__ import annotations

from collections.abc import Iterator

from netwright.catalogue import Cost, idea
from netwright.ideas.situation import Situation
from netwright.recipe import Recipe
from netwright.values import Edit


@idea(attribute="epochs", addresses=("too-few-epochs", "lr-too-low"), prior=0.4, cost=Cost.LONGER, late=True)
def train_longer(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Three times the epochs.

    Source: Hoffer et al., Train longer, generalize better (2017).
    """
    old = recipe.settings.epochs
    if situation.names("too-few-epochs") or situation.names("lr-too-low"):
        yield Edit.set("training.epochs", 3 * old, f"epochs {old} → {3 * old}")


@idea(attribute="epochs", addresses=("overfit-duration",), prior=0.3)
def train_shorter(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """As many epochs as it took to reach the best validation loss.

    Source: Prechelt, Early Stopping – But When? (1998).
    """
    run, old = situation.evidence.run, recipe.settings.epochs
    if (
        run is not None
        and run.best_epoch is not None
        and run.best_epoch <= 0.7 * old
        and situation.names("overfit-duration")
    ):
        yield Edit.set("training.epochs", run.best_epoch, f"epochs {old} → {run.best_epoch}")


@idea(attribute="batch_size", addresses=("batch-size",), prior=0.3)
def smaller_batches(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Half the batch size: more updates of more noise.

    Source: Masters and Luschi, Revisiting Small Batch Training (2018).
    """
    old = recipe.settings.batch_size
    if old >= 16 and recipe.data.parts.train.shuffles:
        yield Edit.set("training.batch_size", old // 2, f"batch size {old} → {old // 2}")


@idea(attribute="batch_size", addresses=("batch-size",), prior=0.2)
def larger_batches(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Twice the batch size: fewer updates of less noise.

    Source: Smith et al., Don't Decay the Learning Rate, Increase the Batch Size (2018).
    """
    old = recipe.settings.batch_size
    if recipe.data.parts.train.shuffles and 4 * old <= len(recipe.data.parts.train):
        yield Edit.set("training.batch_size", 2 * old, f"batch size {old} → {2 * old}")


@idea(attribute="schedule", addresses=("schedule-mismatch",), prior=0.5, late=True)
def cosine_schedule(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The rate falls to zero along a cosine.

    Source: Loshchilov and Hutter, SGDR (2017).
    """
    if recipe.settings.schedule in (None, "constant") or situation.names("schedule-mismatch"):
        yield Edit.set("training.schedule", "cosine", "schedule → cosine")


@idea(attribute="schedule", addresses=("schedule-mismatch",), prior=0.3, late=True)
def one_cycle_schedule(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The rate rises over the first third and falls to zero after it.

    Source: Smith and Topin, Super-Convergence (2018).
    """
    if recipe.settings.schedule != "one_cycle":
        old = recipe.settings.schedule or "constant"
        yield Edit.set(
            "training.schedule", "one_cycle", f"schedule {old if isinstance(old, str) else 'own'} → one_cycle"
        )


@idea(attribute="shuffle", addresses=("unshuffled",), prior=0.7)
def shuffle_each_epoch(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """A new order of the samples each epoch.

    Source: Bengio, Practical recommendations for gradient-based training (2012), section 3.1.
    """
    if not recipe.settings.shuffle and recipe.data.parts.train.shuffles:
        yield Edit.set("training.shuffle", True, "shuffle False → True")


@idea(attribute="batch_size", addresses=("batch-size", "normalisation-misuse"), prior=0.6)
def batches_of_sixteen(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Batches of 16, for a recipe of smaller ones.

    Source: Masters and Luschi, Revisiting Small Batch Training (2018); Wu and He, Group Normalization (2018).
    """
    old = recipe.settings.batch_size
    if old < 8 and recipe.data.parts.train.shuffles and len(recipe.training_samples) >= 64:
        yield Edit.set("training.batch_size", 16, f"batch size {old} → 16")


@idea(attribute="batch_size", addresses=("batch-size",), prior=0.7)
def batches_for_more_updates(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Batches small enough for some 300 updates in as many epochs, but of at least 16.

    Source: Masters and Luschi, Revisiting Small Batch Training (2018); Hoffer et al., Train longer (2017).
    """
    old, samples = recipe.settings.batch_size, recipe.training_samples
    if not samples.shuffles or not situation.names("batch-size"):
        return
    new = 1 << max(4, (len(samples) * recipe.settings.epochs // 300).bit_length() - 1)
    if new * 2 <= min(old, len(samples)):
        yield Edit.set("training.batch_size", new, f"batch size {old} → {new}")


@idea(attribute="schedule", addresses=("schedule-mismatch",), prior=0.7)
def constant_rate(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The rate stays what it is set to.

    Source: Bengio, Practical recommendations for gradient-based training (2012), section 3.1.1.
    """
    if recipe.settings.schedule not in (None, "constant") and situation.names("schedule-mismatch"):
        yield Edit.set("training.schedule", None, "schedule → constant")
