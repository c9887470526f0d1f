"""PyTorch -> Caffe: a program's operators as layers of a prototxt, its weights as a caffemodel.

Each operator becomes one layer, or the smallest group of layers that computes the same in a real Caffe and in
OpenCV's importer; the blob of its result has the PyTorch layer's name. What cannot be said is a limit: found
for all layers by `limits`, raised for the first by `write`.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import Factory, define
from torch import Tensor, fx
from torch.export.graph_signature import InputKind, TensorArgument
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from netwright.ports.caffe import operators
from netwright.ports.caffe.caffemodel import write_caffemodel
from netwright.ports.caffe.operators.normalisation import response_norm
from netwright.ports.caffe.prototxt import Message, message, text_of
from netwright.ports.caffe.steps import WRITERS, Draft, Held, Step, Unsayable, shape_of
from netwright.ports.patterns import ResponseNorm, name_of, response_norms
from netwright.ports.program import Program
from netwright.values import Limit, Place, UserError

__all__ = ["limits", "operators", "write"]

_SILENT = ("sym_size", "_assert", "sym_constrain", "_local_scalar", "item", "sym_numel")
_RENAMED = {"self": "input", "step": "stride"}


def limits(program: Program) -> list[Limit]:
    """Every layer of the program that cannot be written, in order."""
    return _written(program).limits


def write(program: Program, folder: str | Path, name: str = "net") -> tuple[Path, Path, dict[str, str]]:
    """The program as `name.prototxt` and `name.caffemodel` in the folder, and the blob that holds what each
    layer gives. The prototxt's outputs come in the program's order."""
    writing = _written(program)
    for limit in writing.limits:
        where = f" ({limit.file}:{limit.line})" if limit.file else ""
        what = f"port to caffe: layer {limit.layer!r}{where} {limit.limit}"
        raise UserError(f"{what}; --plan shows what can be rewritten")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    prototxt, caffemodel = folder / f"{name}.prototxt", folder / f"{name}.caffemodel"
    prototxt.write_text(text_of(writing.network(name, with_weights=False)), encoding="utf-8")
    write_caffemodel(writing.network(name, with_weights=True), caffemodel)
    return prototxt, caffemodel, writing.mapping()


@define
class _Writing:
    """A program on its way to Caffe: what is known of each node, and the layers so far."""

    program: Program
    names: Mapping[str, str]
    held: Held = Factory(lambda: Held({}, {}))
    inputs: list[Message] = Factory(list)
    drafts: list[Draft] = Factory(list)
    limits: list[Limit] = Factory(list)
    made: dict[str, str] = Factory(dict)  # by node, the blob as the layer gave it
    shared: dict[fx.Node, fx.Node] = Factory(dict)  # whose memory a node's result lies in

    def network(self, name: str, *, with_weights: bool) -> Message:
        layers = [draft.message(with_weights) for draft in self.drafts]
        return message(name=name, layer=[*self.inputs, *layers])

    def mapping(self) -> dict[str, str]:
        """Layer -> blob, of the layers whose result some blob holds."""
        return {layer.name: self.made[layer.node] for layer in self.program.layers if layer.node in self.made}

    # What goes in --------------------------------------------------------------------------------------

    def read_inputs(self) -> None:
        exported = self.program.exported
        placeholders = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
        for spec in exported.graph_signature.input_specs:
            if not isinstance(spec.arg, TensorArgument):
                continue
            node = placeholders[spec.arg.name]
            if spec.kind is InputKind.USER_INPUT:
                sizes = [int(size) if isinstance(size, int) else 1 for size in node.meta["val"].shape]
                shape = message(shape=message(dim=sizes))
                name = self.free(node.name)
                self.inputs.append(message(name=name, type="Input", top=name, input_param=shape))
                self.held.blobs[node] = name
            else:
                target = str(spec.target)
                holder = exported.state_dict if target in exported.state_dict else exported.constants
                self.held.constants[node] = holder[target]

    def free(self, name: str) -> str:
        """A name that no layer has."""
        taken = set(self.names.values())
        while name in taken:
            name += "_"
        return name

    # One node ------------------------------------------------------------------------------------------

    def follow(self, node: fx.Node) -> None:
        """Writes a node, or notes its limit and goes on as if it were written."""
        name = self.names.get(node.name, node.name)
        try:
            self._follow(node, name)
        except Unsayable as limit:
            self.limit(node, limit)
            self.held.blobs[node] = node.name

    def place(self, node: fx.Node) -> Place:
        """Where a node stands in the user's source: of one that is no layer, where the next layer does."""
        places = {layer.node: layer.place for layer in self.program.layers}
        following = [node]
        for one in following:
            if one.name in places:
                return places[one.name]
            following += [user for user in one.users if user not in following]
        return Place()

    def limit(self, node: fx.Node, found: Unsayable) -> None:
        place, name = self.place(node), self.names.get(node.name, node.name)
        self.limits.append(Limit(name, place.file, place.line, found.sentence, found.remedy))

    def _follow(self, node: fx.Node, name: str) -> None:
        value = node.meta.get("val")
        called = name_of(node)
        source: Any = node.args[0] if node.args else None
        if node.target is operator.getitem and isinstance(source, fx.Node) and source in self.held.blobs:
            several: Any = self.held.blobs[source]
            which: Any = node.args[1]
            chosen = several[which] if isinstance(several, list) else several
            if chosen is not None:
                self.held.blobs[node] = self.made[node.name] = chosen
            return
        if called.startswith(_SILENT) or not _tensors(value):
            return
        if not any(given in self.held.blobs for given in node.all_input_nodes):
            self.held.constants[node] = self._folded(node)
            return
        writer = WRITERS.get(called)
        if writer is None:
            raise Unsayable(f"uses {called}, which Caffe lacks", "replace it, or port to another technology")
        step = self.step(node, name, called)
        arguments = _arguments(node)
        try:
            result = writer(step, **arguments)
        except TypeError as error:
            if "unexpected keyword argument" not in str(error):
                raise
            raise Unsayable(
                f"uses {called} in a form that Caffe lacks", "use the operator's plain form"
            ) from None
        self.keep(node, name, step, result)
        target: Any = node.target
        if target._schema.is_mutable:  # in place: what was there before is there no more
            owner = self.shared[node] = self.shared.get(source, source)
            for other in (owner, *(one for one, of in self.shared.items() if of is owner)):
                self.held.blobs[other] = self.held.blobs[node]

    def step(self, node: fx.Node, name: str, called: str) -> Step:
        users = [user for user in node.users if user.target is operator.getitem and user.users]
        taken: list[Any] = [user.args[1] for user in users]
        return Step(name, called, shape_of(node), _tensors(node.meta["val"]), frozenset(taken), self.held)

    def keep(self, node: fx.Node, name: str, step: Step, result: Any) -> None:
        """Takes over a step's layers; the one that makes the result gets the layer's own name."""
        if isinstance(result, str):
            maker = next((draft for draft in step.drafts if result in draft.tops), None)
            if maker is not None:
                if len(maker.tops) == 1:
                    maker.name = name
                maker.tops[maker.tops.index(result)] = name
                for draft in step.drafts:
                    draft.bottoms = [name if bottom == result else bottom for bottom in draft.bottoms]
                result = name
            self.made[node.name] = result
        self.drafts += step.drafts
        self.held.blobs[node] = result

    def _folded(self, node: fx.Node) -> Any:
        """What a node of weights alone gives; where it takes the size of the batch, for one input."""

        def known(source: fx.Node) -> Any:
            if source in self.held.constants:
                return self.held.constants[source]
            value = source.meta.get("val")
            return value if isinstance(value, int | float | bool) else 1

        args, kwargs = map_arg((node.args, node.kwargs), known)
        with torch.no_grad():
            return node.target(*args, **kwargs)  # pyright: ignore[reportCallIssue]

    def response_norm(self, found: ResponseNorm) -> None:
        name = self.names.get(found.last.name, found.last.name)
        step = self.step(found.last, name, "local_response_norm")
        blob = response_norm(step, found.input, found.size, found.alpha, found.beta, found.k)
        self.keep(found.last, name, step, blob)

    # What comes out ------------------------------------------------------------------------------------

    def finish(self, outputs: Sequence[fx.Node]) -> None:
        """Makes the outputs those blobs, and in that order, that no layer takes."""
        blobs: list[Any] = []
        for node in outputs:
            blob = self.held.blobs.get(node)
            if not isinstance(blob, str):
                sentence = "is an output that does not depend on the input"
                self.limit(node, Unsayable(sentence, "return what is computed from the input"))
                return
            blobs.append(blob)
        taken = {bottom for draft in self.drafts for bottom in draft.bottoms}
        made = [top for draft in self.drafts for top in draft.tops]
        loose = [top for top in made if top not in taken]
        if loose == blobs:
            return
        for index, blob in enumerate(blobs):
            name = self.free(f"output{index}")
            self.drafts.append(Draft(name, "Power", [blob], [name], {}, []))
        unused = [top for top in loose if top not in blobs]
        if unused:
            self.drafts.append(Draft(self.free("unused"), "Silence", unused, [], {}, []))


