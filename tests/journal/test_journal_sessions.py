"""Sessions and their events: what was appended comes back as it was."""

import builtins
import collections.abc
import typing
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright.journal import Journal
from netwright.values import (
    Budget,
    Edit,
    EpochEnded,
    Event,
    Finding,
    FindingMade,
    IdeaScreened,
    Note,
    Place,
    RoundEnded,
    RunEnded,
    TrialEnded,
    Verdict,
)

AT = "2026-01-05T10:00:00"

numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(), max_size=12)  # surrogates included
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
mappings = st.dictionaries(texts, plain, max_size=3)


def strategy(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field by its type, through the nested values."""
    simple = {float: numbers, str: texts, int: st.integers(), bool: st.booleans(), Any: plain}
    simple[type(None)] = st.none()
    if hint in simple:
        return simple[hint]
    if attrs.has(hint):
        hints = get_type_hints(hint)
        return st.builds(hint, **{a.name: strategy(hints[a.name]) for a in attrs.fields(hint)})
    arguments = get_args(hint)
    match get_origin(hint):
        case typing.Literal:
            return st.sampled_from(arguments)
        case builtins.tuple:
            return st.lists(strategy(arguments[0]), max_size=2).map(tuple)
        case collections.abc.Mapping:
            return st.dictionaries(texts, strategy(arguments[1]), max_size=3)
        case _:
            return st.one_of([strategy(argument) for argument in arguments])


events = st.one_of([strategy(kind) for kind in get_args(Event)])


def begin(journal: Journal, verb: str = "improve", fingerprint: str = "f", **arguments: object) -> int:
    return journal.begin(verb, "digits.py", fingerprint, arguments, AT)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(events, max_size=8))
def test_events_come_back_as_they_were(journal: Journal, appended: list[Event]) -> None:
    session = begin(journal)
    for event in appended:
        journal.append(session, event)
    assert list(journal.events(session)) == appended


def test_events_of_every_kind_have_a_type_when_they_come_back(journal: Journal) -> None:
    session = begin(journal)
    appended: list[Event] = [
        IdeaScreened("i", Edit.set("training.lr", 0.1), None, 3, 1, True),
        FindingMade(Finding("lr-too-high", Place(file="a.py", line=3), {"ratio": 400.0})),
        TrialEnded(Verdict("i", "lr", "helps", 0.1, 0.05, 0.2, edit=Edit("betas", {"value": (0.9, 0.99)}))),
        RoundEnded((Edit.set("training.lr", 0.1),), 0.9),
        RunEnded("k", 0, 10, 100, 1.5, {"val": 0.5}, False),
        EpochEnded("k", 1, 10, 2.3, None, None),
    ]
    for event in appended:
        journal.append(session, event)
    assert list(journal.events(session)) == appended


def test_a_loss_that_is_not_finite_comes_back_as_nan(journal: Journal) -> None:
    session = begin(journal)
    journal.append(session, EpochEnded("k", 1, 10, float("inf"), None, None))
    [event] = journal.events(session)
    assert isinstance(event, EpochEnded) and event.loss != event.loss


def test_events_of_two_sessions_keep_apart(journal: Journal) -> None:
    one, two = begin(journal), begin(journal)
    for n in range(3):
        journal.append(one, Note(f"one {n}"))
        journal.append(two, Note(f"two {n}"))
    assert [e.text for e in journal.events(one) if isinstance(e, Note)] == ["one 0", "one 1", "one 2"]


def test_a_long_session_is_read_in_pages_without_loss(journal: Journal) -> None:
    session = begin(journal)
    for n in range(1203):
        journal.append(session, Note(str(n)))
    assert [e.text for e in journal.events(session) if isinstance(e, Note)] == [str(n) for n in range(1203)]


def test_one_may_append_while_reading(journal: Journal) -> None:
    session = begin(journal)
    journal.append(session, Note("first"))
    for event in journal.events(session):
        journal.append(session, event)
    assert len(list(journal.events(session))) == 2


def test_an_unfinished_session_is_found_by_exactly_what_it_was(journal: Journal) -> None:
    begin(journal, budget="2m", seed=0)
    newest = begin(journal, seed=0, budget="2m")
    assert journal.unfinished("improve", "f", {"budget": "2m", "seed": 0}) == newest
    assert journal.unfinished("improve", "f", {"budget": "2m", "seed": 1}) is None
    assert journal.unfinished("improve", "g", {"budget": "2m", "seed": 0}) is None
    assert journal.unfinished("diagnose", "f", {"budget": "2m", "seed": 0}) is None


def test_a_finished_session_is_no_longer_unfinished(journal: Journal) -> None:
    session = begin(journal)
    journal.finish(session, "improved", {"after": {"val": 0.98, "test": None}})
    assert journal.unfinished("improve", "f", {}) is None
    assert journal.document(session) == {"after": {"val": 0.98, "test": None}}


def test_a_session_ends_once(journal: Journal) -> None:
    session = begin(journal)
    journal.finish(session, "improved", {"n": 1})
    with pytest.raises(ValueError, match="already ended"):
        journal.finish(session, "inconclusive", {"n": 2})
    assert journal.document(session) == {"n": 1}


def test_an_event_of_an_unknown_session_is_a_bug_that_shows(journal: Journal) -> None:
    with pytest.raises(ValueError, match="no session 7"):
        journal.append(7, Note("lost"))


def test_what_is_no_event_is_a_bug_that_shows(journal: Journal) -> None:
    with pytest.raises(TypeError, match="Budget is no event"):
        journal.append(begin(journal), Budget(1.0, "epochs"))  # type: ignore[arg-type]


def test_sessions_are_listed_newest_first(journal: Journal) -> None:
    begin(journal, "scan")
    journal.finish(begin(journal, "improve"), "improved", {})
    assert journal.sessions() == [
        {
            "id": 2,
            "verb": "improve",
            "recipe": "digits.py",
            "fingerprint": "f",
            "at": AT,
            "outcome": "improved",
        },
        {"id": 1, "verb": "scan", "recipe": "digits.py", "fingerprint": "f", "at": AT, "outcome": None},
    ]


def test_a_journal_opened_again_has_everything(folder: Path) -> None:
    with Journal.open(folder) as journal:
        session = begin(journal)
        journal.append(session, Note("kept"))
    with Journal.open(folder) as journal:
        assert list(journal.events(session)) == [Note("kept")]


def test_git_ignores_the_journal(journal: Journal, folder: Path) -> None:
    assert (folder / ".gitignore").read_text() == "*\n"
