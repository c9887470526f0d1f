"""Ideas about the learning rate."""

from __future__ import annotations

from collections.abc import Iterator

from netwright.catalogue import idea
from netwright.ideas.situation import Situation, rounded
from netwright.recipe import Recipe
from netwright.values import Edit


def _set(old: float, new: float) -> Edit:
    return Edit.set("training.lr", new, f"lr {old:g} → {new:g}")


@idea(attribute="lr", addresses=("lr-too-high",), prior=0.9)
def lower_learning_rate(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """A third of the largest rate at which the loss still fell in the range test, or a third of what is set;
    a fifth where a copy at that rate did better.

    Source: Smith, Cyclical Learning Rates (2017), section 3.3.
    """
    rate, test = situation.rate, situation.range_test
    if rate is None or rate <= 0:
        return
    finding = situation.finding("lr-too-high")
    if finding is not None and "training_skill_slower" in finding.evidence:
        yield _set(rate, rounded(rate / 5))
    largest = test.largest_falling_rate if test else None
    if largest is not None and largest < rate:
        yield _set(rate, rounded(largest / 3))
    else:
        yield _set(rate, rounded(rate / 3))


@idea(attribute="lr", addresses=("lr-too-low", "too-few-epochs"), prior=0.8)
def raise_learning_rate(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The rate of the furthest fall in the range test where it is far above what is set, else three times
    what is set.

    Source: Smith, Cyclical Learning Rates (2017), section 3.3; Bengio, Practical recommendations (2012),
    section 3.1.1.
    """
    rate, test = situation.rate, situation.range_test
    if rate is None or rate <= 0:
        return
    best = test.best_rate if test else None
    if best is not None and best > 5 * rate:
        yield _set(rate, rounded(best / 3))
        yield _set(rate, rounded(best))
    elif best is None or rate <= best * 3:
        yield _set(rate, rounded(rate * 3))
