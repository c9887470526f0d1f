"""A graph of ONNX drawn as a graph of torch.fx, node after node.

While it is drawn, a value of ONNX is one of four things: a tensor (known already, a constant), a list of ints
or an int (a shape or a part of one, known already), or an `fx.Node` that will be computed when the network
runs, and then gives a tensor, or, where the canvas says so (`sizes`), ints. Shapes as ints keep a dynamic
batch right and the network exportable. What can be computed from constants alone is computed while reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from onnx import GraphProto, NodeProto, ValueInfoProto
from torch import Tensor, fx, nn

from netwright.ports.onnx.read_file import ModelFile, free_names
from netwright.ports.onnx.read_names import Names
from netwright.ports.onnx.read_network import Network

Value = Any  # Tensor | list[int] | int | fx.Node, see above

_DEEPEST = 40


class Reading:
    """What all graphs of one file share: the file, the operators, the functions, what may still be made."""

    def __init__(
        self, file: ModelFile, operators: Mapping[str, Any], draw: Callable[[Scope, NodeProto], list[Value]]
    ) -> None:
        self.file, self.operators, self.draw, self.opset = file, operators, draw, file.opset
        self.functions = {(f.domain, f.name): f for f in file.model.functions}
        self.room = 16 * 1024 * 1024 + 4 * file.bytes  # bytes that computing ahead may still make
        self.nodes_left = 100_000 + file.bytes // 8
        self.parameters: dict[tuple[int, str], nn.Parameter] = {}
        self.kept: list[Tensor] = []  # keeps the ids of `parameters` taken


class Canvas:
    """One graph of torch.fx while it is drawn, the module of its layers, and what is known of its nodes."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.graph, self.root, self.names = fx.Graph(), nn.Module(), Names()
        self.sizes: set[fx.Node] = set()
        self.lengths: dict[fx.Node, int] = {}  # of those `sizes` that are lists, where known
        self.ranks: dict[fx.Node, int] = {}
        self.attributes: dict[int, fx.Node] = {}

    def module(self) -> fx.GraphModule:
        self.graph.eliminate_dead_code(is_impure_node=lambda node: node.op in ("placeholder", "output"))
        self.graph.lint()
        return Network(self.root, self.graph)

    def materialised(self, value: Value, trained: bool, name: str) -> Any:
        """A constant as a parameter (`trained`) or buffer of the network."""
        if not isinstance(value, Tensor):
            return value
        key = id(value)
        if key not in self.attributes:
            attribute = self.names.new(name, "constant")
            if trained and value.is_floating_point() and value.numel() > 1 and bool(value.isfinite().all()):
                self.root.register_parameter(attribute, self.parameter(value))
            else:
                self.root.register_buffer(attribute, value.clone() if value._is_view() else value)
            self.reading.kept.append(value)
            self.attributes[key] = self.graph.create_node("get_attr", attribute, (), {}, name=attribute)
        return self.attributes[key]

    def parameter(self, value: Tensor, change: str = "") -> nn.Parameter:
        """The parameter made of `value`, however many layers share it; `change` names how a copy differs."""
        shared = self.reading.parameters
        if (id(value), change) not in shared:
            self.reading.kept.append(value)
            shared[id(value), change] = nn.Parameter(value.detach().contiguous())
        return shared[id(value), change]


