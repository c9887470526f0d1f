"""Two referees that run a Caffe network: OpenCV's importer, and a real Caffe in a process of its own.

Both read the files themselves; what they agree on does not rest on our reader.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import weakref
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from netwright.ports.caffe.network import read_network
from netwright.ports.caffe.prototxt import message, text_of
from netwright.values import UserError

Arrays = list[np.ndarray[Any, Any]]
SETTING = "NETWRIGHT_CAFFE_PYTHON"
_USUAL = Path("~/.cache/netwright/caffe/bin/python")
_SIDE = Path(__file__).with_name("caffe_side.py")


class OpenCVNet:
    """The network in OpenCV's `dnn`, with fusion and Winograd's convolutions off, so that every blob is there
    and is computed as it is written."""

    def __init__(self, prototxt: Path, caffemodel: Path | None) -> None:
        import cv2

        network = read_network(prototxt)
        self.taps: tuple[str, ...] = network.blobs
        self._inputs, self._outputs = tuple(network.inputs), network.outputs
        self._makers = {top: layer.name for layer in network.layers for top in layer.tops}
        several = {top for layer in network.layers if len(layer.tops) > 1 for top in layer.tops}
        self._makers |= {top: f"{top}/read" for top in several}
        try:
            with _with_readers(prototxt, sorted(several)) as path:
                self._net = cv2.dnn.readNetFromCaffe(str(path), str(caffemodel or ""))
        except (cv2.error, AttributeError) as error:
            raise _cannot_run("OpenCV", prototxt, str(error)) from None
        self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self._net.enableFusion(False)
        self._net.enableWinograd(False)
        self._prototxt, self._wrong = prototxt, cv2.error

    def run(
        self, inputs: Sequence[np.ndarray[Any, Any]], taps: Sequence[str]
    ) -> tuple[Arrays, dict[str, Any]]:
        """The outputs, in the prototxt's order, and the blobs named."""
        arrays = _floats(self._inputs, inputs)
        try:
            for name, array in arrays.items():
                self._net.setInput(array, name)
            wanted = list(dict.fromkeys((*self._outputs, *taps)))
            made = self._net.forward([self._makers[blob] for blob in wanted])
        except self._wrong as error:
            raise _cannot_run("OpenCV", self._prototxt, str(error)) from None
        found = {blob: np.array(array) for blob, array in zip(wanted, made, strict=True)}
        return [found[name] for name in self._outputs], {name: found[name] for name in taps}


@contextmanager
def _with_readers(prototxt: Path, blobs: Sequence[str]) -> Generator[Path]:
    """The prototxt with a layer that passes on each of these blobs. OpenCV lets go of all tops of a layer but
    the first, so that by the end another layer has written over them."""
    if not blobs:
        yield prototxt
        return
    layers = [message(name=f"{b}/read", type="Power", bottom=b, top=f"{b}/read") for b in blobs]
    with tempfile.TemporaryDirectory(prefix="netwright-opencv-") as folder:
        path = Path(folder) / prototxt.name
        given = prototxt.read_text(encoding="utf-8")
        path.write_text(given + "\n" + text_of(message(layer=layers)), encoding="utf-8")
        yield path


