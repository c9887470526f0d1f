"""One node of ONNX while it is drawn: what an operator sees of it, and how it draws what it computes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import onnx
import torch
from onnx import AttributeProto, FunctionProto, NodeProto
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from netwright.ports.onnx.read_file import attributes_of
from netwright.ports.onnx.read_folding import TooLarge, folded
from netwright.ports.onnx.read_graph import Scope, Value
from netwright.values import UserError

Emit = Callable[["Call"], Any]

_KNOWN = 24  # attributes that later opsets added to operators change what they mean
_LATER = {"SpaceToDepth": frozenset(("mode",))}  # those of them that are read

_LAYS_OUT = "Cast Identity Transpose Reshape Squeeze Unsqueeze Flatten Slice Split Concat DequantizeLinear"
_KEEPS_RANK = """
    Relu Elu Selu Celu LeakyRelu PRelu ThresholdedRelu Sigmoid HardSigmoid Tanh Softsign Softplus Softmax
    LogSoftmax Gelu Mish Swish HardSwish Clip Abs Neg Exp Log Sqrt Erf Identity Cast Dropout LRN Pad Resize
    Upsample Shrink BatchNormalization InstanceNormalization LayerNormalization GroupNormalization Slice
    Concat Split MaxPool AveragePool GlobalAveragePool GlobalMaxPool Conv ConvTranspose
