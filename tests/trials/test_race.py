"""Screening and claims over real small trainings."""

import time

import pytest

import netwright as nw
from conftest import digits_data, mlp, training
from netwright.runs import Clocks
from netwright.trials import Contender, InlineEngine, Meter, Pace, claim, make_plan, screen
from netwright.trials.race import Ledger
from netwright.values import Budget, Edit, IdeaScreened

ENGINE = InlineEngine(Clocks(time.perf_counter, time.process_time))
SEEDS = [11, 12, 13, 14, 15]


def ended(events):
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return end.value, seen


def contender(name, *edits, attribute="lr", late=False):
    return Contender(name, attribute, edits, name, late)


@pytest.fixture(scope="module")
def slow():
    return nw.Recipe(digits_data(), mlp, training(lr=1e-3, momentum=None))


def test_a_change_that_repairs_helps(slow):
    ledger = Ledger(4)
    made, _ = ended(
        claim(
            slow, contender("raise", Edit.set("training.lr", 0.1)), engine=ENGINE, seeds=SEEDS, ledger=ledger
        )
    )
    verdict = made.verdict
    assert verdict.verdict == "helps"
    assert verdict.low > 0 and verdict.low_samples > 0
    assert (verdict.seeds, verdict.epochs, verdict.horizon) == (5, 6, 1.0)
    assert len(ledger.p_values) == 1


def test_a_change_that_spoils_hurts(digits_recipe):
    made, _ = ended(
        claim(
            digits_recipe,
            contender("freeze", Edit.set("training.lr", 1e-9)),
            engine=ENGINE,
            seeds=SEEDS,
            ledger=Ledger(1),
        )
    )
    assert made.verdict.verdict == "hurts"


def test_a_change_that_does_nothing_makes_no_difference(digits_recipe):
    edit = Edit.set("training.weight_decay", 1e-13)
    made, _ = ended(
        claim(
            digits_recipe,
            contender("sham", edit, attribute="weight_decay"),
            engine=ENGINE,
            seeds=SEEDS,
            ledger=Ledger(1),
        )
    )
    assert made.verdict.verdict in ("no difference", "unclear")


def test_a_training_that_raises_is_failed_with_its_reason(digits_recipe):
    edit = Edit("replace-output", {"layer": "3", "width": 4}, "output_layer")
    made, _ = ended(
        claim(digits_recipe, contender("narrow", edit), engine=ENGINE, seeds=SEEDS[:2], ledger=Ledger(1))
    )
    assert made.verdict.verdict == "failed"
    assert made.verdict.reason


def test_a_candidate_that_diverges_is_not_averaged_in():
    recipe = nw.Recipe(digits_data(), mlp, training())
    made, _ = ended(
        claim(
            recipe,
            contender("wild", Edit.set("training.lr", 1e30)),
            engine=ENGINE,
            seeds=SEEDS,
            ledger=Ledger(1),
        )
    )
    assert made.verdict.verdict == "failed"
    assert "diverged on 5 of 5 seeds" in made.verdict.reason


def test_other_epochs_are_compared_with_the_recipes_own(slow):
    edit = Edit.set("training.epochs", 12)
    made, _ = ended(
        claim(
            slow, contender("longer", edit, attribute="epochs"), engine=ENGINE, seeds=SEEDS, ledger=Ledger(1)
        )
    )
    assert made.verdict.control == "unchanged recipe, its own 6 epochs"
    assert made.verdict.epochs == 12


def test_screening_ranks_drops_and_claims_nothing(slow):
    entered = [
        contender("worse", Edit.set("training.lr", 1e-6)),
        contender("better", Edit.set("training.lr", 0.1)),
        contender("late", Edit.set("training.schedule", "cosine"), attribute="schedule", late=True),
    ]
    ranked, events = ended(screen(slow, entered, engine=ENGINE, seeds=[0], epochs=2, keep=1))
    assert ranked[0].contender.id == "better"
    dropped = {e.idea: e.dropped for e in events if isinstance(e, IdeaScreened)}
    assert dropped == {"better": False, "worse": True, "late": False}


@pytest.mark.parametrize(("text", "level"), [
    ("1s", "static"), ("8s", "probes"), ("90s", "proxies"), ("30m", "claims"),
    ("5 epochs", "probes"), ("3000 steps", "proxies"),
])  # fmt: skip
def test_a_budget_buys_what_method_says(text, level):
    plan = make_plan(Budget.parse(text), Pace(seconds=10.0, steps=200, epochs=10))
    assert plan.level == level
    assert ("no verdicts" in plan.sentence) == (level != "claims")
    assert "1 training ≈ 10 s" in plan.sentence


def test_a_long_training_is_planned_as_in_method():
    plan = make_plan(Budget.parse("30m"), Pace(seconds=61 * 60, steps=100_000, epochs=90))
    assert plan.level == "probes"
    assert plan.sentence.startswith("1 training ≈ 1 h 01 min")


def test_the_meter_counts_by_the_clock_it_was_handed():
    now = [100.0]
    meter = Meter(Budget.parse("2m"), lambda: now[0])
    now[0] += 30
    assert (meter.spent, meter.left) == (30.0, 90.0)
    assert meter.affords(Pace(10.0, 1, 1, workers=2), 18)
    assert not meter.affords(Pace(10.0, 1, 1, workers=2), 18, reserve=1)
    meter.charge(0, 0, seconds_remembered=60.0)
    assert meter.left == 30.0


def test_steps_and_epochs_are_counted_over_all_trainings():
    meter = Meter(Budget.parse("100 epochs"), lambda: 0.0)
    meter.charge(epochs=30, steps=999)
    assert meter.left == 70
    assert meter.affords(Pace(1e9, 10, 7), 10)
    assert not meter.affords(Pace(1e9, 10, 7), 11)


@pytest.mark.parametrize(("seconds", "budget"), [(0.1, 60), (10, 150), (30, 450), (100, 600)])
def test_a_budget_that_nobody_asked_for_suits_what_a_training_takes(seconds, budget):
    meter = Meter(Budget.parse("60s"), lambda: 0.0, most=600)
    meter.suit(Pace(seconds, 100, 10, workers=2))
    assert meter.budget == Budget(budget, "seconds")


def test_a_budget_that_was_asked_for_stays():
    meter = Meter(Budget.parse("20s"), lambda: 0.0)
    meter.suit(Pace(100, 100, 10))
    assert meter.budget == Budget.parse("20s")
