"""A process of its own for every technology: its converter may print, leak or die without harm.

The processes are forked from a server that has imported torch and run nothing with it, so that each starts in
a tenth of a second. What a converter prints goes into the log beside the port.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from netwright.catalogue import Target
from netwright.ports.program import Program
from netwright.ports.running import Arrays, Running, Source, Unsupported, cores
from netwright.values import Limit, UserError

LONGEST = 600.0  # seconds that a converter may take for one network


class Died(Exception):
    """The process of a technology ended by itself, or was ended after `LONGEST`."""


class Workshop:
    """One technology's process. Answers of the methods are those of the process; it starts at the first."""

    def __init__(
        self, target: Target, log: Path, *, threads: int | None = None, longest: float = LONGEST
    ) -> None:
        self.target, self.log = target, log
        self.threads, self._longest = threads or cores(), longest
        self._process: Any = None
        self._pipe: Any = None

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *raised: Any) -> None:
        self.close()

    def build(
        self, about: Program, program: Path, folder: Path, onnx: Path | None = None, kept: Path | None = None
    ) -> tuple[Path, ...]:
        """Make the port of the program saved at `program`; `kept` holds inputs of the user's. Raises
        `Unsupported`, `UserError` and `Died`."""
        return self._ask("build", about, program, folder, onnx, kept)

    def limits(
        self, about: Program, program: Path, onnx: Path | None = None, kept: Path | None = None
    ) -> tuple[Limit, ...]:
        """What the technology itself says it cannot take of the program saved at `program`."""
        return self._ask("limits", about, program, onnx, kept)

    def open(self, files: tuple[Path, ...], about: Program) -> tuple[str, ...]:
        """Make a port ready to run; the layers whose results can be read."""
        return self._ask("open", files, about)

    def run(
        self, inputs: Sequence[np.ndarray], taps: Sequence[str] = ()
    ) -> tuple[Arrays, dict[str, np.ndarray]]:
        return self._ask("run", list(inputs), tuple(taps))

    def time(self, inputs: Sequence[np.ndarray], runs: int) -> list[float]:
        """Seconds of `runs` runs, after three that are not counted."""
        return self._ask("time", list(inputs), runs)

    def peak(self, what: Literal["reset", "read"] = "read") -> int | None:
        """Bytes of memory the process held at most since the last reset; `None` where that is not known."""
        return self._ask("peak", what)

    def close(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self._pipe.send(None)
        self._process.join(2)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()
        self._process = None

    def _ask(self, method: str, *arguments: Any) -> Any:
        if self._process is None:
            self._start()
        try:
            self._pipe.send((method, arguments))
            if not self._pipe.poll(self._longest):
                self._stop()
                raise Died(f"did not finish within {self._longest:,.0f} s")
            kind, answer = _with_arrays(self._pipe)
        except (EOFError, ConnectionError, OSError) as gone:
            code = self._ended()
            raise Died(
                f"its converter or runtime ended by {code}; its last words are in {self.log}"
            ) from gone
        if kind == "raised":
            raise answer
        return answer

    def _start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        context: Any = multiprocessing.get_context(_START)
        if _START == "forkserver":
            context.set_forkserver_preload(["netwright.ports.workshop"])
        self._pipe, theirs = context.Pipe()
        module = self.target.function.__module__
        self._process = context.Process(
            target=_work, args=(theirs, module, self.target.id, str(self.log), self.threads), daemon=True
        )
        self._process.start()
        theirs.close()

    def _ended(self) -> str:
        self._process.join(2)
        code = self._process.exitcode
        self._stop()
        if code is not None and code < 0:
            return f"signal {signal.Signals(-code).name}"
        return f"exit {code}"

    def _stop(self) -> None:
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()
        self._process = None


_START = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def _work(pipe: Any, module: str, id: str, log: str, threads: int) -> None:
    """The process of one technology: answers what it is asked until it is asked nothing."""
    import warnings

    import torch

    from netwright.catalogue import entries_of

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asked decides
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    warnings.simplefilter("ignore")
    if hasattr(os, "sched_setaffinity"):  # every runtime counts the cores that it may use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch.set_num_threads(threads)
    found = entries_of(importlib.import_module(module))
    target = next(entry for entry in found if isinstance(entry, Target) and entry.id == id)
    bench = _Bench(target)
    while (asked := _received(pipe)) is not None:
        method, arguments = asked
        try:
            answer = ("done", getattr(bench, method)(*arguments))
        except (UserError, Unsupported) as raised:
            answer = ("raised", raised)
        except Exception as raised:  # a converter raises what it likes
            traceback.print_exc()
            answer = ("raised", Unsupported(_sentence(raised)))
        _send_arrays(pipe, answer)


def _send_arrays(pipe: Any, answer: Any) -> None:
    """Send an answer, its arrays one by one and as they lie: a message of all would hold each twice."""
    buffers: list[pickle.PickleBuffer] = []
    pipe.send_bytes(pickle.dumps(answer, 5, buffer_callback=buffers.append))
    pipe.send(len(buffers))
    for buffer in buffers:
        pipe.send_bytes(buffer.raw())


def _with_arrays(pipe: Any) -> Any:
    message, count = pipe.recv_bytes(), pipe.recv()
    return pickle.loads(message, buffers=[pipe.recv_bytes() for _ in range(count)])


def _received(pipe: Any) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        return None


def _sentence(raised: Exception) -> str:
    """The first line of an exception that says something, and the innermost cause's."""
    while raised.__cause__ is not None and isinstance(raised.__cause__, Exception):
        raised = raised.__cause__
    lines = [line.strip() for line in str(raised).splitlines() if line.strip()]
    return f"{type(raised).__name__}: {lines[0][:200]}" if lines else type(raised).__name__


class _Bench:
    """What one technology's process holds between two questions: the network that is ready to run."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._running: Running | None = None

    def build(
        self, about: Program, program: Path, folder: Path, onnx: Path | None, kept: Path | None
    ) -> tuple[Path, ...]:
        folder.mkdir(parents=True, exist_ok=True)
        made = self._target.function(Source(about.loaded(program), folder, onnx, kept))
        gc.collect()  # a program is a circle of graphs and their nodes, with the weights
        return tuple(Path(file) for file in (made if isinstance(made, (tuple, list)) else (made,)))

    def limits(
        self, about: Program, program: Path, onnx: Path | None, kept: Path | None
    ) -> tuple[Limit, ...]:
        if self._target.limits is None:
            return ()
        return tuple(self._target.limits(Source(about.loaded(program), program.parent, onnx, kept)))

    def open(self, files: tuple[Path, ...], about: Program) -> tuple[str, ...]:
        self._running = None
        assert self._target.open is not None
        self._running = running = self._target.open(files, about)
        return tuple(running.taps)

    def run(self, inputs: list[np.ndarray], taps: tuple[str, ...]) -> tuple[Arrays, dict[str, np.ndarray]]:
        assert self._running is not None
        outputs, read = self._running.run(inputs, taps)
        return [np.ascontiguousarray(o) for o in outputs], {
            k: np.ascontiguousarray(v) for k, v in read.items()
        }

    def time(self, inputs: list[np.ndarray], runs: int) -> list[float]:
        assert self._running is not None
        seconds: list[float] = []
        for _ in range(runs + 3):
            began = time.perf_counter()
            self._running.run(inputs, ())
            seconds.append(time.perf_counter() - began)
        return seconds[3:]

    def peak(self, what: str) -> int | None:
        status = Path("/proc/self/status")
        if not status.exists():
            return None
        if what == "reset":
            Path("/proc/self/clear_refs").write_text("5")
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


def here(target: Target) -> str | None:
    """The first module that a target needs and that is not installed."""
    return next((name for name in target.needs if importlib.util.find_spec(name) is None), None)
