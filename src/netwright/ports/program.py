"""A network as the operators it consists of: what every port is made of, planned on and compared with.

torch.export's program is the hub: it holds the operators as PyTorch's own layers call them (a convolution is
one node, and so is a batch norm), the module and the line that each came from, and the weights. Source:
https://docs.pytorch.org/docs/stable/export.html
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs import frozen
from torch import Tensor, nn
from torch.export.graph_signature import InputKind, OutputKind, OutputSpec, TensorArgument
from torch.utils import _pytree as pytree

from netwright.ports.following import exported_of
from netwright.ports.layers import Layer as Layer
from netwright.ports.layers import layers_of
from netwright.ports.plain import Given, Reader, plain, signature_of, weights_by_node
from netwright.ports.rewrites.call import Instead
from netwright.recipe.source import Birthplace
from netwright.runs import outputs_of


@frozen(eq=False)
class Program:
    """The operators of a network, in the order they run in.

    `inputs` and `outputs` are names of nodes, in the order of the flattened arguments and results; `answer`
    is the output that decisions are read from; `any_batch` says whether the inputs' first axis is free.
    `taps` are the outputs that are there to read a layer by, by the layer's name.
    """

    exported: torch.export.ExportedProgram
    layers: tuple[Layer, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    answer: int
    any_batch: bool
    taps: Mapping[str, int] = attrs.field(factory=dict)

    @staticmethod
    def of(
        network: nn.Module,
        arguments: tuple[Any, ...],
        named: Mapping[str, Any] | None = None,
        *,
        places: Mapping[str, Birthplace] | None = None,
        free_batch: bool = True,
    ) -> Program:
        """The program of `network(*arguments, **named)` in evaluation mode, the first axis of the inputs,
        (B, …), free where `free_batch` and the network allow it. Raises `UserError` naming the layer and line
        that torch.export cannot follow."""
        named = dict(named or {})
        was = {module: module.training for module in network.modules()}
        network.eval()
        try:
            exported, free = exported_of(network, arguments, named, free_batch)
            with torch.no_grad():
                result = network(*arguments, **named)
        finally:
            for module, training in was.items():
                module.training = training
        results = pytree.tree_leaves(result)
        chosen = outputs_of(result)
        answer = next((i for i, each in enumerate(results) if each is chosen), 0)
        signature = exported.graph_signature
        return Program(
            exported,
            tuple(layers_of(exported, network, places or {})),
            tuple(str(name) for name in signature.user_inputs),
            tuple(str(name) for name in signature.user_outputs),
            answer,
            free,
        )

    def layer(self, name: str) -> Layer:
        return next(layer for layer in self.layers if layer.name == name)

    @property
    def answer_layer(self) -> Layer | None:
        """The layer whose result is the answer, where it is one."""
        node = self.outputs[self.answer]
        return next((layer for layer in self.layers if layer.node == node), None)

    def node(self, name: str) -> torch.fx.Node:
        """The node of the layer of that name."""
        wanted = self.layer(name).node
        return next(node for node in self.exported.graph.nodes if node.name == wanted)

    def upstream(self) -> dict[str, frozenset[str]]:
        """By layer, every layer that its result depends on."""
        names = {layer.node: layer.name for layer in self.layers}
        known: dict[torch.fx.Node, frozenset[str]] = {}
        for node in self.exported.graph.nodes:
            found: set[str] = set()
            for source in node.all_input_nodes:
                found |= known[source]
                if source.name in names:
                    found.add(names[source.name])
            known[node] = frozenset(found)
        return {names[node.name]: found for node, found in known.items() if node.name in names}

    def weights(self) -> dict[str, int]:
        """By layer the bytes of its parameters and buffers; of layers that share them, the first's."""
        names = {layer.node: layer.name for layer in self.layers}
        holder: dict[str, tuple[int, str]] = {}  # of every node, the first layer that it serves
        for number, node in reversed(list(enumerate(self.exported.graph.nodes))):
            if node.name in names:
                holder[node.name] = number, names[node.name]
            elif served := [holder[user.name] for user in node.users if user.name in holder]:
                holder[node.name] = min(served)
        found = dict.fromkeys(names.values(), 0)
        for name, value in weights_by_node(self.exported).items():
            if name in holder and isinstance(value, Tensor):
                found[holder[name][1]] += value.numel() * value.element_size()
        return {layer: amount for layer, amount in found.items() if amount}

    def followers(self, name: str) -> list[str]:
        """The layers after one, each the only use of what the one before it gives and of its shape, in their
        order: those that a converter may fuse into it."""
        names = {layer.node: layer for layer in self.layers}
        found: list[str] = []
        node = self.node(name)
        while len(node.users) == 1:
            node = next(iter(node.users))
            if node.name not in names or names[node.name].shape != self.layer(name).shape:
                break
            found.append(names[node.name].name)
        return found

    def tapped(self, names: Sequence[str], *, only: bool = False) -> Program:
        """The same program that also returns what the layers of these names give, or that returns nothing
        else and ends there where `only` is set; `taps` says as which output."""
        nodes = [self.layer(name).node for name in names]
        before = () if only else self._returned()
        results = [*before]
        for node in nodes:
            if node not in results:
                results.append(node)
        specs = [] if only else [*self.exported.graph_signature.output_specs]
        added = results[len(before) :]
        specs += [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(node), None) for node in added]
        exported = self._returning(results, specs, ends=only)
        taps = {name: results.index(node) for name, node in zip(names, nodes, strict=True)}
        answer = 0 if only else self.answer
        return attrs.evolve(self, exported=exported, outputs=tuple(results), answer=answer, taps=taps)

    def without_last(self, count: int) -> Program:
        """The same program that does not return its last `count` outputs."""
        specs = self.exported.graph_signature.output_specs[:-count]
        exported = self._returning(self._returned()[:-count], specs)
        return attrs.evolve(self, exported=exported, outputs=self.outputs[:-count])

    def _returned(self) -> tuple[str, ...]:
        """The nodes whose values the program returns, by name."""
        output = next(node for node in self.exported.graph.nodes if node.op == "output")
        returned: Any = output.args[0]
        return tuple(node.name for node in returned)

    def _returning(
        self, results: Sequence[str], specs: Sequence[OutputSpec], *, ends: bool = False
    ) -> torch.export.ExportedProgram:
        """The program with other outputs; without what comes after them where it `ends` there."""
        program = self.exported
        module = torch.fx.GraphModule(program.graph_module, copy.deepcopy(program.graph))
        for copied, node in zip(module.graph.nodes, program.graph.nodes, strict=True):
            copied.name = node.name  # a copy avoids the names of Python's own functions
        by_name = {node.name: node for node in module.graph.nodes}
        output = next(node for node in module.graph.nodes if node.op == "output")
        output.args = (tuple(by_name[name] for name in results),)
        if ends:
            for node in reversed(list(module.graph.nodes)):  # torch keeps dropout, which it takes for random
                if node.op in ("call_function", "get_attr") and not node.users:
                    module.graph.erase_node(node)
        module.recompile()
        signature = _with(program.graph_signature, output_specs=[*specs])
        count = sum(spec.kind is OutputKind.USER_OUTPUT for spec in specs)
        calls = copy.copy(program.module_call_graph)
        root = copy.copy(calls[0])
        root.signature = copy.copy(root.signature)
        assert root.signature is not None
        root.signature.out_spec = pytree.tree_structure(tuple(range(count)))
        calls[0] = root
        return torch.export.ExportedProgram(
            module,
            module.graph,
            signature,
            program.state_dict,
            program.range_constraints,
            calls,
            program.example_inputs,
            program.constants,
            verifiers=[program.verifier],
        )

    def alone(self, inputs: Sequence[Tensor]) -> Iterator[tuple[list[Layer], Program, list[Tensor]]]:
        """Every operator by itself, as a program with its weights, the inputs that it is given when the
        network is given `inputs`, and the layers that it stands for: those that call the same operator in the
        same way."""
        groups: dict[str, list[Layer]] = {}
        for layer in self.layers:
            if not layer.passes_on:
                groups.setdefault(signature_of(self.node(layer.name)), []).append(layer)
        firsts = {layers[0].node: layers for layers in groups.values()}
        given = Given(self.exported.graph_module, weights_by_node(self.exported), firsts)
        with torch.no_grad():
            given.run(*self._arguments(inputs))
        for node, (step, values) in given.steps.items():
            yield firsts[node], Program.of(step, tuple(values), free_batch=False), values

    def read(self, inputs: Sequence[Tensor], names: Iterable[str]) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The outputs for `inputs`, flattened, and what the layers of these names give, in PyTorch."""
        nodes = {layer.node: layer.name for layer in self.layers}
        wanted = set(names)
        reader = Reader(self.exported.graph_module, {n: name for n, name in nodes.items() if name in wanted})
        with torch.no_grad():
            results = reader.run(*self._arguments(inputs))
        return [t.detach() for t in pytree.tree_leaves(results)], reader.found

    def _arguments(self, inputs: Sequence[Tensor]) -> list[Any]:
        program, given = self.exported, iter(inputs)
        arguments: list[Any] = []
        for spec in program.graph_signature.input_specs:
            if spec.kind is InputKind.USER_INPUT:
                constant = getattr(spec.arg, "value", None)
                arguments.append(next(given) if isinstance(spec.arg, TensorArgument) else constant)
            else:
                name = str(spec.target)
                held = program.state_dict if name in program.state_dict else program.constants
                arguments.append(held[name])
        return arguments

    def module(self, instead: Mapping[torch.fx.Node, Instead] | None = None) -> torch.fx.GraphModule:
        """The program as a plain module that takes flattened inputs, returns a tuple of outputs, and can be
        traced and exported again. Each of its calls lies in a module of its own, named by the layer; those of
        `instead` are answered otherwise."""
        return plain(self.exported, self.layers, self.inputs, instead)

    def save(self, path: Path) -> None:
        torch.export.save(self.exported, path)

    def about(self) -> Program:
        """All but the program itself, to travel beside its file."""
        return attrs.evolve(self, exported=None)

    def loaded(self, path: Path) -> Program:
        return attrs.evolve(self, exported=torch.export.load(path))


def _with(value: Any, **changes: Any) -> Any:
    """A copy of a plain object with other attributes."""
    changed = copy.copy(value)
    for name, to in changes.items():
        setattr(changed, name, to)
    return changed
