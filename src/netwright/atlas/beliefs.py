"""What a probe at each layer believes an input to be, and how usual the input is there.

The probe is the vote of the nearest neighbours among reference inputs whose class is known, which needs no
training (Papernot and McDaniel 2018, Deep k-Nearest Neighbors; Baldock et al. 2021, Deep Learning Through the
Lens of Example Difficulty).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Numbers = NDArray[np.float32]
NEIGHBOURS = 15
_BLOCK = 1 << 24  # distances held at a time


@frozen(eq=False)
class Beliefs:
    """By row and input, (L, N). `belief`: the class most neighbours are of (their mean target in a
    regression); `support`: the share of neighbours of the input's own class; `typicality`: the share of its
    class that lies at least as far from the middle of the class as it does; `strangeness`: distance to the
    nearest neighbour over what 99 % of the reference keep to theirs. NaN where there is nothing to ask.
    """

    belief: Numbers
    support: Numbers
    typicality: Numbers
    strangeness: Numbers
    neighbours: int


def ask(
    features: Numbers,
    targets: NDArray[np.float64],
    reference: Numbers,
    known: NDArray[np.float64],
    own: NDArray[np.int64] | None = None,
    *,
    classes: bool = True,
) -> Beliefs:
    """Of inputs (L, N, D) with `targets` (N,) by reference inputs (L, M, D) with targets `known` (M,);
    `own[n]` is the reference that is input n itself, -1 for none, and never counts as its neighbour."""
    rows, count = features.shape[:2]
    found = [np.full((rows, count), np.nan, dtype=np.float32) for _ in range(4)]
    k = _neighbours(known, classes)
    own = np.full(count, -1, dtype=np.int64) if own is None else own
    for row in range(rows):
        here, there = _standard(features[row], reference[row])
        good = np.isfinite(there).all(1)
        if good.sum() <= k or float(np.ptp(there[good], axis=0).max(initial=0.0)) == 0:
            continue  # nothing to tell the reference apart by
        places = np.flatnonzero(good)
        near, distance = nearest(here, there[good], k, _placed(own, places))
        usual = _usual_distance(there[good])
        asked = np.isfinite(here).all(1)
        vote = _vote if classes else _mean
        belief, support = vote(known[places][near], targets, distance)
        typical = _typicality(here, targets, there[good], known[places]) if classes else None
        for into, values in zip(found, (belief, support, typical, distance[:, 0] / usual), strict=True):
            if values is not None:
                into[row, asked] = values[asked]
    return Beliefs(*found, neighbours=k)


def _neighbours(known: NDArray[np.float64], classes: bool) -> int:
    """No more than half of the smallest class that is not a rarity, at least 1."""
    if not classes:
        return max(1, min(NEIGHBOURS, len(known) // 10))
    counts = np.unique(known[np.isfinite(known)], return_counts=True)[1]
    usual = int(np.percentile(counts, 10)) if len(counts) else 2
    return int(max(1, min(NEIGHBOURS, usual // 2)))


def _standard(features: Numbers, reference: Numbers) -> tuple[Numbers, Numbers]:
    """Both about the reference's mean and over its overall scale, so that float32 holds their distances."""
    with np.errstate(all="ignore"):
        good = np.isfinite(reference).all(1)
        middle = reference[good].mean(0) if good.any() else np.zeros(reference.shape[1], np.float32)
        scale = float(np.sqrt(np.square(reference[good] - middle).sum(1).mean())) if good.any() else 1.0
        scale = scale or 1.0
        return (features - middle) / scale, (reference - middle) / scale


