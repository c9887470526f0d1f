"""From an operator of PyTorch's program to Caffe layers: what an operator's writer is given and gives.

A writer is a function of a `Step` and of the operator's arguments by name; it adds layers and returns the
blob that holds the result. The last layer gets the name of the PyTorch layer, those before it the name and a
part. Sizes are whole numbers, or the text of a size that is free (the batch).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from attrs import Factory, define, frozen
from torch import Tensor, fx

from netwright.ports.caffe.prototxt import Message, message

Size: TypeAlias = "int | str"
Shape: TypeAlias = tuple[Size, ...]
Array: TypeAlias = np.ndarray[Any, Any]


class Unsayable(Exception):
    """What an operator needs that Caffe lacks, and what to do instead."""

    def __init__(self, sentence: str, remedy: str) -> None:
        super().__init__(sentence)
        self.sentence, self.remedy = sentence, remedy


@define
class Draft:
    """A layer that is being written."""

    name: str
    kind: str
    bottoms: list[str]
    tops: list[str]
    settings: Mapping[str, Message]
    weights: Sequence[Array]

    def message(self, with_weights: bool) -> Message:
        from netwright.ports.caffe.caffemodel import blob_of

        fields: dict[str, Any] = {"name": [self.name], "type": [self.kind]}
        fields |= {"bottom": self.bottoms, "top": self.tops}
        if with_weights:
            fields["blobs"] = [blob_of(array) for array in self.weights]
        return Message(fields | {name: [given] for name, given in self.settings.items()})


@frozen
class Held:
    """What is known of each node so far: the blobs of activations, the values of constants. Also how many
    values each product of activations takes."""

    blobs: dict[fx.Node, Any]
    constants: dict[fx.Node, Any]
    products: list[int] = Factory(list)


@define
class Step:
    """One operator being written: `step("ReLU", blob)` adds a layer and returns its top.

    `results` are the tensors, without numbers, that the operator gives, `shape` is that of the first; `used`
    are the numbers of those that something takes.
    """

    name: str
    operator: str
    shape: Shape
    results: Sequence[Tensor]
    used: frozenset[int]
    held: Held
    drafts: list[Draft] = Factory(list)

    def __call__(
        self, kind: str, *bottoms: str, part: str | None = None, weights: Iterable[Any] = (), **settings: Any
    ) -> str:
        """A layer with one top; settings are messages or keyword dicts of them by their field's name."""
        return self.several(kind, bottoms, 1, part=part, weights=weights, **settings)[0]

    def several(
        self,
        kind: str,
        bottoms: Sequence[str],
        count: int,
        *,
        part: str | None = None,
        weights: Iterable[Any] = (),
        **settings: Any,
    ) -> list[str]:
        """A layer with `count` tops."""
        name = f"{self.name}/{part or kind.lower()}"
        taken = {draft.name for draft in self.drafts}
        number = 1
        while name in taken:
            number += 1
            name = f"{self.name}/{part or kind.lower()}{number}"
        tops = [name] if count == 1 else [f"{name}.{index}" for index in range(count)]
        given = {field: message(**values) for field, values in settings.items() if values is not None}
        self.drafts.append(Draft(name, kind, list(bottoms), tops, given, [_array(w) for w in weights]))
        return list(tops)

    def blob(self, node: fx.Node) -> str:
        """The blob that holds what a node gives."""
        held = self.held.blobs.get(node)
        if not isinstance(held, str):
            raise Unsayable(
                f"takes {node.name}, which is no single activation",
                "give the layer one tensor of the network",
            )
        return held

    def is_constant(self, value: Any) -> bool:
        return isinstance(value, fx.Node) and value in self.held.constants

    def array(self, value: Any) -> Array:
        """A weight as an array; the same memory where it is a float32 on the CPU."""
        held = self.held.constants.get(value) if isinstance(value, fx.Node) else value
        if held is None:
            raise Unsayable(
                "has weights that are computed from the input", "Caffe's weights are fixed; use fixed weights"
            )
        return _array(held)

    def number(self, value: Any) -> float | None:
        """A plain number, or a constant of one element; else None."""
        if isinstance(value, int | float):
            return float(value)
        if self.is_constant(value):
            array = self.array(value)
            return float(array.reshape(-1)[0]) if array.size == 1 else None
        return None


def _array(value: Any) -> Array:
    if isinstance(value, Tensor):
        value = value.detach().to("cpu", torch.float32).numpy()
    return np.asarray(value, dtype=np.float32)


Writer: TypeAlias = Callable[..., Any]
WRITERS: dict[str, Writer] = {}


def writes(*operators: str) -> Callable[[Writer], Writer]:
    """Registers what writes operators of these names (PyTorch's, without a trailing `_`)."""

    def register(function: Writer) -> Writer:
        WRITERS.update(dict.fromkeys(operators, function))
        return function

    return register


# Shapes ------------------------------------------------------------------------------------------------


def shape_of(node: fx.Node) -> Shape:
    """The sizes of what a node gives."""
    value = node.meta["val"]
    value = value[0] if isinstance(value, list | tuple) else value
    return tuple(size if isinstance(size, int) else str(size) for size in value.shape)


def fixed(sizes: Iterable[Size]) -> list[int]:
    """Sizes that must be known: all of a layer but the batch."""
    known = list(sizes)
    if not all(isinstance(size, int) for size in known):
        raise Unsayable(
            f"has free sizes ({', '.join(map(str, known))}) beside the batch",
            "export with inputs of one size; only the batch may vary",
        )
    return [int(size) for size in known]


