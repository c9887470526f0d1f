"""Commands reach whoever works on a session, through the journal alone."""

import sqlite3
from pathlib import Path

import pytest

from netwright.journal import Journal
from netwright.values import ColumnMeasured, MomentKept, Note, StateChanged


def begun(journal: Journal) -> int:
    return journal.begin("serve", "r", "f", {"seed": 0}, "t")


def test_commands_come_in_their_order_and_each_once(journal: Journal, folder: Path) -> None:
    session, other = begun(journal), begun(journal)
    with Journal.open(folder) as page:
        page.command(session, {"command": "pause"}, "t")
        page.command(other, {"command": "step"}, "t")
        page.command(session, {"command": "rewind", "epoch": 3}, "t")
    assert journal.commands_after(session, 0) == [
        (1, {"command": "pause"}),
        (2, {"command": "rewind", "epoch": 3}),
    ]
    assert journal.commands_after(session, 1) == [(2, {"command": "rewind", "epoch": 3})]
    assert journal.commands_after(session, 2) == []


def test_who_goes_on_with_a_session_begins_behind_what_was_taken(journal: Journal) -> None:
    session = begun(journal)
    assert journal.taken(session) == 0
    for name in ("pause", "step", "resume"):
        journal.command(session, {"command": name}, "t")
    journal.take(session, 2)
    assert journal.taken(session) == 2
    assert [c["command"] for _, c in journal.commands_after(session, journal.taken(session))] == ["resume"]


def test_a_command_for_a_session_that_there_is_not_is_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="there is no session 7"):
        journal.command(7, {"command": "pause"}, "t")


def test_events_behind_a_number_are_read_with_theirs(journal: Journal) -> None:
    session = begun(journal)
    events = (
        Note("a"),
        ColumnMeasured("k", 3, 1, None, {"std": (0.5, None)}, ("0", "2")),
        MomentKept("k", 1, "live/1/moment-1.atlas"),
        StateChanged("k", "paused", 1, 40, (0, 1), "said"),
    )
    journal.append(session, *events)
    assert list(journal.events_after(session, 1)) == [(2, events[1]), (3, events[2]), (4, events[3])]
    assert tuple(journal.events(session)) == events


def test_several_events_are_kept_together_or_not_at_all(journal: Journal) -> None:
    session = begun(journal)
    with pytest.raises(TypeError, match="str is no event"):
        journal.append(session, Note("a"), "b")  # type: ignore[arg-type]
    assert list(journal.events(session)) == []


def test_the_newest_session_of_exactly_this_is_found_whether_it_finished_or_not(journal: Journal) -> None:
    first, last = begun(journal), begun(journal)
    journal.begin("serve", "r", "f", {"seed": 1}, "t")
    journal.finish(last, "ended", {})
    assert journal.latest("serve", "f", {"seed": 0}) == last != first
    assert journal.latest("serve", "g", {"seed": 0}) is None


def test_a_journal_of_the_version_before_gets_what_is_new_and_keeps_what_it_has(folder: Path) -> None:
    with Journal.open(folder) as journal:
        session = begun(journal)
        journal.append(session, Note("kept"))
    database = sqlite3.connect(folder / "journal.db")
    database.executescript("DROP TABLE commands; UPDATE schema_version SET version = 1;")
    database.close()
    with Journal.open(folder) as journal:
        assert list(journal.events(session)) == [Note("kept")]
        journal.command(session, {"command": "pause"}, "t")
        assert len(journal.commands_after(session, 0)) == 1
    with Journal.open(folder) as journal:
        assert len(journal.commands_after(session, 0)) == 1


def test_a_write_of_anybody_changes_the_stamp(journal: Journal, folder: Path) -> None:
    session = begun(journal)
    before = journal.stamp()
    assert journal.stamp() == before
    with Journal.open(folder) as page:
        page.command(session, {"command": "pause", "said": "x" * 5000}, "t")
        assert journal.stamp() != before
