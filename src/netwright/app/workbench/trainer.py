"""The process that trains: `python -m netwright.app.workbench.trainer ORDER`; it ends when its standard input
closes."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

import torch
from attrs import frozen

from netwright import values
from netwright.app.workbench.keeping import Keeping, where
from netwright.app.workbench.outbox import Outbox
from netwright.app.workbench.steering import Commands, LiveSteering
from netwright.journal import Journal
from netwright.recipe import Recipe, blame, load
from netwright.runs import Clocks, Halted, Run, run_key, train
from netwright.values import UserCodeError, UserError, from_json, to_json

LOCK_SECONDS = 10.0


@frozen
class Order:
    """What is trained, for which session of which journal; `paused` begins without a step."""

    source: str
    journal: str
    session: int
    seed: int
    epochs: int
    device: str
    fingerprint: str
    extensions: tuple[str, ...] = ()
    threads: int = 1
    paused: bool = False


def main(order: Order) -> None:
    """Train until the end and wait there; end when whoever began this process is gone or wants it."""
    left = _left_by_the_other_end()
    torch.set_num_threads(order.threads)
    torch.set_flush_denormal(True)
    folder = Path(order.journal)
    with Journal.open(folder) as journal:
        keeping = Keeping(folder, order.session, order.epochs)
        outbox = Outbox(journal, order.session, time.perf_counter)
        with _alone(keeping.folder, left) as alone:
            if not alone:
                said = "another netwright serve trains this; this page shows it"
                outbox.say(values.Note(said), now=True)
                return
            _work(order, journal, keeping, outbox, left)


def _work(order: Order, journal: Journal, keeping: Keeping, outbox: Outbox, left: threading.Event) -> None:
    key = run_key(order.fingerprint, order.seed, order.epochs, order.device)
    try:
        recipe = load(order.source, extensions=order.extensions)
        if recipe.fingerprint != order.fingerprint:
            raise UserError(f"{order.source}: was changed since; stop netwright serve and start it again")
        follow(order, recipe, journal, keeping, outbox, left)
    except Exception as raised:
        user = raised if isinstance(raised, (UserError, UserCodeError)) else blame(raised)
        at = where(keeping.latest)
        epoch, step = (at.epoch, at.step) if at is not None else (0, 0)
        outbox.say(
            values.RunFailed(key, user.message, getattr(user, "traceback", "")),
            values.StateChanged(key, "failed", epoch, step, keeping.kept(), user.message),
            now=True,
        )


def follow(
    order: Order, recipe: Recipe, journal: Journal, keeping: Keeping, outbox: Outbox, left: threading.Event
) -> None:
    """Train the recipe as the commands of the session say, from what is kept of it, until `left` is set."""
    commands = Commands(journal, order.session)
    start, paused = keeping.latest, order.paused
    while not left.is_set():
        key = run_key(order.fingerprint, order.seed, order.epochs, order.device)
        steering = LiveSteering(
            key, start, keeping, commands, outbox,
            clock=time.perf_counter, wait=left.wait, left=left, paused=paused,
        )  # fmt: skip
        run = _train(order, recipe, steering, outbox)
        if run is not None:
            weights = dict(run.weights or {})
            journal.remember(run.key, run.document(), run.arrays(), weights)
            _ended(order, run, keeping, outbox, journal)
            while steering.goto is None and not left.is_set():  # nothing else is left to be done
                steering.idle()
        if steering.goto is None:
            return
        start, paused = keeping.of_epoch(steering.goto), True


def _train(order: Order, recipe: Recipe, steering: LiveSteering, outbox: Outbox) -> Run | None:
    """The run; `None` where the steering stopped it."""
    events = train(
        recipe,
        order.seed,
        clocks=Clocks(time.perf_counter, time.process_time),
        epochs=order.epochs,
        device=order.device,
        keep_weights=True,
        steering=steering,
    )
    while True:
        try:
            outbox.say(next(events))
        except Halted:
            outbox.flush()
            return None
        except StopIteration as end:
            return end.value


def _ended(order: Order, run: Run, keeping: Keeping, outbox: Outbox, journal: Journal) -> None:
    said = "the loss is not finite" if run.diverged else ""
    state = values.StateChanged(run.key, "ended", len(run.epoch_loss), run.steps, keeping.kept(), said)
    outbox.say(state, now=True)
    with contextlib.suppress(ValueError):  # it ended before, and was gone back in
        journal.finish(order.session, "ended", to_json(dict(run.document())))


def _left_by_the_other_end() -> threading.Event:
    """Set when standard input closes, which it does when whoever began this process has ended, however."""
    left = threading.Event()
    link = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # the user's code reads nothing from it
    os.close(nothing)

    def watch() -> None:
        while os.read(link, 1024):
            pass
        left.set()

    threading.Thread(target=watch, daemon=True).start()
    return left


@contextlib.contextmanager
def _alone(folder: Path, left: threading.Event) -> Generator[bool]:
    """Whether no other process trains this session; one that is about to end is waited for."""
    try:
        import fcntl
    except ImportError:  # Windows: nobody keeps two servers apart
        yield True
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until or left.wait(0.1):
                    yield False
                    return
            else:
                yield True
                return


if __name__ == "__main__":
    main(from_json(json.loads(sys.argv[1]), Order))
