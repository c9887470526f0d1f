"""A Caffe network as one value: the layers that run at TEST, their settings, their weights.

Old forms are upgraded here: `layers` with types in capitals (V1), `input` with `input_dim` or `input_shape`,
blobs in four numbers. Layers that only feed or only judge the network (Data, Accuracy, losses) are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, frozen

from netwright.ports.caffe.caffemodel import array_of, read_caffemodel
from netwright.ports.caffe.prototxt import Message, message, read_prototxt
from netwright.values import UserError

_V1_TYPES = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
    "ACCURACY": "Accuracy",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "IM2COL": "Im2col",
}
_SOURCES = {"Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "DummyData", "AnnotatedData"}
_SINKS = {"Accuracy", "HDF5Output", "InfogainLoss", "MultinomialLogisticLoss", "HingeLoss"}


@frozen
class Settings:
    """One `..._param` message of a layer, read by type; a wrong type names the layer and its line."""

    message: Message
    layer: Layer

    def integer(self, name: str, default: int) -> int:
        return self._typed(name, self.message.last(name, default), int)

    def integers(self, name: str) -> list[int]:
        return [self._typed(name, value, int) for value in self.message.all(name)]

    def real(self, name: str, default: float) -> float:
        return float(self._typed(name, self.message.last(name, default), (int, float)))

    def reals(self, name: str) -> list[float]:
        return [float(self._typed(name, value, (int, float))) for value in self.message.all(name)]

    def flag(self, name: str, default: bool) -> bool:
        return bool(self._typed(name, self.message.last(name, default), (bool, int)))

    def word(self, name: str, default: str, choices: Sequence[str]) -> str:
        """An enum's value, by name or by number."""
        value = self.message.last(name, default)
        if isinstance(value, int) and 0 <= value < len(choices):
            return choices[value]
        if value not in choices:
            raise self.layer.error(f"{name} is {value!r}, not one of {', '.join(filter(None, choices))}")
        return str(value)

    def given(self, name: str) -> bool:
        return bool(self.message.all(name))

    def _typed(self, name: str, value: Any, kinds: Any) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is int):
            raise self.layer.error(
                f"{name} is {value!r}, which is not a {'number' if kinds != (bool, int) else 'bool'}"
            )
        return value


@frozen
class Layer:
    """A layer: its type, the blobs it takes and gives by name, its message, its weights (views)."""

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: Message
    file: str
    blobs: tuple[np.ndarray[Any, Any], ...] = ()

    def settings(self, name: str) -> Settings:
        given = self.message.last(name, Message())
        if not isinstance(given, Message):
            raise self.error(f"{name} is {given!r}, not a message in braces")
        return Settings(given, self)

    def error(self, what: str) -> UserError:
        return UserError(
            f"layer {self.name!r} ({self.kind}): {what}", file=self.file, line=self.message.line or None
        )


@frozen
class Network:
    """The inputs, name -> shape or None where the file does not say, the layers in order, and the blobs that
    are silenced: nobody wants them."""

    name: str
    file: str
    inputs: Mapping[str, tuple[int, ...] | None]
    layers: tuple[Layer, ...]
    silenced: frozenset[str] = frozenset()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The blobs that no layer takes, in the order in which they are made."""
        open_blobs: dict[str, None] = dict.fromkeys(self.inputs)
        for layer in self.layers:
            for bottom in layer.bottoms:
                open_blobs.pop(bottom, None)
            open_blobs.update(dict.fromkeys(layer.tops))
        return tuple(blob for blob in open_blobs if blob not in self.silenced)

    @property
    def blobs(self) -> tuple[str, ...]:
        """Every blob that a layer makes, in order."""
        return tuple(dict.fromkeys(top for layer in self.layers for top in layer.tops))


def read_network(prototxt: str | Path, caffemodel: str | Path | None = None) -> Network:
    """The network that the two files describe at TEST; without a caffemodel no layer has weights."""
    network = network_of(read_prototxt(prototxt), Path(prototxt).name)
    if caffemodel is None:
        return network
    weights = weights_of(read_caffemodel(caffemodel), Path(caffemodel).name)
    return evolve(
        network, layers=tuple(evolve(one, blobs=weights.get(one.name, ())) for one in network.layers)
    )


def weights_of(binary: Message, file: str) -> dict[str, tuple[np.ndarray[Any, Any], ...]]:
    """The arrays of each layer by its name; of two layers of a name the last with weights counts."""
    weights: dict[str, tuple[np.ndarray[Any, Any], ...]] = {}
    for one in (*binary.all("layers"), *binary.all("layer")):
        name = one.last("name", "")
        try:
            arrays = tuple(array_of(blob) for blob in one.all("blobs"))
        except UserError as error:
            raise UserError(f"layer {name!r}: {error.message}", file=file) from None
        if arrays:
            weights[name] = arrays
    return weights


def network_of(text: Message, file: str) -> Network:
    """The layers of a NetParameter that run at TEST, in today's form."""
    inputs = _declared_inputs(text, file)
    layers: list[Layer] = []
    silenced: set[str] = set()
    for one in _messages(text, "layer", file) or _messages(text, "layers", file):
        layer = _upgraded(one, file)
        if not _runs_at_test(layer):
            continue
        if layer.kind == "Input":
            shapes = layer.settings("input_param").message.all("shape")
            for top, index in zip(layer.tops, range(len(layer.tops)), strict=True):
                shape = shapes[min(index, len(shapes) - 1)] if shapes else None
                inputs[top] = _sizes(shape, layer.file, layer.message.line) if shape is not None else None
        elif layer.kind in _SOURCES:
            size = layer.settings("transform_param").integer("crop_size", 0)
            inputs[layer.tops[0] if layer.tops else layer.name] = (1, 0, size, size) if size else None
        elif layer.kind == "Silence":
            silenced.update(layer.bottoms)
        else:
            layers += _kept(layer)
    if not layers:
        raise UserError("no layer that runs at TEST; a network is a list of 'layer { ... }'", file=file)
    made = set(inputs)
    for layer in layers:
        missing = [bottom for bottom in layer.bottoms if bottom not in made]
        if missing:
            raise layer.error(f"takes blob {missing[0]!r}, which no layer before it makes")
        made.update(layer.tops)
    used = {bottom for one in layers for bottom in one.bottoms}
    return Network(
        name=str(text.last("name", "")),
        file=file,
        inputs={name: shape for name, shape in inputs.items() if name in used},
        layers=tuple(layers),
        silenced=frozenset(silenced),
    )


