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


@frozen
class Columns:
    """A table without lines. Only a column in `wrap` wraps, from the least width given there.

    The widths are worked out here: rich shrinks columns under their least width and cuts off the rest.
    """

    rows: Sequence[Sequence[Text]]
    right: Collection[int] = ()
    wrap: Mapping[int, int] = {}
    gap: int = 2

    def _bounds(self) -> list[tuple[int, int]]:
        """The least and the greatest width of every column."""
        bounds: list[tuple[int, int]] = []
        for n in range(len(self.rows[0]) if self.rows else 0):
            cells = [row[n] for row in self.rows]
            longest = max(cell.cell_len for cell in cells)
            least = longest
            if n in self.wrap:
                word = max((len(word) for cell in cells for word in cell.plain.split()), default=0)
                least = max(self.wrap[n], min(word, WIDEST // 2))
            bounds.append((min(least, longest), longest))
        return bounds

    def _line(self, row: Sequence[Text], widths: Sequence[int]) -> Text:
        """A row where nothing wraps; rich's own table takes ten times as long."""
        line = Text(no_wrap=True, overflow="ignore")
        for n, (cell, width) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (width - cell.cell_len)
            line.append(" " * self.gap if n else "")
            if n in self.right:
                line.append(gap).append_text(cell)
            else:
                line.append_text(cell).append(gap)
        return line

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        bounds = self._bounds()
        gaps = self.gap * max(0, len(bounds) - 1)
        return Measurement(sum(least for least, _ in bounds) + gaps, sum(most for _, most in bounds) + gaps)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        bounds = self._bounds()
        least = sum(least for least, _ in bounds) + self.gap * max(0, len(bounds) - 1)
        spare = options.max_width - least
        if sum(most for _, most in bounds) + self.gap * max(0, len(bounds) - 1) <= options.max_width:
            yield from (self._line(row, [most for _, most in bounds]) for row in self.rows)
            return
        grid = Table.grid(padding=(0, self.gap, 0, 0))
        for n, (least, most) in enumerate(bounds):
            given = max(0, min(spare, most - least))
            spare -= given
            grid.add_column(
                width=least + given, justify="right" if n in self.right else "left", overflow="fold"
            )
        for row in self.rows:
            grid.add_row(*row)
        yield grid


def columns(
    rows: Sequence[Sequence[Text]],
    head: Sequence[str] | None = None,
    right: Collection[int] = (),
    wrap: Mapping[int, int] | None = None,
) -> Columns:
    """Rows under their head, in columns."""
    lines = [*([[Text(name, style="dim") for name in head]] if head else []), *rows]
    return Columns(lines, right, wrap or {})


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