class CaffeProcess:
    """A Python that has a real Caffe, asked line by line; it holds one network at a time."""

    def __init__(self, interpreter: Path | None = None) -> None:
        interpreter = interpreter or caffe_interpreter()
        if interpreter is None:
            raise UserError(
                f"port to caffe: no real Caffe; name a Python that imports caffe, {SETTING}=PATH, "
                "or run 'make setup-ports'"
            )
        folder = tempfile.TemporaryDirectory(prefix="netwright-caffe-")
        self.folder = Path(folder.name)
        self._log = (self.folder / "log").open("w+b")
        self._process = subprocess.Popen(
            [str(interpreter), "-E", str(_SIDE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "GLOG_minloglevel": "2"},
        )
        self._end = weakref.finalize(self, _end, self._process, self._log, folder)

    def ask(self, about: Path, **request: Any) -> dict[str, Any]:
        """Sends a request and waits for its answer; without one, the log's last word is raised as `UserError`
        about the file."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            answer = stdout.readline()
        except (BrokenPipeError, ValueError):  # it ended before, or was closed
            answer = ""
        if not answer:
            log = "" if self._log.closed else (self.folder / "log").read_text(errors="replace")
            self.close()
            raise _cannot_run("Caffe", about, log)
        return json.loads(answer)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """Ends the process; asking it again raises. A process that nobody holds ends by itself."""
        self._end()


def _end(process: subprocess.Popen[str], log: IO[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except BrokenPipeError:
                continue  # it ended by itself
    if process.poll() is None:
        process.kill()
    process.wait()
    log.close()
    folder.cleanup()


class CaffeNet:
    """The network in a real Caffe, run by the interpreter that `NETWRIGHT_CAFFE_PYTHON` names, or in a
    `process` that is already there and then forgets the network it had."""

    def __init__(self, prototxt: Path, caffemodel: Path | None, process: CaffeProcess | None = None) -> None:
        network = read_network(prototxt)
        self.taps: tuple[str, ...] = network.blobs
        self._inputs, self._outputs = tuple(network.inputs), network.outputs
        self._prototxt, self._runs = prototxt, 0
        self._process = process or CaffeProcess()
        self._process.ask(
            prototxt, prototxt=str(prototxt), caffemodel=str(caffemodel) if caffemodel else None
        )

    def run(
        self, inputs: Sequence[np.ndarray[Any, Any]], taps: Sequence[str]
    ) -> tuple[Arrays, dict[str, Any]]:
        """The outputs, in the prototxt's order, and the blobs named."""
        arrays = _floats(self._inputs, inputs)
        if not self._process.alive:
            raise _cannot_run("Caffe", self._prototxt, "its process has ended")
        self._runs += 1
        given = self._process.folder / f"in{self._runs}.npz"
        found = self._process.folder / f"out{self._runs}.npz"
        keys = {name: f"a{index}" for index, name in enumerate(arrays)}
        wanted = list(dict.fromkeys((*self._outputs, *taps)))
        with given.open("wb") as file:
            np.savez(file, **{keys[name]: array for name, array in arrays.items()})  # pyright: ignore[reportArgumentType]
        request = {"inputs": keys, "taps": wanted, "from": str(given), "to": str(found)}
        self._process.ask(self._prototxt, **request)
        with np.load(found, allow_pickle=False) as arrays_found:
            blobs = {name: arrays_found[f"a{index}"] for index, name in enumerate(wanted)}
        given.unlink()
        found.unlink()
        return [blobs[name] for name in self._outputs], {name: blobs[name] for name in taps}

    def time(self, inputs: Sequence[np.ndarray[Any, Any]], runs: int) -> list[float]:
        """Seconds of `runs` passes, taken in Caffe's own process: files travel between it and this one."""
        self.run(inputs, ())
        return self._process.ask(self._prototxt, again=runs)["seconds"]

    def close(self) -> None:
        """Ends Caffe's process."""
        self._process.close()

    def __enter__(self) -> CaffeNet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def caffe_interpreter() -> Path | None:
    """The Python that has a real Caffe: the setting's, else the one that the set-up makes, else none."""
    named = os.environ.get(SETTING)
    if named:
        if not Path(named).is_file():
            raise UserError(f"{SETTING}={named}: there is no such interpreter")
        return Path(named)
    usual = _USUAL.expanduser()
    return usual if usual.is_file() else None


def _floats(
    names: Sequence[str], inputs: Sequence[np.ndarray[Any, Any]]
) -> Mapping[str, np.ndarray[Any, Any]]:
    if len(names) != len(inputs):
        raise UserError(f"the network takes {len(names)} inputs ({', '.join(names)}), not {len(inputs)}")
    return {
        name: np.ascontiguousarray(array, dtype=np.float32) for name, array in zip(names, inputs, strict=True)
    }


def _cannot_run(who: str, prototxt: Path, log: str) -> UserError:
    """The one line of a referee's log that says what it stumbled over."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("    @")]
    telling = next((line for line in lines if re.search(r"Check failed|Error|error", line)), "")
    reason = re.sub(r"^F\d{4} \S+ +\d+ ", "", telling or (lines[-1] if lines else "it ended without a word"))
    return UserError(f"{who} cannot run it: {reason[:300]}", file=prototxt.name)