"""
_LAYOUT, _SAME_RANK = frozenset(_LAYS_OUT.split()), frozenset(_KEEPS_RANK.split())
_LARGEST_RANK = frozenset(("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum"))


class Call:
    """One node of ONNX: what an operator sees of it, and how it draws what it computes."""

    def __init__(self, scope: Scope, node: NodeProto) -> None:
        self.scope, self.canvas, self.node = scope, scope.canvas, node
        self.reading = scope.canvas.reading
        self.opset = self.reading.opset
        self.kind = node.op_type
        self.name = node.name or next((name for name in node.output if name), node.op_type)
        self.where = f"node '{self.name[:80]}' ({self.kind[:40]})"
        self.attributes = attributes_of(node, scope.given)
        self.inputs: list[Value] = [scope.lookup(name, self.where) if name else None for name in node.input]
        self.wanted = [bool(name) and bool(scope.uses.get(name)) for name in node.output]

    # What is asked of the node

    def error(self, message: str) -> UserError:
        return self.reading.file.error(f"{self.where} {message}")

    def attr(self, name: str, default: Any = None) -> Any:
        value = self.attributes.get(name)
        return default if value is None else value

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] is not None

    def constant(self, index: int) -> Tensor | None:
        """The input as a tensor where it is known already."""
        value = self.inputs[index] if self.has(index) else None
        if isinstance(value, int | list):
            return torch.tensor(value, dtype=torch.int64)
        return value if isinstance(value, Tensor) else None

    def tensor(self, index: int) -> Any:
        """The input as an argument that will be a tensor; None where there is none."""
        value = self.inputs[index] if self.has(index) else None
        if isinstance(value, fx.Node) and value in self.canvas.sizes:
            return self.scope.as_tensor(value)
        return value if isinstance(value, fx.Node) else self.constant(index)

    def tensors(self) -> list[Any]:
        return [self.tensor(index) for index in range(len(self.inputs))]

    def operand(self, index: int, other: int | None = None) -> Any:
        """Like `tensor`, but a constant of one number is a plain number, where it has no more dimensions than
        the `other` input."""
        value = self.tensor(index)
        single = isinstance(value, Tensor) and value.numel() == 1
        rank = 0 if other is None else self.rank(other) or 0
        return value.item() if single and value.ndim <= rank else value

    def ints(self, index: int) -> Any:
        """The input as ints: a list where it is known already, otherwise a node; None where there is none."""
        value = self.inputs[index] if self.has(index) else None
        if isinstance(value, Tensor):
            return [int(number) for number in value.flatten().tolist()]
        return [value] if isinstance(value, int) else value

    def setting(self, name: str, index: int, since: int) -> Any:
        """Ints that are an attribute before opset `since` and an input from there on."""
        return self.ints(index) if self.opset >= since or self.has(index) else self.attr(name)

    def sized(self, index: int) -> bool:
        """Whether the input is ints, or could be: a shape, a part of one, or a constant of few ints."""
        value = self.inputs[index] if self.has(index) else None
        if isinstance(value, fx.Node):
            return value in self.canvas.sizes
        if isinstance(value, Tensor):
            return value.dtype in (torch.int64, torch.int32) and value.ndim <= 1 and value.numel() <= 16
        return isinstance(value, int | list)

    def shape_arithmetic(self) -> bool:
        """Whether the node computes a part of a shape that is known only when the network runs."""
        given = [index for index in range(len(self.inputs)) if self.has(index)]
        running = any(isinstance(value, fx.Node) and value in self.canvas.sizes for value in self.inputs)
        return running and all(self.sized(index) for index in given)

    def size(self, index: int) -> Any:
        """The input of shape arithmetic: an int, a list of ints or a node of one of them."""
        value = self.inputs[index]
        return value.tolist() if isinstance(value, Tensor) else value

    def rank(self, index: int = 0) -> int | None:
        value = self.inputs[index] if self.has(index) else None
        return (
            value.ndim
            if isinstance(value, Tensor)
            else self.canvas.ranks.get(value)
            if value is not None and isinstance(value, fx.Node)
            else None
        )

    # What is drawn

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What `function` gives: now where all is known, otherwise a node of the graph."""
        running = [False]
        map_arg((args, kwargs), lambda node: running.__setitem__(0, True))
        if not running[0]:
            try:
                value, self.reading.room = folded(function, args, kwargs, self.reading.room)
            except TooLarge:
                pass
            else:
                self._remember(value)
                return value
        return self.canvas.graph.create_node(
            "call_function",
            function,
            self._drawable(args),
            {name: self._drawable(value) for name, value in kwargs.items()},
            name=self.canvas.names.new(self.name, self.kind.lower()),
        )

    def sizes(self, function: Callable[..., Any], *args: Any, length: int | None = None) -> Any:
        """Like `call`, for functions that give ints; `length` is that of the list, where it is one."""
        value = self.call(function, *args)
        if isinstance(value, fx.Node):
            self.canvas.sizes.add(value)
            if length is not None:
                self.canvas.lengths[value] = length
        return value

    def length(self, index: int) -> int | None:
        """How many ints the input is; None where that is unknown, or where it is a single one."""
        value = self.inputs[index] if self.has(index) else None
        if isinstance(value, fx.Node):
            return self.canvas.lengths.get(value)
        if isinstance(value, Tensor):
            return len(value) if value.ndim else None
        return len(cast(list[int], value)) if isinstance(value, list) else None

    def layer(self, module: nn.Module, *args: Any, weight: int | None = None) -> fx.Node:
        """A layer, named after its `weight` where the weight has a name, otherwise after the node."""
        stored = self.scope.weights.get(id(self.inputs[weight])) if weight is not None else None
        stem, _, last = (stored or "").rpartition(".")
        own = (
            stem
            if stem and last in ("weight", "weight_ih_l0")
            else self.node.name or stored or self.kind.lower()
        )
        name = self.canvas.names.new(own, self.kind.lower())
        self.canvas.root.add_module(name, module)
        given = self._drawable(args, trained=False)  # what a layer is given is no weight of its own
        return self.canvas.graph.create_node("call_module", name, given, {}, name=name)

    def renamed(self, layer: fx.Node, stored: str) -> None:
        """Names a layer anew, after a weight that it was given later."""
        old, name = str(layer.target), self.canvas.names.new(stored.rpartition(".")[0], self.kind.lower())
        module = self.canvas.root.get_submodule(old)
        delattr(self.canvas.root, old)
        self.canvas.root.add_module(name, module)
        layer.target = name
        layer.name = name

    def parameter(self, value: Tensor, change: str = "") -> nn.Parameter:
        if not value.is_floating_point():
            raise self.error(
                f"has weights of type {value.dtype}; cast them to floating point before the export"
            )
        return self.canvas.parameter(value, change)

    def parts(self, tuple_node: Any, count: int) -> list[Any]:
        """The members of what gives a tuple."""
        if not isinstance(tuple_node, fx.Node):
            return list(tuple_node)[:count]
        return [
            self.canvas.graph.create_node(
                "call_function",
                operator.getitem,
                (tuple_node, index),
                {},
                name=self.canvas.names.new(name, "part"),
            )
            for index, name in enumerate(self.node.output[:count])
        ]

    def _drawable(self, args: Any, trained: bool = True) -> Any:
        def one(value: Any) -> Any:
            if isinstance(value, Tensor):
                named = self.scope.weights.get(id(value))
                return self.canvas.materialised(
                    value, trained and named is not None, named or f"{self.name}_constant"
                )
            if isinstance(value, list | tuple):
                return type(value)(one(member) for member in cast(Sequence[Any], value))
            return value

        return one(args)

    def _remember(self, value: Any) -> None:
        """A weight only laid out differently is a weight still."""
        first = self.inputs[0] if self.inputs else None
        if (
            self.kind in _LAYOUT
            and isinstance(first, Tensor)
            and (stored := self.scope.weights.get(id(first)))
        ):
            for made in cast(list[Any], value) if isinstance(value, list | tuple) else [value]:
                if isinstance(made, Tensor):
                    self.scope.weights[id(made)] = stored
                    self.reading.kept.append(made)

    def drawn(self) -> list[Any]:
        """The values of the node's outputs."""
        try:
            made = self._made()
        except UserError:
            raise
        except (
            Exception
        ) as broken:  # the attributes and shapes of a damaged file lead torch to whatever error
            reason = next(iter(str(broken).splitlines()), "") or type(broken).__name__
            raise self.error(
                f"cannot be read ({reason[:160]}); check the model or export it again"
            ) from broken
        outputs = list(cast(Sequence[Any], made)) if isinstance(made, tuple) else [made]
        for name, value in zip(self.node.output, outputs, strict=False):
            if isinstance(value, fx.Node):
                value.meta["onnx"] = (self.name, self.kind, name)
                if value not in self.canvas.ranks and (rank := self._rank_of_result()) is not None:
                    self.canvas.ranks[value] = rank
        return outputs

    def _rank_of_result(self) -> int | None:
        """The number of dimensions of what the node gives, where it follows from those of its inputs."""
        if self.kind in _SAME_RANK:
            return self.rank()
        ranks = [self.rank(index) for index in range(len(self.inputs))]
        known = [rank for rank in ranks if rank is not None]
        return max(known) if self.kind in _LARGEST_RANK and len(known) == len(ranks) else None

    def _made(self) -> Any:
        function = self.reading.functions.get((self.node.domain, self.kind))
        if function is not None:
            return self._inlined(function)
        if self.node.domain in ("", "ai.onnx"):
            if emit := self.reading.operators.get(self.kind):
                if strange := sorted(set(self.attributes) - attributes_known(self.kind, self.opset)):
                    reason = f"has the attribute '{strange[0][:60]}', which is not read"
                    raise self.error(f"{reason}; export the model for opset {_KNOWN} or older")
                return emit(self)
            if body := defined_by(self.kind, self.opset):
                schema = onnx.defs.get_schema(self.kind, self.opset, "")
                usual = {name: attribute.default_value for name, attribute in schema.attributes.items()}
                return self._inlined(body, {name: value for name, value in usual.items() if value.name})
        domain = f" of {self.node.domain[:60]}" if self.node.domain else ""
        raise self.error(f"is an operator{domain} that is not read; replace it, or export without it")

    def _inlined(self, function: FunctionProto, usual: Mapping[str, AttributeProto] | None = None) -> Any:
        """The body of a function of the model or of ONNX, drawn in place; `usual` are default attributes."""
        inner = Scope(self.canvas, self.scope, self.scope.depth + 1)
        defaults = dict(usual or {}) | {attribute.name: attribute for attribute in function.attribute_proto}
        inner.given = {**defaults, **{attribute.name: attribute for attribute in self.node.attribute}}
        padded = [*self.inputs, *[None] * len(function.input)]
        inner.values.update(zip(function.input, padded, strict=False))
        inner.draw(list(function.node), list(function.output))
        return tuple(inner.lookup(name, self.where) for name in function.output)


def attributes_known(kind: str, opset: int) -> frozenset[str]:
    """The attributes that an operator has in an opset, or had in the newest whose attributes are all read."""
    schema = onnx.defs.get_schema(kind, min(opset, _KNOWN), "")
    return frozenset(schema.attributes) | _LATER.get(kind, frozenset())


def defined_by(kind: str, opset: int) -> FunctionProto | None:
    """The definition of an operator by simpler ones, where ONNX has one that is the same for all calls."""
    try:
        schema = onnx.defs.get_schema(kind, opset, "")
    except onnx.defs.SchemaError:
        return None
    body: FunctionProto | None = getattr(schema, "function_body", None)
    return body if body is not None and body.node else None


def drawn(scope: Scope, node: NodeProto) -> list[Value]:
    """The values of a node's outputs."""
    return Call(scope, node).drawn()
