"""The proof of a port: outputs and decisions over all inputs, every layer over some, where it first diverges
and why, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import frozen

from netwright.ports.bisection import bisect
from netwright.ports.differences import known_at
from netwright.ports.original import ROOM, Original, batch_for
from netwright.ports.parity import Agreement, first_to_diverge
from netwright.ports.reasons import pictures_of, reason_of
from netwright.ports.workshop import Workshop
from netwright.ports.yard import FOLLOWED, Failed, Yard
from netwright.values import Divergence, Latency, Precision

ROUNDED = 4  # inputs that the network is compared with itself on
FUSED = 3  # layers that a converter takes into the one before them at most: a norm, a sum, an activation


@frozen
class Harm:
    """What a port does to answers: the root mean square of what they differ by over that of the original's,
    the share whose decision changes, the task's metric afterwards."""

    error: float
    decision_changes: float | None
    metric: float | None


def reading_error(
    original: Original, referee: Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
) -> float:
    """How far a network that was read lies from its file run by its own technology: the largest difference
    over the largest value, of all outputs."""
    worst = 0.0
    count = original.count
    wanted = referee(original.flat(0, count))
    for one, other in zip(wanted, original.outputs(0, count), strict=False):
        agreement = Agreement(1e-4)
        agreement.add(np.asarray(one), other.numpy())
        worst = max(worst, agreement.relative_error)
    return worst


