"""TensorRT: NVIDIA's compiler for its GPUs. Made from the ONNX file by TensorRT for RTX, which builds without
a GPU; running takes one, so the port is a bundle that proves itself on the machine that has it.

Source: https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.catalogue import target
from netwright.ports.running import NothingRuns, Unsupported

if TYPE_CHECKING:
    from netwright.ports.program import Program
    from netwright.ports.running import Arrays, Source

MOST = 64  # inputs that the engine takes at a time
EXPECTED = 8  # inputs in the bundle whose results are kept at every layer

_BUILD = """#!/bin/sh
# Builds the engine with the full TensorRT instead of TensorRT for RTX. Source: TensorRT's own trtexec.
trtexec --onnx=network.onnx --saveEngine=network.full.engine --noTF32{shapes} "$@"
"""


class Engine:
    """The engine on this machine's GPU."""

    def __init__(self, files: tuple[Path, ...], about: Program) -> None:
        import torch

        if not torch.cuda.is_available():
            raise NothingRuns("running it takes an NVIDIA GPU; verify.py in the bundle proves it there")
        from netwright.ports import tensorrt_verify as verify

        self._trt: Any = verify.runtime()
        self._verify: Any = verify
        self._onnx = files[0].with_name("network.onnx")
        self._engines: dict[tuple[str, ...], Any] = {(): verify.Engine(self._trt, files[0].read_bytes())}
        names = {layer.node: layer.name for layer in about.layers}
        self._outputs = [names.get(node, node) for node in about.outputs]
        self.taps = tuple(layer.name for layer in about.layers)

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str]) -> tuple[Arrays, dict[str, np.ndarray]]:
        key = tuple(taps)
        if key not in self._engines:
            built = self._verify.build(self._trt, self._onnx, key, MOST)
            self._engines[key] = self._verify.Engine(self._trt, built)
        found = self._engines[key].run(inputs)
        return [found[name] for name in self._outputs], {n: found[n] for n in taps if n in found}


@target(
    "tensorrt",
    "TensorRT",
    needs=("tensorrt_rtx_bindings", "tensorrt_rtx_libs", "onnx"),
    source="onnx",
    taps="free",
    open=Engine,
)
def tensorrt(source: Source) -> Path:
    """A bundle: the engine, the ONNX file that it is built of, calibration data, inputs with the results of
    every layer, a script that builds with the full TensorRT, and `verify.py`, which runs it all on a GPU."""
    from netwright.ports import tensorrt_verify as verify

    folder, program = source.folder, source.program
    assert source.onnx is not None
    onnx = folder / "network.onnx"
    shutil.copyfile(source.onnx, onnx)
    try:
        engine = verify.build(verify.runtime(), onnx, most=MOST if program.any_batch else 1)
    except ValueError as refused:
        raise Unsupported(str(refused)) from refused
    file = folder / "network.engine"
    file.write_bytes(engine)
    inputs = source.inputs()
    shapes = ""
    if program.any_batch:
        rows = [(n, "x".join(map(str, a.shape[1:]))) for n, a in zip(program.inputs, inputs, strict=True)]

        def sized(batch: int) -> str:
            return ",".join(f"{name}:{batch}{'x' + rest if rest else ''}" for name, rest in rows)

        shapes = f" --minShapes={sized(1)} --optShapes={sized(8)} --maxShapes={sized(MOST)}"
    script = folder / "build.sh"
    script.write_text(_BUILD.format(shapes=shapes))
    script.chmod(0o755)
    _keep_expected(source, folder, inputs)
    shutil.copyfile(verify.__file__, folder / "verify.py")
    return file


def _keep_expected(source: Source, folder: Path, inputs: Sequence[np.ndarray]) -> None:
    import torch

    from netwright.ports.parity import TOLERANCES

    program = source.program
    first = [
        a[:EXPECTED] if program.any_batch else a[: len(e)]
        for a, e in zip(inputs, source.example, strict=True)
    ]
    names = [layer.name for layer in program.layers]
    outputs, read = program.read([torch.from_numpy(a) for a in first], names)
    answer = program.answer_layer
    kept = {f"input/{name}": array for name, array in zip(program.inputs, first, strict=True)}
    kept |= {f"layer/{name}": value.numpy() for name, value in read.items()}
    if answer is None:
        kept[f"layer/{program.outputs[program.answer]}"] = outputs[program.answer].numpy()
    np.savez(folder / "expected.npz", allow_pickle=False, **kept)
    np.savez(folder / "calibration.npz", allow_pickle=False, **dict(zip(program.inputs, inputs, strict=True)))
    about = {
        "inputs": program.inputs,
        "layers": names,
        "answer": answer.name if answer is not None else program.outputs[program.answer],
        "tolerance": 10 * TOLERANCES["float32"],  # cuDNN's fast convolutions round more than a CPU's
        "most": MOST if program.any_batch else 1,
    }
    (folder / "about.json").write_text(json.dumps(about, indent=1))
