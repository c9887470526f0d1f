"""Budgets are read as people write them, and shown as people say them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.values import Budget, UserError, duration


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("90s", 90, "seconds"),
        ("2m", 120, "seconds"),
        ("1.5 min", 90, "seconds"),
        ("1h", 3600, "seconds"),
        ("1d", 86400, "seconds"),
        (" 30 S ", 30, "seconds"),
        ("200 epochs", 200, "epochs"),
        ("1 epoch", 1, "epochs"),
        ("2000steps", 2000, "steps"),
    ],
)
def test_a_budget_is_read_as_it_is_written(text, amount, unit):
    assert Budget.parse(text) == Budget(amount, unit)


def test_a_budget_is_taken_as_it_is():
    assert Budget.parse(Budget(3, "steps")) == Budget(3, "steps")


@pytest.mark.parametrize(
    "text", ["", "2", "m", "-2m", "0s", "2 weeks", "2m 3s", "two minutes", "1e3s", "1:30", "∞s"]
)
def test_what_is_no_amount_is_refused_with_examples(text):
    with pytest.raises(UserError, match="say 90s, 2m, 1h, 200 epochs or 2000 steps"):
        Budget.parse(text)


@given(st.text())
def test_any_text_is_a_positive_budget_or_refused(text):
    try:
        budget = Budget.parse(text)
    except UserError:
        return
    assert budget.amount > 0


@given(st.integers(1, 10**6), st.sampled_from(["s", "m", "h", "d", " epochs", " steps"]))
def test_whole_amounts_survive_in_their_unit(amount, unit):
    budget = Budget.parse(f"{amount}{unit}")
    scale = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(unit, 1)
    assert budget.amount == amount * scale


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.97, "10 s"),
        (48, "48 s"),
        (59.4, "59 s"),
        (59.7, "1 min 00 s"),
        (98, "1 min 38 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_a_duration_is_said_in_plain_words(seconds, words):
    assert duration(seconds) == words


def test_a_budget_is_shown_in_its_unit():
    assert str(Budget(2000, "steps")) == "2,000 steps"
    assert str(Budget(120, "seconds")) == "2 min 00 s"