def _messages(text: Message, name: str, file: str) -> tuple[Message, ...]:
    for value in text.all(name):
        if not isinstance(value, Message):
            raise UserError(f"{name} is {value!r}, not a message in braces", file=file)
    return text.all(name)


def _declared_inputs(text: Message, file: str) -> dict[str, tuple[int, ...] | None]:
    """`input:` with four `input_dim:` each, or with an `input_shape` each."""
    names = [str(name) for name in text.all("input")]
    shapes: list[tuple[int, ...] | None] = [_sizes(shape, file, 0) for shape in text.all("input_shape")]
    dims = text.all("input_dim")
    if dims and (len(dims) != 4 * len(names) or not all(isinstance(dim, int) for dim in dims)):
        raise UserError(f"{len(dims)} input_dim for {len(names)} inputs; Caffe takes four each", file=file)
    shapes += [tuple(dims[start : start + 4]) for start in range(0, len(dims), 4)]
    shapes += [None] * (len(names) - len(shapes))
    return dict(zip(names, shapes, strict=False))


def _sizes(shape: Any, file: str, line: int) -> tuple[int, ...]:
    sizes = shape.all("dim") if isinstance(shape, Message) else ()
    if not sizes or not all(isinstance(size, int) and 0 <= size < 1 << 31 for size in sizes):
        raise UserError("an input's shape is dims of whole numbers", file=file, line=line or None)
    return tuple(sizes)


def _upgraded(one: Message, file: str) -> Layer:
    kind = one.last("type", "")
    if one.all("layer"):
        raise UserError(
            "a layer of Caffe's first format (V0); Caffe's upgrade_net_proto_text brings it up to date",
            file=file,
            line=one.line,
        )
    kind = _V1_TYPES.get(kind, kind)
    name = one.last("name", "")
    if not isinstance(kind, str) or not isinstance(name, str) or not kind:
        raise UserError("a layer without a type in quotes", file=file, line=one.line)
    return Layer(name, kind, _names(one, "bottom"), _names(one, "top"), one, file)


def _names(one: Message, field: str) -> tuple[str, ...]:
    return tuple(str(name) for name in one.all(field))


def _runs_at_test(layer: Layer) -> bool:
    """Caffe's rule: with `include`, one of them must hold; with `exclude`, none may."""
    included, excluded = layer.message.all("include"), layer.message.all("exclude")
    if included and excluded:
        raise layer.error("has both include and exclude rules")
    if included:
        return any(_holds(rule, layer) for rule in included)
    return not any(_holds(rule, layer) for rule in excluded)


def _holds(rule: Any, layer: Layer) -> bool:
    """Whether a rule holds of a TEST network at level 0 and without stages."""
    if not isinstance(rule, Message):
        raise layer.error("an include or exclude rule is a message in braces")
    return (
        rule.last("phase", "TEST") in ("TEST", 1)
        and rule.last("min_level", 0) <= 0
        and rule.last("max_level", 0) >= 0
        and not rule.all("stage")
    )


def _kept(layer: Layer) -> list[Layer]:
    """A layer as inference needs it: a loss gives its prediction, a judge nothing."""
    if layer.kind == "SoftmaxWithLoss":
        settings = layer.message.all("softmax_param")
        return [_prediction(layer, "Softmax", message(softmax_param=list(settings)))]
    if layer.kind == "SigmoidCrossEntropyLoss":
        return [_prediction(layer, "Sigmoid", Message())]
    return [] if layer.kind in _SINKS or layer.kind.endswith("Loss") else [layer]


def _prediction(layer: Layer, kind: str, settings: Message) -> Layer:
    tops = (layer.tops or (layer.name,))[:1]
    return Layer(
        layer.name, kind, layer.bottoms[:1], tops, Message(settings.fields, layer.message.line), layer.file
    )
