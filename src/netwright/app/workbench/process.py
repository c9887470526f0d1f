"""The process that trains, as whoever began it sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import attrs

from netwright.app.workbench.trainer import Order
from netwright.values import to_json

LEAVES = 20.0  # seconds that it has to keep its state and leave


class TrainingProcess:
    """Begun when there is something to do, ended with the server; what it says goes through the journal."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._process: subprocess.Popen[bytes] | None = None
        self._told = True
        self._lock = threading.Lock()

    def begin(self, *, paused: bool) -> None:
        """Begin it where it does not run."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            order = attrs.evolve(self._order, paused=paused)
            environment = {
                **os.environ,
                "OMP_NUM_THREADS": str(order.threads),
                "PYTHONPATH": os.pathsep.join([p for p in sys.path if p]),
            }
            self._process = subprocess.Popen(
                [sys.executable, "-m", "netwright.app.workbench.trainer", json.dumps(to_json(order))],
                env=environment,
                stdin=subprocess.PIPE,  # open as long as this process lives
                stdout=2,  # what the user's code prints belongs on stderr
                start_new_session=True,  # Ctrl-C is for the server, which then lets it keep its state
            )
            self._told = False

    @property
    def id(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def death(self) -> str | None:
        """How it ended since it was asked last; `None` where it runs or ended well."""
        with self._lock:
            code = self._process.poll() if self._process is not None else None
            if code is None or self._told:
                return None
            self._told = True
            if code < 0:
                return f"signal {-code}{', out of memory?' if code == -9 else ''}"
            return f"exit code {code}" if code else None

    def end(self) -> None:
        """Have it keep its state and leave."""
        with self._lock:
            if self._process is None:
                return
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(LEAVES)
            except subprocess.TimeoutExpired:  # a step that takes longer: the last state kept is gone on from
                self._process.kill()
                self._process.wait()
