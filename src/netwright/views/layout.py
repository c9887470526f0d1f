"""The lay of the terminal: a left column, long text under its own column, tables that fit or fold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from attrs import frozen
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from netwright.values import duration
from netwright.views import words

LEFT = 10
WIDEST = 100


def text(content: object, style: str = "") -> Text:
    """A user's text: never markup, never a control character."""
    return Text(words.clean(content), style=style, overflow="fold")


@frozen
class Flow:
    """Pieces side by side, each kept whole: in a narrow window the line breaks between two of them."""

    pieces: Sequence[Text]
    gap: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text(overflow="fold")
        for piece in self.pieces:
            if line and line.cell_len + len(self.gap) + piece.cell_len > options.max_width:
                mark = self.gap.rstrip()
                yield line.append(mark if line.cell_len + len(mark) <= options.max_width else "")
                line = Text(overflow="fold")
            line.append(self.gap if line else "").append_text(piece)
        yield line

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        lengths = [piece.cell_len for piece in self.pieces] or [0]
        whole = sum(lengths) + len(self.gap) * (len(lengths) - 1)
        return Measurement(max(lengths), whole).with_maximum(options.max_width)


def joined(parts: Iterable[tuple[str, str] | Text], gap: str = "   ") -> Flow:
    """Pieces with their styles; empty ones leave no gap."""
    pieces = [part if isinstance(part, Text) else text(*part) for part in parts]
    return Flow([piece for piece in pieces if piece], gap)


def row(label: str, body: RenderableType, seconds: float | None = None) -> RenderableType:
    """A line of the transcript: label in the left column, the rest beside it, the time at the right edge."""
    grid = Table.grid(expand=seconds is not None)
    grid.add_column(width=LEFT, overflow="fold")
    grid.add_column(ratio=1 if seconds is not None else None, overflow="fold")
    cells: list[RenderableType] = [text(label, "bold"), body]
    if seconds is not None:
        grid.add_column(justify="right", no_wrap=True)
        cells.append(text(f"  {duration(seconds)}", "dim"))
    grid.add_row(*cells)
    return grid


def indented(body: RenderableType, by: int = 2) -> RenderableType:
    return Padding(body, (0, 0, 0, by))


def narrow(body: RenderableType, widest: int = WIDEST) -> RenderableType:
    """Lines no longer than can be read, in however wide a window."""
    return Constrain(body, widest)


def bullet(colour: str, *bodies: RenderableType | None) -> RenderableType:
    """A coloured mark, and what belongs to it beneath each other."""
    grid = Table.grid()
    grid.add_column(width=2)
    grid.add_column(overflow="fold")
    for n, body in enumerate(body for body in bodies if body is not None):
        grid.add_row(Text(words.MARK, style=colour) if n == 0 else "", body)
    return grid


def columns(
    rows: Sequence[Sequence[Text]],
    head: Sequence[str] | None = None,
    right: Collection[int] = (),
    wrap: Mapping[int, int] | None = None,
) -> Table:
    """A table without lines. A column wraps where `wrap` gives the least width it needs."""
    wrap = wrap or {}
    lines = [*([[Text(name, style="dim") for name in head]] if head else []), *rows]
    grid = Table.grid(padding=(0, 2, 0, 0))
    for n in range(len(lines[0]) if lines else 0):
        longest = max(line[n].cell_len for line in lines)
        may_wrap = n in wrap and longest > wrap[n]
        grid.add_column(
            justify="right" if n in right else "left",
            no_wrap=not may_wrap,
            min_width=wrap[n] if may_wrap else longest,
            overflow="fold",
        )
    for line in lines:
        grid.add_row(*line)
    return grid


@frozen
class Fitting:
    """The first of several forms of the same content that fits the window; the last one where none does."""

    forms: Sequence[Callable[[], RenderableType]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for form in self.forms[:-1]:
            body = form()
            if Measurement.get(console, options.update(width=10_000), body).minimum <= options.max_width:
                yield body
                return
        yield self.forms[-1]()


def group(*parts: RenderableType | None) -> Group:
    return Group(*(part for part in parts if part is not None))


def blank() -> Text:
    return Text("")
