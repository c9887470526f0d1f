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
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.catalogue import target
from netwright.ports.litert import litert, signature_of
from netwright.ports.running import Unsupported

if TYPE_CHECKING:
    from netwright.ports.program import Program
    from netwright.ports.running import Arrays, Source

ARENA = 256 * 1024 * 1024  # bytes lent to the interpreter; a device has as much as `arena_of` says it needs


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
        with _overheard() as said:
            try:
                self._native: Any = runtime.Interpreter.from_file(str(files[0]), arena_size=ARENA)
            except RuntimeError as raised:
                raise Unsupported(_reason(said())) from raised

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str]) -> tuple[Arrays, dict[str, np.ndarray]]:
        for (index, kind), array in zip(self._takes, inputs, strict=True):
            self._native.set_input(np.ascontiguousarray(array.astype(kind, copy=False)), index)
        self._native.invoke()
        return [np.array(self._native.get_output(index)) for index in self._gives], {}


@contextlib.contextmanager
def _overheard() -> Generator[Callable[[], str]]:
    """What the runtime prints on standard error, which gets it as well."""
    sys.stderr.flush()
    held = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)

        def said() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(held, 2)
            os.close(held)
            print(said(), file=sys.stderr, end="", flush=True)


def _reason(said: str) -> str:
    lacking = sorted(set(re.findall(r"Didn't find op for builtin opcode '(\w+)'", said)))
    if lacking:
        return f"the microcontrollers' runtime has no {', '.join(lacking)}"
    prepared = re.search(r"Node (\w+) \(number \d+\) failed to prepare", said)
    broken = re.search(r"\S+\.cc:\d+ (.+) was not true", said)
    if prepared:
        why = f": it wants {broken[1]}" if broken else ""
        return f"the microcontrollers' runtime does not take this {prepared[1]}{why}"
    return "the microcontrollers' runtime cannot lay the file out in its memory; the log has its reason"


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
        "lstm-step-by-step",
        "gru-step-by-step",
        "concatenation-in-portions",
        "circular-padding-by-joining",
        "transposed-convolution-cropped",
    ),
)
def litert_micro(source: Source) -> Path:
    """The network as one .tflite file, which a microcontroller holds as an array."""
    return litert(source)
