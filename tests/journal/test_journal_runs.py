"""Finished trainings, looks at test samples, and splits."""

import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from netwright.journal import Journal

ARRAYS = {
    "file": np.arange(6, dtype=np.float32).reshape(2, 3),
    "layer/0.weight": np.array(3, dtype=np.int64),
    "empty": np.zeros((0, 4)),
    "a": np.array([True]),
    "a.npy": np.array(["text"]),
}
WEIGHTS = {"0.weight": np.arange(4, dtype=np.float32)[::-1], "0.bias": np.array(1.5, dtype=np.float32)}
DOCUMENT = {"fingerprint": "f", "seed": 0, "scores": {"val": 0.5, "test": None}}


def keep(journal: Journal, key: str = "k") -> None:
    journal.remember(key, DOCUMENT, ARRAYS, WEIGHTS)


def test_a_training_comes_back_as_it_was(journal: Journal) -> None:
    keep(journal)
    recalled = journal.recall("k")
    assert recalled is not None
    document, arrays = recalled
    assert document == DOCUMENT
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)


def test_the_weights_are_a_safetensors_file(journal: Journal) -> None:
    keep(journal)
    path = journal.weights("k")
    assert path is not None
    read = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(read["0.weight"], WEIGHTS["0.weight"])
    np.testing.assert_array_equal(read["0.bias"], WEIGHTS["0.bias"])


def test_numpy_reads_the_arrays_without_objects(journal: Journal, folder: Path) -> None:
    journal.remember("k", {}, {"loss": np.arange(3.0)})
    with np.load(folder / "runs" / "k.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["loss"], np.arange(3.0))


def test_arrays_of_objects_are_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        journal.remember("k", {}, {"x": np.array([{}], dtype=object)})
    assert journal.recall("k") is None


def test_what_was_never_kept_is_not_there(journal: Journal) -> None:
    assert journal.recall("k") is None
    assert journal.weights("k") is None
    assert journal.runs("f") == []


def test_the_runs_of_a_fingerprint_are_listed(journal: Journal) -> None:
    for seed in range(2):
        journal.remember(f"f-{seed}", {"fingerprint": "f", "seed": seed}, {})
    journal.remember("g-0", {"fingerprint": "g", "seed": 0}, {})
    assert [run["seed"] for run in journal.runs("f")] == [0, 1]


def test_keeping_it_again_changes_nothing(journal: Journal, folder: Path) -> None:
    keep(journal)
    before = [(p.name, p.stat().st_mtime_ns, p.stat().st_ino) for p in sorted((folder / "runs").iterdir())]
    keep(journal)
    assert [
        (p.name, p.stat().st_mtime_ns, p.stat().st_ino) for p in sorted((folder / "runs").iterdir())
    ] == before
    assert len(journal.runs("f")) == 1


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "flipped"])
def test_a_damaged_artifact_means_that_it_is_trained_again(
    journal: Journal, folder: Path, damage: str
) -> None:
    keep(journal)
    for path in (folder / "runs").iterdir():
        content = bytearray(path.read_bytes())
        if damage == "gone":
            path.unlink()
            continue
        content[len(content) // 2] ^= 1
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "flipped": content}[damage])
    assert journal.recall("k") is None
    assert journal.weights("k") is None
    keep(journal)
    assert journal.recall("k") is not None
    assert journal.weights("k") is not None


def test_weights_may_come_later(journal: Journal) -> None:
    journal.remember("k", DOCUMENT, ARRAYS)
    assert journal.weights("k") is None
    keep(journal)
    assert journal.weights("k") is not None


def test_weights_survive_the_repair_of_their_arrays(journal: Journal, folder: Path) -> None:
    keep(journal)
    (folder / "runs" / "k.npz").unlink()
    journal.remember("k", DOCUMENT, ARRAYS)
    assert journal.weights("k") is not None


def test_a_key_never_leaves_its_folder(journal: Journal, folder: Path) -> None:
    for key in ("../../out", "a/b", "", ".", "f" * 400, "nul", "ä:1 2"):
        journal.remember(key, {"key": key}, {"x": np.array([len(key)])})
    for key in ("../../out", "a/b", "", ".", "f" * 400, "nul", "ä:1 2"):
        recalled = journal.recall(key)
        assert recalled is not None and recalled[0] == {"key": key} and recalled[1]["x"] == [len(key)]
    assert sorted(p.name for p in folder.parent.iterdir()) == [folder.name]
    assert len(list((folder / "runs").iterdir())) == 7


def test_nothing_temporary_stays(journal: Journal, folder: Path) -> None:
    runs = folder / "runs"
    runs.mkdir()
    (runs / "k.npz.0123.part").write_bytes(b"left by a killed process")
    keep(journal)
    assert sorted(p.name for p in runs.iterdir()) == ["k.npz", "k.safetensors"]


def test_the_journal_stays_where_it_was_opened(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Journal.open(Path(folder.name)) as journal:
        (tmp_path / "elsewhere").mkdir()
        os.chdir(tmp_path / "elsewhere")
        keep(journal)
        path = journal.weights("k")
        assert path is not None and path.is_file() and path.is_relative_to(folder)


def test_looks_at_the_same_samples_are_counted(journal: Journal) -> None:
    assert journal.looks("s") == 0
    assert [journal.look("s", "improve", "t", key) for key in ("a", "b", "c")] == [1, 2, 3]
    assert journal.look("other", "improve", "t", "a") == 1
    assert journal.looks("s") == 3


def test_a_resumed_run_looks_no_second_time(journal: Journal) -> None:
    assert [journal.look("s", "improve", "t", key) for key in ("a", "b", "a")] == [1, 2, 1]
    assert journal.looks("s") == 2


def test_the_first_split_of_the_data_stays(journal: Journal) -> None:
    assert journal.split("d") is None
    journal.keep_split("d", {"train": ("1", "2"), "val": ["3"]})
    journal.keep_split("d", {"train": ["3"], "val": ["1", "2"]})
    assert journal.split("d") == {"train": ["1", "2"], "val": ["3"]}
