"""Checks, ideas and kinds of edit are declared by a decorator and found where they are declared."""

from __future__ import annotations

from types import ModuleType

import pytest

from netwright import catalogue
from netwright.catalogue import Catalogue, Check, Cost, EditKind, Idea, Needs, check, edit, entries_of, idea
from netwright.values import UserError


def module(name: str, source: str) -> ModuleType:
    made = ModuleType(name)
    exec(compile(source, name, "exec"), vars(made))
    return made


DECLARED = '''
from netwright.catalogue import check, edit, idea, Needs

@check("always", needs=Needs.DATA | Needs.RUN, confuses="everything")
def always(evidence):
    yield 1

@idea(attribute="lr", addresses=["lr-too-high"], prior=0.5, late=True)
def lower_it(recipe, situation):
    """Lower.

    Source: Somebody,
    Somewhere (2020).
    """
    yield 2

@edit("louder", on="training")
def louder(training):
    return training

def not_declared():
    pass
'''


def test_a_decorated_function_stays_the_function():
    @check("one")
    def one(evidence):
        yield evidence

    assert list(one(7)) == [7]


def test_entries_come_in_the_order_of_the_source():
    entries = list(entries_of(module("mine", DECLARED)))
    assert [(type(entry), entry.id) for entry in entries] == [
        (Check, "always"),
        (Idea, "lower-it"),
        (EditKind, "louder"),
    ]
    found_check, found_idea, found_edit = entries
    assert found_check.needs.words() == "data, run"
    assert found_check.confuses == "everything"
    assert (found_idea.attribute, found_idea.addresses, found_idea.prior) == ("lr", ("lr-too-high",), 0.5)
    assert (found_idea.late, found_idea.cost) == (True, Cost.ONE_TRIAL)
    assert found_idea.source == "Somebody, Somewhere (2020)."
    assert found_edit.on == "training"


def test_what_a_module_only_imports_is_not_declared_there():
    first = module("first", DECLARED)
    second = ModuleType("second")
    second.always = first.always
    assert list(entries_of(second)) == []


def test_an_idea_without_a_source_is_refused_where_it_is_written():
    with pytest.raises(ValueError, match="idea guess: the docstring names no 'Source:'"):

        @idea(attribute="lr", prior=0.1)
        def guess(recipe, situation):
            """A guess."""


def test_a_users_entries_stand_beside_the_installed_ones():
    installed, extended = Catalogue.collect(), Catalogue.collect([module("mine", DECLARED)])
    assert set(extended.checks) - set(installed.checks) == {"always"}
    assert set(extended.ideas) - set(installed.ideas) == {"lower-it"}
    assert set(extended.edits) - set(installed.edits) == {"louder"}


def test_collecting_leaves_no_trace():
    Catalogue.collect([module("mine", DECLARED)])
    assert "always" not in Catalogue.collect().checks


def test_the_same_module_twice_is_no_conflict():
    mine = module("mine", DECLARED)
    assert "always" in Catalogue.collect([mine, mine]).checks


def test_two_entries_of_one_id_are_refused():
    with pytest.raises(UserError, match="check 'always' is declared twice"):
        Catalogue.collect([module("mine", DECLARED), module("yours", DECLARED)])


def test_an_installed_id_cannot_be_taken():
    taken = 'from netwright.catalogue import edit\n@edit("set", on="training")\ndef mine(training): ...\n'
    with pytest.raises(UserError, match="'set' is declared twice; give it another id"):
        Catalogue.collect([module("mine", taken)])


def test_every_installed_edit_has_a_docstring_and_changes_a_known_part():
    for kind in Catalogue.collect().edits.values():
        assert kind.function.__doc__
        assert kind.on in ("training", "network", "samples", "validation", "edits")


def test_every_installed_idea_names_an_attribute_a_prior_and_a_source():
    for entry in Catalogue.collect().ideas.values():
        assert entry.attribute
        assert 0 <= entry.prior <= 1
        assert entry.source


def test_needs_are_said_in_words():
    assert Needs.NONE.words() == ""
    assert (Needs.RANGE_TEST | Needs.RECIPE).words() == "recipe, range test"


def test_the_names_that_users_import_are_these():
    for name in ("check", "edit", "idea", "Needs"):
        assert getattr(catalogue, name) is getattr(__import__("netwright"), name)
    assert edit is catalogue.edit
