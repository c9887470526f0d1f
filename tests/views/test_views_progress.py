"""Progress: a line that lives on a terminal, a plain line a stage elsewhere."""

import io

from rich.console import Console

from netwright.values import EpochEnded, Event, Note, RunEnded, RunFailed, RunStarted, StageStarted
from netwright.views import Progress

EVENTS: list[Event] = [
    StageStarted("baseline", "5 seeds × [10] epochs"),
    RunStarted("k", "unchanged", 0, 2),
    EpochEnded("k", 1, 2, 2.31, None, None),
    EpochEnded("k", 2, 2, float("nan"), None, None),
    RunEnded("k", 0, 2, 20, 0.5, {"val": 0.1}, False),
    RunFailed("l", "its process died"),
    Note("something"),
    StageStarted("trials"),
]


def run(terminal: bool, events: list[Event] = EVENTS) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    with Progress(console) as progress:
        for event in events:
            progress(event)
            if terminal and progress._bars is not None:
                progress._bars.refresh()
    return out.getvalue()


def test_a_pipe_gets_one_plain_line_a_stage_and_a_note() -> None:
    assert run(terminal=False) == "baseline  5 seeds × [10] epochs\nnote      something\ntrials\n"


def test_a_terminal_sees_trainings_epoch_and_loss() -> None:
    out = run(terminal=True)
    assert "epoch 1/2, loss 2.31" in out
    assert "loss not finite" in out
    assert "1 training done" in out and "1 failed" in out


def test_a_training_before_any_stage_is_shown_too() -> None:
    assert "unchanged" in run(terminal=True, events=EVENTS[1:2])


def test_the_line_is_gone_when_it_is_done() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with Progress(console) as progress:
        progress(EVENTS[0])
    assert out.getvalue().rstrip().endswith(("\x1b[2K", "\x1b[?25h"))