def _written(program: Program) -> _Writing:
    # A network that is a single layer has no name for it.
    writing = _Writing(program, {layer.node: layer.name or layer.operator for layer in program.layers})
    writing.read_inputs()
    graph = program.exported.graph
    norms = {found.last: found for found in response_norms(graph)}
    inner = {node for found in norms.values() for node in found.inner}
    for node in graph.nodes:
        if node in norms:
            writing.response_norm(norms[node])
        elif node.op == "get_attr":
            writing.held.constants[node] = _attribute(program, str(node.target))
        elif node.op == "call_function" and node not in inner:
            writing.follow(node)
    by_name = {node.name: node for node in graph.nodes}
    writing.finish([by_name[name] for name in program.outputs if name in by_name])
    return writing


def _attribute(program: Program, target: str) -> Any:
    value: Any = program.exported.graph_module
    for part in target.split("."):
        value = getattr(value, part)
    return value


def _tensors(value: Any) -> list[Tensor]:
    return [one for one in pytree.tree_leaves(value) if isinstance(one, Tensor)]


def _arguments(node: fx.Node) -> dict[str, Any]:
    """A call's arguments by their names in PyTorch's schema; `self` is the input, a slice's `step` its
    stride."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        raise Unsayable(
            f"calls {node.target}, which is no operator of PyTorch", "use PyTorch's own operators"
        )
    names = [argument.name for argument in schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    return {_RENAMED.get(name, name): value for name, value in given.items()}
