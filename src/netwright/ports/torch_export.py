"""PyTorch's own exported program: one file that a PyTorch of another version or another machine loads and
runs.

Source: https://docs.pytorch.org/docs/stable/export.html
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netwright.catalogue import target

if TYPE_CHECKING:
    from netwright.ports.program import Program
    from netwright.ports.running import Arrays, Source


class Exported:
    """An exported program, run by PyTorch; its operators are the layers."""

    def __init__(self, files: tuple[Path, ...], about: Program) -> None:
        self._program = about.loaded(files[0])
        self.taps = tuple(layer.name for layer in about.layers)

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str]) -> tuple[Arrays, dict[str, np.ndarray]]:
        import torch

        outputs, read = self._program.read([torch.from_numpy(i) for i in inputs], taps)
        return [o.numpy() for o in outputs], {name: value.numpy() for name, value in read.items()}


@target("torch-export", "PyTorch program", extra="", taps="free", open=Exported)
def torch_export(source: Source) -> Path:
    """The program as `torch.export` saves it; `torch.export.load(file).module()` runs it."""
    file = source.folder / "network.pt2"
    source.program.save(file)
    return file
