"""One part of the data: samples served in batches, from memory, from a data set, or from the user's own
loader.

`inputs` is a tensor (N, ...) or a dictionary of such; `targets` a tensor (N,) or (N, K). `rows` (B,) are row
numbers in the part. What fits in memory is served by indexing; per-sample Python happens only where the
user's data set demands it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from netwright.recipe.streams import seeded
from netwright.values import UserError

Inputs = Any  # a tensor, or a dictionary or tuple of tensors
Batch = tuple[Inputs, Tensor, Tensor]  # inputs, targets, rows
TARGET_NAMES = ("target", "targets", "label", "labels", "y")
IN_MEMORY_BYTES = 1 << 30
REORDERED_BYTES = 1 << 26


def tree_map(function: Callable[[Tensor], Any], inputs: Inputs) -> Any:
    """`function` on every tensor of a nested dictionary, list or tuple."""
    if isinstance(inputs, Tensor):
        return function(inputs)
    if isinstance(inputs, Mapping):
        return {k: tree_map(function, v) for k, v in inputs.items()}
    if isinstance(inputs, (list, tuple)):
        return type(inputs)(tree_map(function, v) for v in inputs)
    return inputs


def tree_tensors(inputs: Inputs) -> Iterator[tuple[str, Tensor]]:
    """Every tensor with its name in the tree, '' for a single one."""
    if isinstance(inputs, Tensor):
        yield "", inputs
    elif isinstance(inputs, Mapping):
        for key, value in inputs.items():
            for name, tensor in tree_tensors(value):
                yield f"{key}.{name}".rstrip("."), tensor
    elif isinstance(inputs, (list, tuple)):
        for key, value in enumerate(inputs):
            for name, tensor in tree_tensors(value):
                yield f"{key}.{name}".rstrip("."), tensor


def as_tensor(value: Any, what: str) -> Tensor:
    """A tensor of `value`: float64 becomes float32, small unsigned integers above a byte become int64, others
    stay."""
    if isinstance(value, Tensor):
        tensor = value.detach()
    else:
        try:
            array = np.asarray(value)
        except ValueError as ragged:
            raise UserError(f"data: {what} differ in shape; pad or resize them") from ragged
        if array.dtype.kind not in "biufc":
            raise UserError(f"data: {what} are {array.dtype}, not numbers; encode them as numbers first")
        if array.dtype.kind == "u" and array.dtype.itemsize > 1:
            array = array.astype(np.int64)
        tensor = torch.from_numpy(np.array(array))
    return tensor.float() if tensor.dtype == torch.float64 else tensor


class Samples(Protocol):
    """What the runs, the checks and the scores read of one part of the data."""

    source: str
    shuffles: bool  # whether the order of the samples is ours to choose

    def __len__(self) -> int: ...
    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]: ...
    def targets(self) -> Tensor: ...
    def head(self, count: int) -> tuple[Inputs, Tensor]: ...
    def ids(self, rows: Sequence[int]) -> tuple[str, ...]: ...
    def to(self, device: torch.device) -> Samples: ...
    def digest(self) -> str: ...
    def as_batch(self, inputs: Inputs, targets: Tensor) -> Any: ...


class _Laid:
    """How the user's source lays out a sample: a pair, or a dictionary whose target has the name
    `target_name`."""

    target_name: str | None = None
    input_name: str | None = None

    def as_batch(self, inputs: Inputs, targets: Tensor) -> Any:
        """The batch as the user's `step` expects it."""
        if self.target_name is None:
            return inputs, targets
        named = inputs if self.input_name is None else {self.input_name: inputs}
        return {**named, self.target_name: targets}

    def laid_like(self, item: Any) -> Any:
        """Remember the layout of one of the source's samples."""
        if isinstance(item, Mapping):
            self.target_name = next((key for key in TARGET_NAMES if key in item), None)
            rest = [key for key in item if key != self.target_name]
            self.input_name = rest[0] if len(rest) == 1 else None
        return self

    def laid_as(self, other: Any) -> Any:
        self.target_name, self.input_name = other.target_name, other.input_name
        return self


