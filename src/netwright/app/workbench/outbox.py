"""What the process that trains says, to the journal; several events in one write."""

from __future__ import annotations

from collections.abc import Callable

from netwright.journal import Journal
from netwright.values import Event

EVERY = 0.2  # seconds between two writes while it runs


class Outbox:
    """Events on their way to the journal."""

    def __init__(self, journal: Journal, session: int, clock: Callable[[], float]) -> None:
        self._journal, self._session, self._clock = journal, session, clock
        self._waiting: list[Event] = []
        self._written = float("-inf")

    def say(self, *events: Event, now: bool = False) -> None:
        """Events for the journal, at once or with those that follow soon."""
        self._waiting += events
        if now:
            self.flush()

    def tick(self, now: float) -> None:
        """Write what waits, where the last write is long enough ago."""
        if self._waiting and now - self._written >= EVERY:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            self._journal.append(self._session, *self._waiting)
            self._waiting.clear()
        self._written = self._clock()
