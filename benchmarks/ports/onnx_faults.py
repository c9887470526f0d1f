"""Faults of one node of an ONNX file, as converters make them: each changes the node in place, and says
whether there was something to change."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

Edit = Callable[["Opened", NodeProto], bool]
KINDS: dict[str, tuple[frozenset[str], Edit]] = {}


class Opened:
    """A model that may be changed, with its constants."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.constants = {one.name: one for one in model.graph.initializer}
        self._added = 0

    def value(self, name: str) -> np.ndarray | None:
        """The constant of that name."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def weight(self, node: NodeProto) -> int | None:
        """Which input of a node is its weight: the largest floating constant of two axes and more."""
        sizes = {
            i: value.size
            for i, name in enumerate(node.input)
            if (value := self.value(name)) is not None and value.dtype.kind == "f" and value.ndim >= 2
        }
        return max(sizes, key=lambda i: sizes[i]) if sizes else None

    def give(self, node: NodeProto, position: int, value: np.ndarray) -> bool:
        """Another constant as an input of this node alone."""
        self._added += 1
        name = f"{node.input[position]}.changed{self._added}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        node.input[position] = name
        return True


def kind(name: str, *operators: str) -> Callable[[Edit], Edit]:
    def mark(edit: Edit) -> Edit:
        KINDS[name] = frozenset(operators), edit
        return edit

    return mark


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    for one in node.attribute:
        if one.name == name:
            value = helper.get_attribute_value(one)
            return value.decode() if isinstance(value, bytes) else value
    return default


def put(node: NodeProto, name: str, value: Any) -> bool:
    """Set an attribute; whether it was another before."""
    if attribute(node, name) == value:
        return False
    kept = [one for one in node.attribute if one.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
    return True


def become(node: NodeProto, operator: str, **attributes: Any) -> bool:
    node.op_type = operator
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    return True


WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def _weights(change: Callable[[np.ndarray], np.ndarray | None]) -> Edit:
    def edit(opened: Opened, node: NodeProto) -> bool:
        at = opened.weight(node)
        value = opened.value(node.input[at]) if at is not None else None
        changed = change(value) if value is not None else None
        return changed is not None and at is not None and opened.give(node, at, changed)

    return edit


def _swapped(value: np.ndarray) -> np.ndarray | None:
    if len(value) < 2:
        return None
    order = np.arange(len(value))
    order[[0, -1]] = order[[-1, 0]]
    return value[order]


def _zeroed(value: np.ndarray) -> np.ndarray:
    changed = value.copy()
    changed[len(changed) // 2] = 0
    return changed


def _turned(value: np.ndarray) -> np.ndarray | None:
    square = value.ndim == 4 and value.shape[2] == value.shape[3] > 1
    return value.transpose(0, 1, 3, 2) if square else None


def _flat_turned(value: np.ndarray) -> np.ndarray | None:
    return value.T if value.ndim == 2 and value.shape[0] == value.shape[1] else None


kind("weights 5 % larger", *WEIGHTED)(_weights(lambda w: w * np.float32(1.05)))
kind("weights negated", *WEIGHTED)(_weights(lambda w: -w))
kind("two channels of the weights swapped", *WEIGHTED)(_weights(_swapped))
kind("a channel of the weights lost", *WEIGHTED)(_weights(_zeroed))
kind("kernels transposed", "Conv", "ConvTranspose")(_weights(_turned))
kind("weights transposed", "Gemm", "MatMul")(_weights(_flat_turned))
kind("rows of the embedding shifted", "Gather")(_weights(lambda w: np.roll(w, 1, 0)))
kind("weights in 8 bits", *WEIGHTED)(
    _weights(lambda w: (np.round(w * (127 / np.abs(w).max())) * (np.abs(w).max() / 127)).astype(w.dtype))
)


@kind("gates in another order", "LSTM", "GRU")
def _gates(opened: Opened, node: NodeProto) -> bool:
    count = 4 if node.op_type == "LSTM" else 3
    value = opened.value(node.input[1])
    if value is None:
        return False
    parts = np.split(value, count, 1)
    return opened.give(node, 1, np.concatenate([parts[1], parts[0], *parts[2:]], 1))


@kind("reset before the product", "GRU")
def _reset(opened: Opened, node: NodeProto) -> bool:
    return put(node, "linear_before_reset", 1 - attribute(node, "linear_before_reset", 0))


@kind("bias lost", "Conv", "ConvTranspose", "Gemm", "Add")
def _bias(opened: Opened, node: NodeProto) -> bool:
    for at in range(2 if node.op_type != "Add" else 0, len(node.input)):
        value = opened.value(node.input[at])
        if value is not None and value.dtype.kind == "f" and value.ndim == 1:
            return opened.give(node, at, np.zeros_like(value))
    return False


@kind(
    "another epsilon",
    "BatchNormalization",
    "LayerNormalization",
    "InstanceNormalization",
    "GroupNormalization",
)
def _epsilon(opened: Opened, node: NodeProto) -> bool:
    return put(node, "epsilon", 1e-2)


@kind("scale and shift of the norm lost", "BatchNormalization", "LayerNormalization", "InstanceNormalization")
def _affine(opened: Opened, node: NodeProto) -> bool:
    value = opened.value(node.input[1])
    return value is not None and opened.give(node, 1, np.ones_like(value))


@kind("padding moved to one side", "Conv", "MaxPool", "AveragePool")
def _pads(opened: Opened, node: NodeProto) -> bool:
    pads = attribute(node, "pads")
    if not pads or not any(pads):
        return False
    half = len(pads) // 2
    both = [a + b for a, b in zip(pads[:half], pads[half:], strict=True)]
    kernel = attribute(node, "kernel_shape")
    if node.op_type != "Conv" and any(p >= k for p, k in zip(both, kernel, strict=True)):
        return False
    return put(node, "pads", [0] * half + both)


@kind("rounding of the pooling", "MaxPool", "AveragePool")
def _rounding(opened: Opened, node: NodeProto) -> bool:
    return put(node, "ceil_mode", 1 - attribute(node, "ceil_mode", 0))


@kind("kernel spread", "Conv")
def _dilated(opened: Opened, node: NodeProto) -> bool:
    kernel, pads = attribute(node, "kernel_shape"), attribute(node, "pads")
    if not pads or not any(k > 1 for k in kernel) or any(d > 1 for d in attribute(node, "dilations", [1])):
        return False
    half = len(pads) // 2
    wider = [p + (k - 1) // 2 for p, k in zip(pads, [*kernel, *kernel], strict=True)]
    put(node, "dilations", [2] * half)
    return put(node, "pads", wider)


@kind("padding counted in the mean", "AveragePool")
def _counted(opened: Opened, node: NodeProto) -> bool:
    return put(node, "count_include_pad", 1 - attribute(node, "count_include_pad", 0))


@kind("mean instead of maximum", "MaxPool")
def _mean(opened: Opened, node: NodeProto) -> bool:
    kept = ("kernel_shape", "pads", "strides", "ceil_mode")
    values = {name: value for name in kept if (value := attribute(node, name)) is not None}
    return become(node, "AveragePool", **values)


@kind(
    "another activation",
    "Relu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Tanh",
    "Softplus",
    "Elu",
    "LeakyRelu",
)
def _activation(opened: Opened, node: NodeProto) -> bool:
    other: dict[str, tuple[str, dict[str, float]]] = {
        "Relu": ("LeakyRelu", {"alpha": 0.05}),
        "Sigmoid": ("HardSigmoid", {"alpha": 0.2, "beta": 0.5}),
        "HardSigmoid": ("HardSigmoid", {"alpha": 0.2, "beta": 0.5}),
        "HardSwish": ("Relu", {}),
        "Tanh": ("Softsign", {}),
        "Softplus": ("Relu", {}),
        "Elu": ("Elu", {"alpha": 0.5}),
        "LeakyRelu": ("LeakyRelu", {"alpha": attribute(node, "alpha", 0.01) * 3}),
    }
    operator, attributes = other[node.op_type]
    return become(node, operator, **attributes)


@kind("the other approximation", "Gelu")
def _gelu(opened: Opened, node: NodeProto) -> bool:
    return put(node, "approximate", "none" if attribute(node, "approximate", "none") == "tanh" else "tanh")


@kind("another bound", "Clip")
def _clip(opened: Opened, node: NodeProto) -> bool:
    value = opened.value(node.input[2]) if len(node.input) > 2 else None
    return value is not None and opened.give(node, 2, value / np.asarray(2, value.dtype))


@kind("inputs in another order", "Concat", "Sub", "Div")
def _order(opened: Opened, node: NodeProto) -> bool:
    if len(node.input) < 2 or any(name in opened.constants for name in node.input):
        return False
    node.input[0], node.input[1] = node.input[1], node.input[0]
    return True


@kind("shortcut lost", "Add")
def _shortcut(opened: Opened, node: NodeProto) -> bool:
    if any(name in opened.constants for name in node.input):
        return False
    kept = node.input[0]
    become(node, "Identity")
    del node.input[:]
    node.input.append(kept)
    return True


@kind("softmax along another axis", "Softmax", "LogSoftmax")
def _softmax(opened: Opened, node: NodeProto) -> bool:
    return put(node, "axis", -2 if attribute(node, "axis", -1) in (-1, 3) else -1)


@kind("a constant of the layer changed", "Mul", "Div", "Pow")
def _constant(opened: Opened, node: NodeProto) -> bool:
    for at, name in enumerate(node.input):
        value = opened.value(name)
        if value is not None and value.dtype.kind == "f" and value.size == 1:
            return opened.give(node, at, value * np.asarray(1.1, value.dtype))
    return False


@kind("interpolation of another mode", "Resize")
def _resize(opened: Opened, node: NodeProto) -> bool:
    if attribute(node, "mode") == "nearest":
        return False
    return put(node, "mode", "nearest")


@kind("other corners of the interpolation", "Resize")
def _corners(opened: Opened, node: NodeProto) -> bool:
    return put(node, "coordinate_transformation_mode", "asymmetric")


@kind("alpha of the response norm", "LRN")
def _response(opened: Opened, node: NodeProto) -> bool:
    return put(node, "alpha", attribute(node, "alpha", 1e-4) * attribute(node, "size"))


def candidates(model: ModelProto) -> Iterator[tuple[str, int]]:
    """The kinds of fault that there are for a model, each with the number of a node."""
    for name, (operators, _) in KINDS.items():
        yield from ((name, i) for i, node in enumerate(model.graph.node) if node.op_type in operators)


def with_fault(model: ModelProto, name: str, number: int) -> tuple[ModelProto, str | None] | None:
    """The model with that fault at that node, and the constant that was changed; `None` where that node has
    nothing to change."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    node = changed.graph.node[number]
    before = list(node.input)
    if not KINDS[name][1](Opened(changed), node):
        return None
    constant = next(
        (o for o, n in zip(before, node.input, strict=False) if n.startswith(f"{o}.changed")), None
    )
    del changed.graph.value_info[:]  # shapes that were inferred before
    return changed, constant


def dear_runs(layers: int) -> int:
    """How many runs the search of one layer among so many may take."""
    return 2 * math.ceil(math.log2(max(2, layers))) + 2
