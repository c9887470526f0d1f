"""A network as the operators it consists of: what every port is made of, planned on and compared with.

torch.export's program is the hub: it holds the operators as PyTorch's own layers call them (a convolution is
one node, and so is a batch norm), the module and the line that each came from, and the weights. Source:
https://docs.pytorch.org/docs/stable/export.html
"""

from __future__ import annotations

import copy
import inspect
import operator
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs import frozen
from torch import Tensor, nn
from torch.export.graph_signature import InputKind, OutputKind, OutputSpec, TensorArgument
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from netwright.ports.names import identifier
from netwright.recipe.edits import leaves
from netwright.recipe.source import Birthplace, is_ours, shown
from netwright.runs import outputs_of
from netwright.values import Place, UserError

_IDENTITIES = ("dropout", "feature_dropout", "alpha_dropout", "contiguous", "alias", "detach", "clone", "to")
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_TORCH = str(Path(torch.__file__).resolve().parent)


@frozen
class Layer:
    """One operator of a program whose result can be read: a tap.

    `name` is the module's name where the operator is what the module returns (`block.conv`, `block.conv#2`
    for its second call), else the module's name, the operator and its number there (`block.relu#1`). `node`
    is the program's own name for it, `shape` that of one batch, an axis that is free `None`. `operator` is
    PyTorch's name of it (`conv2d`), `kind` the class of its module, or the operator again.
    """

    name: str
    node: str
    operator: str
    kind: str
    shape: tuple[int | None, ...]
    place: Place

    @property
    def passes_on(self) -> bool:
        """Whether the layer gives what it was given, as dropout does outside training."""
        return self.operator in _IDENTITIES


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
            exported, free = _exported(network, arguments, named, free_batch)
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
            tuple(_layers(exported, network, places or {})),
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
        for name, value in _weights_by_node(self).items():
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
        program = self.exported
        module = torch.fx.GraphModule(program.graph_module, copy.deepcopy(program.graph))
        for copied, node in zip(module.graph.nodes, program.graph.nodes, strict=True):
            copied.name = node.name  # a copy avoids the names of Python's own functions
        by_name = {node.name: node for node in module.graph.nodes}
        output = next(node for node in module.graph.nodes if node.op == "output")
        before = () if only else tuple(output.args[0])
        results = [*before]
        for name in nodes:
            if by_name[name] not in results:
                results.append(by_name[name])
        added = results[len(before) :]
        output.args = (tuple(results),)
        if only:
            for node in reversed(list(module.graph.nodes)):  # torch keeps dropout, which it takes for random
                if node.op in ("call_function", "get_attr") and not node.users:
                    module.graph.erase_node(node)
        module.recompile()
        specs = [] if only else [*program.graph_signature.output_specs]
        specs += [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(node.name), None) for node in added]
        signature = _with(program.graph_signature, output_specs=specs)
        count = sum(spec.kind is OutputKind.USER_OUTPUT for spec in specs)
        calls = copy.copy(program.module_call_graph)
        root = copy.copy(calls[0])
        root.signature = copy.copy(root.signature)
        assert root.signature is not None
        root.signature.out_spec = pytree.tree_structure(tuple(range(count)))
        calls[0] = root
        exported = torch.export.ExportedProgram(
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
        outputs = tuple(node.name for node in results)
        taps = {name: results.index(by_name[node]) for name, node in zip(names, nodes, strict=True)}
        answer = 0 if only else self.answer
        return attrs.evolve(self, exported=exported, outputs=outputs, answer=answer, taps=taps)

    def alone(self, inputs: Sequence[Tensor]) -> Iterator[tuple[list[Layer], Program, list[Tensor]]]:
        """Every operator by itself, as a program with its weights, the inputs that it is given when the
        network is given `inputs`, and the layers that it stands for: those that call the same operator in the
        same way."""
        groups: dict[str, list[Layer]] = {}
        for layer in self.layers:
            if not layer.passes_on:
                groups.setdefault(_signature(self.node(layer.name)), []).append(layer)
        firsts = {layers[0].node: layers for layers in groups.values()}
        given = _Given(self.exported.graph_module, _weights_by_node(self), firsts)
        with torch.no_grad():
            given.run(*self._arguments(inputs))
        for node, (step, values) in given.steps.items():
            yield firsts[node], Program.of(step, tuple(values), free_batch=False), values

    def read(self, inputs: Sequence[Tensor], names: Iterable[str]) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The outputs for `inputs`, flattened, and what the layers of these names give, in PyTorch."""
        nodes = {layer.node: layer.name for layer in self.layers}
        wanted = set(names)
        reader = _Reader(self.exported.graph_module, {n: name for n, name in nodes.items() if name in wanted})
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

    def module(self) -> nn.Module:
        """The program as a plain module that takes flattened inputs, returns a tuple of outputs, and can be
        traced and exported again. Each of its calls lies in a module of its own, named by the layer."""
        return _plain(self)

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


def _weights_by_node(program: Program) -> dict[str, Any]:
    """Parameters, buffers and constants by the name of the node that stands for them."""
    exported, held = program.exported, dict[str, Any]()
    for spec in exported.graph_signature.input_specs:
        if spec.kind is not InputKind.USER_INPUT:
            name = str(spec.target)
            value = exported.state_dict.get(name, exported.constants.get(name))
            held[spec.arg.name] = value.detach() if isinstance(value, Tensor) else value
    return held


def _signature(node: torch.fx.Node) -> str:
    """The operator with all that is no tensor in its arguments, and the number of axes of what is."""

    def written(value: Any) -> Any:
        tensor = value.meta.get("val")
        return f"<{tensor.ndim} {tensor.dtype}>" if isinstance(tensor, Tensor) else "<>"

    of: Any = node
    if node.target is _GETITEM and isinstance(node.args[0], torch.fx.Node):
        of = node.args[0]
    return f"{of.target} {map_arg(of.args, written)} {map_arg(of.kwargs, written)}"


def _plain(program: Program) -> nn.Module:
    exported = program.exported
    held = _weights_by_node(program)
    names = {layer.node: identifier(layer.name) for layer in program.layers}
    root, graph = nn.Module(), torch.fx.Graph()
    new: dict[torch.fx.Node, Any] = {}
    for node in exported.graph.nodes:
        if node.op == "placeholder":
            if node.name in program.inputs:
                new[node] = graph.placeholder(node.name)
        elif node.op == "output":
            graph.output(tuple(map_arg(node.args[0], lambda n: new[n])))
        elif node.op == "get_attr":
            raise UserError(f"port: {node.target} is a graph of its own (control flow), which is not ported")
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
    module = torch.fx.GraphModule(root, graph)
    return module.eval()


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
        if hasattr(Tensor, name) and isinstance(node.args[0], torch.fx.Node):
            return graph.call_method(name, arguments, named)
        return graph.call_function(getattr(torch, name), arguments, named)
    called: Any = node.target
    return graph.call_function(called, arguments, named)


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


class _Given(torch.fx.Interpreter):
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
            while chain[0].target is _GETITEM and isinstance(chain[0].args[0], torch.fx.Node):
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


class _Reader(torch.fx.Interpreter):
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


def _exported(
    network: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], free_batch: bool
) -> tuple[torch.export.ExportedProgram, bool]:
    tensors = [t for t in pytree.tree_leaves((arguments, named)) if isinstance(t, Tensor) and t.ndim]
    batch = len(tensors[0]) if tensors else 1
    if free_batch and tensors:
        # torch.export takes an axis of length 1 for a constant, so the example holds two at least.
        many = (lambda t: torch.cat((t, t))) if batch == 1 else (lambda t: t)
        batch = max(2, batch)
        wide, wide_named = _of_axes(many, arguments), _of_axes(many, named)

        def axes(value: Any) -> Any:
            if isinstance(value, Tensor):
                return {0: torch.export.Dim.AUTO} if value.ndim and len(value) == batch else None
            return None

        shapes = (pytree.tree_map(axes, wide), pytree.tree_map(axes, wide_named))
        try:
            exported = _export(network, wide, wide_named, _by_name(network, shapes))
        except UserError:
            exported = None  # tried again with the batch fixed, whose error is the one to show
        one = tuple(_of_axes(lambda t: t[:1] if len(t) == batch else t, v) for v in (wide, wide_named))
        if exported is not None and _is_free(exported) and _holds(exported, network, one[0], one[1]):
            return exported, True
    return _export(network, arguments, named, None), False


def _holds(exported: torch.export.ExportedProgram, network: nn.Module, arguments: Any, named: Any) -> bool:
    """Whether a program with its batch free gives what the network gives for a batch that it was not followed
    with: a size computed in Python may have been taken for a constant."""
    try:
        with torch.no_grad():
            wanted = pytree.tree_leaves(network(*arguments, **named))
            given = pytree.tree_leaves(exported.module(check_guards=False)(*arguments, **named))
    except Exception:  # whichever of both cannot take it
        return False
    pairs = [(w, g) for w, g in zip(wanted, given, strict=False) if isinstance(w, Tensor)]
    return all(w.shape == g.shape and torch.allclose(w, g, 1e-3, 1e-4, equal_nan=True) for w, g in pairs)


def _export(network: nn.Module, arguments: Any, named: Any, shapes: Any) -> torch.export.ExportedProgram:
    with _Running(network) as running, warnings.catch_warnings():
        try:
            warnings.simplefilter("ignore")  # torch's of its own doings, as how an LSTM keeps its weights
            return torch.export.export(network, arguments, named, dynamic_shapes=shapes, strict=False)
        except Exception as raised:  # torch raises whatever the user's operators lead it to
            raise _cannot_follow(network, raised, running.names[-1] if running.names else "") from raised


def _by_name(network: nn.Module, shapes: tuple[Any, Any]) -> Any:
    """The axes of all arguments as torch.export wants them: by name where there are named ones."""
    positional, named = shapes
    if not named:
        return positional
    names = list(inspect.signature(network.forward).parameters)
    return {**dict(zip(names, positional, strict=False)), **named}


def _of_axes(function: Any, value: Any) -> Any:
    return pytree.tree_map(lambda v: function(v) if isinstance(v, Tensor) and v.ndim else v, value)


def _is_free(exported: torch.export.ExportedProgram) -> bool:
    wanted = set(exported.graph_signature.user_inputs)
    values = [n.meta.get("val") for n in exported.graph.nodes if n.op == "placeholder" and n.name in wanted]
    axes = [v.shape[0] for v in values if isinstance(v, Tensor) and v.ndim]
    return bool(axes) and not isinstance(axes[0], int)


class _Running:
    """The modules of a network that are running; after an exception, where it was raised."""

    def __init__(self, network: nn.Module) -> None:
        self.names: list[str] = []
        self._network = network
        self._handles: list[Any] = []

    def __enter__(self) -> _Running:
        for name, module in self._network.named_modules():
            self._handles.append(module.register_forward_pre_hook(lambda *_, n=name: self.names.append(n)))
            self._handles.append(module.register_forward_hook(self._left))
        return self

    def __exit__(self, *raised: Any) -> None:
        for handle in self._handles:
            handle.remove()

    def _left(self, *_: Any) -> None:
        self.names.pop()


def _cannot_follow(network: nn.Module, raised: Exception, name: str) -> UserError:
    """The sentence for what torch.export could not follow: the innermost module, and the user's line."""
    file, line = None, None
    trace = raised.__traceback__
    while trace is not None:
        where = trace.tb_frame.f_code.co_filename
        if not where.startswith(_TORCH) and not is_ours(where) and not where.startswith("<"):
            file, line = where, trace.tb_lineno
        trace = trace.tb_next
    kind = type(dict(network.named_modules()).get(name, network)).__name__
    reason = next((text for text in str(raised).splitlines() if text.strip()), type(raised).__name__)
    data_dependent = "data-dependent" in str(raised) or "GuardOnDataDependent" in type(raised).__name__
    what = (
        "decides by the values of its input which way to go; use torch.where, or port the parts"
        if data_dependent
        else f"cannot be followed by torch.export ({reason.strip()[:160]})"
    )
    where = f"layer {name!r} ({kind})" if name else f"the network ({kind})"
    return UserError(f"port: {where} {what}", file=shown(file) if file else None, line=line)


def _layers(
    exported: torch.export.ExportedProgram, network: nn.Module, places: Mapping[str, Birthplace]
) -> Iterable[Layer]:
    """The layers of a program, named; see `Layer`."""
    kinds = {name: type(module).__name__ for name, module in leaves(network)}
    nodes = [node for node in exported.graph.nodes if _is_tap(node)]
    groups: dict[tuple[str, str], list[torch.fx.Node]] = {}
    for node in nodes:
        leaf, call = _leaf_of(node, kinds)
        if leaf is not None:
            groups.setdefault((leaf, call), []).append(node)
    returned: dict[torch.fx.Node, str] = {}
    calls: Counter[str] = Counter()
    for (leaf, _), members in groups.items():
        calls[leaf] += 1
        used = [node for node in members if node.users] or members
        firsts = [node for node in used if node.target is _GETITEM and node.args[1] == 0]
        chosen = firsts[-1] if firsts and used[-1].target is _GETITEM else used[-1]
        returned[chosen] = leaf if calls[leaf] == 1 else f"{leaf}#{calls[leaf]}"
    counts: Counter[str] = Counter()
    for node in nodes:
        called = operator_of(node)
        stack = _stack(node)
        inside = stack[-1][0] if stack else ""
        if node in returned:
            leaf = returned[node].partition("#")[0]
            name, kind, place = returned[node], kinds[leaf], _place(node, places.get(leaf))
        else:
            base = f"{inside}.{called}" if inside else called
            counts[base] += 1
            name, kind, place = f"{base}#{counts[base]}", called, _place(node, None)
        value = node.meta["val"]
        shape = tuple(axis if isinstance(axis, int) else None for axis in value.shape)
        yield Layer(name, node.name, called, kind, shape, attrs.evolve(place, layer=name))


_GETITEM = operator.getitem


def _is_tap(node: torch.fx.Node) -> bool:
    """Whether a node gives a floating tensor made of the network's inputs."""
    value = node.meta.get("val")
    if node.op != "call_function" or not isinstance(value, Tensor) or not value.is_floating_point():
        return False
    if node.target is _GETITEM and not node.users:
        return False
    return bool(node.all_input_nodes)


def operator_of(node: torch.fx.Node) -> str:
    """PyTorch's name of what a node calls: `conv2d` of `aten.conv2d.default`. The first result of an operator
    with several has the operator's name."""
    if node.target is _GETITEM:
        source = node.args[0]
        return operator_of(source) if isinstance(source, torch.fx.Node) else "getitem"
    target = node.target
    name = getattr(target, "_opname", None) or getattr(target, "__name__", str(target))
    return str(name).split(".")[0]


def _stack(node: torch.fx.Node) -> list[tuple[str, Any]]:
    stack = node.meta.get("nn_module_stack") or {}
    return [value for value in stack.values() if isinstance(value, tuple)]


def _leaf_of(node: torch.fx.Node, kinds: Mapping[str, str]) -> tuple[str | None, str]:
    """The layer that a node belongs to, with which call of it."""
    for key, value in (node.meta.get("nn_module_stack") or {}).items():
        if isinstance(value, tuple) and value[0] in kinds:
            return str(value[0]), str(key)
    return None, ""


def _place(node: torch.fx.Node, born: Birthplace | None) -> Place:
    """Where a layer stands in the user's source: the line that made it, else the line that calls it."""
    if born is not None and born.file:
        return Place(file=shown(born.file), line=born.line)
    for file, line in reversed(_FRAME.findall(node.meta.get("stack_trace") or "")):
        if not file.startswith(_TORCH) and not is_ours(file):
            return Place(file=shown(file), line=int(line))
    return Place()
