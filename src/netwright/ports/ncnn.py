"""ncnn: Tencent's runtime for phones, without dependencies. Made from TorchScript by pnnx.

Source: https://github.com/Tencent/ncnn/wiki/use-ncnn-with-pytorch-or-onnx
"""

from __future__ import annotations

import importlib
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.catalogue import target
from netwright.ports.running import Unsupported, cores

if TYPE_CHECKING:
    from netwright.ports.program import Program
    from netwright.ports.running import Arrays, Source

_TYPES = {
    "float32": "f32",
    "float64": "f64",
    "float16": "f16",
    "int64": "i64",
    "int32": "i32",
    "bool": "bool",
}


class Net:
    """An ncnn network in 32-bit arithmetic, one input at a time (ncnn's tensors have no batch)."""

    taps: tuple[str, ...] = ()

    def __init__(self, files: tuple[Path, ...], about: Program) -> None:
        self._ncnn: Any = importlib.import_module("ncnn")
        self._net: Any = self._ncnn.Net()
        for reduced in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
            setattr(self._net.opt, reduced, False)
        self._net.opt.num_threads = cores()
        self._net.opt.openmp_blocktime = 0  # waiting threads sleep, so that others get the cores
        if self._net.load_param(str(files[0])) != 0 or self._net.load_model(str(files[1])) != 0:
            raise Unsupported("ncnn cannot load the file that was made for it; the log has its reason")
        self._inputs = len(about.inputs)
        self._outputs = len(about.outputs)

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str]) -> tuple[Arrays, dict[str, np.ndarray]]:
        extractor = self._net.create_extractor()
        for number, array in enumerate(inputs):
            one = np.ascontiguousarray(array[0])
            if one.dtype == np.int64:
                one = one.astype(np.int32)
            extractor.input(f"in{number}", self._ncnn.Mat(one).clone())
        outputs: Arrays = []
        for number in range(self._outputs):
            failed, value = extractor.extract(f"out{number}")
            if failed:
                raise Unsupported(f"ncnn computes no output {number}")
            outputs.append(np.array(value)[None])
        return outputs, {}


@target(
    "ncnn",
    "ncnn",
    needs=("ncnn", "pnnx"),
    batch="one",
    taps="dear",
    open=Net,
    rewrites=(
        "softsign-by-reciprocal",
        "parts-before-shaping",
        "average-pooling-by-count",
        "circular-padding-by-joining",
        "comparison-by-lookup",
        "last-state-from-output",
    ),
)
def ncnn(source: Source) -> tuple[Path, ...]:
    """The network as ncnn's pair of files, weights in 32 bits."""
    import torch

    from netwright.ports.rewriting import answers

    pnnx: Any = importlib.import_module("pnnx")

    script = source.folder / "network.pt"
    arguments = source.example
    with torch.no_grad():
        module = source.program.module(answers(source.program, ("recurrence-as-layer",))[0])
        traced: Any = torch.jit.trace(module, arguments, check_trace=False)
        traced.save(str(script))
    shapes = ",".join(
        f"[{','.join(map(str, a.shape))}]{_TYPES[str(a.dtype).split('.')[1]]}" for a in arguments
    )
    command = [pnnx.EXEC_PATH, script.name, f"inputshape={shapes}", "fp16=0"]
    made = subprocess.run(command, cwd=source.folder, timeout=300, check=False)
    files = source.folder / "network.ncnn.param", source.folder / "network.ncnn.bin"
    if made.returncode != 0 or not all(file.exists() for file in files):
        code = made.returncode
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with {code}"
        raise Unsupported(f"pnnx ended {how}; the log has its last words")
    for other in source.folder.glob("network*"):
        if other not in files and other.suffix in (".pt", ".py", ".onnx", ".param", ".bin"):
            other.unlink()
    unknown = [line.split()[0] for line in files[0].read_text().splitlines()[2:] if _is_foreign(line)]
    if unknown:
        raise Unsupported(f"ncnn has no layer for {', '.join(sorted(set(unknown)))}")
    return files


def _is_foreign(line: str) -> bool:
    """Whether a line of the file names an operator of PyTorch's that pnnx left as it is."""
    kind = line.split()[0] if line.split() else ""
    return "." in kind or "::" in kind
