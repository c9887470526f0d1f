"""ExecuTorch: PyTorch's own runtime for phones and embedded devices.

Source: https://docs.pytorch.org/executorch/stable/
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.catalogue import target

if TYPE_CHECKING:
    from netwright.ports.program import Program
    from netwright.ports.running import Arrays, Source


class Method:
    """The method `forward` of an ExecuTorch program."""

    taps: tuple[str, ...] = ()

    def __init__(self, files: tuple[Path, ...], about: Program) -> None:
        runtime: Any = importlib.import_module("executorch.runtime").Runtime
        self._program: Any = runtime.get().load_program(str(files[0]))
        self._method: Any = self._program.load_method("forward")

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str]) -> tuple[Arrays, dict[str, np.ndarray]]:
        import torch

        outputs = self._method.execute(tuple(torch.from_numpy(i) for i in inputs))
        return [o.detach().clone().numpy() for o in outputs], {}


@target(
    "executorch",
    "ExecuTorch",
    needs=("executorch",),
    batch="one",
    taps="dear",
    open=Method,
    rewrites=("local-response-norm-by-convolution", "adaptive-pooling-by-windows"),
)
def executorch(source: Source) -> Path:
    """The network as an ExecuTorch program, computed by XNNPACK where that has an operator and by
    ExecuTorch's portable kernels elsewhere."""
    partition: Any = importlib.import_module("executorch.backends.xnnpack.partition.xnnpack_partitioner")
    exir: Any = importlib.import_module("executorch.exir")
    file = source.folder / "network.pte"
    by = [partition.XnnpackPartitioner(configs=_taken())]
    lowered = exir.to_edge_transform_and_lower(source.program.exported, partitioner=by)
    file.write_bytes(lowered.to_executorch().buffer)
    return file


def _taken() -> list[Any]:
    """What XNNPACK takes of a network: all it says it does, but a PReLU only of images. ExecuTorch gives it
    others too, and then fails to lay them with their channels last."""
    config: Any = importlib.import_module("executorch.backends.xnnpack.partition.config")
    base: Any = importlib.import_module(
        "executorch.backends.xnnpack.partition.config.node_configs"
    ).PreluConfig

    class OfImages(base):
        def check_constraints(self, node: Any, ep: Any) -> bool:
            return node.meta["val"].ndim == 4 and super().check_constraints(node, ep)

    return [OfImages if one is base else one for one in config.ALL_PARTITIONER_CONFIGS]