def axis_of(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis


def reshaped(step: Step, blob: str, old: Shape, new: Shape) -> str:
    """The blob in another shape. The batch is kept as it comes (0) or worked out from the rest (-1)."""
    if old == new:
        return blob
    if len(new) == 2 and old[:1] == new[:1]:
        return step("Flatten", blob, part="flat")
    pairs = enumerate(zip(old, new, strict=False))
    alike = next((i for i, (was, size) in pairs if was != size), min(len(old), len(new)))
    free = [index for index, size in enumerate(new) if index >= alike and not isinstance(size, int)]
    if not alike and not free:
        free = [0]  # the batch is worked out, so that it may be any
    sizes = [0 if i < alike else -1 if i in free[:1] else size for i, size in enumerate(new)]
    fixed(size for size in sizes if size != 0)
    return step("Reshape", blob, part="shape", reshape_param={"shape": message(dim=sizes)})


def cut(step: Step, blob: str, axis: int, start: int, stop: int, size: int) -> str:
    """The blob from `start` to `stop` along an axis, by a Slice whose other tops are silenced."""
    points = [point for point in (start, stop) if 0 < point < size]
    if not points:
        return blob
    tops = step.several(
        "Slice", [blob], len(points) + 1, part="cut", slice_param={"axis": axis, "slice_point": points}
    )
    kept = tops.pop(1 if start > 0 else 0)
    step.several("Silence", tops, 0)
    return kept


def along(step: Step, blob: str, shape: Shape, axis: int, matrix: Any) -> str:
    """A linear map (out, in) along one axis, as an inner product or a 1 × 1 convolution."""
    matrix = np.asarray(matrix, np.float32)
    outputs, size = matrix.shape
    if axis == 0:
        raise Unsayable("mixes the inputs of a batch", "work on each input alone")
    if axis == len(shape) - 1:
        settings = {"num_output": outputs, "bias_term": False, "axis": axis}
        return step("InnerProduct", blob, part="map", weights=[matrix], inner_product_param=settings)
    behind = fixed(shape[axis + 1 :])
    flat = axis == 1 and len(shape) == 4
    inner = blob
    if not flat:
        rows: Shape = (shape[0] if axis == 1 else "rows", size, 1, math.prod(behind))
        inner = reshaped(step, blob, shape, rows)
    settings = {"num_output": outputs, "kernel_size": 1, "bias_term": False}
    kernel = matrix.reshape(outputs, size, 1, 1)
    mapped = step("Convolution", inner, part="map", weights=[kernel], convolution_param=settings)
    if flat:
        return mapped
    rows = (shape[0] if axis == 1 else "rows", outputs, 1, math.prod(behind))
    return reshaped(step, mapped, rows, (*shape[:axis], outputs, *shape[axis + 1 :]))


def separable(step: Step, blob: str, shape: Shape, operation: Callable[[Tensor, list[int]], Tensor]) -> str:
    """What a linear `operation` (image, output sizes) -> image does to each of an image's axes alone, as a
    map that is read off from what it does to the unit vectors."""
    outputs = fixed(step.shape[2:])
    for index, (size, count) in enumerate(zip(fixed(shape[2:]), outputs, strict=True)):
        units = torch.eye(size)
        if len(outputs) == 1:
            rows = operation(units[None], [count])[0]
        else:
            image = units.reshape(1, size, size, 1) if index == 0 else units.reshape(1, size, 1, size)
            rows = operation(image, [count, 1] if index == 0 else [1, count])[0].reshape(size, count)
        if size != count or not torch.equal(rows, units):
            blob = along(step, blob, shape, index + 2, rows.T.numpy())
            shape = (*shape[: index + 2], count, *shape[index + 3 :])
    return blob


def broadcast(step: Step, blob: str, shape: Shape, to: Shape) -> str:
    """The blob with its axes of size one repeated to a larger shape."""
    wide: Shape = (*(1,) * (len(to) - len(shape)), *shape)
    if len(wide) > len(shape) and shape[:1] != to[:1]:
        raise Unsayable("repeats a blob over the batch", "give both tensors a batch axis")
    blob = reshaped(step, blob, shape, wide)
    for axis, (size, wanted) in enumerate(zip(wide, to, strict=True)):
        if size != wanted:
            blob = along(step, blob, wide, axis, np.ones((fixed([wanted])[0], 1)))
            wide = (*wide[:axis], wanted, *wide[axis + 1 :])
    return blob


def held_for_each(step: Step, node: fx.Node, like: fx.Node) -> str:
    """The blob of a node. Weights come once for each input of the activation `like`: as the bias of an inner
    product with zeros, for Caffe's own Parameter layer knows nothing of the batch."""
    if not step.is_constant(node):
        return step.blob(node)
    array, to, shape = step.array(node), shape_of(node), shape_of(like)
    if not array.ndim or to[0] != shape[0] or (array != array[:1]).any():
        raise Unsayable(
            "takes weights for an activation that differ from input to input, or are not there for each",
            "expand the weights over the batch, as the first axis",
        )
    size = math.prod(fixed(shape[1:]))
    one = cut(step, reshaped(step, step.blob(like), shape, (shape[0], size)), 1, 0, 1, size)
    settings = {"num_output": array[0].size}
    weights = [np.zeros((array[0].size, 1)), array[0].reshape(-1)]
    rows = step("InnerProduct", one, part="held", weights=weights, inner_product_param=settings)
    return reshaped(step, rows, (to[0], array[0].size), to)
