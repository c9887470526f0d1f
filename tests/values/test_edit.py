"""An edit is a plain value: comparable, hashable, made of JSON alone."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.values import Edit

PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)
PARAMETERS = st.dictionaries(st.text(), PLAIN, max_size=4)


@given(PARAMETERS)
def test_equal_edits_have_equal_hashes_whatever_the_order_of_their_parameters(parameters):
    first = Edit("set", parameters)
    second = Edit("set", dict(reversed(parameters.items())))
    assert first == second
    assert hash(first) == hash(second)


@given(PARAMETERS)
def test_an_edit_does_not_change_with_what_it_was_made_of(parameters):
    edit = Edit("set", parameters)
    before = repr(edit)
    parameters["added"] = 1
    assert repr(edit) == before


def test_lists_become_tuples():
    assert Edit("drop-samples", {"rows": [1, [2]]}).parameters["rows"] == (1, (2,))


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", lambda: 1])
def test_what_is_no_json_is_refused(value):
    with pytest.raises(TypeError, match="must be JSON"):
        Edit("set", {"value": value})


def test_setting_a_field_says_what_it_changes():
    edit = Edit.set("training.lr", 0.1)
    assert (edit.kind, edit.attribute, edit.label) == ("set", "lr", "lr → 0.1")
    assert dict(edit.parameters) == {"name": "lr", "value": 0.1}


@pytest.mark.parametrize("name", ["lr", "data.split", "training.", ""])
def test_only_fields_of_the_training_can_be_set(name):
    with pytest.raises(ValueError, match="only fields of the training"):
        Edit.set(name, 1)


def test_an_edit_cannot_be_changed_in_place():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Edit("set").kind = "other"
