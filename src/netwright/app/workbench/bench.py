"""What the server serves: the page of a training, its news as they come, and the way back for commands."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from netwright.app.work import now
from netwright.app.workbench.editing import Editor
from netwright.app.workbench.following import Following, Message, Outgoing
from netwright.app.workbench.moments import Moments
from netwright.app.workbench.pace import Pace
from netwright.app.workbench.process import TrainingProcess
from netwright.journal import Journal
from netwright.values import UserError

POLL = 0.05  # seconds between two looks into the journal
LOOKING = 0.1  # of a core for the moments while it trains
EVERY = 20  # looks, of which one reads it whether something seems to have been written or not
COMMANDS = ("pause", "resume", "step", "rewind")


class Bench:
    """Follows a session in threads of its own and tells every page that is open; what takes time is never
    done in the loop that serves. `page(atlas)` is the document of the page."""

    def __init__(
        self,
        folder: Path,
        session: int,
        following: Following,
        editor: Editor,
        moments: Moments,
        process: TrainingProcess,
        page: Callable[[Message], dict[str, Any]],
    ) -> None:
        self._folder, self._session = folder, session
        self._following, self._editor, self._process, self._page = following, editor, process, page
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._open: set[Listener] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._moments = moments
        self._threads = [threading.Thread(target=of, daemon=True) for of in (self._watch, self._look)]

    # The life of the server.

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def catch_up(self, journal: Journal) -> None:
        """Take what the session has so far."""
        for number, event in journal.events_after(self._session, self._following.last):
            self._following.take(number, event)

    def _watch(self) -> None:
        with Journal.open(self._folder) as journal:
            stamp: object = None
            looks = 0
            while not self._stop.wait(POLL):
                looks += 1
                seen = journal.stamp() if looks % EVERY else None  # two writes may have had one stamp
                found: list[tuple[int, list[Message]]] = []
                with self._lock:
                    if seen is None or seen != stamp:
                        stamp = seen
                        for number, event in journal.events_after(self._session, self._following.last):
                            found.append((number, self._following.take(number, event)))
                    if (how := self._process.death()) is not None:
                        found.append((self._following.last + 1, self._following.died(how)))
                if found and self._loop is not None and not self._loop.is_closed():
                    self._loop.call_soon_threadsafe(self._tell, found)

    def _look(self) -> None:
        """The moments, in a thread of their own: one may take longer than the next news. While it trains they
        take a small part of a core at most."""
        with suppress(AttributeError, OSError):  # the training goes first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        pace = Pace(LOOKING)
        with Journal.open(self._folder) as journal:
            while not self._stop.wait(POLL):
                began = time.monotonic()
                if not pace.due(began) and self._running:
                    continue
                if (event := self._moments.next()) is not None:
                    journal.append(self._session, event)
                    ended = time.monotonic()
                    pace.spent(ended - began, ended)

    @property
    def _running(self) -> bool:
        return self._following.state is not None and self._following.state["state"] == "running"

    def _tell(self, news: Sequence[tuple[int, Sequence[Message]]]) -> None:
        for listener in self._open:
            for number, messages in news:
                listener.outgoing.push(number, messages)
            listener.woken.set()

    # What a page needs.

    def page(self) -> dict[str, Any]:
        with self._lock:
            return self._page(self._following.atlas())

    async def listen(self) -> Listener:
        """A page that is open: what it has to know first, and what comes after."""
        listener = Listener(self._open.discard)
        self._open.add(listener)  # from now on nothing is missed
        listener.first, last = await asyncio.to_thread(self._first)
        listener.outgoing.known(last)
        return listener

    def _first(self) -> tuple[list[Message], int]:
        with self._lock:
            document = self._page(self._following.atlas())
            return [{"type": "page", "page": document}, *self._following.history()], self._following.last

    def command(self, given: Mapping[str, Any]) -> None:
        """Leave a command for the process that trains, which is begun where it does not run. Raises
        `UserError`."""
        name = given.get("command")
        if name not in COMMANDS:
            raise UserError(f"there is no command {name!r}")
        command: dict[str, Any] = {"command": name}
        if name == "rewind":
            epoch, state = given.get("epoch"), self._following.state
            if not isinstance(epoch, int) or state is None or epoch not in state["checkpoints"]:
                raise UserError(f"epoch {epoch!r} is not kept, so it cannot be gone back to")
            command["epoch"] = epoch
        with Journal.open(self._folder) as journal:
            journal.command(self._session, command, now())
        self._process.begin(paused=True)

    def edit(self, given: Mapping[str, Any]) -> Message:
        """What the network makes of an input that was changed. Raises `UserError`."""
        index, values = given.get("input"), given.get("values")
        if not isinstance(index, int) or not isinstance(values, list):
            raise UserError("an edit is of the number of an input and a list of values")
        if not all(v is None or isinstance(v, (int, float)) for v in values):
            raise UserError("the values of an input are numbers")
        return self._editor.answer(index, values)


class Listener:
    """A page that is open."""

    def __init__(self, leave: Callable[[Listener], None]) -> None:
        self.first: list[Message] = []
        self.outgoing = Outgoing()
        self.woken = asyncio.Event()
        self._leave = leave

    def close(self) -> None:
        self._leave(self)
