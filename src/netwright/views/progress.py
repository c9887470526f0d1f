"""The live line on stderr while something trains; what it shows is a fold of the events."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from netwright.values import (
    EpochEnded,
    Event,
    Note,
    PlanMade,
    RunEnded,
    RunFailed,
    RunStarted,
    StageStarted,
    TargetEnded,
    TargetStarted,
)
from netwright.views import words
from netwright.views.layout import text


class Progress:
    """Takes events; shows one bar for the stage at work, or a plain line a stage where nobody watches."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._done = 0
        self._failed = 0
        self._last = ""

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._bars = Bars(
                SpinnerColumn(),
                TextColumn("{task.fields[stage]:<9}", style="bold", markup=False),
                BarColumn(bar_width=16),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
                redirect_stdout=False,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def __call__(self, event: Event) -> None:
        match event:
            case StageStarted(stage, detail):
                self._begin(stage, detail)
            case RunStarted():
                self._last = words.clean(event.purpose)
                self._show(0, event.epochs)
            case EpochEnded():
                loss = "not finite" if words.missing(event.loss) else words.number(event.loss)
                self._last = f"epoch {event.epoch}/{event.epochs}, loss {loss}"
                self._show(event.epoch, event.epochs)
            case RunEnded():
                self._done += 1
                self._show(event.epochs, event.epochs)
            case RunFailed():
                self._failed += 1
                self._show()
            case PlanMade(plan):
                self._say("plan", plan.sentence)
            case TargetStarted(target, stage):
                self._stage = "port"
                self._last = f"{target}: {stage}"
                self._show()
            case TargetEnded(port):
                self._done += 1
                if self._bars is None:
                    self._say("port", f"{port.target}: {port.status}")
            case Note(said):
                self._say("note", said)
            case _:
                pass

    def _say(self, label: str, sentence: str) -> None:
        """A line that stays above the bar."""
        (self._bars or self).console.print(text(f"{label:<9} {sentence}"), soft_wrap=self._bars is None)

    def _begin(self, stage: str, detail: str) -> None:
        self._stage, self._done, self._failed, self._last = stage, 0, 0, words.clean(detail)
        if self._bars is None:
            self.console.print(text(f"{stage:<9} {detail}".rstrip()), soft_wrap=True)
            return
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(self._last, total=None, stage=words.clean(stage))

    def _show(self, epoch: float | None = None, epochs: float | None = None) -> None:
        if self._bars is None:
            return
        if self._task is None:
            self._task = self._bars.add_task("", total=None, stage=self._stage)
        parts = [words.plural(self._done, "training") + " done" if self._done else ""]
        parts += [f"{self._failed} failed" if self._failed else "", self._last]
        said = " · ".join(part for part in parts if part)
        if epoch is None:
            self._bars.update(self._task, description=said)
        else:
            self._bars.update(self._task, description=said, completed=epoch, total=epochs)
