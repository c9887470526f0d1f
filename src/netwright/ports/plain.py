"""A program as modules: whole and plain, to be traced and exported again; operator by operator; or run and
read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind
from torch.fx.node import map_arg

from netwright.ports.layers import GETITEM, Layer, operator_of
from netwright.ports.names import identifier
from netwright.ports.rewrites.call import Instead
from netwright.values import UserError


def weights_by_node(exported: torch.export.ExportedProgram) -> dict[str, Any]:
    """Parameters, buffers and constants by the name of the node that stands for them."""
    held: dict[str, Any] = {}
    for spec in exported.graph_signature.input_specs:
        if spec.kind is not InputKind.USER_INPUT:
            name = str(spec.target)
            value = exported.state_dict.get(name, exported.constants.get(name))
            held[spec.arg.name] = value.detach() if isinstance(value, Tensor) else value
    return held


def signature_of(node: torch.fx.Node) -> str:
    """The operator with all that is no tensor in its arguments, and the number of axes of what is."""

    def written(value: Any) -> Any:
        tensor = value.meta.get("val")
        return f"<{tensor.ndim} {tensor.dtype}>" if isinstance(tensor, Tensor) else "<>"

    of: Any = node
    if node.target is GETITEM and isinstance(node.args[0], torch.fx.Node):
        of = node.args[0]
    return f"{of.target} {map_arg(of.args, written)} {map_arg(of.kwargs, written)}"


def plain(
    exported: torch.export.ExportedProgram,
    layers: Sequence[Layer],
    inputs: Sequence[str],
    instead: Mapping[torch.fx.Node, Instead] | None = None,
) -> torch.fx.GraphModule:
    """The program as a module whose calls lie in modules named by the layers; those of `instead` are answered
    by the modules there, and what nothing uses then is left out."""
    instead = instead or {}
    held = weights_by_node(exported)
    names = {layer.node: identifier(layer.name) for layer in layers}
    root, graph = nn.Module(), torch.fx.Graph()
    new: dict[torch.fx.Node, Any] = {}
    for node in exported.graph.nodes:
        if node.op == "placeholder":
            if node.name in inputs:
                new[node] = graph.placeholder(node.name)
        elif node.op == "output":
            graph.output(tuple(map_arg(node.args[0], lambda n: new[n])))
        elif node.op == "get_attr":
            raise UserError(f"port: {node.target} is a graph of its own (control flow), which is not ported")
        elif node.target is torch.ops.aten.alias.default:  # no technology needs another name for a value
            new[node] = new[node.args[0]]
        elif node in instead:
            name = names.get(node.name) or identifier(f"{node.name}_whole")
            root.add_module(name, instead[node].module)
            new[node] = graph.call_module(name, tuple(new[n] for n in instead[node].given))
        else:
            weights = {n: held[n.name] for n in node.all_input_nodes if n.name in held}
            given = [n for n in node.all_input_nodes if n.name not in held]
            # A tracer takes a number that is passed to a module for a constant.
            numbers = any(not isinstance(n.meta.get("val"), (Tensor, tuple, list)) for n in given)
            if numbers:
                for source in weights:
                    name = identifier(f"{node.name}_{source.name}")
                    root.register_buffer(name, weights[source])
                    new[source] = graph.get_attr(name)
                new[node] = _call(graph, node, new, traced=True)
            elif node.name in names or weights:
                step = _Step([node], given, weights)
                name = names.get(node.name) or identifier(f"{node.name}_whole")
                root.add_module(name, step)
                new[node] = graph.call_module(name, tuple(new[n] for n in given))
            else:
                new[node] = _call(graph, node, new)
    module = torch.fx.GraphModule(root, graph).eval()
    if instead:
        module.graph.eliminate_dead_code()
        module.delete_all_unused_submodules()
        module.recompile()
    return module


def _call(
    graph: torch.fx.Graph, node: torch.fx.Node, new: Mapping[torch.fx.Node, Any], traced: bool = False
) -> Any:
    arguments = map_arg(node.args, lambda n: new[n])
    named = map_arg(node.kwargs, lambda n: new[n])
    if node.target is torch.ops.aten.sym_size.int:  # a tracer follows a tensor's own size, not the operator
        return graph.call_method("size", tuple(arguments))
    if traced:
        # Of numbers a tracer follows what Python's own functions are given, not what operators are.
        name = operator_of(node)
        if name in _EXTREMES:
            return graph.call_function(_EXTREMES[name], arguments, named)
        if hasattr(Tensor, name) and isinstance(node.args[0], torch.fx.Node):
            return graph.call_method(name, arguments, named)
        return graph.call_function(getattr(torch, name), arguments, named)
    called: Any = node.target
    return graph.call_function(called, arguments, named)


def _larger(one: Any, other: Any) -> Any:
    one, other = (one, other) if isinstance(one, Tensor) else (other, one)
    return one.clamp(min=other) if isinstance(one, Tensor) else max(one, other)


def _smaller(one: Any, other: Any) -> Any:
    one, other = (one, other) if isinstance(one, Tensor) else (other, one)
    return one.clamp(max=other) if isinstance(one, Tensor) else min(one, other)


_EXTREMES = {"sym_max": _larger, "sym_min": _smaller}  # of sizes, which a tracer holds as tensors


class _Step(nn.Module):
    """One call of a program with its weights."""

    def __init__(
        self,
        nodes: Sequence[torch.fx.Node],
        given: Sequence[torch.fx.Node],
        weights: Mapping[torch.fx.Node, Any],
    ) -> None:
        super().__init__()
        graph, new = torch.fx.Graph(), dict[torch.fx.Node, Any]()
        root = nn.Module()
        for source in given:
            new[source] = graph.placeholder(source.name)
        for number, (source, value) in enumerate(weights.items()):
            root.register_buffer(f"weight{number}", value)
            new[source] = graph.get_attr(f"weight{number}")
        for node in nodes:
            new[node] = _call(graph, node, new)
        graph.output(new[nodes[-1]])
        self.call = torch.fx.GraphModule(root, graph)

    def forward(self, *inputs: Any) -> Any:
        return self.call(*inputs)


class Given(torch.fx.Interpreter):
    """Notes of some nodes what they are given, and makes a module of each."""

    def __init__(
        self, module: torch.fx.GraphModule, weights: Mapping[str, Any], wanted: Mapping[str, Any]
    ) -> None:
        super().__init__(module)
        self._weights, self._wanted = weights, wanted
        self.steps: dict[str, tuple[nn.Module, list[Tensor]]] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        if self._wanted.get(n.name):
            chain = [n]
            while chain[0].target is GETITEM and isinstance(chain[0].args[0], torch.fx.Node):
                chain.insert(0, chain[0].args[0])
            nodes = list(dict.fromkeys(source for source in chain[0].all_input_nodes))
            weights = {s: self._weights[s.name] for s in nodes if s.name in self._weights}
            inputs = [s for s in nodes if s not in weights]
            env: dict[Any, Any] = self.env
            held = [env.get(s) for s in inputs]
            if all(isinstance(value, Tensor) for value in held):
                values = [value.detach().clone() for value in held if isinstance(value, Tensor)]
                self.steps[n.name] = _Step(chain, inputs, weights), values
        return super().run_node(n)


class Reader(torch.fx.Interpreter):
    def __init__(self, module: torch.fx.GraphModule, wanted: Mapping[str, str]) -> None:
        super().__init__(module)
        self._wanted = wanted
        self.found: dict[str, Tensor] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        result = super().run_node(n)
        name = self._wanted.get(n.name)
        if name is not None and isinstance(result, Tensor):
            self.found[name] = result.detach().clone()  # a later operator may work in place
        return result
