"""A real server in a process of its own, and a page's end of its socket."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from websockets.sync.client import connect

from netwright.journal import Journal
from netwright.recipe import load
from netwright.runs import Clocks, run_key, train

PATIENCE = 60.0  # seconds for anything that must come; on a quiet machine it takes one or two

RECIPE = """
import netwright as nw
from sklearn.datasets import load_digits
from torch import nn

def network():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10)
    )

x, y = load_digits(return_X_y=True)
recipe = nw.Recipe(
    nw.Data.arrays(x[:600].reshape(-1, 1, 8, 8) / 16, y[:600]),
    network,
    nw.Training(loss="cross_entropy", optimizer="adam", lr=3e-3, batch_size=32, schedule="one_cycle",
                augment="noise", epochs=EPOCHS),
)
"""


def recipe_file(folder: Path, epochs: int, text: str = RECIPE) -> Path:
    path = folder / "served.py"
    path.write_text(text.replace("EPOCHS", str(epochs)), encoding="utf-8")
    return path


class Served:
    """A server that is running."""

    def __init__(self, process, address):
        self.process, self.address = process, address

    @property
    def trainers(self):
        """The ids of the processes that train."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        found = []
        for child in {child for task in tasks for child in task.read_text().split()}:
            with contextlib.suppress(OSError):
                if b"workbench.trainer" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        return found

    def socket(self, **options):
        where = self.address.replace("http://", "ws://").replace("/?", "/live?")
        return connect(where, max_size=None, open_timeout=PATIENCE, **options)

    def stop(self, how=signal.SIGINT):
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def served(path, *options):
    """`netwright serve` with these options; it is ended at the end of the block."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "netwright", "serve", str(path), "--json", *options],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    late = threading.Timer(PATIENCE, process.kill)
    late.start()
    try:
        text = ""
        for line in process.stdout:
            text += line
            if line.startswith("}"):
                break
        late.cancel()
        yield Served(process, json.loads(text)["address"])
    finally:
        late.cancel()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        process.stdout.close()


class Page:
    """The page's end of the socket: what came, and waiting for what must come."""

    def __init__(self, socket):
        self.socket, self.came = socket, []

    def send(self, **message):
        self.socket.send(json.dumps(message))

    def command(self, name, **more):
        self.send(type="command", command=name, **more)

    def until(self, kind, holds=lambda message: True):
        """The next message of this kind for which it holds."""
        while True:
            message = json.loads(self.socket.recv(timeout=PATIENCE))
            self.came.append(message)
            if message["type"] == kind and holds(message):
                return message

    def had_or_gets(self, kind, holds):
        if not any(message["type"] == kind and holds(message) for message in self.came):
            self.until(kind, holds)

    def state(self, state, **fields):
        return self.until(
            "state", lambda m: m["state"] == state and all(m[name] == value for name, value in fields.items())
        )


def assert_as_never_stopped(path, epochs):
    """The run in the journal is to the bit that of a training nobody watched."""
    recipe = load(str(path))
    events = train(recipe, 0, clocks=Clocks(lambda: 0.0, lambda: 0.0), epochs=epochs, keep_weights=True)
    while True:
        try:
            next(events)
        except StopIteration as end:
            run = end.value
            break
    with Journal.open(path.parent / ".netwright") as journal:
        key = run_key(recipe.fingerprint, 0, epochs, "cpu")
        found = journal.recall(key)
        assert found is not None
        weights = load_file(journal.weights(key))
    for name, values in run.arrays().items():
        assert np.array_equal(found[1][name], values, equal_nan=True), name
    assert weights.keys() == run.weights.keys()
    assert all(np.array_equal(weights[name], run.weights[name]) for name in weights)
