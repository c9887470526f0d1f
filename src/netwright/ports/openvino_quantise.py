"""OpenVINO in 8-bit integers, by NNCF: FakeQuantize before every layer with weights, which OpenVINO turns
into integer kernels, and a correction of the biases.

Source: https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/quantizing-models-post-training.html
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.ports.onnx.quantise import layer_by_node
from netwright.ports.running import Unsupported

if TYPE_CHECKING:
    from netwright.ports.running import Quantising

_WEIGHTS = "/fq_weights_"  # in the name of what NNCF puts between an operator and its weights


def quantise(asked: Quantising) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The files of a port in 8-bit integers, and its layers that are: weights by output channel, and what
    layers with weights are given, both around 0, by the calibration inputs' least and largest values."""
    if importlib.util.find_spec("nncf") is None:
        raise Unsupported("nncf, which quantises, is not installed; pip install 'netwright[ports]' brings it")
    os.environ.setdefault("NNCF_CI", "1")  # else it reports to its makers what it is used for
    ov: Any = importlib.import_module("openvino")
    nncf: Any = importlib.import_module("nncf")
    model = ov.Core().read_model(asked.files[0])
    layers = layer_by_node(map(_Op, model.get_ordered_ops()), (layer.name for layer in asked.program.layers))
    names = [port.get_any_name() for port in model.inputs]
    batches = asked.batches(1)
    dataset = nncf.Dataset([dict(zip(names, batch, strict=False)) for batch in batches])
    attends = any(layer.operator == "scaled_dot_product_attention" for layer in asked.program.layers)
    left = [name for name, layer in layers.items() if not asked.wants(layer)]
    made = nncf.quantize(
        model,
        dataset,
        subset_size=len(batches),
        model_type=nncf.ModelType.TRANSFORMER if attends else None,
        ignored_scope=nncf.IgnoredScope(names=left, validate=False),
    )
    ov.save_model(made, asked.to, compress_to_fp16=False)
    found = {layers.get(name) for name in _quantised(made.get_ordered_ops())}
    return (asked.to, asked.to.with_suffix(".bin")), tuple(
        layer.name for layer in asked.program.layers if layer.name in found
    )


class _Op:
    """An operator of OpenVINO with the names of what it is given and gives, as a node of ONNX has them."""

    def __init__(self, op: Any) -> None:
        self.name = str(op.get_friendly_name())
        self.input = [name for value in op.inputs() for name in _names(value.get_source_output())]
        self.output = [name for value in op.outputs() for name in _names(value)]


def _names(value: Any) -> list[str]:
    """The tensor's names, and one by its operator for those that have none."""
    return [*value.get_names(), f"{value.get_node().get_friendly_name()}:{value.get_index()}"]


def _quantised(ops: Iterable[Any]) -> set[str]:
    """The names of operators that compute with integers: with quantised weights, or with nothing but
    quantised values."""
    found: set[str] = set()
    for op in ops:
        sources = [value.get_source_output().get_node() for value in op.inputs()]
        weighted = any(_WEIGHTS in source.get_friendly_name() for source in sources)
        kinds = [source.get_type_name() for source in sources]
        if weighted or (len(kinds) > 1 and all(kind == "FakeQuantize" for kind in kinds)):
            found.add(str(op.get_friendly_name()))
    return found
