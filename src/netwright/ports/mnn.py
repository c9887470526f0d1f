"""MNN: Alibaba's runtime for phones and small computers. Made from the ONNX file.

Source: https://mnn-docs.readthedocs.io/en/latest/
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.catalogue import target
from netwright.ports.running import Unsupported, cores

if TYPE_CHECKING:
    from netwright.ports.program import Program
    from netwright.ports.running import Arrays, Source


# MNN computes convolutions by Winograd's method with large tiles, whose rounding was measured at up to 8e-4
# of a convolution's largest value; the hint of level 0 keeps to tiles that do not.
_WINOGRAD, _NO_TILES = 3, 0


class Module:
    """An MNN file as a module that returns the values asked for."""

    def __init__(self, files: tuple[Path, ...], about: Program) -> None:
        self._expressions: Any = importlib.import_module("MNN.expr")
        self._modules: Any = importlib.import_module("MNN.nn")
        self._file = str(files[0])
        self._inputs = list(about.inputs)
        values: dict[str, Any] = self._expressions.load_as_dict(self._file)
        names = {layer.node: layer.name for layer in about.layers}
        self._outputs = [names.get(node, node) for node in about.outputs]
        missing = [name for name in (*self._inputs, *self._outputs) if name not in values]
        if missing:
            raise Unsupported(f"MNN's file has no value {missing[0]!r}")
        self.taps = tuple(layer.name for layer in about.layers if layer.name in values)
        self._loaded: dict[tuple[Any, ...], Any] = {}
        settings = {"backend": 0, "precision": "high", "numThread": cores()}
        self._runtime: Any = self._modules.create_runtime_manager((settings,))
        self._runtime.set_hint(_WINOGRAD, _NO_TILES)

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str]) -> tuple[Arrays, dict[str, np.ndarray]]:
        wanted = (*self._outputs, *(tap for tap in taps if tap not in self._outputs))
        key = (wanted, *(array.shape for array in inputs))  # a loaded module dies where its batch grows
        if key not in self._loaded:
            self._loaded.clear()
            self._loaded[key] = self._modules.load_module_from_file(
                self._file, self._inputs, list(wanted), runtime_manager=self._runtime
            )
        results = self._loaded[key].forward([self._value(array) for array in inputs])
        read = dict(zip(wanted, map(self._array, results), strict=True))
        return [read[name] for name in self._outputs], {name: read[name] for name in taps}

    def _value(self, array: np.ndarray) -> Any:
        kinds = {"float32": self._expressions.float, "int32": self._expressions.int}
        if array.dtype == np.int64:
            array = array.astype(np.int32)
        if str(array.dtype) not in kinds:
            raise Unsupported(f"MNN takes no inputs of {array.dtype}")
        kind = kinds[str(array.dtype)]
        return self._expressions.const(
            np.ascontiguousarray(array), list(array.shape), self._expressions.NCHW, kind
        )

    def _array(self, value: Any) -> np.ndarray:
        return np.array(self._expressions.convert(value, self._expressions.NCHW).read())


@target(
    "mnn",
    "MNN",
    needs=("MNN", "onnx"),
    source="onnx",
    batch="one",
    taps="free",
    open=Module,
    rewrites=(
        "mish-by-exponential",
        "lstm-step-by-step",
        "gelu-by-exponential",
        "circular-padding-by-joining",
    ),
)
def mnn(source: Source) -> Path:
    """The network as one MNN file."""
    # The converter itself: MNN's command of that name would install packages on first use.
    tools: Any = importlib.import_module("_tools")
    file = source.folder / "network.mnn"
    tools.mnnconvert(
        [
            "mnnconvert",
            "-f",
            "ONNX",
            "--modelFile",
            str(source.onnx),
            "--MNNModel",
            str(file),
            "--bizCode",
            "n",
        ]
    )
    if not file.exists():
        raise Unsupported("MNN's converter wrote no file; the log has its reason")
    return file
