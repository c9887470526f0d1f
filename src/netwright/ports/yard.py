"""What the ports of one network share: its programs, their files, the network in ONNX, the inputs that
travel."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from attrs import field, frozen

from netwright.catalogue import Target
from netwright.ports.original import ROOM, Original, batch_for
from netwright.ports.parity import TOLERANCES
from netwright.ports.program import Program
from netwright.ports.rewriting import rewritten
from netwright.ports.running import Unsupported
from netwright.ports.workshop import Died, Workshop
from netwright.values import DeviceBudget, Precision, UserError

Failed = (Unsupported, UserError, Died)
FOLLOWED = 16  # inputs that layers are compared on where none are asked for and the outputs differ
KEPT = 128  # inputs that go along to a port that calibrates, or that proves itself elsewhere


@frozen
class Settings:
    """How thoroughly ports are proved: on how many `inputs` outputs are compared and on how many of them
    (`followed`) every layer; `batches` are the batch sizes that are timed, `runs` times each, with `threads`
    or as many as there are cores. Without `runs` none is timed, without `followed` no layer is read where the
    outputs agree. `tolerance` replaces that of the precision; `precision` is that of the ports, and `budget`
    what they may weigh and take on a device."""

    inputs: int = 300
    followed: int = FOLLOWED
    runs: int = 50
    batches: tuple[int, ...] = (1,)
    threads: int | None = None
    tolerance: float | None = None
    precision: Precision = "float32"
    budget: DeviceBudget | None = None

    @property
    def timed(self) -> tuple[int, ...]:
        """The batch sizes that are timed: those asked for, and one input where a device has a limit of it."""
        one = (1,) if self.budget is not None and self.budget.seconds and 1 not in self.batches else ()
        return (*self.batches, *one)


@attrs.define(eq=False)
class Yard:
    """Open while one network is ported; `folder` keeps the ports, a folder each."""

    original: Original
    folder: Path
    settings: Settings
    maker: Target | None
    clock: Callable[[], float]
    _programs: dict[str, Program] = field(factory=dict)
    _rewritten: dict[str, dict[str, str]] = field(factory=dict)
    _scratch: Any = None
    _onnx: dict[str, Path | UserError | Unsupported] = field(factory=dict)

    def __enter__(self) -> Yard:
        self._scratch = tempfile.TemporaryDirectory(prefix="netwright-port-")
        self._programs["any"] = self.original.program(None)
        self._rewritten["any"] = {}
        return self

    def __exit__(self, *raised: Any) -> None:
        self._scratch.cleanup()

    @property
    def scratch(self) -> Path:
        return Path(self._scratch.name)

    @property
    def whole(self) -> Program:
        """The network as it is, its batch free where that can be."""
        return self._programs["any"]

    @property
    def count(self) -> int:
        """How many inputs outputs are compared on."""
        return min(self.original.count, self.settings.inputs)

    def program(self, target: Target) -> Program:
        """The program that a target is made from: with its batch free or of one input, and rewritten where
        the technology needs it."""
        key = "/".join((target.batch, *target.rewrites))
        if key not in self._programs:
            batch = None if target.batch == "any" else 1
            if target.batch not in self._programs:
                self._programs[target.batch] = self.original.program(batch)
            as_it_is = self._programs[target.batch]
            inputs = [torch.from_numpy(a) for a in self.original.flat(0, batch or self.original.example)]
            self._programs[key], self._rewritten[key] = rewritten(as_it_is, target.rewrites, inputs)
        return self._programs[key]

    def unchanged(self, target: Target) -> Program:
        """The program that a target is made from, before it is rewritten."""
        self.program(target)
        return self._programs[target.batch]

    def rewrites(self, target: Target) -> dict[str, str]:
        """By layer the rewrite that was made of it for a target."""
        self.program(target)
        return self._rewritten.get("/".join((target.batch, *target.rewrites)), {})

    def workshop(self, target: Target, log: Path | None = None) -> Workshop:
        log = log or self.folder / target.id / "log.txt"
        log.unlink(missing_ok=True)
        return Workshop(target, log, threads=self.settings.threads)

    def batch(self, target: Target, most: int) -> int:
        """How many inputs a port takes at a time: one, the example's where the batch is fixed, or many."""
        if target.batch == "one":
            return 1
        if not self.program(target).any_batch:
            return self.original.example
        return batch_for(self.program(target), most)

    def tolerance(self, program: Program, precision: Precision = "float32") -> float:
        """What a port of this program may differ by: the setting, or what its precision allows, which is the
        weights' own unless it is quantised."""
        if self.settings.tolerance is not None:
            return self.settings.tolerance
        if precision == "int8":
            return TOLERANCES["int8"]
        kinds = {str(t.dtype).partition(".")[2] for t in program.exported.state_dict.values()}
        return max((TOLERANCES[kind] for kind in kinds if kind in TOLERANCES), default=TOLERANCES["float32"])

    def build(self, workshop: Workshop, program: Program, folder: Path | None = None) -> tuple[Path, ...]:
        """Make the port of a program, into a folder of its own unless one is named. Raises `Unsupported`,
        `UserError` and `Died`."""
        if folder is None:
            folder = self.scratch / "part"
            shutil.rmtree(folder, ignore_errors=True)
        made = workshop.build(
            *self._material(workshop.target, program), folder, *self._more(workshop, program)
        )
        held = sum(t.numel() * t.element_size() for t in program.exported.state_dict.values())
        if held > ROOM:  # converters keep copies of the weights; the port is run by a fresh process
            workshop.close()
        return made

    def limits(self, workshop: Workshop, program: Program) -> tuple[Any, ...]:
        """What the technology itself says that it cannot take of a program."""
        return workshop.limits(*self._material(workshop.target, program), *self._more(workshop, program))

    def _material(self, target: Target, program: Program) -> tuple[Program, Path]:
        saved = self.scratch / f"{target.id}.pt2"
        program.save(saved)
        return program.about(), saved

    def _more(self, workshop: Workshop, program: Program) -> tuple[Path | None, Path | None]:
        onnx = self.as_onnx(program) if workshop.target.source == "onnx" else None
        return onnx, self._inputs() if program.inputs == self.whole.inputs else None

    def calibration(self) -> Path:
        """The inputs that ranges are taken from, in a file, in the order of the program's inputs."""
        file = self.scratch / "calibration.npz"
        if not file.exists():
            np.savez(file, *self.original.calibration(KEPT), allow_pickle=False)
        return file

    def _inputs(self) -> Path:
        """The user's inputs in a file, by the names of the program's inputs."""
        file = self.scratch / "inputs.npz"
        if not file.exists():
            arrays = self.original.flat(0, min(self.count, KEPT))
            np.savez(file, allow_pickle=False, **dict(zip(self.whole.inputs, arrays, strict=True)))
        return file

    def as_onnx(self, program: Program) -> Path:
        """The program in ONNX, made once where it is of the whole network."""
        if self.maker is None:
            raise Unsupported("it is made from ONNX, and no target writes that")
        key = next((name for name, one in self._programs.items() if one is program), "part")
        known = self._onnx.get(key)
        if isinstance(known, Path):
            return known
        if known is not None:
            raise known
        folder = self.scratch / "onnx" / key
        with self.workshop(self.maker, self.scratch / "onnx.log") as workshop:
            try:
                made = workshop.build(*self._material(self.maker, program), folder)[0]
            except (Unsupported, UserError) as raised:
                if key != "part":
                    self._onnx[key] = raised
                raise
        if key != "part":
            self._onnx[key] = made
        return made
