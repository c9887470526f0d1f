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
import sys
import traceback
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netwright.catalogue import Target
from netwright.ports.program import Program
from netwright.ports.running import Arrays, Quantising, Running, Source, Unsupported, cores, timed
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

    def quantise(self, asked: Quantising) -> tuple[tuple[Path, ...], tuple[str, ...]]:
        """Make a port of 8-bit integers: its files, and its layers that are."""
        return self._ask("quantise", asked)

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

    def footprint(
        self, files: tuple[Path, ...], about: Program, inputs: Sequence[np.ndarray]
    ) -> tuple[tuple[str, ...], int | None]:
        """Open a port and run it once: the modules of the technology that this took, and the bytes of memory
        that the process has held at most; `None` where that cannot be known."""
        return self._ask("footprint", files, about, list(inputs))

    def imported(self, modules: tuple[str, ...]) -> int | None:
        """The bytes of memory that the process has held at most once it has imported these modules."""
        return self._ask("imported", modules)

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
        made = self.target.function
        module = made.__module__, made.__code__.co_filename
        self._process = context.Process(
            target=_work, args=(theirs, module, self.target.id, str(self.log), self.threads), daemon=True
        )
        with _without_the_script():
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


@contextlib.contextmanager
def _without_the_script() -> Generator[None, None, None]:
    """Keep a process that starts meanwhile from running the user's script again, as multiprocessing does for
    what it may need of it: a script that ports would port in each of its own processes."""
    script = vars(sys.modules["__main__"])
    held = {name: script[name] for name in ("__file__", "__spec__") if name in script}
    script.update(dict.fromkeys(held))
    try:
        yield
    finally:
        script.update(held)


_START = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def _work(pipe: Any, module: tuple[str, str], id: str, log: str, threads: int) -> None:
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
    found = entries_of(_module(*module))
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


def _module(name: str, file: str) -> Any:
    """The module that declares a target: an installed one, or a file of the user's."""
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        from netwright.recipe.loading import import_source

        return import_source(file)
    return importlib.import_module(name)


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

    def quantise(self, asked: Quantising) -> tuple[tuple[Path, ...], tuple[str, ...]]:
        assert self._target.quantise is not None
        asked.folder.mkdir(parents=True, exist_ok=True)
        files, layers = self._target.quantise(asked)
        return tuple(Path(file) for file in files), tuple(layers)

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
        own = getattr(self._running, "time", None)
        return own(inputs, runs) if own is not None else timed(self._running.run, inputs, runs)

    def footprint(
        self, files: tuple[Path, ...], about: Program, inputs: list[np.ndarray]
    ) -> tuple[tuple[str, ...], int | None]:
        self.open(files, about)
        self.run(inputs, ())
        return tuple(name for name in self._target.needs if name in sys.modules), _most_memory()

    def imported(self, modules: tuple[str, ...]) -> int | None:
        for name in modules:
            importlib.import_module(name)
        return _most_memory()


def _most_memory() -> int | None:
    """The bytes of memory that this process has held at most, where the system says."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    line = next((line for line in lines if line.startswith("VmHWM")), None)
    return None if line is None else int(line.split()[1]) * 1024


def here(target: Target) -> str | None:
    """The first module that a target needs and that is not installed."""
    return next((name for name in target.needs if importlib.util.find_spec(name) is None), None)
