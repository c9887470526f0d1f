"""Reading what users have: arrays, map-style data sets, folders of images, tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netwright.recipe.samples import (
    IN_MEMORY_BYTES,
    MapSamples,
    Samples,
    TensorSamples,
    as_tensor,
    collate,
    tree_tensors,
)
from netwright.recipe.streams import seeded
from netwright.values import UserError

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


def read(source: Any, name: str) -> Samples:
    """Samples of `(inputs, targets)`, or of anything with `__len__` and `__getitem__`."""
    if isinstance(source, (TensorSamples, MapSamples)):
        return source
    library = type(source).__module__.partition(".")[0]
    if library == "datasets":  # Hugging Face: rows as NumPy instead of lists
        source = source.with_format("numpy")
    if isinstance(source, tuple) and len(source) == 2:
        inputs = tree_map_arrays(source[0], f"{name} inputs")
        targets = as_targets(source[1], name)
        for key, tensor in (("targets", targets), *tree_tensors(inputs)):
            if tensor.ndim == 0:
                raise UserError(
                    f"data: {name} has a single number{' as ' + key if key else ''}; give an array"
                )
            if len(tensor) != len(targets):
                raise UserError(
                    f"data: {name} has {len(tensor)} inputs{' ' + key if key else ''} and {len(targets)}"
                    " targets; give one target a sample"
                )
        return TensorSamples(inputs, targets, name)
    if library not in ("pandas", "polars") and hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        samples = MapSamples(source, name)
        if len(samples) == 0:
            raise UserError(f"data: {name} is empty; give it samples")
        return _in_memory(samples.laid_like(source[0]))
    raise UserError(
        f"data: {name} is a {type(source).__name__}; give (inputs, targets), or something with __len__ and"
        " __getitem__"
    )


def as_targets(value: Any, name: str) -> torch.Tensor:
    """Targets as a tensor; whole numbers as int64, the class numbers that torch's losses take."""
    targets = as_tensor(value, f"{name} targets")
    return targets if targets.is_floating_point() else targets.long()


def tree_map_arrays(value: Any, what: str) -> Any:
    if isinstance(value, dict):
        return {key: tree_map_arrays(v, f"{what}[{key!r}]") for key, v in value.items()}
    return as_tensor(value, what)


def _in_memory(samples: MapSamples) -> Samples:
    """The same samples as tensors, where they fit and give the same values twice.

    Several are asked, since an augmentation may leave any one of them as it is.
    """
    once, again = _few(samples, 1), _few(samples, 2)
    pairs = list(zip(tree_tensors(once), tree_tensors(again), strict=True))
    same = all(a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num()) for (_, a), (_, b) in pairs)
    size = sum(t[0].numel() * t.element_size() for _, t in tree_tensors(once)) * len(samples)
    if not same or size > IN_MEMORY_BYTES:
        return samples
    inputs, targets = collate([samples.dataset[int(row)] for row in samples.index])
    return TensorSamples(inputs, targets, samples.source, samples.index).laid_as(samples)


def _few(samples: MapSamples, seed: int) -> Any:
    """Inputs and targets of a spread of samples under a given random state, which is put back."""
    with seeded(seed, "few"):
        return samples.head(16)


class ImageFolder:
    """Images under `folder/CLASS/`, as float32 (C, H, W) in 0…1, all brought to `size` (height, width) where
    given."""

    def __init__(self, folder: str | Path, size: tuple[int, int] | None = None) -> None:
        try:
            from PIL import Image
        except ModuleNotFoundError as missing:
            raise UserError(
                "data: folders of images need Pillow; pip install 'netwright[images]'"
            ) from missing
        self._open = Image.open
        self.size = size
        root = Path(folder)
        if not root.is_dir():
            raise UserError(f"data: no folder {folder}; name one that holds a folder a class")
        self.classes = tuple(sorted(d.name for d in root.iterdir() if d.is_dir()))
        self.files = [
            (file, label)
            for label, name in enumerate(self.classes)
            for file in sorted((root / name).rglob("*"))
            if file.suffix.lower() in _IMAGES
        ]
        if not self.files:
            raise UserError(
                f"data: no images under {folder}; put them into a folder a class, {folder}/CLASS/name.png"
            )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        file, label = self.files[row]
        try:
            with self._open(file) as image:
                picture = image.convert("L" if image.mode in ("1", "L", "I", "I;16") else "RGB")
                if self.size:
                    picture = picture.resize((self.size[1], self.size[0]))
                pixels = np.asarray(picture, dtype=np.float32) / 255
        except OSError as broken:
            raise UserError(
                f"data: {file} cannot be read as an image ({broken}); remove or replace it"
            ) from broken
        # (H, W) or (H, W, C) → (C, H, W)
        return torch.from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy()), label