class Scope:
    """The names of one graph of ONNX and the values they stand for."""

    def __init__(self, canvas: Canvas, parent: Scope | None = None, depth: int = 0) -> None:
        self.canvas, self.parent, self.depth = canvas, parent, depth
        self.values: dict[str, Value] = {}
        self.weights: dict[int, str] = {} if parent is None else parent.weights
        self.uses: dict[str, int] = {}
        self.given: dict[str, Any] | None = None  # attributes of the function whose body this is
        if depth > _DEEPEST:
            raise canvas.reading.file.error(f"graphs are nested over {_DEEPEST} deep; simplify the model")

    def lookup(self, name: str, where: str) -> Value:
        if name in self.values:
            return self.values[name]
        if self.parent is not None and self.given is None:
            value = self.parent.lookup(name, where)
            if not isinstance(value, fx.Node) or value.graph is self.canvas.graph:
                return value
        reason = f"{where} uses '{name[:80]}', which nothing before it makes (a cycle, or a missing input)"
        raise self.canvas.reading.file.error(f"{reason}; export the model again")

    def hold(self, graph: GraphProto) -> None:
        """Takes in the constants of `graph` and draws its nodes."""
        file = self.canvas.reading.file
        if graph.sparse_initializer:
            raise file.error("holds sparse tensors, which are not read; make them dense before the export")
        for stored in graph.initializer:
            value = file.tensor(stored)
            self.values[stored.name] = value
            self.weights[id(value)] = stored.name
            self.canvas.reading.kept.append(value)
        self.draw(list(graph.node), [value.name for value in graph.output])

    def draw(self, nodes: Sequence[NodeProto], outputs: Sequence[str]) -> None:
        for node in nodes:
            for name in node.input:
                self.uses[name] = self.uses.get(name, 0) + 1
        for name in outputs:
            self.uses[name] = self.uses.get(name, 0) + 1
        for node in nodes:
            self.canvas.reading.nodes_left -= 1
            if self.canvas.reading.nodes_left < 0:
                raise self.canvas.reading.file.error("its functions unfold without end; inline them before")
            made = self.canvas.reading.draw(self, node)
            for name, value in zip(node.output, made, strict=False):
                if name:
                    self.values[name] = value

    def placeholder(self, name: str, rank: int | None) -> fx.Node:
        valid = self.canvas.names.new(name, "input")
        node = self.canvas.graph.placeholder(valid)
        if rank is not None:
            self.canvas.ranks[node] = rank
        self.values[name] = node
        return node

    def captured(self, graph: GraphProto, where: str) -> dict[str, Value]:
        """What a subgraph takes from here that is only known when the network runs."""
        known = {name: self.lookup(name, where) for name in free_names(graph) if self._has(name)}
        return {name: value for name, value in known.items() if isinstance(value, fx.Node)}

    def _has(self, name: str) -> bool:
        return name in self.values or (
            self.parent is not None and self.given is None and self.parent._has(name)
        )

    def body(
        self, graph: GraphProto, inputs: Sequence[str], captured: Mapping[str, fx.Node]
    ) -> fx.GraphModule:
        """A subgraph as a network of its own that takes `inputs`, then what it captures."""
        inner = Scope(Canvas(self.canvas.reading), self, self.depth + 1)
        ranks = {value.name: rank_of(value) for value in graph.input}
        for name in inputs:
            inner.placeholder(name, ranks.get(name))
        for name, outer in captured.items():
            node = inner.placeholder(name, self.canvas.ranks.get(outer))
            if outer in self.canvas.sizes:
                inner.canvas.sizes.add(node)
        inner.hold(graph)
        inner.finish([value.name for value in graph.output], single=False)
        return inner.canvas.module()

    def finish(self, outputs: Sequence[str], *, single: bool) -> None:
        """The output of the canvas; one output is not a tuple where `single`."""
        drawn = [self.as_tensor(self.lookup(name, "the output"), name) for name in outputs]
        self.canvas.graph.output(drawn[0] if single and len(drawn) == 1 else tuple(drawn))

    def as_tensor(self, value: Value, name: str = "") -> fx.Node:
        """The value as a node that gives a tensor."""
        if isinstance(value, int | list):
            value = torch.tensor(value, dtype=torch.int64)
        if isinstance(value, fx.Node):
            return value if value not in self.canvas.sizes else self._tensor_of(value)
        named = self.weights.get(id(value))
        return self.canvas.materialised(value, named is not None, named or name)

    def _tensor_of(self, sizes: fx.Node) -> fx.Node:
        name = self.canvas.names.new(f"{sizes.name}_tensor")
        return self.canvas.graph.create_node("call_function", tensor_of, (sizes,), {}, name=name)


def tensor_of(sizes: Any) -> Tensor:
    """Ints as a tensor of ONNX's int64."""
    return torch.tensor(sizes, dtype=torch.int64)


def ints_of(sizes: Any) -> list[int]:
    """A list of ints, whatever holds them."""
    if isinstance(sizes, Tensor):
        sizes = sizes.tolist()
    return list(sizes) if isinstance(sizes, Sequence) else [sizes]


def rank_of(value: ValueInfoProto) -> int | None:
    kind = value.type.tensor_type
    return len(kind.shape.dim) if value.type.HasField("tensor_type") and kind.HasField("shape") else None
