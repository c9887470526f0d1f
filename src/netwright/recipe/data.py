"""The data of a recipe: parts, or one source and how it is split."""

from __future__ import annotations

import copy
import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, field, frozen
from torch import Tensor

from netwright.recipe.read import ImageFolder, read, read_table
from netwright.recipe.samples import LoaderSamples, MapSamples, Samples, TensorSamples
from netwright.recipe.source import Birthplace, birthplace
from netwright.recipe.split import split_rows
from netwright.values import UserError

_ID_LIKE = re.compile(
    r"(^|_)(id|uuid|key|date|time|timestamp|patient|user|subject|session)s?($|_)", re.IGNORECASE
)


@frozen
class Parts:
    """The data split: `val` chooses, `test` (or `None`) is scored once. `notes` are for the user."""

    train: Samples
    val: Samples
    test: Samples | None
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]
    fingerprint: str
    val_groups: Any = None  # (V,) group of each validation sample, or None
    val_meta: Mapping[str, Any] = field(factory=dict)  # (V,) each, what is known of each validation sample

    @functools.cached_property
    def test_digest(self) -> str | None:
        return self.test.digest() if self.test is not None else None


def _shares(value: Any) -> tuple[float, float, float]:
    try:
        shares = [float(share) for share in value]
    except (TypeError, ValueError):
        shares = []
    if len(shares) != 3 or not (shares[0] > 0 and shares[1] > 0 and shares[2] >= 0 and sum(shares) <= 1.0001):
        raise UserError(
            f"data: split={value!r} is not (train, validation, test) shares of at most 1 with training and"
            " validation above 0"
        )
    return shares[0], shares[1], shares[2]


