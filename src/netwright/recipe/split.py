"""Splitting samples into training, validation and test parts, by class, group or time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netwright.values import UserError

Rows = NDArray[np.int64]


def split_rows(
    size: int,
    fractions: tuple[float, float, float],
    seed: int,
    *,
    labels: NDArray[np.generic] | None = None,
    groups: NDArray[np.generic] | None = None,
    time: NDArray[np.generic] | None = None,
) -> tuple[Rows, Rows, Rows]:
    """Row numbers of the three parts, each sorted; a fraction of 0 gives an empty part.

    By `time` (N,), the earliest train and the latest test. By `groups` (N,), no group lies in two parts. Else
    at random, with the shares of `labels` (N,) kept where these are given. Raises `UserError` where a part
    that was asked for is empty.
    """
    generator = np.random.default_rng(np.random.SeedSequence([seed, 0x5011]))
    if time is not None:
        parts = _cut(np.argsort(time, kind="stable"), fractions)
    elif groups is not None:
        parts = _by_group(groups, fractions, generator)
    elif labels is not None:
        parts = _by_label(labels, fractions, generator)
    else:
        parts = _cut(generator.permutation(size), fractions)
    for name, part, fraction in zip(("training", "validation", "test"), parts, fractions, strict=True):
        if fraction > 0 and len(part) == 0:
            raise UserError(
                f"data: the {name} part is empty: {size} samples split {fractions}; give it a larger share or"
                " more samples"
            )
    train, val, test = (np.sort(part) for part in parts)
    return train, val, test


def _cut(order: Rows, fractions: tuple[float, float, float]) -> list[Rows]:
    total = sum(fractions)
    ends = [round(len(order) * sum(fractions[: k + 1]) / total) for k in range(3)]
    return [order[a:b] for a, b in zip([0, *ends[:2]], ends, strict=True)]


def _by_group(
    groups: NDArray[np.generic], fractions: tuple[float, float, float], generator: np.random.Generator
) -> list[Rows]:
    names, member = np.unique(groups, return_inverse=True)
    sizes = np.bincount(member)
    order = generator.permutation(len(names))
    order = order[
        np.argsort(-sizes[order], kind="stable")
    ]  # large groups first: they are the hardest to place
    share = np.asarray(fractions) / sum(fractions)
    filled = np.zeros(3)
    part_of = np.zeros(len(names), dtype=np.int64)
    for group in order:
        lacking = np.where(share > 0, share * len(groups) - filled, -np.inf)
        part_of[group] = int(np.argmax(lacking))
        filled[part_of[group]] += sizes[group]
    return [np.flatnonzero(part_of[member] == k) for k in range(3)]


def _by_label(
    labels: NDArray[np.generic], fractions: tuple[float, float, float], generator: np.random.Generator
) -> list[Rows]:
    """Every label's rows are spread evenly over one line, and the line is cut: parts keep the shares of the
    labels."""
    position = np.empty(len(labels))
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        position[rows] = (np.arange(len(rows)) + generator.random()) / len(rows)
    order = np.lexsort((generator.random(len(labels)), position))  # ties between labels fall at random
    return _cut(order, fractions)
