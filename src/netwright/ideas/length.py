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
    if recipe.settings.schedule in (None, "constant"):
        yield Edit.set("training.schedule", "cosine", "schedule constant → cosine")


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