class Proof:
    """What is proved of one port of a yard's network, which its workshop opens."""

    def __init__(
        self, yard: Yard, workshop: Workshop, files: tuple[Path, ...], precision: Precision = "float32"
    ) -> None:
        self._yard, self._workshop, self._files = yard, workshop, files
        self._target = workshop.target
        self._program = yard.program(workshop.target)
        self._tolerance = yard.tolerance(self._program, precision)
        self.taps = self._reopen()

    def _reopen(self) -> tuple[str, ...]:
        return self._workshop.open(self._files, self._program.about())

    def outputs(self) -> dict[str, Any]:
        """The outputs over all inputs, the decisions that change, and the task's metric before and after."""
        agreements, changed, metric_before, metric_after = self._compared(self._yard.count)
        worst = max(agreements, key=lambda a: a.relative_error)
        return {
            "status": "parity" if all(agreement.within for agreement in agreements) else "differs",
            "max_error": worst.max_error,
            "relative_error": worst.relative_error,
            "tolerance": self._tolerance,
            "decision_changes": changed,
            "metric_before": metric_before,
            "metric_after": metric_after,
            "inputs": self._yard.count,
        }

    def harm(self, count: int) -> Harm:
        """What the port does to the answers of `count` inputs."""
        agreements, changed, _, metric = self._compared(count)
        return Harm(agreements[self._program.answer].distance, changed, metric)

    def _compared(self, count: int) -> tuple[list[Agreement], float | None, float | None, float | None]:
        """The agreement of every output, the share of decisions that change, the metric of both."""
        yard, program = self._yard, self._program
        agreements = [Agreement(self._tolerance) for _ in program.outputs]
        before: list[torch.Tensor] = []
        after: list[np.ndarray] = []
        for start, stop in self._batches(count, 64):
            wanted = [t.cpu() for t in yard.original.outputs(start, stop, self._fixed())]
            given, _ = self._run(start, stop)
            for agreement, one, other in zip(agreements, wanted, given, strict=False):
                agreement.add(one.numpy(), other)
            before.append(wanted[program.answer])
            after.append(given[program.answer])
        return agreements, *self._judged(before, after)

    def _judged(
        self, before: list[torch.Tensor], after: list[np.ndarray]
    ) -> tuple[float | None, float | None, float | None]:
        """The share of inputs whose decision changes, and the metric of both; `None` without a task and where
        the shapes differ."""
        pairs = [
            (one, other.reshape(tuple(one.shape)) if other.size == one.numel() else other)
            for one, other in zip(before, after, strict=True)
        ]
        if not pairs or any(one.ndim == 0 or tuple(one.shape) != other.shape for one, other in pairs):
            return None, None, None
        first = torch.cat([one for one, _ in pairs])
        second = torch.from_numpy(np.concatenate([other for _, other in pairs])).to(first.dtype)
        original, changed = self._yard.original, None
        if original.decide is not None:
            one, other = original.decide(first), original.decide(second)
            changed = float((one != other).reshape(len(one), -1).any(1).double().mean())
        if original.score is None:
            return changed, None, None
        return changed, original.score(first), original.score(second)

    def layers(self, differs: bool, *, at_once: bool = True) -> dict[str, Any]:
        """Every layer that can be read, and the first that diverges where the outputs differ. Without
        `at_once` it is searched for by reading one layer a run."""
        program = self._program
        names = [layer.name for layer in program.layers]
        found: dict[str, Agreement] | None
        if self._target.taps == "free":
            found = self._read(self.taps, self._ends()) if at_once else None
        elif not at_once:
            found = None
        else:
            try:
                found = self._tapped([layer.name for layer in program.layers if not layer.passes_on])
            except Failed:  # all at once cannot be made: one by one, where there is something to find
                found = None
        notes = self._of_rounding() if differs else ()
        if found is None:
            first = self._bisected() if differs else None
            return {"layers_of": len(names), "first_divergence": first, "notes": notes}
        layers = tuple(found[n].of(program.layer(n)) for n in names if n in found)
        first = first_to_diverge({n: found[n].within for n in names if n in found}, program.upstream())
        divergence = None
        if differs and first is not None:
            divergence = self._divergence(first, found[first], 1)
        elif differs:  # not while every layer is read: what is read is not fused with what follows
            divergence = self._bisected()
        return {"layers": layers, "layers_of": len(names), "first_divergence": divergence, "notes": notes}

    def _of_rounding(self) -> tuple[str, ...]:
        """A sentence where the network does not agree with itself in 64 bits either: then rounding alone
        makes a port differ."""
        original, stop = self._yard.original, min(self._yard.count, ROUNDED)
        try:
            wanted = original.in_64_bits().outputs(0, stop, self._fixed())
        except Exception:  # operators, the user's among them, may be of 32 bits only
            return ()
        agreement = Agreement(self._tolerance)
        given = original.outputs(0, stop, self._fixed())
        agreement.add(wanted[self._program.answer].cpu().numpy(), given[self._program.answer].cpu().numpy())
        if agreement.within:
            return ()
        by = f"{agreement.relative_error:.1e}"
        return (f"rounding alone changes this network's answers: in 64 bits they differ by {by}",)

    def _ends(self) -> dict[str, int]:
        """The layers that are outputs of the network, with the output's number."""
        outputs = list(self._program.outputs)
        return {n.name: outputs.index(n.node) for n in self._program.layers if n.node in outputs}

    def _tapped(self, names: Sequence[str]) -> dict[str, Agreement]:
        """The agreement of layers by a port made to return them too; it is not kept."""
        tapped = self._program.tapped(names)
        files = self._yard.build(self._workshop, tapped)
        self._workshop.open(files, tapped.about())
        return self._read((), tapped.taps)

    def _read(self, taps: Sequence[str], ends: Mapping[str, int]) -> dict[str, Agreement]:
        """Agreement of layers over the inputs that are followed: `taps` by name, `ends` as outputs. A tap
        that holds what a layer after its own gives is that one's: a converter fuses an activation into a
        layer and keeps the layer's name."""
        first, *others = self._groups([name for name in taps if name not in ends])
        found = self._read_together(first, ends)
        for names in others:
            for name, agreement in self._read_together(names, {}).items():
                found.setdefault(name, agreement)
        return found

    def _groups(self, taps: Sequence[str]) -> list[list[str]]:
        """The layers in groups whose results for one input have room; in one for all but large networks."""
        groups: list[list[str]] = [[]]
        held = 0
        for name in taps:
            size = 4 * int(np.prod([axis or 1 for axis in self._program.layer(name).shape]))
            if groups[-1] and held + size > ROOM:
                groups.append([])
                held = 0
            groups[-1].append(name)
            held += size
        return groups

    def _read_together(self, taps: Sequence[str], ends: Mapping[str, int]) -> dict[str, Agreement]:
        yard = self._yard
        found = {name: Agreement(self._tolerance) for name in (*taps, *ends)}
        fused: dict[tuple[str, str], Agreement] = {}
        for start, stop in self._batches(min(yard.count, yard.settings.followed or FOLLOWED), 16):
            outputs, read = self._run(start, stop, taps)
            wanted = self._wanted(start, stop, found)
            for name in found.keys() & wanted.keys():
                given = outputs[ends[name]] if name in ends else read[name]
                found[name].add(wanted.pop(name).numpy(), given)
            differing = [name for name in taps if name in read and not found[name].within]
            after = {name: self._program.followers(name)[:FUSED] for name in differing}
            wanted = self._wanted(start, stop, {f for names in after.values() for f in names})
            for name, names in after.items():
                for follower in wanted.keys() & set(names):
                    agreement = fused.setdefault((name, follower), Agreement(self._tolerance))
                    agreement.add(wanted[follower].numpy(), read[name])
        for (name, follower), agreement in fused.items():
            if agreement.within and name in found:
                del found[name]
                found.setdefault(follower, agreement)
        return {name: agreement for name, agreement in found.items() if agreement.seen}

    def _wanted(self, start: int, stop: int, names: Collection[str]) -> dict[str, torch.Tensor]:
        """What the layers of these names give in the network itself."""
        yard = self._yard
        if not names:
            return {}
        # Where torch.export has left an operator out that does nothing to one input, names count otherwise.
        names_here, names_there = (
            [n.name for n in p.layers] for p in (yard.unchanged(self._target), yard.whole)
        )
        as_it_is = yard.whole.any_batch and names_here == names_there
        program = yard.whole if as_it_is else self._program
        given = [torch.from_numpy(a) for a in self._filled(start, stop)]
        _, read = program.read(given, names)
        if self._fixed() is None:  # nothing was filled up; the first axis need not be that of the inputs
            return read
        return {name: value[: stop - start] if value.ndim else value for name, value in read.items()}

    def _bisected(self) -> Divergence | None:
        program, end = self._program, self._program.answer_layer
        if end is None:
            return None
        last: dict[str, Agreement] = {}

        def differs(name: str) -> bool | None:
            try:
                last[name] = self._one(name)
            except (*Failed, KeyError):
                return None
            return not last[name].within

        names = [layer.name for layer in program.layers]
        first, runs = bisect(names, program.upstream(), differs, end.name)
        return self._divergence(first, last.get(first), runs)

    def _one(self, name: str) -> Agreement:
        """The agreement of one layer while no other is read. Raises `KeyError` where it has no name there."""
        if self._target.taps == "free":
            return self._read((name,) if name in self.taps else (), self._ends())[name]
        return self._tapped([name])[name]

    def _divergence(self, name: str, agreement: Agreement | None, runs: int) -> Divergence:
        layer = self._program.layer(name)
        known = known_at(self._program, name, self._target.id)
        seen = reason_of(*agreement.worst) if agreement is not None and agreement.worst else None
        if known is not None:
            words = known.what if seen is None else f"{seen}; {known.what}"
        else:
            words = seen or "its weights or settings are others in the port"
        return Divergence(
            name,
            words,
            known.id if known is not None else None,
            layer.place.file,
            layer.place.line,
            agreement.relative_error if agreement is not None else None,
            runs,
            pictures_of(*agreement.worst) if agreement is not None and agreement.worst else (),
        )

    def timed(self) -> dict[str, Any]:
        """Latency at the batch sizes that were asked for, or at the only one that the port takes, after it
        was opened anew; and the memory that it takes."""
        target, settings = self._target, self._yard.settings
        self._reopen()
        only = None if target.batch == "any" and self._program.any_batch else self._yard.batch(target, 1)
        latencies: list[Latency] = []
        for batch in settings.timed if only is None else (only,):
            seconds = self._workshop.time(self._inputs(batch), settings.runs)
            median, p95 = float(np.median(seconds)), float(np.quantile(seconds, 0.95))
            latencies.append(Latency(median, p95, batch, self._workshop.threads, len(seconds)))
        untimed = [str(batch) for batch in settings.batches if only not in (None, batch)]
        said = f"it takes {only} at a time, so it is not timed at batch {', '.join(untimed)}"
        return {
            "latencies": tuple(latencies),
            "latency": latencies[0],
            "peak_memory": self._memory(),
            "notes": (said,) if untimed else (),
        }

    def _memory(self) -> int | None:
        """What a process takes at most that opens the port and runs one batch, above one that has only
        imported the same modules of the technology; both are fresh. `None` where that cannot be known."""
        log = self._yard.scratch / "memory.log"
        batch = self._inputs(self._fixed() or 1)
        try:
            with self._yard.workshop(self._target, log) as fresh:
                modules, peak = fresh.footprint(self._files, self._program.about(), batch)
            with self._yard.workshop(self._target, log) as plain:
                before = plain.imported(modules)
        except Failed:
            return None
        return None if peak is None or before is None else max(0, peak - before)

    def _inputs(self, batch: int) -> list[np.ndarray]:
        """`batch` inputs, from the first again where there are not as many."""
        original = self._yard.original
        rows = np.arange(batch) % original.count
        arrays = original.flat(0, min(batch, original.count))
        return [a[rows] if a.ndim and batch > len(a) == original.count else a for a in arrays]

    def _batches(self, count: int, most: int) -> Iterator[tuple[int, int]]:
        size = self._yard.batch(self._target, min(most, batch_for(self._yard.whole, most)))
        for start in range(0, count, size):
            yield start, min(start + size, count)

    def _fixed(self) -> int | None:
        """The batch size that the port's files are made for, where it is more than one."""
        any_batch = self._program.any_batch or self._target.batch == "one"
        return None if any_batch else self._yard.batch(self._target, 1)

    def _filled(self, start: int, stop: int) -> list[np.ndarray]:
        """The inputs from `start` to `stop`; the last one fills a batch of fixed size up."""
        arrays, fixed = self._yard.original.flat(start, stop), self._fixed()
        if fixed is None or stop - start == fixed:
            return arrays
        return [np.concatenate([a, np.repeat(a[-1:], fixed - len(a), 0)]) for a in arrays]

    def _run(
        self, start: int, stop: int, taps: Sequence[str] = ()
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        outputs, read = self._workshop.run(self._filled(start, stop), taps)
        if self._fixed() is None:
            return outputs, read
        count = stop - start
        return [o[:count] for o in outputs], {name: value[:count] for name, value in read.items()}
