"""What one call of a verb holds open: the journal, the engine that remembers, the clock, the meter."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import torch

from netwright import values
from netwright.app.remembering import RememberingEngine
from netwright.catalogue import Catalogue
from netwright.diagnosis import Tools
from netwright.journal import Journal
from netwright.recipe import Recipe, load, user_code
from netwright.runs import Clocks
from netwright.trials import Engine, InlineEngine, LocalEngine, Meter, Seeds
from netwright.values import Budget, Spent, UserError

OnEvent = Callable[[Any], None]
FOLDER = ".netwright"


def device_for(name: str | None) -> str:
    """The device that was asked for, else a GPU where there is one. Raises `UserError` if it is not here."""
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    try:
        device = torch.device(name)
        here = (device.index or 0) < counts.get(device.type, 0)
    except RuntimeError:
        here = False
    if not here:
        raise UserError(f"device {name!r} is not here; say {', '.join(k for k, n in counts.items() if n)}")
    return name


def _known(muted: dict[str, str], catalogue: Catalogue) -> dict[str, str]:
    """The muted checks, all of which there must be: a misspelt one would mute nothing."""
    unknown = next((check for check in muted if check not in catalogue.checks), None)
    if unknown is not None:
        raise UserError(f"no check {unknown!r} to mute; there are {', '.join(sorted(catalogue.checks))}")
    return muted


def journal_folder(recipe: Recipe, journal: str | Path | None) -> Path:
    """`.netwright` beside the recipe's file, or the folder that was named."""
    if journal is not None:
        return Path(journal)
    source = recipe.origin.source if recipe.origin else ""
    beside = Path(source).parent if source.endswith(".py") else Path(recipe.made_at.file or ".").parent
    return (beside if beside.is_dir() else Path(".")) / FOLDER


@attrs.define
class Work:
    """What one call of a verb holds open."""

    recipe: Recipe
    tools: Tools
    engine: RememberingEngine
    journal: Journal
    session: int
    folder: Path
    catalogue: Catalogue
    scanned: str = ""
    stages: dict[str, float] = attrs.field(factory=dict)
    first_answer: Spent | None = None
    first_confirmed: Spent | None = None
    _stage: tuple[str, float] | None = None

    def note(self, event: Any) -> None:
        """What the result says of the way there: the patterns found, and the seconds of each stage."""
        now = self.tools.meter.clock()
        if isinstance(event, values.StageStarted):
            self._close(now)
            self._stage = event.stage, now
        elif isinstance(event, values.FindingMade):
            self.first_answer = self.first_answer or self.spent()
        elif isinstance(event, values.ConfirmationEnded) and event.finding.status == "confirmed":
            self.first_confirmed = self.first_confirmed or self.spent()
        elif isinstance(event, values.ScanEnded):
            causes = ", ".join(f.cause for f in event.patterns)
            self.scanned = causes or "nothing in the data that costs anything"

    def _close(self, now: float) -> None:
        if self._stage is not None:
            name, began = self._stage
            self.stages[name] = self.stages.get(name, 0.0) + now - began

    def finish(self, outcome: str, document: Any) -> None:
        self.journal.finish(self.session, outcome, document)

    def spent(self) -> Spent:
        meter = self.tools.meter
        return Spent(meter.seconds, meter.epochs, meter.steps, meter.trials, meter.samples)


@contextmanager
def working(
    verb: str,
    recipe: Recipe,
    limit: Budget,
    arguments: dict[str, Any],
    seed: int,
    device: str | None,
    journal: str | Path | None,
    extensions: tuple[str, ...],
    muted: dict[str, str] | None,
    workers: int | None = None,
    most: float | None = None,
) -> Generator[Work, None, None]:
    where = device_for(device)
    catalogue = recipe.catalogue or Catalogue.collect()
    muted = _known(muted or {}, catalogue)
    folder = journal_folder(recipe, journal)
    with user_code(recipe.display_name):
        fingerprint = recipe.fingerprint
    with Journal.open(folder) as opened:
        session = opened.unfinished(verb, fingerprint, arguments)
        resumed = session is not None
        if session is None:
            session = opened.begin(verb, recipe.display_name, fingerprint, arguments, now())
        parts = recipe.data.parts
        ids = {
            n: p.ids(range(len(p))) for n in ("train", "val", "test") if (p := getattr(parts, n)) is not None
        }
        opened.keep_split(parts.fingerprint, ids)
        meter = Meter(limit, time.perf_counter, most=most)
        if workers is None:
            workers = 1 if where != "cpu" else max(1, len(os.sched_getaffinity(0)))
        local: Engine = InlineEngine(Clocks(time.perf_counter, time.process_time))
        if workers > 0:
            local = LocalEngine(workers, extensions=extensions, checkpoints=folder / "checkpoints")
        engine = RememberingEngine(local, opened, meter, resumed=resumed)
        # No single training may take longer than the whole budget.
        longest = (most or limit.amount) if limit.unit == "seconds" else None
        checks = tuple(catalogue.checks.values())
        tools = Tools(engine, meter, Seeds(seed), checks, where, muted, longest)
        try:
            yield Work(recipe, tools, engine, opened, session, folder, catalogue)
        finally:
            engine.close()


def fold(
    events: Generator[Any, None, Any], work: Work, on_event: OnEvent | None, plans: list[values.Plan]
) -> Any:
    """Every event goes to the journal, then to whoever shows it; the value is what the generator returns."""
    with user_code(work.recipe.display_name):
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value
            work.journal.append(work.session, event)
            work.note(event)
            if isinstance(event, values.PlanMade):
                plans.append(event.plan)
            if on_event is not None:
                on_event(event)


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def opened(recipe: Recipe | str, extensions: tuple[str, ...]) -> Recipe:
    """The recipe, loaded where its name is given."""
    if isinstance(recipe, str):
        return load(recipe, extensions=extensions)
    if not isinstance(recipe, Recipe):
        raise UserError(f"a {type(recipe).__name__} is no recipe; give nw.Recipe(...), FILE or FILE:NAME")
    return recipe
