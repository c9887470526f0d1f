"""ONNX in 8-bit integers, by ONNX Runtime: every tensor goes through QuantizeLinear and DequantizeLinear,
which ONNX Runtime turns into integer kernels.

Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netwright.ports.running import Quantising

BATCH = 16  # inputs at a time while ranges are collected

# Operators that hand on the integers they are given; they have no error of their own.
MOVES = {
    "MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Relu", "Clip", "Split", "Slice",
    "Gather", "Expand", "Tile",
}  # fmt: skip


def quantise(asked: Quantising) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The file of a port in 8-bit integers, and its layers that are: weights by output channel, -128…127,
    and everything between layers 0…255, by the least and the largest value of the calibration inputs.

    The ranges are collected once for a port and kept in `asked.folder`.
    """
    onnx: Any = importlib.import_module("onnx")
    quantization: Any = importlib.import_module("onnxruntime.quantization")
    prepared = _prepared(asked)
    nodes = list(onnx.load(prepared, load_external_data=False).graph.node)
    layers = layer_by_node(nodes, (layer.name for layer in asked.program.layers))
    wanted = [name for name, layer in layers.items() if asked.wants(layer)]
    quantization.quantize_static(
        str(prepared),
        str(asked.to),
        _Calibration([value.name for value in _inputs(prepared)], asked),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        nodes_to_quantize=wanted if asked.only is not None else None,
        nodes_to_exclude=[name for name in layers if name not in wanted],
        calibration_cache_path=asked.folder / "ranges.json",
        use_external_data_format=(asked.files[0].with_name(asked.files[0].name + ".data")).exists(),
    )
    made = onnx.load(asked.to, load_external_data=False).graph.node
    integers = {value for node in made if node.op_type == "DequantizeLinear" for value in node.output}
    found = {
        layers[node.name]
        for node in made
        if node.name in layers and node.op_type not in MOVES and integers & set(node.input)
    }
    files = sorted(asked.to.parent.glob(f"{asked.to.name}*"))
    return tuple(files), tuple(layer.name for layer in asked.program.layers if layer.name in found)


def layer_by_node(nodes: Iterable[Any], names: Iterable[str]) -> dict[str, str | None]:
    """The layer that every node belongs to: the one whose weights it has, else the one whose result it makes,
    or helps to make."""
    known, of, makes = set(names), dict[str, str | None](), dict[str, str | None]()
    for node in reversed(list(nodes)):
        modules = (value.rpartition(".")[0] for value in node.input)
        own = next((name for name in modules if name in known), None)
        made = next((value for value in node.output if value in known), None)
        later = next((makes[value] for value in node.output if value in makes), None)
        of[node.name] = own or made or later
        for value in node.input:
            makes[value] = made or later or own
    return of


def _prepared(asked: Quantising) -> Path:
    """The file with constants folded and its nodes fused as ONNX Runtime wants them before, made once."""
    prepared = asked.folder / "prepared.onnx"
    if not prepared.exists():
        shapes: Any = importlib.import_module("onnxruntime.quantization.shape_inference")
        large = asked.files[0].with_name(asked.files[0].name + ".data").exists()
        # The exporter has written every shape; inferring symbols anew fails on what it has no names for.
        shapes.quant_pre_process(
            str(asked.files[0]), str(prepared), skip_symbolic_shape=True, save_as_external_data=large
        )
    return prepared


def _inputs(file: Path) -> list[Any]:
    onnx: Any = importlib.import_module("onnx")
    graph = onnx.load(file, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


class _Calibration:
    """The calibration inputs as ONNX Runtime asks for them, one batch a time."""

    def __init__(self, names: list[str], asked: Quantising) -> None:
        self._fed: Iterator[dict[str, Any]] = (
            dict(zip(names, batch, strict=False)) for batch in asked.batches(BATCH)
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self._fed, None)

    def __len__(self) -> int:
        return 0

    def set_range(self, start_index: int, end_index: int) -> None:
        """Asked for with strides only, which are not used."""
