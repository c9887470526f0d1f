"""PyTorch to ONNX by torch.onnx, with every layer's result under the layer's own name, so that whatever reads
the file later (OpenVINO, MNN, TensorRT) can be asked for it.

Source: https://docs.pytorch.org/docs/stable/onnx.html
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.catalogue import target
from netwright.ports.onnx.packing import pack
from netwright.ports.onnx.quantise import quantise

if TYPE_CHECKING:
    from netwright.ports.program import Program
    from netwright.ports.running import Arrays, Source

SMALL = 4_000_000  # bytes of weights; above them the file is put together without holding them twice
LARGEST = 1_500_000_000  # bytes of weights in the file itself; a protobuf message ends at 2 GB


class Session:
    """An ONNX file in ONNX Runtime, on the CPU."""

    def __init__(self, files: tuple[Path, ...], about: Program) -> None:
        onnx: Any = importlib.import_module("onnx")
        self._file = files[0]
        model = onnx.load(self._file, load_external_data=False)
        made = {value for node in model.graph.node for value in node.output}
        self.taps = tuple(layer.name for layer in about.layers if layer.name in made)
        # Where 8-bit integers are, a value is what they stand for: an activation may be their clipping alone.
        integers = {name: f"{name}_DequantizeLinear_Output" for name in self.taps}
        self._read = {name: value for name, value in integers.items() if value in made}
        self._inputs = [value.name for value in model.graph.input]
        self._outputs = [value.name for value in model.graph.output]
        self._sessions: dict[tuple[str, ...], Any] = {}

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str]) -> tuple[Arrays, dict[str, np.ndarray]]:
        values = {tap: self._read.get(tap, tap) for tap in taps}
        session = self._session(tuple(v for v in values.values() if v not in self._outputs))
        fed = dict(zip(self._inputs, inputs, strict=False))
        results = session.run(None, fed)
        found = dict(zip((value.name for value in session.get_outputs()), results, strict=True))
        return [found[name] for name in self._outputs], {tap: found[value] for tap, value in values.items()}

    def _session(self, taps: tuple[str, ...]) -> Any:
        if taps not in self._sessions:
            self._sessions.clear()  # one at a time: each holds the weights
            self._sessions[taps] = session_of(self._file, taps)
        return self._sessions[taps]


def session_of(file: Path, taps: Sequence[str] = ()) -> Any:
    """ONNX Runtime's session of a file, the values of these names among its outputs."""
    onnx: Any = importlib.import_module("onnx")
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Without integer dot products (VNNI) a CPU adds pairs of products in 16 bits, which overflow.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if not taps:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    # Read once, not served: neither weights laid out anew nor room kept for the next run are worth their
    # memory.
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.enable_cpu_mem_arena = False
    added = onnx.ModelProto(graph=onnx.GraphProto(output=[onnx.ValueInfoProto(name=name) for name in taps]))
    tapped = file.with_name(f".{file.name}")  # beside it, where its external data are
    try:
        shutil.copyfile(file, tapped)
        with tapped.open("ab") as end:  # a message that follows another is merged with it
            end.write(added.SerializeToString())
        return onnxruntime.InferenceSession(str(tapped), options, providers=["CPUExecutionProvider"])
    finally:
        tapped.unlink(missing_ok=True)


@target(
    "onnx",
    "ONNX, run by ONNX Runtime",
    needs=("onnx", "onnxscript", "onnxruntime"),
    taps="free",
    open=Session,
    quantise=quantise,
)
def onnx(source: Source) -> Path:
    """The network as one ONNX file, weights inside unless they are too large for it."""
    import torch

    program, file = source.program, source.folder / "network.onnx"
    made = torch.onnx.export(program.exported, (), dynamo=True, verbose=False, optimize=False)
    assert made is not None
    _name_values(made, program)
    if _keeps_small_numbers():
        made.optimize()
    _forget_traces(made.model)
    size = sum(t.numel() * t.element_size() for t in program.exported.state_dict.values())
    if size > LARGEST:
        made.save(str(file), external_data=True)
    elif size > SMALL:
        with tempfile.TemporaryDirectory(dir=source.folder) as apart:
            made.save(str(Path(apart) / "parts.onnx"), external_data=True)
            del made
            pack(Path(apart) / "parts.onnx", file)
    else:
        made.save(str(file))
    return file


def _keeps_small_numbers() -> bool:
    """Make the exporter's optimiser compare numbers exactly; false where it cannot be made to. As it comes it
    takes what is below 1e-8 for 0 and 1.000009 for 1, and so leaves out what is added to keep a logarithm or
    a division finite."""
    rewriter: Any = importlib.import_module("onnxscript.rewriter")
    try:
        patterns = [rule._target_pattern for rule in rewriter._DEFAULT_REWRITE_RULES]
        compared = [value for pattern in patterns for node in pattern._nodes for value in node.inputs]
    except AttributeError:  # another onnxscript than the one this is known of
        return False
    for value in compared:
        if hasattr(value, "_abs_tol"):
            value._abs_tol = value._rel_tol = 0.0
    return any(hasattr(value, "_abs_tol") for value in compared)


def _name_values(made: Any, program: Program) -> None:
    """Give every layer's result the layer's name. The exporter takes operators apart; each of its nodes knows
    the node that it came from, and the last one that came from a layer's node is that layer's result."""
    names = {layer.node: layer.name for layer in program.layers}
    last: dict[str, str] = {}
    for node in made.exported_program.graph.nodes:
        if node.op == "call_function":
            for origin in _origins(node):
                if origin in names:
                    last[names[origin]] = node.name
                    break
    taken = {value.name for value in made.model.graph.initializers.values()}
    taken |= {value.name for value in made.model.graph.inputs}
    values = {value.name: value for node in made.model.graph for value in node.outputs}
    for layer, node in last.items():
        value = values.get(node)
        if value is not None and layer not in taken:
            value.name = layer


def _forget_traces(model: Any) -> None:
    """Leave out what the exporter notes of every operator's origin: paths of the user's, and in a small
    network most of the file."""
    graph = model.graph
    nodes = list(graph.all_nodes())
    values = (value for node in nodes for value in node.outputs)
    for noted in (model, graph, *nodes, *values, *graph.inputs, *graph.initializers.values()):
        noted.metadata_props.clear()


def _origins(node: Any) -> list[str]:
    """The names of what a node was made from, the earliest first. The exporter numbers its nodes anew: one of
    them may have the name of another node of the program, so its own counts last."""
    found, at = [node.name], node.meta.get("from_node") or []
    while at:
        found.insert(0, at[-1].name)
        at = at[-1].from_node or []
    return found