def _columns(_: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise UserError(f"data: {attribute.name}= must be columns by name, like {{'camera': names}}")


def _yes_or_no(_: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, bool):
        raise UserError(f"data: {attribute.name}={value!r} must be True or False")


def _seed(_: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UserError(f"data: {attribute.name}={value!r} must be a whole number of at least 0")


@frozen(eq=False, slots=False)
class Data:
    """What a network learns from and is judged by.

    `train`, `val`, `test` are each `(inputs, targets)` or anything with `__len__` and `__getitem__`. What is
    not given is split off `train` by `split` (shares of train, validation, test): by `groups` or `time`, both
    (N,), where samples are not independent, else by class shares (`stratify`). The split depends on
    `split_seed` alone. `meta` is what is known of the samples and is no input of the network, such as
    `{"camera": names}`: one value for each sample of `val` where that is given, else of `train`; where the
    network fails is also looked for by it. Raises `UserError`.
    """

    train: Any
    val: Any = None
    test: Any = None
    classes: Sequence[str] | None = None
    groups: Any = field(default=None, kw_only=True)
    time: Any = field(default=None, kw_only=True)
    meta: Mapping[str, Any] = field(factory=dict, kw_only=True, validator=_columns)
    stratify: bool = field(default=True, kw_only=True, validator=_yes_or_no)
    split: tuple[float, float, float] = field(default=(0.85, 0.15, 0.0), kw_only=True, converter=_shares)
    split_seed: int = field(default=0, kw_only=True, validator=_seed)
    by_loaders: bool = field(default=False, kw_only=True, repr=False)
    features: tuple[str, ...] | None = field(default=None, kw_only=True, repr=False)
    made_at: Birthplace = field(factory=birthplace, init=False, repr=False)

    @classmethod
    def arrays(
        cls,
        inputs: Any,
        targets: Any,
        *,
        split: tuple[float, float, float] = (0.7, 0.15, 0.15),
        **options: Any,
    ) -> Data:
        """One source of arrays or tensors, (N, ...) and (N,) or (N, K), split into all three parts."""
        return cls((inputs, targets), split=split, **options)

    @classmethod
    def folder(
        cls,
        path: str | Path,
        *,
        size: tuple[int, int] | None = None,
        split: tuple[float, float, float] = (0.7, 0.15, 0.15),
        **options: Any,
    ) -> Data:
        """Images in a folder a class; with `train`, `val`, `test` folders inside, those are the parts.

        Pixels are float32 in 0…1, (C, H, W); `size` is (height, width).
        """
        root = Path(path)
        if (root / "train").is_dir():
            parts = {p: ImageFolder(root / p, size) for p in ("train", "val", "test") if (root / p).is_dir()}
            names = {p: folder.classes for p, folder in parts.items()}
            if len(set(names.values())) > 1:
                raise UserError(
                    f"data: {path} has other class folders in its parts ({names}); make them the same"
                )
            return cls(**parts, classes=names["train"], **options)
        images = ImageFolder(root, size)
        return cls(images, split=split, classes=images.classes, **options)

    @classmethod
    def table(
        cls,
        path: str | Path,
        target: str,
        *,
        na_values: Sequence[str] = (),
        drop: Sequence[str] = (),
        groups: str | None = None,
        time: str | None = None,
        meta: Sequence[str] = (),
        split: tuple[float, float, float] = (0.7, 0.15, 0.15),
        **options: Any,
    ) -> Data:
        """A CSV or Parquet file; `groups`, `time` and `meta` name columns, which are then no features."""
        left_out = [*drop, *(name for name in (groups, time) if name), *meta]
        samples, classes, features, frame = read_table(path, target, na_values=na_values, drop=left_out)
        return cls(
            samples,
            classes=classes,
            groups=frame[groups].to_numpy() if groups else None,
            time=frame[time].to_numpy() if time else None,
            meta={name: frame[name].to_numpy() for name in meta},
            split=split,
            features=features,
            **options,
        )

    @classmethod
    def loaders(
        cls,
        train: Callable[[], Iterable[Any]],
        val: Callable[[], Iterable[Any]],
        test: Callable[[], Iterable[Any]] | None = None,
        **options: Any,
    ) -> Data:
        """Functions that each return the user's own DataLoader; batch size and order are then the user's."""
        for name, make in (("train", train), ("val", val), ("test", test)):
            if make is not None and not callable(make):
                raise UserError(
                    f"data: {name}= must be a function that returns a loader, not a {type(make).__name__}"
                )
        return cls(train, val, test, by_loaders=True, **options)

    @functools.cached_property
    def parts(self) -> Parts:
        """Train, validation and test samples, read and split once. Raises `UserError` where that cannot be
        done."""
        if self.by_loaders and self.meta:
            raise UserError("data: meta= cannot be matched to loaders, which deal out samples themselves")
        if self.by_loaders:
            test = LoaderSamples(self.test, "test") if self.test else None
            return self._parts(LoaderSamples(self.train, "train"), LoaderSamples(self.val, "val"), test, ())
        train = read(self.train, "train")
        val = read(self.val, "val") if self.val is not None else None
        test = read(self.test, "test") if self.test is not None else None
        if val is not None:
            return self._known(self._parts(train, val, test, ()), val)
        assert isinstance(train, (TensorSamples, MapSamples))
        share = self.split
        if test is not None:  # nothing more is split off for the test
            share = (share[0], share[1], 0.0)
        groups, time = self._column(self.groups, train, "groups"), self._column(self.time, train, "time")
        labels = None
        if self.stratify and groups is None and time is None:
            labels = _strata(train.targets())
        rows = split_rows(len(train), share, self.split_seed, labels=labels, groups=groups, time=time)
        test = train.take(rows[2]) if test is None and share[2] > 0 else test
        parts = self._parts(train.take(rows[0]), train.take(rows[1]), test, self._doubts())
        parts = self._known(parts, train, rows[1])
        if groups is not None:
            numbers = np.unique(groups[rows[1]], return_inverse=True)[1]
            parts = evolve(
                parts, val_groups=numbers, val_meta={"the group": groups[rows[1]], **parts.val_meta}
            )
        return parts

    def with_validation(self, change: Callable[[Samples], Samples]) -> Data:
        """These data with a changed validation part: another yardstick, whose scores are not those of this
        one. The fingerprint stays: it is of what the file says, and the edits have one of their own."""
        changed = copy.copy(self)
        changed.__dict__["parts"] = evolve(self.parts, val=change(self.parts.val))
        return changed

    def _known(self, parts: Parts, of: Samples, rows: Any = slice(None)) -> Parts:
        """The parts with what `meta` says of the validation samples, which are these rows of `of`."""
        columns = {
            name: self._column(values, of, f"meta[{name!r}]")[rows] for name, values in self.meta.items()
        }
        return evolve(parts, val_meta=columns)

    def _column(self, value: Any, train: Samples, name: str) -> Any:
        if value is None:
            return None
        column = np.asarray(value)
        if column.shape != (len(train),):
            raise UserError(
                f"data: {name}= has shape {column.shape} for {len(train)} samples; give one value a sample"
            )
        return column

    def _doubts(self) -> tuple[str, ...]:
        if self.groups is not None or self.time is not None:
            return ()
        named = [name for name in self.features or () if _ID_LIKE.search(name)]
        if not named:
            return ()
        return (
            (
                f"split at random although the table has {', '.join(named)}: where rows of one {named[0]}"
                " belong together, say groups= or time="
            ),
        )

    def _parts(self, train: Samples, val: Samples, test: Samples | None, notes: tuple[str, ...]) -> Parts:
        for name, part in (("training", train), ("validation", val), ("test", test)):
            if part is not None and len(part) == 0:
                raise UserError(f"data: the {name} part is empty; give it samples")
        if test is None:
            notes = (*notes, "there is no test part: nothing unseen was scored")
        whole = hashlib.sha256()
        for part in (train, val, test):
            whole.update(part.digest().encode() if part is not None else b"-")
        classes = tuple(map(str, self.classes)) if self.classes is not None else None
        return Parts(train, val, test, classes, notes, whole.hexdigest()[:16])


def _strata(targets: Tensor) -> Any:
    """The labels to keep the shares of, (N,), or `None` where the targets are not a few distinct whole
    numbers."""
    if targets.ndim > 2 or (targets.ndim == 2 and targets.shape[1] != 1):
        return None
    flat = targets.reshape(-1).cpu().numpy()
    if flat.dtype.kind == "f" and not (np.isfinite(flat).all() and (flat == np.round(flat)).all()):
        return None
    distinct = np.unique(flat)
    return flat if len(distinct) <= max(2, min(200, len(flat) // 4)) else None
