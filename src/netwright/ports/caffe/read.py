"""Caffe -> PyTorch: a network that trains on, its modules named as Caffe's layers.

Each layer becomes one module (an inner product of an image a Flatten and a Linear), called in the order of
the prototxt; the result is a `torch.fx.GraphModule` whose `.code` can be read.
"""

from __future__ import annotations

import builtins
import keyword
import math
import operator
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from netwright.ports.caffe.modules import converted
from netwright.ports.caffe.network import Layer, Network, read_network
from netwright.values import UserError


def read(
    prototxt: str | Path,
    caffemodel: str | Path | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> fx.GraphModule:
    """The network of the two files in evaluation mode; without a caffemodel, freshly initialised.

    `shapes` gives an input's shape where the prototxt leaves it open.
    """
    network = read_network(prototxt, caffemodel)
    return module_of(network, shapes or {}, needs_weights=caffemodel is not None)


def module_of(
    network: Network, shapes: Mapping[str, Sequence[int]], *, needs_weights: bool = True
) -> fx.GraphModule:
    """A network as a module; layers with weights must have them if `needs_weights`."""
    root, graph = nn.Module(), fx.Graph()
    nodes: dict[str, fx.Node] = {}
    values: dict[str, Tensor] = {}  # what flows there, as shapes without numbers
    for name in network.inputs:
        shape = shapes.get(name) or _shape_of(name, network)
        nodes[name] = graph.placeholder(_identifier(name, root))
        values[name] = torch.empty(list(shape), device="meta")
    for layer in network.layers:
        _add(layer, root, graph, nodes, values, needs_weights)
    outputs = tuple(nodes[blob] for blob in network.outputs)
    graph.output(outputs[0] if len(outputs) == 1 else outputs)
    return fx.GraphModule(root, graph, class_name=_class_name(network.name)).eval()


def _add(
    layer: Layer,
    root: nn.Module,
    graph: fx.Graph,
    nodes: dict[str, fx.Node],
    values: dict[str, Tensor],
    needs_weights: bool,
) -> None:
    """The layer's modules, called on its bottoms; its tops are what they give."""
    arguments = [nodes[blob] for blob in layer.bottoms]
    given = [values[blob] for blob in layer.bottoms]
    result: Tensor | tuple[Tensor, ...] = ()
    for suffix, module in converted(layer, [tuple(value.shape) for value in given], needs_weights):
        target = _identifier(layer.name + suffix, root)
        root.add_module(target, module.eval())
        node = graph.create_node("call_module", target, tuple(arguments), name=target)
        try:
            result = _shapes_given(module, given)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            sizes = " and ".join("×".join(map(str, value.shape)) for value in given)
            raise layer.error(f"cannot take {sizes}: {str(error).splitlines()[0]}") from None
        arguments = [node]
        given = [result] if isinstance(result, Tensor) else list(result)
    if isinstance(result, Tensor):
        for top in layer.tops:  # more than one: Split
            nodes[top], values[top] = arguments[0], result
        return
    if len(result) != len(layer.tops):
        raise layer.error(f"gives {len(result)} blobs but names {len(layer.tops)}")
    for index, top in enumerate(layer.tops):
        nodes[top] = graph.call_function(operator.getitem, (arguments[0], index))
        values[top] = result[index]


def _shapes_given(module: nn.Module, given: Sequence[Tensor]) -> Any:
    """What a module makes of tensors without numbers."""
    weights = [*module.named_parameters(), *module.named_buffers()]
    with torch.no_grad():
        return functional_call(module, {name: value.to("meta") for name, value in weights}, tuple(given))


def _shape_of(name: str, network: Network) -> tuple[int, ...]:
    """An input's shape; where only its size is known, the first convolution knows the channels."""
    shape = network.inputs[name]
    if shape is None:
        raise UserError(
            f"the shape of input {name!r} is not in the file; give it, or put an Input layer there",
            file=network.file,
        )
    if shape and shape[1:2] == (0,):
        taker = next(
            (one for one in network.layers if name in one.bottoms and one.kind == "Convolution"), None
        )
        channels = 3
        if taker is not None and taker.blobs:
            channels = taker.blobs[0].shape[1] * taker.settings("convolution_param").integer("group", 1)
        shape = (shape[0], channels, *shape[2:])
    if math.prod(shape) > 1 << 31:
        raise UserError(f"input {name!r} has {math.prod(shape):,} numbers", file=network.file)
    return shape


def _identifier(name: str, root: nn.Module) -> str:
    """A Caffe name as a Python name that is still free in the module."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII) or "layer"
    if plain[0].isdigit() or keyword.iskeyword(plain):
        plain = f"layer_{plain}"
    if hasattr(builtins, plain) or plain == "self":  # not for a variable of the code
        plain += "_"
    free, count = plain, 0
    while hasattr(root, free):
        count += 1
        free = f"{plain}_{count}"
    return free


def _class_name(name: str) -> str:
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return plain if plain and not plain[0].isdigit() and not keyword.iskeyword(plain) else "CaffeNetwork"
