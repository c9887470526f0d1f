"""Splitting: every sample lies in one part, groups stay whole, time runs forward, classes keep shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.recipe.split import split_rows
from netwright.values import UserError

FRACTIONS = st.tuples(st.floats(0.2, 0.5), st.floats(0.1, 0.3), st.one_of(st.just(0.0), st.floats(0.1, 0.2)))
SIZES = st.integers(40, 200)
SEEDS = st.integers(0, 1000)


def split_or_empty(*args, **columns):
    """The parts, or `None` where a part that was asked for would be empty."""
    try:
        return split_rows(*args, **columns)
    except UserError:
        return None


@given(SIZES, FRACTIONS, SEEDS, st.sampled_from(["random", "labels", "groups", "time"]), st.integers(1, 12))
def test_a_split_puts_every_sample_into_exactly_one_part(size, fractions, seed, by, kinds):
    column = np.random.default_rng(seed).integers(0, kinds, size)
    parts = split_or_empty(size, fractions, seed, **({} if by == "random" else {by: column}))
    if parts is not None:
        assert sorted(np.concatenate(parts)) == list(range(size))


@given(SIZES, FRACTIONS, SEEDS, st.integers(1, 40))
def test_a_group_never_straddles_two_parts(size, fractions, seed, count):
    groups = np.random.default_rng(seed).integers(0, count, size)
    parts = split_or_empty(size, fractions, seed, groups=groups)
    if parts is not None:
        members = [set(groups[part]) for part in parts]
        assert not (members[0] & members[1] or members[0] & members[2] or members[1] & members[2])


@given(SIZES, FRACTIONS, SEEDS)
def test_by_time_the_earliest_train_and_the_latest_test(size, fractions, seed):
    time = np.random.default_rng(seed).permutation(size) * 3.5
    train, val, test = split_rows(size, fractions, seed, time=time)
    assert time[train].max() < time[val].min()
    assert len(test) == 0 or time[val].max() < time[test].min()


@given(st.integers(100, 300), SEEDS, st.integers(2, 5))
def test_classes_keep_their_shares_to_within_two_samples(size, seed, classes):
    labels = np.random.default_rng(seed).integers(0, classes, size)
    parts = split_rows(size, (0.6, 0.2, 0.2), seed, labels=labels)
    for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        for label in range(classes):
            assert abs((labels[part] == label).sum() - share * (labels == label).sum()) <= 2


@given(SIZES, FRACTIONS, SEEDS)
def test_the_same_seed_gives_the_same_split(size, fractions, seed):
    first, second = (split_rows(size, fractions, seed) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_another_seed_gives_another_split():
    first, second = (split_rows(100, (0.7, 0.15, 0.15), seed)[1] for seed in (0, 1))
    assert not np.array_equal(first, second)


@given(SIZES, FRACTIONS, SEEDS)
def test_parts_are_in_the_order_of_the_source(size, fractions, seed):
    for part in split_rows(size, fractions, seed):
        assert np.array_equal(part, np.sort(part))


@given(st.integers(50, 200), SEEDS)
def test_shares_that_leave_something_over_are_filled_in_proportion(size, seed):
    train, val, test = split_rows(size, (0.4, 0.2, 0.0), seed)
    assert len(test) == 0
    assert abs(len(train) - 2 * len(val)) <= 2


def test_a_part_that_would_be_empty_is_an_error_that_names_it():
    with pytest.raises(UserError, match="the validation part is empty: 2 samples"):
        split_rows(2, (0.9, 0.05, 0.05), 0)


def test_one_single_group_cannot_be_split():
    with pytest.raises(UserError, match="validation part is empty"):
        split_rows(10, (0.8, 0.2, 0.0), 0, groups=np.zeros(10))
