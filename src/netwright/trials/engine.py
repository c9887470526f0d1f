"""Where trainings run: in worker processes of this machine, or in this one."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Any, Protocol

from attrs import field, frozen

from netwright.recipe import Recipe, blame
from netwright.runs import Clocks, Run, run_key, train
from netwright.values import EpochEnded, RunEnded, RunFailed, RunStarted, UserCodeError, UserError

RunEvent = RunStarted | EpochEnded | RunEnded | RunFailed
START_SECONDS = 120.0
OPTIONS = (
    "seed", "epochs", "purpose", "keep_weights", "keep_outputs", "tapped", "max_seconds", "max_steps",
    "device",
)  # fmt: skip


@frozen(eq=False)
class Job:
    """One training to be made: `epochs=None` is the recipe's own length; `max_seconds` ends it as failed."""

    recipe: Recipe
    seed: int
    epochs: int | None = None
    purpose: str = ""
    keep_weights: bool = False
    keep_outputs: bool = False
    tapped: bool = False
    max_seconds: float | None = None
    max_steps: int | None = None
    device: str = "cpu"

    @property
    def key(self) -> str:
        epochs = self.recipe.settings.epochs if self.epochs is None else self.epochs
        key = run_key(self.recipe.fingerprint, self.seed, epochs, self.device)
        return key if self.max_steps is None else f"{key}-m{self.max_steps}"


@frozen
class Failure:
    """A training that did not end: `kind` is `user-code`, `user`, `died` or `time`."""

    key: str
    kind: str
    reason: str
    traceback: str = field(default="", repr=False)


Outcome = tuple[Job, Run | Failure]


class Engine(Protocol):
    """Runs jobs and yields their events as they come, and for each job, once, its outcome."""

    workers: int

    def run(self, jobs: Sequence[Job]) -> Iterator[RunEvent | Outcome]: ...
    def close(self) -> None: ...


class InlineEngine:
    """Trains in this process, one job after the other: for tests and for networks that only live here."""

    workers = 1

    def __init__(self, clocks: Clocks) -> None:
        self.clocks = clocks

    def run(self, jobs: Sequence[Job]) -> Iterator[RunEvent | Outcome]:
        for job in jobs:
            run: Run | Failure | None = None
            for item in run_job(job, self.clocks):
                if isinstance(item, (Run, Failure)):
                    run = item
                else:
                    yield item
            assert run is not None
            if isinstance(run, Failure):
                yield RunFailed(run.key, run.reason, run.traceback)
            yield job, run

    def close(self) -> None:
        pass


def run_job(job: Job, clocks: Clocks, checkpoint: Path | None = None) -> Iterator[RunEvent | Run | Failure]:
    """The events of one training and then its run; what the user's code raises becomes a `Failure`.

    With `checkpoint`, a training that was interrupted goes on from what it left there.
    """
    began = clocks.wall()
    timed_out = False

    def late(_: EpochEnded) -> bool:
        nonlocal timed_out
        timed_out = job.max_seconds is not None and clocks.wall() - began > job.max_seconds
        return timed_out

    try:
        events = train(
            job.recipe,
            job.seed,
            clocks=clocks,
            epochs=job.epochs,
            device=job.device,
            purpose=job.purpose,
            tapped=job.tapped,
            keep_weights=job.keep_weights,
            keep_outputs=job.keep_outputs,
            stop=late,
            checkpoint=checkpoint,
            max_steps=job.max_steps,
        )
        while True:
            try:
                yield next(events)
            except StopIteration as end:
                run: Run = end.value
                break
    except UserError as wrong:
        yield Failure(job.key, "user", str(wrong))
    except UserCodeError as raised:
        yield Failure(job.key, "user-code", raised.message, raised.traceback)
    except MemoryError:
        yield Failure(job.key, "died", "out of memory")
    except Exception as raised:
        error = blame(raised)
        yield Failure(job.key, "user-code", error.message, error.traceback)
    else:
        if timed_out and run.stopped_early:
            yield Failure(job.key, "time", f"longer than {job.max_seconds:.0f} s")
        else:
            yield run


@frozen
class Parcel:
    """A recipe as it travels: by the name of its source, or pickled by value where it was written in a
    notebook.

    `data` is the fingerprint of the data that the worker must find too.
    """

    edits: tuple[Any, ...]
    data: str
    source: str | None = None
    name: str | None = None
    extensions: tuple[str, ...] = ()
    pickled: bytes | None = field(default=None, repr=False)

    @property
    def key(self) -> object:
        return (self.source, self.name) if self.source else hash(self.pickled)


