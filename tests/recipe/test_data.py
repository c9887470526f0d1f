"""Data: parts are given or split off, arguments that make no sense are refused in a sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import netwright as nw
from netwright.values import UserError


def test_arrays_are_split_into_three_parts(rows):
    parts = nw.Data.arrays(*rows, split=(0.6, 0.2, 0.2)).parts
    assert (len(parts.train), len(parts.val), len(parts.test)) == (18, 6, 6)


def test_without_a_test_share_the_result_says_that_nothing_unseen_was_scored(rows):
    parts = nw.Data(rows).parts
    assert parts.test is None
    assert any("nothing unseen was scored" in note for note in parts.notes)
    assert parts.test_digest is None


def test_a_validation_part_that_is_given_is_used_as_it_is(rows):
    parts = nw.Data(rows, (rows[0][:4], rows[1][:4])).parts
    assert (len(parts.train), len(parts.val)) == (30, 4)


def test_nothing_is_split_off_for_the_test_where_one_is_given(rows):
    parts = nw.Data(rows, test=(rows[0][:5], rows[1][:5]), split=(0.6, 0.2, 0.2)).parts
    assert len(parts.train) + len(parts.val) == 30
    assert len(parts.test) == 5


def test_labels_keep_their_shares_unless_told_otherwise():
    labels = np.array([0] * 80 + [1] * 20)
    parts = nw.Data.arrays(np.zeros((100, 1)), labels, split=(0.5, 0.3, 0.2)).parts
    assert [int(p.targets().sum()) for p in (parts.train, parts.val, parts.test)] == [10, 6, 4]
    plain = nw.Data.arrays(np.zeros((100, 1)), labels, split=(0.5, 0.3, 0.2), stratify=False).parts
    assert int(plain.train.targets().sum()) != 10


def test_targets_that_are_amounts_are_split_at_random(rows):
    parts = nw.Data.arrays(rows[0], np.linspace(0, 1, 30), split=(0.6, 0.2, 0.2)).parts
    assert (len(parts.train), len(parts.val), len(parts.test)) == (18, 6, 6)


def test_what_is_known_of_the_samples_follows_them_into_validation(rows):
    numbers = np.arange(30)
    parts = nw.Data.arrays(*rows, meta={"row": numbers}, split=(0.5, 0.3, 0.2)).parts
    assert np.array_equal(parts.val_meta["row"], numbers[parts.val.index])
    given = nw.Data(rows, (rows[0][:4], rows[1][:4]), meta={"row": numbers[:4]}).parts
    assert list(given.val_meta["row"]) == [0, 1, 2, 3]


def test_what_is_known_of_the_samples_cannot_be_matched_to_loaders(rows):
    batches = [(torch.as_tensor(rows[0]), torch.as_tensor(rows[1]))]
    with pytest.raises(UserError, match="meta= cannot be matched to loaders"):
        _ = nw.Data.loaders(lambda: batches, lambda: batches, meta={"row": np.arange(30)}).parts


@pytest.mark.parametrize("meta", [{"row": np.arange(29)}, {1: np.arange(30)}, ["row"]])
def test_what_is_known_of_the_samples_must_be_a_value_for_each_by_name(rows, meta):
    with pytest.raises(UserError, match="meta"):
        _ = nw.Data.arrays(*rows, meta=meta).parts


def test_groups_stay_together_and_are_told_for_validation(rows):
    groups = np.repeat(np.arange(10), 3)
    parts = nw.Data.arrays(*rows, groups=groups, split=(0.5, 0.3, 0.2)).parts
    kept = [set(groups[part.index]) for part in (parts.train, parts.val, parts.test)]
    assert sum(map(len, kept)) == 10
    assert len(np.unique(parts.val_groups)) == len(kept[1])


def test_time_puts_the_latest_samples_into_the_test(rows):
    parts = nw.Data.arrays(*rows, time=np.arange(30)[::-1], split=(0.6, 0.2, 0.2)).parts
    assert set(parts.test.index) == set(range(6))


@pytest.mark.parametrize("column", ["groups", "time"])
def test_a_column_needs_one_value_a_sample(rows, column):
    with pytest.raises(UserError, match=f"{column}= has shape \\(3,\\) for 30 samples"):
        nw.Data.arrays(*rows, **{column: [1, 2, 3]}).parts  # noqa: B018


@given(st.integers(0, 50))
def test_the_split_depends_on_the_split_seed_alone(seed):
    x, y = np.arange(40.0)[:, None], np.zeros(40)
    np.random.seed(seed)
    first = nw.Data.arrays(x, y, split_seed=seed).parts
    torch.manual_seed(seed)
    second = nw.Data.arrays(x, y, split_seed=seed).parts
    assert first.fingerprint == second.fingerprint


def test_the_fingerprint_of_the_parts_changes_with_one_value(rows):
    x, y = rows
    changed = x.copy()
    changed[3, 1] += 1e-3
    prints = [nw.Data.arrays(a, b).parts.fingerprint for a, b in ((x, y), (changed, y), (x, 1 - y), (x, y))]
    assert len(set(prints)) == 3
    assert prints[0] == prints[3]


NONSENSE = [
    {"split": 0.8},
    {"split": None},
    {"split": "abc"},
    {"split": (0.5, 0.5)},
    {"split": (0.9, 0.2, 0.1)},
    {"split": (1.0, 0.0, 0.0)},
    {"split": (-0.1, 0.5, 0.5)},
    {"split": (float("nan"), 0.5, 0.1)},
    {"stratify": "yes"},
    {"split_seed": 1.5},
    {"split_seed": -1},
    {"split_seed": True},
]


@pytest.mark.parametrize("given", NONSENSE, ids=repr)
def test_an_argument_that_makes_no_sense_is_refused_by_its_name(rows, given):
    with pytest.raises(UserError, match=next(iter(given))):
        nw.Data.arrays(*rows, **given)


@given(
    st.one_of(
        st.none(),
        st.text(),
        st.integers(),
        st.lists(st.floats(), max_size=4),
        st.tuples(st.floats(), st.floats(), st.floats()),
    )
)
def test_any_split_is_either_shares_or_refused(value):
    try:
        data = nw.Data.arrays(np.zeros((5, 1)), np.zeros(5), split=value)
    except UserError:
        return
    assert 0 < sum(data.split) <= 1.0001
    assert min(data.split[:2]) > 0


def test_every_sample_needs_a_target(rows):
    with pytest.raises(UserError, match="30 inputs and 7 targets"):
        nw.Data.arrays(rows[0], rows[1][:7]).parts  # noqa: B018


@pytest.mark.parametrize(
    ("inputs", "targets", "words"),
    [
        (np.zeros((4, 2)), 5, "single number"),
        (np.float64(3), np.zeros(4), "single number"),
        (np.array(["a", "b"]), np.zeros(2), "not numbers"),
        (np.array(["2020-01-01"] * 2, dtype="datetime64[D]"), np.zeros(2), "not numbers"),
        ([[1.0], [1.0, 2.0]], np.zeros(2), "differ in shape"),
        (np.zeros((2, 1)), [None, None], "not numbers"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_in_a_sentence(inputs, targets, words):
    with pytest.raises(UserError, match=words):
        nw.Data.arrays(inputs, targets).parts  # noqa: B018


@pytest.mark.parametrize("source", [None, 3, "words", object(), [], iter([1, 2])])
def test_what_is_no_data_is_refused(source):
    with pytest.raises(UserError, match="data: "):
        nw.Data(source).parts  # noqa: B018


def test_too_few_samples_for_the_parts_are_refused():
    with pytest.raises(UserError, match="part is empty"):
        nw.Data.arrays(np.zeros((2, 1)), np.zeros(2)).parts  # noqa: B018


def test_float64_becomes_float32_and_whole_numbers_become_class_numbers(rows):
    train = nw.Data.arrays(rows[0], rows[1].astype("int8")).parts.train
    assert train.inputs.dtype == torch.float32
    assert train.targets().dtype == torch.int64


def test_inputs_may_be_a_dictionary_of_arrays(rows):
    parts = nw.Data.arrays({"a": rows[0], "b": np.arange(30)}, rows[1], split=(0.6, 0.2, 0.2)).parts
    inputs, _ = parts.val.head(3)
    assert {key: tuple(tensor.shape) for key, tensor in inputs.items()} == {"a": (3, 2), "b": (3,)}


def test_the_line_that_made_the_data_is_remembered(rows):
    data = nw.Data.arrays(*rows)
    assert data.made_at.file == __file__


def test_class_names_come_with_the_parts(rows):
    assert nw.Data.arrays(*rows, classes=["cat", "dog"]).parts.classes == ("cat", "dog")
