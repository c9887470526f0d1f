"""What every technology gives and takes: the material of a port, and a ported network that is ready to
run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from attrs import frozen

if TYPE_CHECKING:
    from netwright.ports.program import Program

Arrays = list[np.ndarray]


@frozen(eq=False)
class Source:
    """What a port is made from: the program, the folder to write into, the same network in ONNX where the
    target asked for it, and a file of the user's inputs."""

    program: Program
    folder: Path
    onnx: Path | None = None
    kept: Path | None = None

    def inputs(self) -> list[np.ndarray]:
        """The user's inputs that came along, N of them, in the order of the program's inputs; for calibration
        and for proofs that travel."""
        if self.kept is None:
            return [t.numpy() for t in self.example]
        with np.load(self.kept, allow_pickle=False) as saved:
            return [saved[name] for name in self.program.inputs]

    @property
    def example(self) -> tuple[Any, ...]:
        """Inputs of the right shapes and types, flattened."""
        return example_inputs(self.program)


@frozen(eq=False)
class Quantising:
    """What is made of a port in 32 bits: 8-bit integers after training, the ranges of all values taken from
    what the network gives for the inputs in `calibration`.

    `files` are the port's, `program` what they are of, `to` the file to write, `folder` keeps what may be
    used again. `batch` is how many inputs the files take at a time, `None` where that is free. Only the
    layers `only` are quantised, where they are named, and never those of `left`.
    """

    files: tuple[Path, ...]
    program: Program
    to: Path
    folder: Path
    calibration: Path
    batch: int | None
    most: int | None = None
    only: tuple[str, ...] | None = None
    left: tuple[str, ...] = ()

    def batches(self, most: int) -> list[list[np.ndarray]]:
        """The inputs, (B, …) each, in the order of the program's; `most` at a time where that is free."""
        with np.load(self.calibration, allow_pickle=False) as saved:
            arrays = [saved[name] for name in saved.files]
        count = max((len(a) for a in arrays if a.ndim), default=1)
        size, count = self.batch or most, min(count, self.most or count)
        whole = range(0, max(1, count - count % size if self.batch else count), size)
        return [[_filled(a[i : i + size], self.batch) if a.ndim else a for a in arrays] for i in whole]

    def wants(self, layer: str | None) -> bool:
        """Whether what belongs to a layer is quantised."""
        return layer not in self.left and (self.only is None or layer in self.only)


def _filled(array: np.ndarray, size: int | None) -> np.ndarray:
    """A batch of a fixed size, its last input repeated where there are too few."""
    missing = (size or len(array)) - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, 0)]) if missing > 0 else array


class Running(Protocol):
    """A ported network that is ready to run. `taps` are the layers whose results can be read. One whose
    runtime is another process has a method `time(inputs, runs)` besides, as `timed` is for the others."""

    @property
    def taps(self) -> tuple[str, ...]: ...

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str]) -> tuple[Arrays, dict[str, np.ndarray]]:
        """The outputs, in the program's order and layout, and what the layers of these names give."""
        ...


def timed(run: Callable[..., Any], inputs: Sequence[np.ndarray], runs: int) -> list[float]:
    """Seconds of `runs` runs, after three that are not counted."""
    seconds: list[float] = []
    for _ in range(runs + 3):
        began = time.perf_counter()
        run(inputs, ())
        seconds.append(time.perf_counter() - began)
    return seconds[3:]


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def example_inputs(program: Program) -> tuple[Any, ...]:
    from torch.utils import _pytree as pytree

    arguments = program.exported.example_inputs
    return tuple(pytree.tree_leaves(arguments))


class Unsupported(Exception):
    """A network does not fit a technology; `layer` is the first that does not, where it is known."""

    def __init__(self, reason: str, layer: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.layer = reason, layer

    def __reduce__(self) -> tuple[Any, ...]:
        return Unsupported, (self.reason, self.layer)


class NothingRuns(Unsupported):
    """A port is made and cannot be run on this machine."""

    def __reduce__(self) -> tuple[Any, ...]:
        return NothingRuns, (self.reason, self.layer)
