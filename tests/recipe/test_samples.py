"""Samples in memory, in a data set and behind the user's loader are read in the same way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from netwright.recipe.samples import (
    LoaderSamples,
    MapSamples,
    TensorSamples,
    as_tensor,
    collate,
    parted,
    tree_map,
    tree_tensors,
)
from netwright.values import UserError


class Squares:
    """Sample k is (k, k²), without anything random."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return torch.tensor([float(row)]), row * row


def in_memory(size: int) -> TensorSamples:
    return TensorSamples(torch.arange(float(size))[:, None], torch.arange(size) ** 2, "train")


def in_a_data_set(size: int) -> MapSamples:
    return MapSamples(Squares(size), "train")


def behind_a_loader(size: int) -> LoaderSamples:
    dataset = TensorDataset(torch.arange(float(size))[:, None], torch.arange(size) ** 2)
    return LoaderSamples(lambda: DataLoader(dataset, batch_size=4), "train")


KINDS = [in_memory, in_a_data_set, behind_a_loader]


@pytest.mark.parametrize("make", KINDS)
def test_batches_cover_every_sample_once_and_say_which_row_each_is(make):
    samples = make(10)
    seen = [(rows, inputs, targets) for inputs, targets, rows in samples.batches(4)]
    assert [len(rows) for rows, _, _ in seen] == [4, 4, 2]
    assert torch.cat([rows for rows, _, _ in seen]).tolist() == list(range(10))
    assert torch.cat([inputs for _, inputs, _ in seen])[:, 0].tolist() == [float(k) for k in range(10)]
    assert torch.cat([targets for _, _, targets in seen]).tolist() == [k * k for k in range(10)]


@pytest.mark.parametrize("make", KINDS)
def test_length_targets_head_and_ids_agree(make):
    samples = make(10)
    assert len(samples) == 10
    assert samples.targets().tolist() == [k * k for k in range(10)]
    inputs, targets = samples.head(3)
    assert torch.equal(inputs[:, 0] ** 2, targets.float())
    assert samples.ids([0, 9]) == ("train:0", "train:9")


@given(st.integers(1, 40), st.integers(1, 17), st.integers(0, 100))
def test_an_order_is_followed_whatever_the_batch_size(size, batch_size, seed):
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    for make in (in_memory, in_a_data_set):
        batches = list(make(size).batches(batch_size, order))
        assert torch.equal(torch.cat([rows for _, _, rows in batches]), order)
        assert torch.equal(torch.cat([inputs for inputs, _, _ in batches])[:, 0].long(), order)


@pytest.mark.parametrize("make", [in_memory, in_a_data_set])
def test_taken_samples_keep_the_rows_of_their_source(make):
    taken = make(10).take(np.array([7, 2]))
    assert taken.targets().tolist() == [49, 4]
    assert taken.take([1]).ids([0]) == ("train:2",)


def test_targets_once_read_are_kept_when_samples_are_taken():
    class Counted(Squares):
        read = 0

        def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
            self.read += 1
            return super().__getitem__(row)

    dataset = Counted(10)
    samples = MapSamples(dataset, "train")
    samples.targets()
    assert samples.take([3, 4]).targets().tolist() == [9, 16]
    assert dataset.read == 10


@pytest.mark.parametrize("make", [in_memory, in_a_data_set])
def test_the_digest_changes_with_any_target(make):
    samples = make(40)
    other = make(40)
    targets = other.targets().clone()
    targets[17] = 5
    if isinstance(other, TensorSamples):
        other.all_targets = targets
    else:
        other._targets = targets
    assert samples.digest() == make(40).digest()
    assert samples.digest() != other.digest()
    assert samples.digest() != samples.take(range(39)).digest()


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8, torch.bool, torch.bfloat16])
def test_the_digest_sees_the_type_of_the_inputs(dtype):
    inputs = torch.ones(4, 3).to(dtype)
    digests = {
        TensorSamples(i, torch.zeros(4), "").digest() for i in (inputs, torch.ones(4, 3, dtype=torch.float16))
    }
    assert len(digests) == 2


def test_the_digest_of_a_shuffling_loader_is_the_same_every_time():
    dataset = TensorDataset(torch.arange(64.0)[:, None], torch.arange(64))
    samples = LoaderSamples(lambda: DataLoader(dataset, batch_size=8, shuffle=True), "train")
    assert samples.digest() == samples.digest()


def test_the_digest_of_a_data_set_that_draws_is_the_same_every_time():
    class Noisy(Squares):
        def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
            return torch.rand(1) + float(np.random.rand()), row

    samples = MapSamples(Noisy(20), "train")
    assert samples.digest() == samples.digest()


def test_reading_a_digest_leaves_the_random_state_as_it_was():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    in_a_data_set(20).digest()
    assert torch.equal(torch.rand(1), expected)


def test_moving_to_the_same_device_changes_no_value():
    for make in KINDS:
        assert torch.equal(make(5).to(torch.device("cpu")).targets(), make(5).targets())


@given(st.sampled_from(["float64", "float32", "int64", "int8", "uint8", "uint16", "uint32", "bool"]))
def test_arrays_become_tensors_of_a_type_that_torch_computes_with(dtype):
    tensor = as_tensor(np.ones(3, dtype=dtype), "inputs")
    expected = {"float64": torch.float32, "uint16": torch.int64, "uint32": torch.int64}
    assert tensor.dtype == expected.get(dtype, getattr(torch, dtype, None))


def test_a_tensor_of_an_array_does_not_share_its_memory():
    array = np.zeros(3)
    tensor = as_tensor(array, "inputs")
    array[0] = 7
    assert tensor[0] == 0


@pytest.mark.parametrize("name", ["target", "targets", "label", "labels", "y"])
def test_the_target_of_a_dictionary_is_found_by_its_usual_names(name):
    assert parted({"x": 1, name: 2}) == (1, 2)


def test_several_inputs_of_a_dictionary_stay_a_dictionary():
    assert parted({"ids": 1, "mask": 2, "label": 3}) == ({"ids": 1, "mask": 2}, 3)


@pytest.mark.parametrize("item", [(1, 2, 3), {"x": 1}, 5, "words"])
def test_a_sample_without_a_target_is_refused(item):
    with pytest.raises(UserError, match="data: "):
        parted(item)


def test_samples_of_different_shape_are_refused_with_their_shapes():
    with pytest.raises(UserError, match=r"inputs differ in shape \(\[\(1,\), \(2,\)\]\)"):
        collate([(torch.zeros(1), 0), (torch.zeros(2), 1)])


def test_class_numbers_are_collated_as_whole_numbers_and_amounts_as_floats():
    assert collate([(torch.zeros(1), np.int8(3))])[1].dtype == torch.int64
    assert collate([(torch.zeros(1), 0.5)])[1].dtype == torch.float32


def test_a_batch_is_given_back_in_the_layout_of_the_user():
    samples = in_memory(2)
    assert isinstance(samples.as_batch(*samples.head(2)), tuple)
    samples.laid_like({"pixels": 0, "label": 1})
    assert set(samples.as_batch(*samples.head(2))) == {"pixels", "label"}
    assert set(samples.take([0]).as_batch(*samples.head(1))) == {"pixels", "label"}


def test_trees_are_walked_with_the_names_of_their_branches():
    tree = {"a": torch.zeros(1), "b": (torch.zeros(2), torch.zeros(3))}
    assert [name for name, _ in tree_tensors(tree)] == ["a", "b.0", "b.1"]
    doubled = tree_map(lambda t: t + 1, tree)
    assert float(doubled["b"][1].sum()) == 3
