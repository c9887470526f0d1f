"""ONNX read back as a PyTorch network that trains on.

Layers become modules of torch.nn (`Conv` an `nn.Conv2d`, `LSTM` an `nn.LSTM`), the rest functions of torch
and small functions of ours; weights become parameters, other constants buffers. The network is a
`torch.fx.GraphModule` in eval mode whose `.code` can be read and whose names are those of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from onnx import NodeProto, ValueInfoProto
from torch import Tensor, nn

from netwright.ports.onnx.read_call import defined_by, drawn
from netwright.ports.onnx.read_file import ModelFile, subgraphs
from netwright.ports.onnx.read_graph import Canvas, Reading, Scope, rank_of
from netwright.ports.onnx.read_operators import OPERATORS


def read(source: str | Path | bytes, *, fixed: Mapping[str, Tensor] | None = None) -> nn.Module:
    """The network of an ONNX file, or of its bytes.

    Its inputs are the file's in their order; it gives a tensor, or a tuple of them where the file has several
    outputs. Inputs that are `fixed` to a value become constants and leave the list; branches that they decide
    are then settled, so that the network can be exported again. Raises `UserError` where the file is
    damaged or holds what PyTorch cannot do.
    """
    file = ModelFile(source)
    graph = file.model.graph
    scope = Scope(Canvas(Reading(file, OPERATORS, drawn)))
    constants = {stored.name for stored in graph.initializer}
    if unknown := sorted(set(fixed or {}) - {value.name for value in graph.input}):
        raise file.error(f"has no input '{unknown[0]}' to fix; its inputs are {_named(graph.input)}")
    scope.values.update(fixed or {})
    for value in graph.input:
        if value.name in scope.values:
            continue
        if value.name in constants:  # old models list their weights as inputs too
            continue
        if not value.type.HasField("tensor_type"):
            raise file.error(
                f"input '{value.name[:80]}' is no tensor; export the model with tensors as inputs"
            )
        scope.placeholder(value.name, rank_of(value))
    scope.hold(graph)
    scope.finish([value.name for value in graph.output], single=True)
    return scope.canvas.module().eval()


def _named(values: Iterable[ValueInfoProto]) -> str:
    return ", ".join(f"'{value.name[:80]}'" for value in values)


def unsupported(source: str | Path | bytes) -> list[tuple[str, str]]:
    """The nodes of an ONNX file that `read` has no operator for, each with its operator."""
    file = ModelFile(source)
    functions = {(function.domain, function.name) for function in file.model.functions}

    def missing(nodes: Iterable[NodeProto]) -> Iterator[tuple[str, str]]:
        for node in nodes:
            known = node.domain in ("", "ai.onnx") and (
                node.op_type in OPERATORS or defined_by(node.op_type, file.opset) is not None
            )
            if not known and (node.domain, node.op_type) not in functions:
                yield node.name or next(iter(node.output), ""), node.op_type
            for inner in subgraphs(node):
                yield from missing(inner.node)

    bodies = [node for function in file.model.functions for node in function.node]
    return list(missing([*file.model.graph.node, *bodies]))
