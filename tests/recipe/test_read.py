"""What users have is read as it is: folders of images, tables, data sets, loaders."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

import netwright as nw
from netwright.recipe.samples import LoaderSamples, MapSamples, TensorSamples
from netwright.values import UserError

HALVES = (0.5, 0.25, 0.25)


@pytest.fixture
def pictures(tmp_path):
    """Twelve 6×4 pictures (height, width): cats are grey, dogs are coloured."""
    for kind, mode in (("cat", "L"), ("dog", "RGB")):
        (tmp_path / "pictures" / kind).mkdir(parents=True)
        for number in range(6):
            colour = number * 40 if mode == "L" else (number * 40, 0, 255)
            Image.new(mode, (4, 6), colour).save(tmp_path / "pictures" / kind / f"{number}.png")
    return tmp_path / "pictures"


def grey(folder, name="g.png", size=(4, 6), value=51):
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(folder / name)


def test_a_folder_a_class_gives_pictures_between_0_and_1(tmp_path):
    for number in range(4):
        grey(tmp_path / "cat", f"{number}.png")
        grey(tmp_path / "dog", f"{number}.png", value=255)
    parts = nw.Data.folder(tmp_path, split=HALVES).parts
    assert parts.classes == ("cat", "dog")
    inputs, targets = parts.train.head(4)
    assert (inputs.dtype, tuple(inputs.shape)) == (torch.float32, (4, 1, 6, 4))
    assert torch.equal(inputs[:, 0, 0, 0], torch.where(targets == 0, 0.2, 1.0))


def test_pictures_of_different_size_are_brought_to_one(tmp_path):
    grey(tmp_path / "cat", "small.png", (4, 6))
    grey(tmp_path / "dog", "large.png", (9, 5))
    for number in range(4):
        grey(tmp_path / "dog", f"{number}.png")
    with pytest.raises(UserError, match="differ in shape"):
        nw.Data.folder(tmp_path, split=HALVES).parts  # noqa: B018
    inputs, _ = nw.Data.folder(tmp_path, size=(3, 5), split=HALVES).parts.train.head(2)
    assert tuple(inputs.shape) == (2, 1, 3, 5)


def test_grey_and_coloured_pictures_together_are_refused_with_their_shapes(pictures):
    with pytest.raises(UserError, match="differ in shape"):
        nw.Data.folder(pictures, split=HALVES).parts  # noqa: B018


def test_folders_named_train_and_val_are_the_parts(tmp_path):
    for part, count in (("train", 3), ("val", 2)):
        for kind in ("cat", "dog"):
            for number in range(count):
                grey(tmp_path / part / kind, f"{number}.png")
    parts = nw.Data.folder(tmp_path).parts
    assert (len(parts.train), len(parts.val), parts.test) == (6, 4, None)


def test_parts_with_other_classes_are_refused(tmp_path):
    for part, kind in (("train", "cat"), ("val", "dog")):
        grey(tmp_path / part / kind)
    with pytest.raises(UserError, match="other class folders"):
        nw.Data.folder(tmp_path)


def test_a_folder_that_is_not_there_or_empty_is_refused(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        nw.Data.folder(tmp_path / "none")
    with pytest.raises(UserError, match="no images under"):
        nw.Data.folder(tmp_path)


def test_a_file_that_is_no_picture_is_named(tmp_path):
    grey(tmp_path / "cat")
    (tmp_path / "cat" / "a.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"a\.png cannot be read as an image"):
        nw.Data.folder(tmp_path).parts  # noqa: B018


FRAME = pandas.DataFrame(
    {
        "size": np.linspace(0, 1, 12),
        "kind": ["red", "blue", "green"] * 4,
        "sold": [True, False] * 6,
        "price": np.linspace(5, 9, 12),
    }
)


def written(frame: pandas.DataFrame, folder, name: str):
    path = folder / name
    frame.to_csv(path, index=False) if name.endswith("csv") else frame.to_parquet(path)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_becomes_numbers_with_one_column_a_word(tmp_path, name):
    data = nw.Data.table(written(FRAME, tmp_path, name), "price", split=HALVES)
    assert data.features == ("size", "kind=blue", "kind=green", "kind=red", "sold")
    inputs, targets = data.parts.train.head(6)
    assert (tuple(inputs.shape), targets.dtype) == ((6, 5), torch.float32)
    assert bool((inputs[:, 1:4].sum(1) == 1).all())


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_target_of_words_becomes_class_numbers(tmp_path, name):
    data = nw.Data.table(written(FRAME, tmp_path, name), "kind", split=HALVES)
    assert data.parts.classes == ("blue", "green", "red")
    assert set(data.parts.train.targets().tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("dtype", ["bool", "int8", "Int64", "uint8"])
def test_a_target_of_whole_numbers_is_a_class_number(tmp_path, dtype):
    frame = FRAME.assign(price=pandas.array([0, 1] * 6, dtype=dtype))
    data = nw.Data.table(written(frame, tmp_path, "t.parquet"), "price", split=HALVES)
    assert data.parts.train.targets().dtype == torch.int64


def test_gaps_become_nan_and_are_no_error(tmp_path):
    frame = FRAME.assign(size=[None, *FRAME["size"][1:]], empty=pandas.Series([None] * 12, dtype=object))
    data = nw.Data.table(written(frame, tmp_path, "t.parquet"), "price", split=HALVES)
    every = torch.cat([part.inputs for part in (data.parts.train, data.parts.val, data.parts.test)])
    assert int(every[:, data.features.index("size")].isnan().sum()) == 1
    assert bool(every[:, data.features.index("empty")].isnan().all())


def test_numbers_that_were_stored_as_text_are_numbers(tmp_path):
    frame = FRAME.assign(text=[f"{k}.5" for k in range(12)])
    data = nw.Data.table(written(frame, tmp_path, "t.parquet"), "price", split=HALVES)
    assert "text" in data.features


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_dates_become_days(tmp_path, zone):
    frame = FRAME.assign(day=pandas.date_range("1970-01-02", periods=12, tz=zone))
    data = nw.Data.table(written(frame, tmp_path, "t.parquet"), "price", split=HALVES)
    days = data.parts.train.inputs[:, data.features.index("day")]
    assert torch.allclose(days, torch.from_numpy(data.parts.train.index).float() + 1, atol=0.1)


def test_text_among_numbers_is_named_with_its_first_row(tmp_path):
    path = written(FRAME.assign(size=[*map(str, range(11)), "n/a?"]), tmp_path, "t.csv")
    with pytest.raises(UserError, match=r"column 'size' is text in 1 of 12 rows \(first: row 11, 'n/a\?'\)"):
        nw.Data.table(path, "price")
    assert nw.Data.table(path, "price", na_values=["n/a?"]).features is not None


def test_columns_are_left_out_on_demand_and_groups_and_time_are_no_features(tmp_path):
    frame = FRAME.assign(patient=np.repeat(np.arange(4), 3), when=np.arange(12))
    path = written(frame, tmp_path, "t.csv")
    data = nw.Data.table(path, "price", drop=["kind", "when"], groups="patient", split=HALVES)
    assert data.features == ("size", "sold")
    assert data.parts.val_groups is not None
    later = nw.Data.table(path, "price", time="when", split=HALVES)
    assert set(later.parts.test.index) == {9, 10, 11}


def test_a_column_that_looks_like_a_group_is_mentioned(tmp_path):
    path = written(FRAME.assign(patient_id=np.arange(12)), tmp_path, "t.csv")
    notes = nw.Data.table(path, "price", split=HALVES).parts.notes
    assert any("patient_id" in note and "groups=" in note for note in notes)


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("cost", {}, "no column 'cost' for the target"),
        ("price", {"drop": ["cost"]}, "no column 'cost'"),
        ("price", {"groups": "patient"}, "no column 'patient'"),
        ("price", {"drop": ["size", "kind", "sold"]}, "no columns besides 'price'"),
    ],
)
def test_a_column_that_is_not_there_is_named(tmp_path, target, options, words):
    with pytest.raises(UserError, match=words):
        nw.Data.table(written(FRAME, tmp_path, "t.csv"), target, **options)


def test_a_column_of_too_many_words_is_refused(tmp_path):
    frame = pandas.DataFrame({"name": [f"n{k}" for k in range(150)], "price": range(150)})
    with pytest.raises(UserError, match="150 different words"):
        nw.Data.table(written(frame, tmp_path, "t.csv"), "price")


def test_a_table_without_rows_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no rows"):
        nw.Data.table(written(FRAME.iloc[:0], tmp_path, "t.csv"), "price")


@given(st.binary(max_size=80), st.sampled_from([".csv", ".parquet"]))
def test_any_bytes_are_a_table_or_refused_in_a_sentence(tmp_path_factory, content, suffix):
    path = tmp_path_factory.mktemp("bytes") / f"t{suffix}"
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas warns of columns of mixed types
            nw.Data.table(path, "price")
    except UserError:
        return


class Pairs(Dataset):
    """Sample k is ([k], k mod 2)."""

    def __init__(self, size: int = 24) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, row: int):
        return torch.tensor([float(row)]), row % 2


class Flipped(Pairs):
    """An augmentation that leaves half of the samples as they are."""

    def __init__(self, draw, size: int = 24) -> None:
        super().__init__(size)
        self.draw = draw

    def __getitem__(self, row: int):
        inputs, target = super().__getitem__(row)
        return (-inputs - 1 if self.draw() < 0.5 else inputs), target


@pytest.mark.parametrize("source", [Pairs(), Subset(Pairs(30), range(24)), [(np.ones(1), 0)] * 24])
def test_a_data_set_that_repeats_itself_is_held_in_memory(source):
    parts = nw.Data(source, split=HALVES).parts
    assert isinstance(parts.train, TensorSamples)
    assert parts.train.targets().dtype == torch.int64


@pytest.mark.parametrize("draw", [random.random, np.random.rand, lambda: float(torch.rand(1))])
def test_a_data_set_that_draws_is_asked_anew_every_time(draw):
    train = nw.Data(Flipped(draw), split=HALVES).parts.train
    assert isinstance(train, MapSamples)
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    first, second = (torch.cat([inputs for inputs, _, _ in train.batches(8)]) for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("draw", [random.random, np.random.rand, lambda: float(torch.rand(1))])
def test_a_data_set_that_draws_has_one_fingerprint(draw):
    prints = {nw.Data(Flipped(draw), split=HALVES).parts.fingerprint for _ in range(2)}
    assert len(prints) == 1


def test_a_data_set_too_large_for_memory_is_read_sample_by_sample(monkeypatch):
    monkeypatch.setattr("netwright.recipe.read.IN_MEMORY_BYTES", 16)
    train = nw.Data(Pairs(), split=HALVES).parts.train
    assert isinstance(train, MapSamples)
    assert torch.equal(train.targets(), torch.from_numpy(train.index) % 2)


def test_samples_of_a_data_set_may_be_dictionaries():
    source = [{"ids": np.arange(3), "mask": np.ones(3), "label": k % 2} for k in range(12)]
    train = nw.Data(source, split=HALVES).parts.train
    inputs, targets = train.head(2)
    assert {key: tuple(tensor.shape) for key, tensor in inputs.items()} == {"ids": (2, 3), "mask": (2, 3)}
    assert set(train.as_batch(inputs, targets)) == {"ids", "mask", "label"}


def test_a_hugging_face_data_set_is_read_by_its_label():
    from datasets import Dataset as HuggingFace

    source = HuggingFace.from_dict({"pixels": [[float(k), 1.0] for k in range(12)], "label": [0, 1] * 6})
    parts = nw.Data(source, split=HALVES).parts
    inputs, targets = parts.train.head(6)
    assert tuple(inputs.shape) == (6, 2)
    assert torch.equal(inputs[:, 0].long() % 2, targets)


def test_a_data_set_without_a_target_is_refused():
    with pytest.raises(UserError, match="no target among the columns"):
        nw.Data([{"pixels": 1.0}] * 9).parts  # noqa: B018


def test_a_data_frame_is_no_data_set_and_is_told_what_to_give():
    with pytest.raises(UserError, match=r"train is a DataFrame; give \(inputs, targets\)"):
        nw.Data(FRAME).parts  # noqa: B018


def loader(size: int, **options) -> DataLoader:
    numbers = torch.arange(float(size))
    return DataLoader(TensorDataset(numbers[:, None], numbers.long() % 2), batch_size=5, **options)


def test_loaders_of_the_user_keep_their_batches():
    parts = nw.Data.loaders(lambda: loader(12), lambda: loader(7)).parts
    assert isinstance(parts.train, LoaderSamples)
    assert not parts.train.shuffles
    assert [len(rows) for _, _, rows in parts.train.batches(99)] == [5, 5, 2]
    assert (len(parts.train), len(parts.val), parts.test) == (12, 7, None)


def test_a_loader_that_shuffles_has_one_fingerprint():
    def make() -> nw.Data:
        return nw.Data.loaders(lambda: loader(40, shuffle=True), lambda: loader(7), lambda: loader(5))

    assert make().parts.fingerprint == make().parts.fingerprint


def test_one_other_label_behind_a_loader_changes_the_fingerprint():
    def make(last: int) -> nw.Data:
        labels = torch.tensor([0] * 19 + [last])
        dataset = TensorDataset(torch.zeros(20, 1), labels)
        return nw.Data.loaders(lambda: DataLoader(dataset, batch_size=5), lambda: loader(5))

    assert make(0).parts.fingerprint != make(1).parts.fingerprint


def test_a_loader_may_give_dictionaries_and_anything_that_iterates():
    batches = [{"a": torch.ones(3, 2), "b": torch.zeros(3), "labels": torch.tensor([0, 1, 0])}]
    train = nw.Data.loaders(lambda: iter(batches), lambda: batches).parts.train
    inputs, targets = train.head(2)
    assert set(inputs) == {"a", "b"}
    assert targets.tolist() == [0, 1]


def test_a_loader_itself_is_refused_in_favour_of_a_function():
    with pytest.raises(UserError, match="train= must be a function that returns a loader, not a DataLoader"):
        nw.Data.loaders(loader(5), lambda: loader(5))


def test_a_loader_that_gives_nothing_is_refused():
    with pytest.raises(UserError, match="the training part is empty"):
        nw.Data.loaders(list, lambda: loader(5)).parts  # noqa: B018