def _placed(own: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """`own` by the places that are kept."""
    at = np.full(max(int(own.max(initial=-1)), int(places.max(initial=-1))) + 1, -1, dtype=np.int64)
    at[places] = np.arange(len(places))
    return np.where(own >= 0, at[np.clip(own, 0, None)], -1)


def nearest(
    here: Numbers, there: Numbers, k: int, own: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Numbers]:
    """The k nearest of (M, D) for each of (N, D), nearest first, and their distances; rows with values that
    are not finite get arbitrary ones."""
    k = min(k, len(there))
    near = np.zeros((len(here), k), dtype=np.int64)
    distance = np.full((len(here), k), np.nan, dtype=np.float32)
    squared = np.square(there).sum(1)
    step = max(1, _BLOCK // max(1, len(there)))
    for start in range(0, len(here), step):
        part = np.nan_to_num(here[start : start + step])
        apart = np.square(part).sum(1)[:, None] + squared[None] - 2 * part @ there.T
        mine = own[start : start + step]
        itself = np.flatnonzero(mine >= 0)
        apart[itself, mine[itself]] = np.inf
        chosen = np.argpartition(apart, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(apart, chosen, 1)
        order = np.argsort(values, axis=1, kind="stable")
        near[start : start + step] = np.take_along_axis(chosen, order, 1)
        distance[start : start + step] = np.sqrt(np.clip(np.take_along_axis(values, order, 1), 0, None))
    return near, distance


def _usual_distance(there: Numbers, most: int = 1000) -> float:
    """The distance to the nearest neighbour that 99 % keep to, among up to `most` of the reference."""
    rows = np.linspace(0, len(there) - 1, min(most, len(there))).round().astype(np.int64)
    _, distance = nearest(there[rows], there, 1, rows)
    finite = distance[np.isfinite(distance)]
    return max(1e-6, float(np.quantile(finite, 0.99)) if len(finite) else 1.0)


Vote = Callable[
    [NDArray[np.float64], NDArray[np.float64], Numbers], tuple[NDArray[np.float64], NDArray[np.float64]]
]


def _vote(
    labels: NDArray[np.float64], targets: NDArray[np.float64], distance: Numbers
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Class of most neighbours (N,), at a tie of the nearest among those; share that are of the own class."""
    names, codes = np.unique(labels, return_inverse=True)
    codes = codes.reshape(labels.shape)
    votes = np.zeros((len(labels), len(names)))
    np.add.at(votes, (np.arange(len(labels))[:, None], codes), 1.0)
    tied = votes == votes.max(1, keepdims=True)
    first = np.argmax(np.take_along_axis(tied, codes, 1), axis=1)
    belief = names[codes[np.arange(len(labels)), first]]
    return belief, (labels == targets[:, None]).mean(1)


def _mean(
    values: NDArray[np.float64], targets: NDArray[np.float64], distance: Numbers
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean target of the neighbours; support has no meaning without classes."""
    return values.mean(1), np.full(len(values), np.nan)


def _typicality(
    here: Numbers, targets: NDArray[np.float64], there: Numbers, known: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of an input's class that lies at least as far from the class's middle, 0 (an outlier) to 1."""
    found = np.full(len(here), np.nan)
    for label in np.unique(targets[np.isfinite(targets)]):
        members = there[known == label]
        if len(members) < 3:
            continue
        middle = members.mean(0)
        apart = np.sort(np.linalg.norm(members - middle, axis=1))
        mine = targets == label
        distances = np.linalg.norm(here[mine] - middle, axis=1)
        found[mine] = 1 - np.searchsorted(apart, distances * (1 - 1e-6)) / len(apart)
    return found


def depths(belief: Numbers, targets: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each input the row from which on the belief is right and stays right, -1 for never; rows where
    nothing could be asked are passed over."""
    count = belief.shape[1]
    asked = np.asarray(np.isfinite(belief).any(axis=1))
    right = (belief == targets[None]) | ~np.isfinite(belief)
    found = np.full(count, -1, dtype=np.int64)
    if not asked.any():
        return found
    last = int(np.flatnonzero(asked).max())
    stays = np.flip(np.logical_and.accumulate(np.flip(right[: last + 1], 0), 0), 0)
    for n in range(count):
        if np.isfinite(belief[last, n]) and stays[last, n]:
            first = int(np.argmax(stays[:, n]))
            found[n] = first + int(np.argmax(asked[first : last + 1]))
    return found