class TensorSamples(_Laid):
    """Samples in memory: `inputs` a tree of tensors (N, ...), `all_targets` (N, ...), `index` (N,) rows of
    the source."""

    shuffles = True

    def __init__(self, inputs: Inputs, targets: Tensor, source: str, index: np.ndarray | None = None) -> None:
        self.inputs = inputs
        self.all_targets = targets
        self.source = source
        self.index = np.arange(len(targets)) if index is None else np.asarray(index)

    def __len__(self) -> int:
        return len(self.all_targets)

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        if order is None:
            for start in range(0, len(self), batch_size):
                stop = min(start + batch_size, len(self))
                rows = torch.arange(start, stop)
                yield self._rows(slice(start, stop)), self.all_targets[start:stop], rows
            return
        if order.numel() and self._bytes() <= REORDERED_BYTES:
            # One gather for the whole pass: batches are then views, which a small network's step would feel.
            index = order.to(self.all_targets.device)
            inputs, targets = self._rows(index), self.all_targets[index]
            for start, rows in zip(range(0, len(order), batch_size), order.split(batch_size), strict=True):
                stop = start + len(rows)
                yield tree_map(lambda t, a=start, b=stop: t[a:b], inputs), targets[start:stop], rows
            return
        for rows in order.split(batch_size):
            index = rows.to(self.all_targets.device)
            yield self._rows(index), self.all_targets[index], rows

    def _bytes(self) -> int:
        return sum(t.numel() * t.element_size() for _, t in tree_tensors(self.inputs))

    def _rows(self, index: Any) -> Inputs:
        if isinstance(self.inputs, Tensor):
            return self.inputs[index]
        return tree_map(lambda t: t[index], self.inputs)

    def targets(self) -> Tensor:
        return self.all_targets

    def head(self, count: int) -> tuple[Inputs, Tensor]:
        """`count` samples spread evenly over the part, in its order."""
        rows = torch.linspace(0, len(self) - 1, min(count, len(self))).round().long()
        return self._rows(rows), self.all_targets[rows]

    def ids(self, rows: Sequence[int]) -> tuple[str, ...]:
        return tuple(f"{self.source}:{self.index[row]}" for row in rows)

    def take(self, rows: Any) -> TensorSamples:
        index = torch.as_tensor(np.asarray(rows), dtype=torch.long)
        taken = TensorSamples(
            self._rows(index), self.all_targets[index], self.source, self.index[np.asarray(rows)]
        )
        return taken.laid_as(self)

    def to(self, device: torch.device) -> TensorSamples:
        if self.all_targets.device == device:
            return self
        moved = tree_map(lambda t: t.to(device), self.inputs)
        return TensorSamples(moved, self.all_targets.to(device), self.source, self.index).laid_as(self)

    def digest(self) -> str:
        state = hashlib.sha256()
        for name, tensor in (*tree_tensors(self.inputs), ("targets", self.all_targets)):
            state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            state.update(tensor.cpu().contiguous().view(torch.uint8).numpy().data if tensor.numel() else b"")
        return state.hexdigest()


class MapSamples(_Laid):
    """Samples of a map-style data set too large, or too random (augmentation inside), to hold in memory."""

    shuffles = True

    def __init__(self, dataset: Any, source: str, index: np.ndarray | None = None) -> None:
        self.dataset = dataset
        self.source = source
        self.index = np.arange(len(dataset)) if index is None else np.asarray(index)
        self._targets: Tensor | None = None
        self._device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.index)

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        every = torch.arange(len(self)) if order is None else order.cpu()
        for rows in every.split(batch_size):
            inputs, targets = self._fetch(rows.tolist())
            move = self._device
            yield tree_map(lambda t, d=move: t.to(d), inputs), targets.to(self._device), rows

    def _fetch(self, rows: Sequence[int]) -> tuple[Inputs, Tensor]:
        return collate([self.dataset[int(self.index[row])] for row in rows])

    def targets(self) -> Tensor:
        if self._targets is None:
            with seeded(0, "targets"):
                parts = [targets for _, targets, _ in self.batches(256)]
            self._targets = torch.cat(parts) if parts else torch.empty(0)
        return self._targets

    def head(self, count: int) -> tuple[Inputs, Tensor]:
        return self._fetch(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int).tolist())

    def ids(self, rows: Sequence[int]) -> tuple[str, ...]:
        return tuple(f"{self.source}:{self.index[row]}" for row in rows)

    def take(self, rows: Any) -> MapSamples:
        taken = MapSamples(self.dataset, self.source, self.index[np.asarray(rows)])
        if self._targets is not None:
            taken._targets = self._targets[torch.as_tensor(np.asarray(rows), dtype=torch.long)]
        return taken.laid_as(self)

    def to(self, device: torch.device) -> MapSamples:
        moved = MapSamples(self.dataset, self.source, self.index)
        moved._device, moved._targets = device, self._targets
        return moved.laid_as(self)

    def digest(self) -> str:
        """Of all targets and a spread of inputs: keeping every input of a large set would cost more than a
        training."""
        state = hashlib.sha256(f"{type(self.dataset).__name__} {len(self)}".encode())
        with seeded(0, "digest"):
            inputs, _ = self.head(16)
        state.update(TensorSamples(inputs, self.targets(), "").digest().encode())
        return state.hexdigest()


