"""Files of other technologies as networks: an ONNX file, or Caffe's prototxt with its caffemodel.

What is read is a real network that trains on; beside it stands the file itself in a runtime of its own
technology, as the referee of the reading.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor, nn

from netwright.values import UserError

SUFFIXES = (".onnx", ".prototxt")
NOISE = 16  # inputs that are made where none are given

Referee = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


@frozen(eq=False)
class FileNetwork:
    """A network read from `path`: its inputs by name with their shapes (an open axis `None`) and types, and
    the referee that runs the file itself, where its technology is installed."""

    path: Path
    network: nn.Module
    inputs: Mapping[str, tuple[tuple[int | None, ...], torch.dtype]]
    referee: Referee | None = field(default=None, repr=False)
    judge: str = ""

    def noise(self, count: int = NOISE, seed: int = 0) -> tuple[Tensor, ...]:
        """Normal noise for every input, (count, …) where the first axis is open. Raises `UserError` where
        another axis is open or an input is not of floating numbers."""
        generator = torch.Generator().manual_seed(seed)
        made: list[Tensor] = []
        for name, (shape, dtype) in self.inputs.items():
            sizes = tuple(count if axis is None and i == 0 else axis for i, axis in enumerate(shape))
            known = [axis for axis in sizes if axis is not None]
            if len(known) < len(sizes) or not dtype.is_floating_point:
                what = "an open axis" if len(known) < len(sizes) else f"type {str(dtype).partition('.')[2]}"
                raise UserError(
                    f"{self.path}: input {name!r} has {what}, so no inputs can be made up for it; give some:"
                    " --on FILE.npz with an array for every input"
                )
            made.append(torch.randn(known, generator=generator, dtype=dtype))
        return tuple(made)


def read_file(path: str | Path, weights: str | Path | None = None) -> FileNetwork:
    """The network of an ONNX file or of a prototxt, whose caffemodel is `weights` or lies beside it under the
    same name. Raises `UserError` where the file is damaged, or holds what PyTorch cannot do."""
    file = Path(path)
    if file.suffix == ".onnx":
        if weights is not None:
            raise UserError(f"{path}: holds its weights itself; leave out --weights")
        return _onnx(file)
    if file.suffix == ".prototxt":
        return _caffe(file, Path(weights) if weights is not None else None)
    raise UserError(f"{path}: is no file that can be read; give {' or '.join(SUFFIXES)}")


def read_network(path: str | Path, weights: str | Path | None = None) -> nn.Module:
    """The network of an ONNX file or of a Caffe prototxt, as a real `nn.Module` in evaluation mode that
    trains on; `.code` shows its forward pass. See `read_file`."""
    return read_file(path, weights).network


def _onnx(file: Path) -> FileNetwork:
    if importlib.util.find_spec("onnx") is None:
        raise UserError(f"{file}: reading ONNX needs onnx; pip install 'netwright[ports]' brings it")
    reader: Any = importlib.import_module("netwright.ports.onnx.read")
    parts: Any = importlib.import_module("netwright.ports.onnx.read_file")
    graph = parts.ModelFile(file).model.graph
    network = reader.read(file)
    stored = {one.name for one in graph.initializer}
    inputs: dict[str, tuple[tuple[int | None, ...], torch.dtype]] = {}
    for value in graph.input:
        if value.name not in stored:
            kind = value.type.tensor_type
            shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
            inputs[value.name] = shape, parts.DTYPES.get(kind.elem_type, torch.float32)

    def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        from netwright.ports.onnx.write import session_of

        return session_of(file).run(None, dict(zip(inputs, arrays, strict=True)))

    runs = importlib.util.find_spec("onnxruntime") is not None
    return FileNetwork(file, network, inputs, run if runs else None, "ONNX Runtime")


def _caffe(file: Path, weights: Path | None) -> FileNetwork:
    from netwright.ports.caffe import run
    from netwright.ports.caffe.network import read_network as structure_of
    from netwright.ports.caffe.read import read

    beside = file.with_suffix(".caffemodel")
    if weights is None and not beside.is_file():
        raise UserError(f"{file}: no {beside.name} beside it; name the weights: --weights FILE.caffemodel")
    weights = weights or beside
    network = read(file, weights)
    given = structure_of(file).inputs
    inputs = {
        name: ((None, *shape[1:]) if shape else (None,), torch.float32) for name, shape in given.items()
    }
    real = run.caffe_interpreter() is not None

    def judged(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        net = run.CaffeNet(file, weights) if real else run.OpenCVNet(file, weights)
        return net.run([np.asarray(array) for array in arrays], ())[0]

    runs = real or importlib.util.find_spec("cv2") is not None
    return FileNetwork(file, network, inputs, judged if runs else None, "a real Caffe" if real else "OpenCV")
