"""The terminal of one command: results to what was stdout, everything else to stderr, the documented exit
codes."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import typer

from netwright.values.errors import NetwrightError

SEVERITIES = ("note", "warning", "error")


class Surface:
    """The terminal of one command: results to what was stdout, everything else to stderr."""

    def __init__(self, as_json: bool, out: Any) -> None:
        self.as_json, self.out = as_json, out

    def run(self, verb: Callable[[Callable[[Any], None]], Any]) -> Any:
        """The verb, with its progress shown on stderr."""
        from rich.console import Console

        from netwright.views.progress import Progress

        with Progress(Console(file=sys.stderr, stderr=True)) as progress, _interruptions() as interrupted:

            def heard(event: Any) -> None:
                if interrupted():
                    raise KeyboardInterrupt
                progress(event)

            return verb(heard)

    def show(self, result: Any) -> None:
        if self.as_json:
            self.document(result.to_json())
            return
        from rich.console import Console

        from netwright.app.terminal import renderable

        Console(file=self.out, highlight=False).print(renderable(result))

    def say(self, value: Any, text: str) -> None:
        from netwright.values import to_json

        if self.as_json:
            self.document(to_json(value))
        else:
            print(text, file=self.out, flush=True)

    def listed(self, rows: list[dict[str, Any]]) -> None:
        if self.as_json:
            self.document(rows)
            return
        for row in rows:
            print("   ".join(str(v) for v in row.values() if v is not None), file=self.out)
        self.out.flush()

    def document(self, content: Any) -> None:
        json.dump(content, self.out, ensure_ascii=False, indent=1, allow_nan=False)
        self.out.write("\n")
        self.out.flush()

    def leave(self, findings: Any, fail_on: str) -> None:
        """Exit 1 where a finding is at least as severe as asked."""
        if fail_on == "never":
            return
        if any(SEVERITIES.index(f.severity) >= SEVERITIES.index(fail_on) for f in findings):
            raise typer.Exit(1)


@contextmanager
def _interruptions() -> Generator[Callable[[], bool], None, None]:
    """Whether Ctrl-C was pressed: Python drops an exception that is raised while a library's destructor or
    weak reference is called back."""
    pressed: list[int] = []

    def note(number: int, frame: Any) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGINT, note)
    except ValueError:  # not in the main thread, which gets no signals
        yield lambda: False
        return
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def surface(as_json: bool) -> Generator[Surface, None, None]:
    """Keep stdout for the result: what the user's code prints, in any process, goes to stderr."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # no stdout at all
        kept = os.open(os.devnull, os.O_WRONLY)
    out = os.fdopen(kept, "w", encoding="utf-8", errors="replace")
    os.dup2(2, 1)
    made = Surface(as_json, out)
    try:
        yield made
        out.flush()
    except NetwrightError as error:
        _report(made, error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        raise typer.Exit(0) from None
    finally:
        sys.stdout.flush()
        try:
            out.flush()
            os.dup2(out.fileno(), 1)
            out.close()
        except (OSError, ValueError):
            pass


def _report(surface: Surface, error: NetwrightError) -> None:
    if surface.as_json:
        surface.document(error.document())
    traceback = getattr(error, "traceback", "")
    if traceback:
        print(traceback, file=sys.stderr)
    print(f"netwright: {error}", file=sys.stderr)
