"""OpenVINO: Intel's runtime for CPUs, integrated GPUs and neural processors. Made from the ONNX file.

Source: https://docs.openvino.ai/2026/openvino-workflow/model-preparation.html
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.catalogue import target
from netwright.ports.openvino_quantise import quantise

if TYPE_CHECKING:
    from netwright.ports.program import Program
    from netwright.ports.running import Arrays, Source


class Compiled:
    """An OpenVINO model compiled for the CPU, in the precision that it was written in."""

    def __init__(self, files: tuple[Path, ...], about: Program) -> None:
        self._core: Any = importlib.import_module("openvino").Core()
        self._model: Any = self._core.read_model(files[0])
        self._outputs = [output.get_any_name() for output in self._model.outputs]
        made = {
            name for op in self._model.get_ordered_ops() for out in op.outputs() for name in out.get_names()
        }
        self.taps = tuple(layer.name for layer in about.layers if layer.name in made)
        self._compiled: dict[tuple[str, ...], Any] = {}

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str]) -> tuple[Arrays, dict[str, np.ndarray]]:
        result = self._for(tuple(taps))(list(inputs))
        values = {name: value for port, value in result.items() for name in port.get_names()}
        return [values[name] for name in self._outputs], {name: values[name] for name in taps}

    def _for(self, taps: tuple[str, ...]) -> Any:
        if taps not in self._compiled:
            model = self._model.clone()
            outputs = {name for output in model.outputs for name in output.get_names()}
            added = [name for name in taps if name not in outputs]
            if added:
                model.add_outputs(added)
            # Without the hint a CPU with bfloat16 units computes in bfloat16.
            hints = {"INFERENCE_PRECISION_HINT": "f32"}
            self._compiled.clear()
            self._compiled[taps] = self._core.compile_model(model, "CPU", hints)
        return self._compiled[taps]


@target(
    "openvino",
    "OpenVINO",
    needs=("openvino", "onnx"),
    source="onnx",
    taps="free",
    open=Compiled,
    quantise=quantise,
)
def openvino(source: Source) -> tuple[Path, ...]:
    """The network as OpenVINO's pair of files, in the precision it has; OpenVINO's own saving halves weights
    to 16 bits unless told otherwise."""
    ov: Any = importlib.import_module("openvino")
    file = source.folder / "network.xml"
    ov.save_model(ov.Core().read_model(source.onnx), file, compress_to_fp16=False)
    return file, file.with_suffix(".bin")