class LoaderSamples(_Laid):
    """The user's own loader, made anew by `make()` for every pass; order and batches are the user's."""

    shuffles = False

    def __init__(self, make: Callable[[], Iterable[Any]], source: str) -> None:
        self.make = make
        self.source = source
        self._targets: Tensor | None = None
        self._device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.targets())

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        start = 0
        for item in self.make():
            self.laid_like(item)
            inputs, targets = parted(item)
            move = self._device
            yield (
                tree_map(lambda t, d=move: t.to(d), inputs),
                targets.to(self._device),
                torch.arange(start, start + len(targets)),
            )
            start += len(targets)

    def targets(self) -> Tensor:
        if self._targets is None:
            with seeded(0, "targets"):
                parts = [targets for _, targets, _ in self.batches(0)]
            self._targets = torch.cat(parts) if parts else torch.empty(0)
        return self._targets

    def head(self, count: int) -> tuple[Inputs, Tensor]:
        inputs, targets, _ = next(self.batches(0))
        return tree_map(lambda t: t[:count], inputs), targets[:count]

    def ids(self, rows: Sequence[int]) -> tuple[str, ...]:
        return tuple(f"{self.source}:{row}" for row in rows)

    def to(self, device: torch.device) -> LoaderSamples:
        moved = LoaderSamples(self.make, self.source)
        moved._device, moved._targets = device, self._targets
        return moved.laid_as(self)

    def digest(self) -> str:
        """Of the first samples that the loader gives under a fixed random state, and of all targets in no
        order."""
        with seeded(0, "digest"):
            inputs, targets = self.head(16)
        every = self.targets().reshape(-1).sort().values
        return TensorSamples({"inputs": inputs, "targets": targets}, every, "").digest()


def parted(item: Any) -> tuple[Inputs, Any]:
    """Inputs and targets of one item or batch: a pair, or a dictionary with a target among its keys."""
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return item[0], item[1]
    if isinstance(item, Mapping):
        name = next((key for key in TARGET_NAMES if key in item), None)
        if name is None:
            raise UserError(
                f"data: no target among the columns {sorted(item)}; name one of them {TARGET_NAMES[2]!r}"
            )
        rest = {key: value for key, value in item.items() if key != name}
        return (next(iter(rest.values())) if len(rest) == 1 else rest), item[name]
    raise UserError(
        f"data: a sample is a {type(item).__name__}; make it a pair (input, target) or a dictionary with a"
        " 'label'"
    )


def collate(items: Sequence[Any]) -> tuple[Inputs, Tensor]:
    """Stack samples to (B, ...); samples of unequal shape are an error that says which."""
    pairs = [parted(item) for item in items]
    targets = _stack([p[1] for p in pairs], "targets")
    return _stack([p[0] for p in pairs]), targets if targets.is_floating_point() else targets.long()


def _stack(values: Sequence[Any], what: str = "inputs") -> Any:
    first = values[0]
    if isinstance(first, Mapping):
        return {key: _stack([v[key] for v in values], f"{what}[{key!r}]") for key in first}
    if isinstance(first, (tuple, list)) and any(isinstance(v, (Tensor, np.ndarray)) for v in first):
        return tuple(_stack(list(column), what) for column in zip(*values, strict=True))
    tensors = [as_tensor(v, what) for v in values]
    shapes = {tuple(t.shape) for t in tensors}
    if len(shapes) > 1:
        few = sorted(shapes)[:3]
        raise UserError(
            f"data: {what} differ in shape ({few}); pad or resize them, or use Data.loaders with a collate_fn"
        )
    return torch.stack(tensors)
