"""What stands out in an atlas and has a name, so that it is not left to be found."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from netwright.atlas.beliefs import Beliefs
from netwright.values import AtlasPattern, AtlasRow

Numbers = NDArray[np.float32]
LATE = 0.8  # of the rows that were asked
STRANGE = 1.5  # times the distance to the nearest neighbour that 99 % keep to
APART, TOGETHER = 0.8, 0.65  # shares of two classes' inputs that are told apart
SAME = 0.998  # likeness of what two rows hold
FEW, ENOUGH = 3, 10  # of what is named; inputs of a class


@frozen(eq=False)
class Asked:
    """What patterns are looked for in: statistics by name (L, N); beliefs and features (L, N, D) where they
    were asked for; labels (N,) and predictions (N,) as class numbers."""

    rows: Sequence[AtlasRow]
    statistics: dict[str, Numbers]
    labels: NDArray[np.float64] | None = None
    predictions: NDArray[np.float64] | None = None
    beliefs: Beliefs | None = None
    depths: NDArray[np.int64] | None = None
    features: Numbers | None = None
    weighted: frozenset[int] = frozenset()  # rows of layers with parameters
    classes: tuple[str, ...] | None = None

    def name(self, label: float) -> str:
        known = self.classes is not None and 0 <= int(label) < len(self.classes)
        return self.classes[int(label)] if known and self.classes else f"{int(label)}"


def patterns(asked: Asked) -> tuple[AtlasPattern, ...]:
    """Every pattern that the atlas shows, the most telling kind first."""
    kinds = (not_finite, dead_rows, collapses, add_nothing, doubtful_labels, flip_late, unlike_any_other)
    return tuple(pattern for kind in kinds for pattern in kind(asked))


def not_finite(asked: Asked) -> Iterator[AtlasPattern]:
    """Inputs for which some row holds values that are not finite, and the first such row."""
    norm = asked.statistics["norm"]
    broken = ~np.isfinite(norm)  # (L, N)
    for row in range(len(norm)):
        if broken[row].any():
            inputs = np.flatnonzero(broken[row])
            yield AtlasPattern(
                "not-finite",
                f"values that are not finite from {asked.rows[row].said} on",
                f"{_inputs(len(inputs))} of {norm.shape[1]} first have NaN or infinity there.",
                (row,),
                _few(inputs),
            )
            return


def dead_rows(asked: Asked) -> Iterator[AtlasPattern]:
    """Rows that are 0 everywhere for every input: nothing passes."""
    zeros = asked.statistics["zeros"]
    rows = [row for row in range(len(zeros)) if np.isfinite(zeros[row]).any() and np.nanmin(zeros[row]) == 1]
    if rows:
        first = asked.rows[rows[0]].said
        yield AtlasPattern(
            "nothing-passes",
            f"nothing passes {first}",
            f"Every value there is 0 for all {zeros.shape[1]} inputs; what comes after sees no difference.",
            tuple(rows),
        )


def collapses(asked: Asked) -> Iterator[AtlasPattern]:
    """Two classes that a row still tells apart and a later one mixes up for good."""
    beliefs, labels = asked.beliefs, asked.labels
    if beliefs is None or labels is None:
        return
    names = [c for c in np.unique(labels[np.isfinite(labels)]) if (labels == c).sum() >= ENOUGH]
    if not 2 <= len(names) <= 50:
        return
    rows = _asked_rows(beliefs.belief)
    if len(rows) < 2:
        return
    found = []
    for a, one in enumerate(names):
        for other in names[a + 1 :]:
            apart = _told_apart(beliefs.belief[rows], labels, one, other)
            best = np.maximum.accumulate(apart)
            after = np.flip(np.maximum.accumulate(np.flip(apart)))
            fewest = min(int((labels == one).sum()), int((labels == other).sum()))
            chance = 3 * (0.25 / fewest) ** 0.5  # three standard errors of a share
            lost = np.flatnonzero(
                (best[:-1] >= APART) & (after[1:] <= TOGETHER) & (best[:-1] - after[1:] >= chance)
            )
            if len(lost):
                row = int(lost[0])
                found.append((float(best[row] - after[row + 1]), one, other, row, best[row], after[row + 1]))
    for _, one, other, row, before, after in sorted(found, key=lambda f: -f[0])[:FEW]:
        here, there = int(rows[row]), int(rows[row + 1])
        mine = np.flatnonzero(np.isin(labels, (one, other)))
        yield AtlasPattern(
            "collapses-two-classes",
            f"{asked.rows[there].said} mixes up {asked.name(one)} and {asked.name(other)}",
            f"Up to {asked.rows[here].said} neighbours tell them apart for {before:.0%} of their inputs,"
            f" from {asked.rows[there].said} on for no more than {after:.0%}.",
            (here, there),
            _few(mine),
            (int(one), int(other)),
        )


def _told_apart(
    belief: Numbers, labels: NDArray[np.float64], one: float, other: float
) -> NDArray[np.float64]:
    """(L,) the mean over the two classes of the share of inputs that are not taken for the other one, as a
    share of those taken for either."""
    shares = []
    for mine, rival in ((one, other), (other, one)):
        columns = belief[:, labels == mine]
        right, wrong = (columns == mine).sum(1), (columns == rival).sum(1)
        either = right + wrong
        shares.append(np.where(either > 0, right / np.maximum(either, 1), 0.5))
    # Where neighbours choose neither of the two, being no rival is no merit: half is what guessing gives.
    return np.minimum(*shares) if len(shares) == 2 else shares[0]


def add_nothing(asked: Asked) -> Iterator[AtlasPattern]:
    """Layers with weights after which inputs lie as they lay before, and neighbours believe the same."""
    features, beliefs = asked.features, asked.beliefs
    if features is None or beliefs is None:
        return
    weighted = sorted(asked.weighted)
    idle = []
    for before, after in itertools.pairwise(weighted):
        one, other = features[before], features[after]
        if not (np.isfinite(one).all() and np.isfinite(other).all()):
            continue
        same = float((beliefs.belief[before] == beliefs.belief[after]).mean())
        if same >= 0.99 and likeness(one, other) >= SAME:
            idle.append(after)
    if idle:
        first = ", ".join(asked.rows[row].said for row in idle[:FEW])
        more = f" and {len(idle) - FEW} more" if len(idle) > FEW else ""
        yield AtlasPattern(
            "adds-nothing",
            f"{first}{more} {'adds' if len(idle) == 1 else 'add'} nothing",
            "Inputs lie to each other after it as they did after the layer with weights before it (linear"
            f" likeness {SAME} and more), and neighbours believe the same of 99 % of them.",
            tuple(idle),
        )


def likeness(one: Numbers, other: Numbers, most: int = 1000) -> float:
    """Linear centred kernel alignment of (N, D) and (N, E), 0 to 1 (Kornblith et al. 2019)."""
    one, other = (v[:most] - v[:most].mean(0) for v in (one.astype(np.float64), other.astype(np.float64)))
    across = np.square(one.T @ other).sum()
    within = np.linalg.norm(one.T @ one) * np.linalg.norm(other.T @ other)
    return float(across / within) if within > 0 else 0.0


def doubtful_labels(asked: Asked) -> Iterator[AtlasPattern]:
    """Inputs that the network and the neighbours at nearly every layer agree about, against the label."""
    beliefs, labels, predictions = asked.beliefs, asked.labels, asked.predictions
    if beliefs is None or labels is None or predictions is None:
        return
    rows = _asked_rows(beliefs.belief)
    if not len(rows):
        return
    agree = (beliefs.belief[rows] == predictions[None]).mean(0)
    support = beliefs.support[rows]
    known = np.isfinite(support).sum(0)
    alone = np.where(known > 0, np.nansum(support, 0) / np.maximum(known, 1), 1.0)
    doubt = (predictions != labels) & (agree >= 0.9) & (alone <= 0.1)
    inputs = np.flatnonzero(doubt)
    if len(inputs):
        yield AtlasPattern(
            "doubtful-labels",
            f"{_inputs(len(inputs))} whose label nobody believes",
            "The network's answer and the neighbours at nine layers of ten agree on another class, from the"
            " first layers on: look at the label before you look at the network.",
            (),
            _few(inputs[np.argsort(alone[inputs])]),
        )


def flip_late(asked: Asked) -> Iterator[AtlasPattern]:
    """Inputs whose belief becomes right only in the last fifth of the rows: the hard ones."""
    if asked.depths is None or asked.beliefs is None:
        return
    rows = _asked_rows(asked.beliefs.belief)
    if len(rows) < 5:
        return
    threshold = rows[int(np.ceil(LATE * (len(rows) - 1)))]
    late = np.flatnonzero(asked.depths >= threshold)
    if len(late):
        share = len(late) / len(asked.depths)
        yield AtlasPattern(
            "flip-late",
            f"{_inputs(len(late))} {'is' if len(late) == 1 else 'are'} only right from the last layers on",
            f"{share:.0%} of the inputs; their belief settles at {asked.rows[threshold].said} or later. They"
            " are the ones closest to being wrong (prediction depth, Baldock et al. 2021).",
            (int(threshold),),
            _few(late[np.argsort(-asked.depths[late], kind="stable")]),
        )


def unlike_any_other(asked: Asked) -> Iterator[AtlasPattern]:
    """Inputs that lie far from every reference input at some row."""
    if asked.beliefs is None:
        return
    strange = asked.beliefs.strangeness
    rows = _asked_rows(strange)
    if not len(rows):
        return
    values = strange[rows]
    far = values > STRANGE
    steady = far.sum(0) >= max(1, len(rows) // 5)
    inputs = np.flatnonzero(steady)
    if not len(inputs):
        return
    worst = values[:, inputs].max(0)
    inputs = inputs[np.argsort(-worst)]
    row = rows[int(np.argmax(far[:, inputs[0]]))]
    yield AtlasPattern(
        "unlike-any-other",
        f"{_inputs(len(inputs))} unlike any other, first seen at {asked.rows[row].said}",
        f"The nearest reference input is over {STRANGE:g} times as far away as 99 % of them are from theirs,"
        " at a fifth of the layers and more.",
        (int(row),),
        _few(inputs),
    )


def _asked_rows(values: Numbers) -> NDArray[np.int64]:
    return np.flatnonzero(np.isfinite(values).any(1))


def _inputs(count: int) -> str:
    return f"{count} input" if count == 1 else f"{count} inputs"


def _few(inputs: NDArray[np.int64], most: int = 200) -> tuple[int, ...]:
    return tuple(int(i) for i in inputs[:most])
