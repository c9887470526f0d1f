"""What one seed accuses is asked again before it is said."""

import time

import netwright as nw
from conftest import digits_data, mlp, training
from netwright.app.remembering import RememberingEngine
from netwright.catalogue import Check, Needs
from netwright.diagnosis import Tools, diagnose
from netwright.runs import Clocks
from netwright.trials import InlineEngine, Meter, Seeds
from netwright.values import Budget, Finding, Place

from .cases import value_of

SEEDS = Seeds(0)
CLOCKS = Clocks(time.perf_counter, time.process_time)


def diagnosed(accuses, *, budget="60s", probes=(), when=None, **settings):
    """A sound recipe diagnosed by one check, which fires for the runs that `accuses` says."""

    def run(evidence):
        if accuses(evidence):
            yield Finding("overfit-capacity", Place())

    check = Check("own", Needs.RUN, "", run, probes, when=when)
    recipe = nw.Recipe(digits_data(300), mlp, training(**{"epochs": 2, **settings}))
    meter = Meter(Budget.parse(budget), time.perf_counter)
    engine = RememberingEngine(InlineEngine(CLOCKS), None, meter)  # charges the meter
    tools = Tools(engine, meter, SEEDS, (check,))
    return value_of(diagnose(recipe, tools, lambda *_: lambda _: [])), meter


def of_the_first(evidence):
    return evidence.run.seed == SEEDS.screening(1)[0]


def test_what_only_the_first_run_shows_is_not_said():
    found, meter = diagnosed(of_the_first)
    assert found.outcome == "healthy"
    assert meter.trials == 3  # the pace, the first run, the second


def test_what_a_second_run_shows_too_is_said():
    found, _ = diagnosed(lambda _: True)
    assert [f.cause for f in found.findings] == ["overfit-capacity"]


def test_a_second_run_that_does_not_raise_the_question_accuses_nobody():
    found, _ = diagnosed(lambda _: True, when=of_the_first)
    assert found.outcome == "healthy"


def test_copies_are_trained_with_the_second_seed_too():
    seen = {}

    def note(evidence):
        seen[evidence.run.seed] = evidence.probes["half-the-data"].skill
        return True

    diagnosed(note, probes=("half-the-data",))
    assert set(seen) == {SEEDS.screening(1)[0], SEEDS.reproducing(1)[0]}
    assert len(set(seen.values())) == 2


def test_nothing_is_asked_again_where_nothing_was_found():
    _, meter = diagnosed(lambda _: False)
    assert meter.trials == 2


def test_without_the_means_to_ask_again_it_is_not_said_and_nothing_is_called_healthy():
    found, _ = diagnosed(lambda _: True, budget="5 epochs")
    assert found.outcome == "inconclusive"
    assert [f.cause for f in found.considered] == ["overfit-capacity"]


def test_what_shows_early_is_left_to_the_confirmation():
    found, meter = diagnosed(lambda _: True, lr=1e-6)
    assert [f.cause for f in found.findings] == ["overfit-capacity"]
    assert meter.trials == 2
