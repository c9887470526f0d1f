"""The data sets by name: `train, val, test = load("satimage")`, each (inputs, targets) in their raw units."""

from __future__ import annotations

import functools
import os
import tomllib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Array = NDArray[Any]
Part = tuple[Array, Array]
HERE = Path(__file__).parent
PARTS = ("fit", "develop", "report")


@frozen
class DataSet:
    """One entry of `sets.toml`; `kind` is table, image, series or text, `goal` classes or amount."""

    name: str
    part: str
    kind: str
    goal: str
    source: str
    options: dict[str, Any]


def cache() -> Path:
    """Where packages and arrays are kept: `NETWRIGHT_BENCH_DATA`, or a folder of the user's cache."""
    return Path(os.environ.get("NETWRIGHT_BENCH_DATA") or Path.home() / ".cache" / "netwright-bench")


@functools.cache
def data_sets() -> dict[str, DataSet]:
    """Every set by its name."""
    with (HERE / "sets.toml").open("rb") as file:
        listed = tomllib.load(file)
    sets = {}
    for part in PARTS:
        for name, entry in listed[part].items():
            known = {k: entry[k] for k in ("kind", "goal", "source")}
            options = {k: v for k, v in entry.items() if k not in known}
            sets[name] = DataSet(name, part, **known, options=options)
    return sets


@functools.cache
def arrays(name: str) -> Part:
    """Inputs (N, ...) and targets (N,) of a whole set."""
    if data_sets()[name].source == "sklearn":
        from benchmarks.faults.sources import from_sklearn

        return from_sklearn(data_sets()[name])
    path = cache() / "arrays" / f"{name}.npz"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; run python -m benchmarks.faults.fetch")
    with np.load(path, allow_pickle=False) as stored:
        x, y = stored["x"], stored["y"]
    if data_sets()[name].options.get("distinct"):  # copies across the parts would be a leak
        first = np.sort(np.unique(x, axis=0, return_index=True)[1])
        x, y = x[first], y[first]
    return x, y


def load(name: str) -> tuple[Part, Part, Part]:
    """Training, validation and test rows, by class shares; the split depends on the name alone."""
    x, y = arrays(name)
    # Amounts are split by one permutation, with another seed than the one that dealt out the stored rows: the
    # same permutation twice over would give back the order of the source.
    classes = y.dtype.kind == "i"
    seed = zlib.crc32((name if classes else f"{name}, split").encode())
    rows = split(y if classes else None, len(y), seed)
    train, val, test = ((x[r], y[r]) for r in rows)
    return train, val, test


def split(labels: Array | None, size: int, seed: int) -> list[Array]:
    """Row numbers of three parts: half for training where samples are few, three fifths otherwise."""
    generator = np.random.default_rng(seed)
    place = generator.permutation(size) / size
    if labels is not None:
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            place[own] = (generator.permutation(len(own)) + 0.5) / len(own)
    first = 0.5 if size < 1000 else 0.6
    second = first + (1 - first) / 2
    masks = (place < first, (place >= first) & (place < second), place >= second)
    return [generator.permutation(np.flatnonzero(mask)) for mask in masks]
