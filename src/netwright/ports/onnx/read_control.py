"""Control flow: branches and loops as modules whose bodies are networks, decided by Python when they run."""

from __future__ import annotations

from typing import Any

import torch
from onnx import GraphProto
from torch import Tensor, fx, nn

from netwright.ports.onnx.read_call import Call, Emit
from netwright.ports.onnx.read_graph import Scope, Value


class Branches(nn.Module):
    """`If`: one of two networks, each given the values that it takes from around it."""

    def __init__(self, then: fx.GraphModule, otherwise: fx.GraphModule, split: int) -> None:
        super().__init__()
        self.then, self.otherwise, self.split = then, otherwise, split

    def forward(self, condition: Any, *captured: Any) -> tuple[Any, ...]:
        if bool(condition):
            return self.then(*captured[: self.split])
        return self.otherwise(*captured[self.split :])


class Repeated(nn.Module):
    """`Loop`: a network run while its condition holds, at most so often; what it carries and collects."""

    def __init__(self, body: fx.GraphModule, carried: int) -> None:
        super().__init__()
        self.body, self.carried = body, carried

    def forward(self, most: Any, condition: Any, *values: Any) -> tuple[Any, ...]:
        carried, captured = list(values[: self.carried]), values[self.carried :]
        collected: list[list[Tensor]] = []
        step, limit = 0, None if most is None else int(most)
        goes_on = condition is None or bool(condition)
        while goes_on and (limit is None or step < limit):
            number, holds = torch.tensor(step), torch.tensor(True)
            condition, *made = self.body(number, holds, *carried, *captured)
            carried, scanned = made[: self.carried], made[self.carried :]
            collected.append(scanned)
            goes_on, step = bool(condition), step + 1
        return *carried, *(torch.stack(list(steps)) for steps in zip(*collected, strict=True))


class Scanned(nn.Module):
    """`Scan`: a network run along axes of its inputs, carrying states; the states, then what it collects."""

    def __init__(
        self, body: fx.GraphModule, states: int, axes: list[list[int]], turned: list[list[int]]
    ) -> None:
        super().__init__()
        self.body, self.states = body, states
        self.axes, self.turned = axes, turned  # of inputs, of outputs

    def forward(self, *values: Any) -> tuple[Any, ...]:
        count = len(self.axes[0])
        states, rows = list(values[: self.states]), values[self.states : self.states + count]
        captured = values[self.states + count :]
        given = [
            (torch.flip(row, (axis,)) if turn else row).unbind(axis)
            for row, axis, turn in zip(rows, self.axes[0], self.turned[0], strict=True)
        ]
        collected: list[list[Tensor]] = []
        for step in zip(*given, strict=True):
            made = list(self.body(*states, *step, *captured))
            states = made[: self.states]
            collected.append(made[self.states :])
        stacked: list[Tensor] = []
        for steps, axis, turn in zip(zip(*collected, strict=True), self.axes[1], self.turned[1], strict=True):
            whole = torch.stack(list(steps), axis)
            stacked.append(torch.flip(whole, (axis,)) if turn else whole)
        return *states, *stacked


def _graph(call: Call, name: str) -> GraphProto:
    graph = call.attr(name)
    if not isinstance(graph, GraphProto):
        raise call.error(f"has no {name}; export the model again")
    return graph


def _if(call: Call) -> Value:
    condition = call.constant(0)
    if condition is not None:
        return _in_place(call, _graph(call, "then_branch" if bool(condition) else "else_branch"))
    graphs = [_graph(call, name) for name in ("then_branch", "else_branch")]
    taken = [call.scope.captured(graph, call.where) for graph in graphs]
    then, otherwise = (
        call.scope.body(graph, [], values) for graph, values in zip(graphs, taken, strict=True)
    )
    captured = [*taken[0].values(), *taken[1].values()]
    made = call.layer(Branches(then, otherwise, len(taken[0])), call.inputs[0], *captured)
    return tuple(call.parts(made, len(call.node.output)))


def _in_place(call: Call, graph: GraphProto) -> Value:
    """A branch that is known to be taken, drawn where the node stands."""
    inner = Scope(call.canvas, call.scope, call.scope.depth + 1)
    inner.hold(graph)
    return tuple(inner.lookup(value.name, call.where) for value in graph.output)


def _loop(call: Call) -> Value:
    graph = _graph(call, "body")
    carried = len(call.inputs) - 2
    if carried < 0 or len(graph.input) != carried + 2:
        raise call.error("has a body whose inputs are not those of the loop; export the model again")
    taken = call.scope.captured(graph, call.where)
    body = call.scope.body(graph, [value.name for value in graph.input], taken)
    arguments = [call.tensor(index) for index in range(len(call.inputs))]
    made = call.layer(Repeated(body, carried), *arguments, *taken.values())
    return tuple(call.parts(made, len(call.node.output)))


def _scan(call: Call) -> Value:
    if call.opset < 9:
        raise call.error(
            "is a Scan of before opset 9, which is not read; convert it with onnx.version_converter"
        )
    graph, rows = _graph(call, "body"), call.attr("num_scan_inputs", 0)
    states = len(call.inputs) - rows
    outputs = len(graph.output) - states
    axes = [call.attr("scan_input_axes") or [0] * rows, call.attr("scan_output_axes") or [0] * outputs]
    turned = [
        call.attr("scan_input_directions") or [0] * rows,
        call.attr("scan_output_directions") or [0] * outputs,
    ]
    taken = call.scope.captured(graph, call.where)
    body = call.scope.body(graph, [value.name for value in graph.input], taken)
    made = call.layer(Scanned(body, states, axes, turned), *call.tensors(), *taken.values())
    return tuple(call.parts(made, len(call.node.output)))


CONTROL: dict[str, Emit] = {"If": _if, "Loop": _loop, "Scan": _scan}
