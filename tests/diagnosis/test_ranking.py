"""From findings to a ranked list: thresholds, and symptoms under their causes."""

import tomllib
from importlib import resources

import pytest

import netwright as nw
from netwright.diagnosis import THRESHOLD, rank, rivals_of
from netwright.values import Finding

from .buggy_loops import never_zeroed
from .cases import CHECKS, OF_LOOPS

CAUSES = tomllib.loads(resources.files("netwright.diagnosis").joinpath("causes.toml").read_text("utf-8"))


def causes(found):
    return [f.cause for f in found]


def test_units_held_down_by_their_bias_are_no_symptom_of_the_inputs():
    held = Finding("dead-units", evidence={"at_start": True, "bias_size": 20.0})
    fed = Finding("dead-units", evidence={"at_start": True, "bias_size": 0.1})
    assert causes(rank([held, Finding("input-scale")]).considered) == []
    assert causes(rank([fed, Finding("input-scale")]).considered) == ["dead-units"]


def test_one_cause_by_two_signs_is_said_once_by_the_likelier():
    by_comparison = Finding("capacity-too-small", evidence={"by_comparison": True}, check="less-than-simple")
    ranking = rank([by_comparison, Finding("capacity-too-small", check="capacity-too-small")])
    assert [f.check for f in ranking.findings] == ["capacity-too-small"]
    assert [f.check for f in ranking.considered] == ["less-than-simple"]
    assert "explained_by" not in ranking.considered[0].evidence  # a cause is no symptom of itself


def test_a_symptom_is_folded_under_its_cause_and_says_so():
    ranking = rank([Finding("dead-units", evidence={"at_start": False}), Finding("lr-too-high")])
    assert causes(ranking.findings) == ["lr-too-high"]
    assert causes(ranking.considered) == ["dead-units"]
    assert ranking.considered[0].evidence["explained_by"] == "lr-too-high"
    assert ranking.considered[0].confidence < THRESHOLD


def test_what_is_there_before_any_training_is_no_symptom_of_the_rate():
    ranking = rank([Finding("dead-units", evidence={"at_start": True}), Finding("lr-too-high")])
    assert set(causes(ranking.findings)) == {"dead-units", "lr-too-high"}


def test_the_likelier_stands_first():
    ranking = rank([Finding("class-imbalance"), Finding("target-shape"), Finding("unshuffled")])
    confidences = [f.confidence for f in ranking.findings]
    assert confidences == sorted(confidences, reverse=True)
    assert ranking.findings[0].cause == "target-shape"


def test_a_weak_form_of_a_cause_stays_below_the_threshold():
    ranking = rank([Finding("output-width", evidence={"surplus": True})])
    assert ranking.findings == ()
    assert causes(ranking.considered) == ["output-width"]


def test_an_unknown_cause_of_a_users_own_check_is_ranked_too():
    assert causes(rank([Finding("my-own-cause")]).findings) == ["my-own-cause"]


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_its_numbers(cause):
    entry = CAUSES[cause]
    assert 0 < entry["prior"] < 1
    assert entry["ratio"] > 1
    assert entry["severity"] in ("error", "warning", "note")
    assert set(entry["explains"]) <= set(CAUSES)
    assert rivals_of(cause) and set(rivals_of(cause)) <= set(CAUSES)


@pytest.fixture(scope="module")
def stated():
    """The causes that some check states: each that of its own name, those of watched loops one together."""
    return set(CHECKS) - OF_LOOPS | {f.cause for f in nw.diagnose(never_zeroed()[0]).findings}


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_is_stated_by_some_check(cause, stated):
    assert cause in stated
