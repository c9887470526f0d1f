"""diagnose as a verb: what had been spent when, and how long it may take where nobody says."""

from pathlib import Path

import netwright as nw
from conftest import digits_data, mlp, training
from netwright.values import PlanMade

DIGITS = str(Path(__file__).parents[2] / "examples" / "digits.py")


def test_it_says_what_had_been_spent_when_the_first_cause_was_said_and_confirmed(tmp_path):
    result = nw.diagnose(DIGITS, budget="300 epochs", workers=0, journal=tmp_path)
    assert [f.status for f in result.findings] == ["confirmed"]
    said, confirmed, spent = result.first_answer, result.first_confirmed, result.spent
    assert 0 < said.samples < confirmed.samples < spent.samples


def test_nothing_is_confirmed_of_a_sound_recipe(tmp_path):
    recipe = nw.Recipe(digits_data(300), mlp, training(epochs=3))
    result = nw.diagnose(recipe, budget="40 epochs", workers=0, journal=tmp_path)
    assert result.first_confirmed is None


def test_without_a_budget_a_small_recipe_has_a_minute(tmp_path):
    seen = []
    recipe = nw.Recipe(digits_data(300), mlp, training(epochs=1))
    nw.diagnose(recipe, workers=0, journal=tmp_path, on_event=seen.append)
    (plan,) = [event.plan for event in seen if isinstance(event, PlanMade)]
    assert "1 min 00 s buys" in plan.sentence
