"""A program with operators that a technology lacks rewritten in others; the same as an edit of a network."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

import attrs
from torch import Tensor, fx, nn

from netwright.catalogue import edit
from netwright.ports.layers import GETITEM, is_tap
from netwright.ports.names import identifier
from netwright.ports.plain import weights_by_node
from netwright.ports.program import Program
from netwright.ports.rewrites import REWRITES, Call, Instead, Rewrite
from netwright.recipe.edits import find_layer, replace_layer
from netwright.values import UserError


def rewritten(
    program: Program, ids: Iterable[str], inputs: Sequence[Tensor]
) -> tuple[Program, dict[str, str]]:
    """The program with the rewrites of `ids` that it needs, and by layer the rewrite made of it; the program
    itself where it needs none. `inputs` are an example, flattened.

    The layers keep their names; what a rewritten one consists of is no layer.
    """
    instead, done = answers(program, ids)
    if not instead:
        return program, {}
    again, results = _followed(program, instead, inputs)
    kept = (layer for layer in program.layers if layer.name in results)
    layers = tuple(attrs.evolve(layer, node=results[layer.name]) for layer in kept)
    return attrs.evolve(again, layers=layers, answer=program.answer), done


def _followed(
    program: Program, instead: Mapping[fx.Node, Instead], inputs: Sequence[Tensor]
) -> tuple[Program, dict[str, str]]:
    """The program anew, and by layer the node of its result there."""
    module = program.module(instead)
    names = {layer.name: identifier(layer.name) for layer in program.layers}
    # One of several results is taken by no operator of the new program: its node is that of an output.
    taken = {node.name for node in program.exported.graph.nodes if node.target is GETITEM}
    asked = [names[layer.name] for layer in program.layers if layer.node in taken]
    asked = [name for name in asked if hasattr(module, name)]
    again = Program.of(_asked_for(module, asked), tuple(inputs), free_batch=program.any_batch)
    results = _results(again)
    if asked:
        results |= dict(zip(asked, again.outputs[-len(asked) :], strict=True))
        again = again.without_last(len(asked))
    return again, {name: results[key] for name, key in names.items() if key in results}


def _asked_for(module: fx.GraphModule, names: Sequence[str]) -> fx.GraphModule:
    """The network that also returns what some of its modules give."""
    graph = copy.deepcopy(module.graph)
    by_target = {node.target: node for node in graph.nodes if node.op == "call_module"}
    output = next(node for node in graph.nodes if node.op == "output")
    output.args = ((*output.args[0], *(by_target[name] for name in names)),)
    return fx.GraphModule(module, graph)


def answers(program: Program, ids: Iterable[str]) -> tuple[dict[fx.Node, Instead], dict[str, str]]:
    """What the rewrites of `ids` put in place of calls of the program, and by layer the rewrite."""
    weights = weights_by_node(program.exported)
    names = {layer.node: layer.name for layer in program.layers}
    rewrites = [_known(id) for id in ids]
    instead: dict[fx.Node, Instead] = {}
    done: dict[str, str] = {}
    for node in program.exported.graph.nodes:
        call = Call.of(node, weights) if node.op == "call_function" else None
        for rewrite in rewrites:
            if call is None or call.name not in rewrite.operators:
                continue
            made = rewrite.make(call)
            if made is not None:
                instead[node] = made
                # Of an operator with several results the first that is used is the layer.
                named = (n.name for n in (node, *node.users) if n is node or n.target is GETITEM)
                layer = next((names[name] for name in named if name in names), None)
                done |= {layer: rewrite.id} if layer is not None else {}
                break
    return instead, done


def _known(id: str) -> Rewrite:
    if id not in REWRITES:
        raise UserError(f"ports: there is no rewrite {id!r}; those known are {', '.join(sorted(REWRITES))}")
    return REWRITES[id]


def _results(program: Program) -> dict[str, str]:
    """By module of a plain network, the node of what it gives."""
    found: dict[str, str] = {}
    for node in program.exported.graph.nodes:
        stack = [value[0] for value in (node.meta.get("nn_module_stack") or {}).values()]
        inside = next((name for name in stack if name), None)
        if inside is not None and is_tap(node):
            found[inside.partition(".")[0]] = node.name
    return found


@edit("rewrite-layers", on="network")
def rewrite_layers(network: nn.Module, *, layers: Mapping[str, str], seed: int = 0) -> nn.Module:
    """The named layers computed by other operators, the function kept: by layer the id of its rewrite."""
    for name, id in layers.items():
        layer = find_layer(network, name)
        made = _known(id).layer(layer)
        if made is None:
            raise UserError(f"edit: layer {name!r}, a {type(layer).__name__}, has no rewrite {id!r}")
        network = replace_layer(network, name, made.train(layer.training))
    return network
