"""The terminal: the transcript as agreed, in any width, with nothing lost."""

import io
import os
import re
from collections import Counter
from pathlib import Path

import attrs
import pytest
from rich.console import Console, RenderableType

from netwright.values import Change, Finding, LookResult, Place
from netwright.views import terminal
from views.patients import (
    ATTRIBUTES,
    DIAGNOSED,
    HEALTHY,
    IMPROVED,
    LOOKED,
    OVERVIEW,
    SCANNED,
    STUCK,
    TOO_HIGH,
    VERDICTS,
)

GOLDEN = Path(__file__).parent / "improve.txt"

VIEWS = {
    "improved": terminal.improve_lines(IMPROVED),
    "stuck": terminal.improve_lines(STUCK),
    "diagnosed": terminal.diagnose_view(DIAGNOSED),
    "healthy": terminal.diagnose_view(HEALTHY),
    "scanned": terminal.scan_view(SCANNED),
    "looked": terminal.listing(LOOKED),
    "attributes": terminal.attributes_table(ATTRIBUTES),
    "verdicts": terminal.verdict_table(VERDICTS),
    "changes": terminal.changes_table(IMPROVED.changes),
    "overview": terminal.overview_line(OVERVIEW),
    "finding": terminal.finding_block(TOO_HIGH),
}


def shown(view: RenderableType, width: int = 80, **console: object) -> str:
    out = io.StringIO()
    Console(file=out, width=width, **console).print(view)  # type: ignore[arg-type]
    return out.getvalue()


def test_the_transcript_is_the_one_that_was_agreed() -> None:
    text = "\n".join(line.rstrip() for line in shown(VIEWS["improved"], 100).splitlines()) + "\n"
    if os.environ.get("NETWRIGHT_REGENERATE"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", VIEWS)
def test_no_line_is_wider_than_the_window(name: str, width: int) -> None:
    assert max(len(line) for line in shown(VIEWS[name], width).splitlines()) <= width


@pytest.mark.parametrize("name", [n for n in VIEWS if n not in ("looked", "verdicts")])
def test_a_narrow_window_loses_no_letter(name: str) -> None:
    """A listing and a table of verdicts, which fold into other words, have tests of their own."""

    def letters(width: int) -> Counter[str]:
        return Counter(re.sub(r"[\s·]", "", shown(VIEWS[name], width)))

    whole = letters(400)
    for width in range(24, 131, 3):
        assert letters(width) == whole, width


@pytest.mark.parametrize("name", ["improved", "stuck", "diagnosed", "scanned"])
def test_sixty_columns_break_no_word(name: str) -> None:
    def words_of(width: int) -> Counter[str]:
        return Counter(re.findall(r"\w+", shown(VIEWS[name], width)))

    assert words_of(60) == words_of(400)


@pytest.mark.parametrize("width", [30, 60, 80])
def test_a_narrow_listing_has_every_layer_and_number(width: int) -> None:
    text = re.sub(r"\s+", "", shown(VIEWS["looked"], width))
    for said in (
        "features.0",
        "1×8×8→16×6×6",
        "160",
        "0.10",
        "61%",
        "1.1e-2",
        "▁▁▃██▃▁▁",
        "lr-too-high",
        "frozen",
    ):
        assert said in text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_every_verdict_is_there_in_any_width(width: int) -> None:
    text = re.sub(r"\s+", "", shown(VIEWS["verdicts"], width))
    for verdict in VERDICTS:
        assert verdict.label.replace(" ", "") in text
        assert verdict.verdict.replace(" ", "") in text


def test_nothing_unmeasured_is_shown_as_zero() -> None:
    text = shown(VIEWS["looked"], 120)
    [line] = [line for line in text.splitlines() if line.startswith("Flatten")]
    assert "0" not in line.removeprefix("Flatten flatten    16×6×6 → 576")
    text = shown(terminal.verdict_table([v for v in VERDICTS if v.effect is None]), 120)
    assert "0.0" not in text.replace("+0.01", "")


def test_a_terminal_without_colour_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    coloured = re.compile(r"\x1b\[[0-9;]*(3[0-7]|9[0-7])[;m]")
    for view in VIEWS.values():
        assert not coloured.search(shown(view, force_terminal=True))
    monkeypatch.delenv("NO_COLOR")
    assert coloured.search(shown(VIEWS["improved"], force_terminal=True, color_system="standard"))


def test_a_pipe_gets_plain_text() -> None:
    for view in VIEWS.values():
        assert "\x1b" not in shown(view)


def test_brackets_and_control_characters_of_a_user_are_text() -> None:
    hostile = "a[bold]b[/nope]\x1b[2Jc"
    finding = Finding(hostile, Place(hostile, hostile, 1), {"written": hostile}, hostile)
    result = attrs.evolve(
        IMPROVED,
        findings=(finding,),
        changes=(Change(hostile, 3, hostile, hostile, hostile),),
        notes=(hostile,),
        verdicts=(attrs.evolve(VERDICTS[0], label=hostile, reason=hostile),),
        skipped={hostile: hostile},
    )
    layer = attrs.evolve(LOOKED.layers[0], name=hostile, kind=hostile)
    for view in (terminal.improve_lines(result), terminal.listing(LookResult(hostile, hostile, (layer,), 3))):
        text = shown(view, 200)
        assert "\x1b" not in text and "a[bold]b[/nope]" in text


def test_an_empty_result_is_said_in_words() -> None:
    empty = attrs.evolve(
        STUCK, findings=(), verdicts=(), considered=(), next_steps=(), overview=None, baseline=""
    )
    text = shown(terminal.improve_lines(empty))
    assert "nothing that blocks learning was found" in text
    assert "trials" not in text.split("\n")[1]
    assert "nothing was tried" in shown(terminal.verdict_table([]))


def test_all_that_helps_is_shown_however_much_it_is() -> None:
    many = tuple(attrs.evolve(VERDICTS[0], label=f"idea {n}") for n in range(12))
    text = shown(terminal.improve_lines(attrs.evolve(IMPROVED, verdicts=many)), 100)
    assert all(f"idea {n} " in text for n in range(12))
