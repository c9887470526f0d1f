"""The network that reading gives: a graph module that is pickled as its graph, not by tracing it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx, nn
from torch.fx.node import map_arg


class Network(fx.GraphModule):
    """A network whose graph travels with it to files and other processes."""

    def __init__(
        self, root: nn.Module | dict[str, Any], graph: fx.Graph, class_name: str = "Network"
    ) -> None:
        super().__init__(root, graph, class_name)

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: value for name, value in self.__dict__.items() if not name.startswith("_graph")}
        return _restored, (_rows(self.graph), {name: state[name] for name in _STATE if name in state})

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()


_STATE = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training")


class _Reference:
    """The place of an earlier node among the rows of a graph."""

    def __init__(self, row: int) -> None:
        self.row = row


def _rows(graph: fx.Graph) -> list[tuple[Any, ...]]:
    """The nodes of a graph as plain values."""
    places = {node: row for row, node in enumerate(graph.nodes)}

    def place_of(node: fx.Node) -> Any:
        return _Reference(places[node])

    def plain(argument: Any) -> Any:
        return map_arg(argument, place_of)

    return [
        (node.op, node.name, node.target, plain(node.args), plain(node.kwargs), node.meta.get("onnx"))
        for node in graph.nodes
    ]


def _restored(rows: list[tuple[Any, ...]], state: Mapping[str, Any]) -> Network:
    """The network of which these are the nodes and the state."""
    graph, nodes = fx.Graph(), list[fx.Node]()

    def node_of(argument: Any) -> Any:
        if isinstance(argument, _Reference):
            return nodes[argument.row]
        if isinstance(argument, tuple | list):
            return type(argument)(node_of(member) for member in argument)
        if isinstance(argument, dict):
            return {name: node_of(member) for name, member in argument.items()}
        if isinstance(argument, slice):
            return slice(node_of(argument.start), node_of(argument.stop), node_of(argument.step))
        return argument

    for op, name, target, args, kwargs, origin in rows:
        node = graph.create_node(op, target, node_of(tuple(args)), node_of(dict(kwargs)), name=name)
        if origin is not None:
            node.meta["onnx"] = origin
        nodes.append(node)
    root = nn.Module()
    root.__dict__.update(state)
    network = Network(root, graph)
    network.train(state["training"])
    return network
