"""Steering a training by the commands in the journal, and telling the journal how it goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import Any

from netwright import values
from netwright.app.workbench.keeping import Keeping
from netwright.app.workbench.outbox import Outbox
from netwright.app.workbench.pace import Allowance, Pace, StepTimes
from netwright.journal import Journal
from netwright.runs import TRACED, Position

POLL = 0.05  # seconds between two looks for commands, twice that while it runs
LOOK = 1.0  # seconds after which is looked even where nothing seems to have been written
SHARE, RATE = 0.015, 10.0  # of the time for columns, and how many a second at most
KEEPING, AT_FIRST = 0.005, 0.04  # of the time for states of epochs, and seconds beyond that
SAVED = 30.0  # seconds of training that a killed process may lose within a long epoch
SHOWN = ("std", "mean", "zeros", "dead", "saturated", "gradient", "weight_gradient", "update_ratio")
_AT = [TRACED.index(name) for name in SHOWN]


class Commands:
    """Commands for one session, each taken once."""

    def __init__(self, journal: Journal, session: int) -> None:
        self._journal, self._session = journal, session
        self._last = journal.taken(session)
        self._stamp: object = None
        self._looked = float("-inf")
        self._waiting: deque[tuple[int, dict[str, Any]]] = deque()

    def next(self, now: float) -> dict[str, Any] | None:
        """The next one; the journal is read only where something was written since the last look."""
        if not self._waiting:
            stamp = self._journal.stamp()
            if stamp != self._stamp or now - self._looked >= LOOK:
                self._stamp, self._looked = stamp, now
                self._waiting.extend(self._journal.commands_after(self._session, self._last))
        if not self._waiting:
            return None
        self._last, command = self._waiting.popleft()
        self._journal.take(self._session, self._last)
        return command


class LiveSteering:
    """Steers a training (`runs.Steering`) by commands; its columns and states become events.

    `paused` says how it begins. When it has stopped the training, `goto` is the epoch to go on from, or
    `None` where the process is to end. `wait(seconds)` is true when the process is to end.
    """

    def __init__(
        self,
        key: str,
        start: Path | None,
        keeping: Keeping,
        commands: Commands,
        outbox: Outbox,
        *,
        clock: Callable[[], float],
        wait: Callable[[float], bool],
        left: Flag,
        paused: bool,
    ) -> None:
        self.start = start
        self.goto: int | None = None
        self.paused = paused
        self._key, self._keeping, self._commands, self._outbox = key, keeping, commands, outbox
        self._clock, self._wait, self._left = clock, wait, left
        self._columns = Pace(SHARE, RATE)
        self._states = Pace(1.0, rate=4.0)
        self._keeps = Allowance(KEEPING, AT_FIRST, clock())
        self._times = StepTimes()
        self._layers: tuple[str, ...] = ()
        self._tapped = False
        self._stepping: int | None = None  # the step after which a single one was asked for
        self._began = self._listened = self._saved = clock()

    # What the training asks.

    def taps(self, step: int) -> bool:
        self._began = self._clock()
        self._tapped = self.paused or self._columns.due(self._began)
        return self._tapped

    def stepped(self, at: Position) -> bool:
        now = self._clock()
        if self._tapped:
            beyond = self._times.beyond(now - self._began)
            self._measure(at)
            ended = self._clock()
            self._columns.spent(beyond + ended - now, ended)
            now = ended
        else:
            self._times.plain(now - self._began)
        if not self.paused and now - self._saved >= SAVED:
            self._save_latest(at)
        return self._heed(at, now)

    def between(self, at: Position) -> bool:
        began = self._clock()
        epoch, last = at.epochs_done, at.epochs_done == at.epochs
        kept = (
            not at.in_epoch and (last or not epoch or self._keeps.due(began)) and self._keeping.keeps(epoch)
        )
        if kept:
            self._keep(at)
            self._keeps.spent(self._clock() - began)
        if kept or self._states.due(began):
            self._states.spent(0.0, began)
            self.say("paused" if self.paused else "running", at)
        return last or self._heed(at, self._clock())  # at the end the run is scored first

    # Commands.

    def _heed(self, at: Position, now: float) -> bool:
        """Do what was commanded; false stops the training."""
        self._outbox.tick(now)
        if self._left.is_set():
            self._save_latest(at)
            self._outbox.flush()
            return False
        if not self.paused:
            if now - self._listened < 2 * POLL:
                return True
            self._listened = now
            while (command := self._commands.next(now)) is not None:
                if command["command"] == "rewind" and self._goes_to(command["epoch"]):
                    return False
                if command["command"] == "pause":
                    self.paused = True
                    break
            if not self.paused:
                return True
        elif self._stepping == at.steps_done:  # the end of an epoch comes before the step asked for
            return True
        self._save_latest(at)
        self.say("paused", at, now=True)
        goes_on = self.idle()
        self._stepping = at.steps_done
        if goes_on and not self.paused:
            self.say("running", at, now=True)
        return goes_on

    def idle(self) -> bool:
        """Wait for a command to go on; false where the training is to stop instead."""
        while not self._wait(POLL):
            command = self._commands.next(self._clock())
            match command["command"] if command is not None else None:
                case "resume":
                    self.paused = False
                    return True
                case "step":
                    return True
                case "rewind" if command is not None and self._goes_to(command["epoch"]):
                    return False
                case _:
                    pass
        return False

    def _goes_to(self, epoch: int) -> bool:
        if epoch in self._keeping.kept():
            self.goto = epoch
            return True
        self._outbox.say(values.Note(f"epoch {epoch} is not kept, so it cannot be gone back to"), now=True)
        return False

    # What it says and keeps.

    def say(self, state: str, at: Position, message: str = "", now: bool = False) -> None:
        epoch = at.epochs_done + bool(at.in_epoch)
        kept = self._keeping.kept()
        event = values.StateChanged(self._key, state, epoch, at.steps_done, kept, message)
        self._outbox.say(event, now=now)

    def _measure(self, at: Position) -> None:
        column = at.column
        layers = tuple(column)
        numbers = {
            name: tuple(_short(row[index]) for row in column.values())
            for name, index in zip(SHOWN, _AT, strict=True)
        }
        named = layers if layers != self._layers else None
        self._layers = layers
        event = values.ColumnMeasured(
            self._key, at.steps_done, at.epochs_done + 1, _short(at.loss_now()), numbers, named
        )
        self._outbox.say(event)

    def _keep(self, at: Position) -> None:
        try:
            self._keeping.keep(at)
            self._saved = self._clock()
        except (OSError, RuntimeError) as failed:
            self._not_kept(failed)

    def _save_latest(self, at: Position) -> None:
        try:
            at.save(self._keeping.latest)
        except (OSError, RuntimeError) as failed:
            self._not_kept(failed)
        self._saved = self._clock()

    def _not_kept(self, failed: Exception) -> None:
        reason = getattr(failed, "strerror", None) or str(failed).partition("\n")[0]
        self._outbox.say(values.Note(f"the state of the training cannot be kept ({reason}); make room"))


def _short(value: float) -> float:
    """Four digits are more than a pixel shows; what is not finite stays that."""
    return float(f"{value:.4g}")
