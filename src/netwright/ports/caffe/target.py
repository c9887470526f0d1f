"""Caffe: prototxt and caffemodel, written from the program. Run by a real Caffe where there is one, else by
OpenCV's importer.

Source: https://caffe.berkeleyvision.org/tutorial/net_layer_blob.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.catalogue import target
from netwright.ports.caffe.run import CaffeNet, OpenCVNet, caffe_interpreter
from netwright.ports.running import timed
from netwright.values import Limit

if TYPE_CHECKING:
    from netwright.ports.program import Program
    from netwright.ports.running import Arrays, Source


class Net:
    """A port to Caffe, its blobs read by the names of the PyTorch layers."""

    def __init__(self, files: tuple[Path, ...], about: Program) -> None:
        prototxt, caffemodel, layers = files
        self._net = (CaffeNet if caffe_interpreter() else OpenCVNet)(prototxt, caffemodel)
        self._blobs: Mapping[str, str] = json.loads(layers.read_text())
        self._ranks = {layer.name: len(layer.shape) for layer in about.layers}
        by_node = {layer.node: len(layer.shape) for layer in about.layers}
        self._outputs = [by_node.get(node) for node in about.outputs]
        made = set(self._net.taps)
        self.taps = tuple(name for name, blob in self._blobs.items() if blob in made)

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str]) -> tuple[Arrays, dict[str, np.ndarray]]:
        outputs, blobs = self._net.run(inputs, [self._blobs[tap] for tap in taps])
        found = {tap: _of_rank(blobs[self._blobs[tap]], self._ranks[tap]) for tap in taps}
        return [_of_rank(array, rank) for array, rank in zip(outputs, self._outputs, strict=True)], found

    def time(self, inputs: Sequence[np.ndarray], runs: int) -> list[float]:
        """Seconds of `runs` passes, after three that are not counted."""
        if isinstance(self._net, CaffeNet):
            return self._net.time(inputs, runs + 3)[3:]
        return timed(self._net.run, inputs, runs)


def _of_rank(array: np.ndarray[Any, Any], rank: int | None) -> np.ndarray[Any, Any]:
    """OpenCV has no arrays of one axis; it adds one of size one."""
    return array.reshape(-1) if rank == 1 else array


def limits(source: Source) -> list[Limit]:
    """The layers that Caffe cannot say."""
    from netwright.ports.caffe.write import limits as limits_of

    return limits_of(source.program)


@target("caffe", "Caffe", needs=("cv2",), taps="free", open=Net, limits=limits)
def caffe(source: Source) -> tuple[Path, ...]:
    """The network as Caffe's two files, and the blob of each layer."""
    from netwright.ports.caffe.write import write

    prototxt, caffemodel, blobs = write(source.program, source.folder, "network")
    layers = source.folder / "network.layers.json"
    layers.write_text(json.dumps(blobs, indent=1))
    return prototxt, caffemodel, layers
