"""LiteRT for microcontrollers: the same file as LiteRT's, interpreted without an operating system.

Source: https://ai.google.dev/edge/litert/microcontrollers/overview
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Collection, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.catalogue import target
from netwright.ports.litert import named_in, signature_of, written
from netwright.ports.names import identifier
from netwright.ports.running import Unsupported

if TYPE_CHECKING:
    from torch import nn

    from netwright.ports.program import Program
    from netwright.ports.running import Arrays, Source

ARENA = 256 * 1024 * 1024  # bytes lent to the interpreter; a device has as much as `arena_of` says it needs
ABOVE_ONE = 1 + 2**-23  # the next number of 32 bits


class MicroInterpreter:
    """A LiteRT file in the interpreter for microcontrollers. It knows nothing between its inputs and its
    outputs."""

    taps: tuple[str, ...] = ()

    def __init__(self, files: tuple[Path, ...], about: Program) -> None:
        litert: Any = importlib.import_module("ai_edge_litert.interpreter")
        runtime: Any = importlib.import_module("tflite_micro.python.tflite_micro.runtime")
        # The order of inputs and outputs is read by LiteRT, of the same file.
        native: Any = litert.Interpreter(str(files[0]))
        takes, gives = signature_of(native)
        self._takes = [([d["index"] for d in native.get_input_details()].index(i), kind) for i, kind in takes]
        self._gives = [[d["index"] for d in native.get_output_details()].index(i) for i in gives]
        with _printed() as printed:
            try:
                self._native: Any = runtime.Interpreter.from_file(str(files[0]), arena_size=ARENA)
            except RuntimeError as raised:
                failed: RuntimeError | None = raised
            else:
                failed = None
        if failed is not None:
            raise _lacking(native, about, "".join(printed)) or failed

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str]) -> tuple[Arrays, dict[str, np.ndarray]]:
        for (index, kind), array in zip(self._takes, inputs, strict=True):
            self._native.set_input(np.ascontiguousarray(array.astype(kind, copy=False)), index)
        self._native.invoke()
        return [np.array(self._native.get_output(index)) for index in self._gives], {}


@contextlib.contextmanager
def _printed() -> Generator[list[str], None, None]:
    """What is printed meanwhile by code that is not Python's, which is printed all the same."""
    found: list[str] = []
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield found
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            content = file.read()
            os.write(2, content)
            found.append(content.decode(errors="replace"))


def _lacking(native: Any, about: Program, printed: str) -> Unsupported | None:
    """What the interpreter lacks by its own words, which its exception does not have, at the layer whose
    result the operator is, where it is one's."""
    found = re.search(r"Didn't find op for builtin opcode '(\w+)'", printed)
    refused = re.search(r"Node (\w+) \(number \d+\) failed to prepare", printed)
    if found is None:
        return Unsupported(f"its interpreter does not take this {refused[1]}") if refused else None
    names = {d["index"]: named_in(d) for d in native.get_tensor_details()}
    made = (names.get(op["outputs"][0]) for op in native._get_ops_details() if op["op_name"] == found[1])
    layers = {identifier(layer.name): layer.name for layer in about.layers}
    return Unsupported(f"its interpreter has no operator {found[1]}", layers.get(next(made, None) or ""))


@target(
    "litert-micro",
    "LiteRT for microcontrollers",
    needs=("litert_torch", "ai_edge_litert", "tflite_micro"),
    batch="one",
    taps="dear",
    open=MicroInterpreter,
    rewrites=(
        "local-response-norm-by-convolution",
        "gelu-by-exponential",
        "elu-by-exponential",
        "softplus-by-exponential",
        "mish-by-exponential",
        "average-pooling-by-count",
        "adaptive-pooling-by-windows",
        "lstm-step-by-step",
        "gru-step-by-step",
        "concatenation-in-portions",
        "circular-padding-by-joining",
        "transposed-convolution-cropped",
    ),
)
def litert_micro(source: Source) -> Path:
    """The network as one .tflite file, which a microcontroller holds as an array."""
    network = source.program.module()
    _end_above_one(network, {identifier(layer.name) for layer in source.program.layers})
    return written(network, source)


def _end_above_one(network: nn.Module, floating: Collection[str]) -> None:
    """Let clamps from 0 to 1 end at the next number above 1: the converter joins one that ends at 1 into an
    operator that the interpreter lacks."""
    import torch

    clamps = torch.ops.aten.clamp.default, torch.ops.aten.hardtanh.default
    for name, step in network.named_children():
        for module in step.modules() if name in floating else ():
            if isinstance(module, torch.fx.GraphModule):
                for node in module.graph.nodes:
                    if node.target in clamps and node.args[1:] == (0, 1):
                        node.args = (*node.args[:2], ABOVE_ONE)
                module.recompile()