class _Worker:
    """One process and the connection to it."""

    def __init__(self, threads: int) -> None:
        folder = tempfile.mkdtemp(prefix="netwright-")
        address = os.path.join(folder, "worker")
        key = secrets.token_bytes(32)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "NETWRIGHT_WORKER_KEY": key.hex(),
            "PYTHONPATH": os.pathsep.join([p for p in sys.path if p] + [os.environ.get("PYTHONPATH", "")]),
        }
        with connection.Listener(address, authkey=key) as listener:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "netwright.trials.worker", address],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=2,  # whatever the user's code prints belongs on stderr
                start_new_session=True,  # Ctrl-C is for the parent, which then ends its workers
            )
            listener._listener._socket.settimeout(START_SECONDS)  # type: ignore[attr-defined]
            try:
                self.link = listener.accept()
            except BaseException:  # Ctrl-C while it starts
                self.process.kill()
                self.process.wait()
                raise
        Path(folder).rmdir()
        self.job: Job | None = None

    def give(self, job: Job, parcel: Parcel, checkpoints: Path | None) -> None:
        self.job = job
        checkpoint = checkpoints / f"{job.key}.pt" if checkpoints is not None and not job.max_steps else None
        options = {a: getattr(job, a) for a in OPTIONS}
        self.link.send((parcel, options, checkpoint))

    def end(self) -> None:
        self.link.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class LocalEngine:
    """Trains in worker processes of this machine; a process that dies fails its job and is replaced."""

    def __init__(
        self,
        workers: int = 1,
        *,
        threads: int = 1,
        extensions: tuple[str, ...] = (),
        checkpoints: Path | None = None,
    ) -> None:
        """`checkpoints` is a folder where long trainings keep their last epoch, to go on from after an
        interruption."""
        self.workers = workers
        self.checkpoints = checkpoints.resolve() if checkpoints is not None else None
        self.threads = threads
        self.extensions = extensions
        self._workers: list[_Worker] = []
        self._parcels: dict[int, tuple[Recipe, bytes]] = {}

    def run(self, jobs: Sequence[Job]) -> Iterator[RunEvent | Outcome]:
        waiting = deque(jobs)
        try:
            while waiting or any(w.job for w in self._workers):
                while waiting and (worker := self._idle()) is not None:
                    job = waiting.popleft()
                    worker.give(job, self._parcel(job.recipe), self.checkpoints)
                busy = {worker.link: worker for worker in self._workers if worker.job}
                for link in connection.wait(list(busy)):
                    yield from self._heard(busy[link])  # type: ignore[index]
        except BaseException:
            self.close()  # a half-finished job would answer the next caller
            raise

    def _idle(self) -> _Worker | None:
        free = next((w for w in self._workers if w.job is None), None)
        if free is None and len(self._workers) < self.workers:
            free = _Worker(self.threads)
            self._workers.append(free)
        return free

    def _heard(self, worker: _Worker) -> Iterator[RunEvent | Outcome]:
        job = worker.job
        assert job is not None
        result: Run | Failure | None = None
        try:
            message = worker.link.recv()
        except (EOFError, OSError):
            code = worker.process.wait()
            self._workers.remove(worker)
            worker.end()
            how = (
                f"signal {-code}{' (out of memory?)' if code == -9 else ''}"
                if code < 0
                else f"exit code {code}"
            )
            result = Failure(job.key, "died", f"its process died ({how})")
        else:
            if not isinstance(message, (Run, Failure)):
                yield message
                return
            result = message
        worker.job = None
        if isinstance(result, Failure):
            yield RunFailed(job.key, result.reason, result.traceback)
        yield job, result

    def _parcel(self, recipe: Recipe) -> Parcel:
        data = recipe.data.parts.fingerprint
        if recipe.origin is not None:
            return Parcel(recipe.edits, data, recipe.origin.source, recipe.origin.name, self.extensions)
        base = recipe.base
        if id(base) not in self._parcels:
            import cloudpickle

            self._parcels[id(base)] = (base, cloudpickle.dumps(base))
        return Parcel(recipe.edits, data, pickled=self._parcels[id(base)][1])

    def close(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers = []


def outcomes(
    engine: Engine, jobs: Sequence[Job], on_event: Callable[[RunEvent], None] | None = None
) -> Iterator[RunEvent | tuple[int, Run | Failure]]:
    """The engine's events, and each outcome with the position of its job."""
    position = {id(job): k for k, job in enumerate(jobs)}
    for item in engine.run(jobs):
        if isinstance(item, tuple):
            yield position[id(item[0])], item[1]
        else:
            yield item
