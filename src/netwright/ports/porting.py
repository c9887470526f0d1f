"""Porting one network to several technologies: made, run on the same inputs, compared, and where they differ
bisected. Yields the typed events of the way there; each technology works in a process of its own."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from attrs import field, frozen

from netwright.catalogue import Target
from netwright.ports.bisection import bisect
from netwright.ports.differences import likely_of, met_by
from netwright.ports.original import Original, batch_for
from netwright.ports.parity import TOLERANCES, Agreement, first_to_diverge
from netwright.ports.program import Program
from netwright.ports.running import NothingRuns, Unsupported
from netwright.ports.workshop import Died, Workshop, here
from netwright.values import (
    Divergence,
    Latency,
    Limit,
    Port,
    TargetEnded,
    TargetPort,
    TargetStarted,
    UserError,
)

Event = TargetStarted | TargetEnded
Failed = (Unsupported, UserError, Died)
KEPT = 128  # inputs that go along to a port that calibrates, or that proves itself elsewhere


@frozen
class Settings:
    """How thoroughly ports are proved: on how many `inputs` outputs are compared and on how many of them
    (`followed`) every layer; `batches` are the batch sizes that are timed, `runs` times each, with `threads`
    or as many as there are cores."""

    inputs: int = 300
    followed: int = 16
    runs: int = 50
    batches: tuple[int, ...] = (1,)
    threads: int | None = None
    tolerance: float | None = None


def port(
    original: Original,
    targets: Sequence[Target],
    folder: Path,
    settings: Settings,
    clock: Callable[[], float],
    maker: Target | None = None,
) -> Generator[Event, None, Port]:
    """Port `original` to every one of `targets`, into a folder each below `folder`.

    `maker` is the target that writes ONNX, for those that are made from it. Raises `UserError` where the
    network itself cannot be followed.
    """
    with _Yard(original, folder, settings, maker) as yard:
        ended: list[TargetPort] = []
        for target in targets:
            began = clock()
            found = yield from _one(yard, target)
            found = attrs.evolve(found, seconds=clock() - began)
            yield TargetEnded(found)
            ended.append(found)
        parameters = sum(p.numel() for p in original.network.parameters())
        return Port(
            original.name,
            tuple(ended),
            metric=original.metric,
            parameters=parameters,
            layers=yard.layer_count,
        )


def plan(
    original: Original,
    targets: Sequence[Target],
    folder: Path,
    settings: Settings,
    clock: Callable[[], float],
    maker: Target | None = None,
) -> Generator[Event, None, Port]:
    """What of `original` does not fit each of `targets`, operator by operator; nothing is made."""
    program = {"any": original.program(None)}
    ended: list[TargetPort] = []
    for target in targets:
        began = clock()
        yield TargetStarted(target.id, "plan")
        if target.batch not in program:
            program[target.batch] = original.program(1)
        limits = tuple(limits_of(program[target.batch], target))
        refused = any(limit.kind == "refused" for limit in limits)
        missing = here(target)
        status = "absent" if missing else "unsupported" if refused else "planned"
        reason = _absent(target, missing) if missing else ""
        found = TargetPort(target.id, target.title, status, reason, limits=limits, seconds=clock() - began)
        yield TargetEnded(found)
        ended.append(found)
    parameters = sum(p.numel() for p in original.network.parameters())
    layers = len(program["any"].layers)
    return Port(original.name, tuple(ended), metric=original.metric, parameters=parameters, layers=layers)


def limits_of(program: Program, target: Target) -> Iterator[Limit]:
    """What of a program does not fit a target, or differs in it: the known differences that it meets, and
    what the technology itself says of its operators, where it is here."""
    yield from met_by(program, target.id)
    if target.limits is not None and here(target) is None:
        yield from target.limits(program)


def _absent(target: Target, missing: str) -> str:
    install = f"; pip install 'netwright[{target.extra}]' brings it" if target.extra else ""
    return f"{missing} is not installed{install}"


def _one(yard: _Yard, target: Target) -> Generator[Event, None, TargetPort]:
    empty = TargetPort(target.id, target.title, "absent")
    missing = here(target)
    if missing is not None:
        return attrs.evolve(empty, reason=_absent(target, missing))
    yield TargetStarted(target.id, "plan")
    limits = tuple(limits_of(yard.program(target), target))
    empty = attrs.evolve(empty, status="unsupported", limits=limits)
    yield TargetStarted(target.id, "build")
    with yard.workshop(target) as workshop:
        try:
            files = yard.build(workshop, yard.program(target), yard.folder / target.id)
        except Failed as raised:
            limit = yard.first_refused(workshop, raised)
            return attrs.evolve(empty, reason=str(raised), limits=_together(limits, limit))
        made = attrs.evolve(
            empty,
            status="built",
            files=tuple(str(file) for file in files),
            size=sum(file.stat().st_size for file in files),
        )
        if target.open is None:
            return attrs.evolve(made, reason=f"nothing here runs {target.title}")
        yield TargetStarted(target.id, "outputs")
        try:
            taps = workshop.open(files, yard.about(target))
            compared = yard.compare_outputs(workshop)
        except NothingRuns as raised:
            return attrs.evolve(made, reason=str(raised))
        except Failed as raised:
            return attrs.evolve(made, status="unsupported", reason=str(raised))
        found = attrs.evolve(made, **compared)
        yield TargetStarted(target.id, "layers")
        try:
            found = attrs.evolve(
                found, **yard.compare_layers(workshop, files, taps, found.status == "differs")
            )
        except Failed as raised:
            found = attrs.evolve(found, notes=(*found.notes, f"its layers could not be read: {raised}"))
        yield TargetStarted(target.id, "time")
        try:
            workshop.open(files, yard.about(target))
            return attrs.evolve(found, **yard.timed(workshop))
        except Failed as raised:
            return attrs.evolve(found, notes=(*found.notes, f"its time was not taken: {raised}"))


def _together(limits: Iterable[Limit], more: Limit | None) -> tuple[Limit, ...]:
    limits = tuple(limits)
    if more is None or any(one.layer == more.layer and one.kind == "refused" for one in limits):
        return limits
    return (*limits, more)


@attrs.define(eq=False)
class _Yard:
    """What the ports of one network share: its programs and their files, its ONNX, what it gives itself."""

    original: Original
    folder: Path
    settings: Settings
    maker: Target | None
    layer_count: int = 0
    _programs: dict[str, Program] = field(factory=dict)
    _scratch: Any = None
    _onnx: dict[str, Path | UserError | Unsupported] = field(factory=dict)
    _answers: torch.Tensor | None = None

    def __enter__(self) -> _Yard:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._scratch = tempfile.TemporaryDirectory(prefix="netwright-port-")
        self._programs["any"] = program = self.original.program(None)
        self.layer_count = len(program.layers)
        return self

    def __exit__(self, *raised: Any) -> None:
        self._scratch.cleanup()

    @property
    def scratch(self) -> Path:
        return Path(self._scratch.name)

    @property
    def count(self) -> int:
        return min(self.original.count, self.settings.inputs)

    def program(self, target: Target) -> Program:
        if target.batch not in self._programs:
            self._programs[target.batch] = self.original.program(1)
        return self._programs[target.batch]

    def about(self, target: Target) -> Program:
        return self.program(target).about()

    def workshop(self, target: Target) -> Workshop:
        log = self.folder / target.id / "log.txt"
        log.unlink(missing_ok=True)
        return Workshop(target, log, threads=self.settings.threads)

    def batch(self, target: Target, most: int) -> int:
        """How many inputs a port takes at a time: one, the example's where the batch is fixed, or many."""
        program = self.program(target)
        if target.batch == "one":
            return 1
        if not program.any_batch:
            return min(self.original.count, 4)
        return batch_for(program, most)

    def build(self, workshop: Workshop, program: Program, folder: Path) -> tuple[Path, ...]:
        saved = self.scratch / "program.pt2"
        program.save(saved)
        try:
            onnx = self._as_onnx(program, saved) if workshop.target.source == "onnx" else None
            return workshop.build(program.about(), saved, folder, onnx, self._inputs())
        finally:
            saved.unlink(missing_ok=True)

    def _inputs(self) -> Path:
        """The user's inputs in a file, by the names of the program's inputs."""
        file = self.scratch / "inputs.npz"
        if not file.exists():
            names = self._programs["any"].inputs
            arrays = self.original.flat(0, min(self.count, KEPT))
            np.savez(file, **dict(zip(names, arrays, strict=True)))
        return file

    def _as_onnx(self, program: Program, saved: Path) -> Path:
        """The program in ONNX, made once where it is the whole network."""
        if self.maker is None:
            raise Unsupported("it is made from ONNX, and no target writes that")
        whole = program is self._programs["any"]
        folder = self.folder / "onnx" if whole else self.scratch / "onnx"
        if whole and "whole" in self._onnx:
            made = self._onnx["whole"]
            if not isinstance(made, Path):
                raise made
            return made
        with Workshop(self.maker, self.scratch / "onnx.log") as workshop:
            try:
                made = workshop.build(program.about(), saved, folder)[0]
            except (Unsupported, UserError) as raised:
                if whole:
                    self._onnx["whole"] = raised
                raise
        if whole:
            self._onnx["whole"] = made
        return made

    def first_refused(self, workshop: Workshop, raised: Exception) -> Limit | None:
        """The first layer that a technology cannot take, found by porting less and less of the network."""
        program = self.program(workshop.target)
        named = getattr(raised, "layer", None)
        if named is None:
            end = program.answer_layer
            if end is None:
                return None

            def fails(name: str) -> bool:
                try:
                    self.build(workshop, program.tapped([name], only=True), self.scratch / "part")
                except Failed:
                    return True
                return False

            named, _ = bisect([n.name for n in program.layers], program.upstream(), fails, end.name)
        layer = program.layer(named)
        sentence = f"{layer.kind} is not taken: {raised}"
        remedy = f"replace {layer.operator}, or keep this layer out of the port"
        return Limit(named, layer.place.file, layer.place.line, sentence, remedy)

    def compare_outputs(self, workshop: Workshop) -> dict[str, Any]:
        program, original = self.program(workshop.target), self.original
        tolerance = self.tolerance(program)
        agreements = [Agreement(tolerance) for _ in program.outputs]
        answers: list[np.ndarray] = []
        size = self.batch(workshop.target, 64)
        for start in range(0, self.count, size):
            stop = min(start + size, self.count)
            wanted = [t.cpu().numpy() for t in original.outputs(start, stop)]
            given, _ = self._run(workshop, start, stop, size, ())
            for agreement, one, other in zip(agreements, wanted, given, strict=False):
                agreement.add(one, other)
            answers.append(given[program.answer])
        within = all(agreement.within for agreement in agreements)
        worst = max(agreements, key=lambda a: a.relative_error)
        answered = [a.reshape(w.shape) if a.size == w.numel() else a for a, w in self._beside(answers)]
        decided, before, after = self._judged(answered)
        return {
            "status": "parity" if within else "differs",
            "max_error": worst.max_error,
            "relative_error": worst.relative_error,
            "tolerance": tolerance,
            "decision_changes": decided,
            "metric_before": before,
            "metric_after": after,
            "inputs": self.count,
        }

    def _beside(self, answers: list[np.ndarray]) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        answer, at = self._programs["any"].answer, 0
        if self._answers is None:
            size = batch_for(self._programs["any"], 64)
            parts = [
                self.original.outputs(start, min(start + size, self.count))[answer].cpu()
                for start in range(0, self.count, size)
            ]
            self._answers = torch.cat(parts) if parts[0].ndim else torch.stack(parts)
        for one in answers:
            yield one, self._answers[at : at + len(one)]
            at += len(one)

    def _judged(self, answers: list[np.ndarray]) -> tuple[float | None, float | None, float | None]:
        """The share of inputs whose decision changes, and the metric before and after; `None` without a task
        and where the shapes differ."""
        before = self._answers
        if before is None or any(a.shape[1:] != tuple(before.shape[1:]) for a in answers):
            return None, None, None
        after = torch.from_numpy(np.concatenate(answers))
        changed: float | None = None
        if self.original.decide is not None:
            one, other = self.original.decide(before), self.original.decide(after)
            changed = float((one != other).reshape(len(one), -1).any(1).double().mean())
        score = self.original.score
        return changed, *((score(before), score(after)) if score is not None else (None, None))

    def tolerance(self, program: Program) -> float:
        if self.settings.tolerance is not None:
            return self.settings.tolerance
        kinds = {str(t.dtype).partition(".")[2] for t in program.exported.state_dict.values()}
        return max((TOLERANCES[kind] for kind in kinds if kind in TOLERANCES), default=TOLERANCES["float32"])

    def _run(
        self, workshop: Workshop, start: int, stop: int, size: int, taps: Sequence[str]
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """A run over inputs `start` to `stop`; where the batch is fixed the last input fills it up."""
        arrays = self.original.flat(start, stop)
        fixed = workshop.target.batch == "any" and not self.program(workshop.target).any_batch
        count = stop - start
        if fixed and count < size:
            arrays = [np.concatenate([a, np.repeat(a[-1:], size - count, 0)]) for a in arrays]
        outputs, read = workshop.run(arrays, taps)
        if fixed and count < size:
            outputs = [o[:count] for o in outputs]
            read = {name: value[:count] for name, value in read.items()}
        return outputs, read

    def compare_layers(
        self, workshop: Workshop, files: tuple[Path, ...], taps: tuple[str, ...], differs: bool
    ) -> dict[str, Any]:
        """Every layer that can be read, and the first that diverges."""
        target = workshop.target
        program = self.program(target)
        names = [layer.name for layer in program.layers]
        ends = {
            layer.name: i
            for i, n in enumerate(program.outputs)
            for layer in program.layers
            if layer.node == n
        }
        if target.taps == "free":
            found = self._layers(workshop, program, taps, ends)
            runs = 1
        else:
            found, runs = self._dear_layers(workshop, program, names)
            if found is None:  # all at once cannot be made: one by one, where there is something to find
                if not differs:
                    return {"layers_of": len(names)}
                return {"layers_of": len(names), "first_divergence": self._bisected(workshop, program)}
        layers = tuple(found[n].of(program.layer(n)) for n in names if n in found)
        first = first_to_diverge({n: found[n].within for n in names if n in found}, program.upstream())
        divergence = None
        if differs and first is not None:
            divergence = self.divergence(program, target, first, found[first].relative_error, runs)
        return {"layers": layers, "layers_of": len(names), "first_divergence": divergence}

    def _layers(
        self, workshop: Workshop, program: Program, taps: Sequence[str], ends: Mapping[str, int]
    ) -> dict[str, Agreement]:
        """Agreement of the layers that can be read, outputs of the port among them."""
        tolerance = self.tolerance(program)
        read_by = [name for name in taps if name not in ends]
        found = {name: Agreement(tolerance) for name in (*read_by, *ends)}
        size = self.batch(workshop.target, 16)
        for start in range(0, min(self.count, self.settings.followed), size):
            stop = min(start + size, self.count, self.settings.followed)
            outputs, read = self._run(workshop, start, stop, size, read_by)
            given = [torch.from_numpy(a) for a in self.original.flat(start, stop)]
            _, wanted = self._programs["any"].read(given, found) if self._free else program.read(given, found)
            for name in found:
                if name in wanted:
                    found[name].add(wanted[name].numpy(), outputs[ends[name]] if name in ends else read[name])
        return found

    @property
    def _free(self) -> bool:
        return self._programs["any"].any_batch

    def _dear_layers(
        self, workshop: Workshop, program: Program, names: Sequence[str]
    ) -> tuple[dict[str, Agreement] | None, int]:
        """All layers in one port that returns them all; `None` where that cannot be made."""
        try:
            return self._tapped(workshop, program, names), 1
        except Failed:
            return None, 1

    def _tapped(self, workshop: Workshop, program: Program, names: Sequence[str]) -> dict[str, Agreement]:
        """A port made to return these layers too, and their agreement; it is not kept."""
        tapped = program.tapped(names)
        folder = self.scratch / "tapped"
        shutil.rmtree(folder, ignore_errors=True)
        files = self.build(workshop, tapped, folder)
        workshop.open(files, tapped.about())
        return self._layers(workshop, program, (), tapped.taps)

    def _bisected(self, workshop: Workshop, program: Program) -> Divergence | None:
        end = program.answer_layer
        if end is None:
            return None

        def differs(name: str) -> bool | None:
            try:
                return not self._tapped(workshop, program, [name])[name].within
            except Failed:
                return None

        names = [layer.name for layer in program.layers]
        first, runs = bisect(names, program.upstream(), differs, end.name)
        return self.divergence(program, workshop.target, first, None, runs)

    def divergence(
        self, program: Program, target: Target, name: str, error: float | None, runs: int
    ) -> Divergence:
        layer = program.layer(name)
        known, words = likely_of(program, name, target.id)
        return Divergence(name, words, known, layer.place.file, layer.place.line, error, runs)

    def timed(self, workshop: Workshop) -> dict[str, Any]:
        """Latency at the batch sizes that were asked for, and the most memory that running takes."""
        latencies: list[Latency] = []
        program = self.program(workshop.target)
        for batch in self.settings.batches:
            fixed = (
                1
                if workshop.target.batch == "one"
                else None
                if program.any_batch
                else self.batch(workshop.target, 4)
            )
            if (fixed is not None and batch != fixed) or batch > self.original.count:
                continue
            seconds = workshop.time(self.original.flat(0, batch), self.settings.runs)
            latencies.append(
                Latency(
                    float(np.median(seconds)),
                    float(np.quantile(seconds, 0.95)),
                    batch,
                    workshop.threads,
                    len(seconds),
                )
            )
        return {"latencies": tuple(latencies), "latency": latencies[0] if latencies else None}


def rounds(layers: int) -> int:
    """The most runs that bisecting so many layers may take."""
    return 2 * math.ceil(math.log2(max(2, layers))) + 2