def read_table(
    path: str | Path, target: str, *, na_values: Sequence[str] = (), drop: Sequence[str] = ()
) -> tuple[TensorSamples, tuple[str, ...] | None, tuple[str, ...], Any]:
    """Samples, class names, feature names and the data frame of a CSV or Parquet file.

    Columns of numbers stay, columns of few words become one column a word; a text target becomes class
    numbers.
    """
    try:
        import pandas
    except ModuleNotFoundError as missing:
        raise UserError("data: tables need pandas; pip install 'netwright[tables]'") from missing
    file = Path(path)
    if not file.is_file():
        raise UserError(f"data: no file {path}; name a .csv or .parquet file")
    try:
        if file.suffix.lower() in (".parquet", ".pq"):
            frame = pandas.read_parquet(file)
        else:
            frame = pandas.read_csv(file, na_values=list(na_values))
    except (ValueError, OSError) as broken:
        raise UserError(f"{path}: cannot be read as a table ({str(broken).splitlines()[0]})") from broken
    if target not in frame.columns:
        raise UserError(
            f"{path}: no column {target!r} for the target; there are {', '.join(map(str, frame.columns))}"
        )
    absent = [name for name in drop if name not in frame.columns]
    if absent:
        raise UserError(f"{path}: no column {absent[0]!r}; there are {', '.join(map(str, frame.columns))}")
    goal = frame[target]
    features = frame.drop(columns=[target, *drop])
    if len(frame) == 0 or len(features.columns) == 0:
        raise UserError(
            f"{path}: has no {'rows' if len(frame) == 0 else f'columns besides {target!r}'}; give some"
        )
    classes: tuple[str, ...] | None = None
    if not pandas.api.types.is_numeric_dtype(goal):
        codes, names = pandas.factorize(goal, sort=True)
        classes, goal = tuple(map(str, names)), pandas.Series(codes)
    columns, names = [], []
    for name in features.columns:
        for label, column in _numbers(features[name], str(name), str(path), pandas):
            names.append(label)
            columns.append(column)
    inputs = torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))
    samples = TensorSamples(inputs, as_targets(goal.to_numpy(), f"{path}: column {target!r},"), file.name)
    return samples, classes, tuple(names), frame


def _numbers(column: Any, name: str, path: str, pandas: Any) -> list[tuple[str, np.ndarray]]:
    if pandas.api.types.is_numeric_dtype(column):
        return [(name, column.to_numpy(dtype=np.float64, na_value=np.nan))]
    if pandas.api.types.is_datetime64_any_dtype(column):
        days = (column - pandas.Timestamp(0, tz=column.dt.tz)).dt.total_seconds() / 86_400
        return [(name, days.to_numpy(dtype=np.float64))]
    numbers = pandas.to_numeric(column, errors="coerce")
    text = numbers.isna() & column.notna()
    if not text.any():  # numbers, and gaps, that were stored as objects
        return [(name, numbers.to_numpy(dtype=np.float64, na_value=np.nan))]
    if text.mean() < 0.5:
        row = int(np.flatnonzero(text)[0])
        word = str(column.iloc[row])
        raise UserError(
            f"{path}: column {name!r} is text in {int(text.sum()):,} of {len(column):,} rows"
            f" (first: row {row}, {word!r}); say na_values=[{word!r}] or drop them"
        )
    words = sorted(map(str, column.dropna().unique()))
    if len(words) > 100:
        raise UserError(
            f"{path}: column {name!r} has {len(words):,} different words; drop=[{name!r}] leaves it out, or"
            " encode it"
        )
    filled = column.astype("string")
    return [(f"{name}={word}", (filled == word).fillna(False).to_numpy(dtype=np.float64)) for word in words]
