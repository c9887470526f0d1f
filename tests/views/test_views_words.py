"""Numbers in words: what was not measured is never a zero."""

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.values import Finding, MetricName, Spent, TestEffect
from netwright.views import sentences, words
from views.patients import DEAD, IMPROVED, TOO_HIGH, VERDICTS

anything = st.none() | st.floats()


def test_numbers_are_said_as_the_transcript_says_them() -> None:
    assert words.signed(0.85) == "+0.85"
    assert words.interval(0.84, 0.87) == "[+0.84, +0.87]"
    assert words.share(0.61) == "61 %"
    assert words.count(1797) == "1,797"
    assert words.shape((1, 8, 8)) == "1×8×8"
    assert words.shapes((1, 8, 8), (16, 6, 6)) == "1×8×8 → 16×6×6"
    assert words.shapes((16, 6, 6), (16, 6, 6)) == "16×6×6"
    assert words.exponent(0.0112) == "1.1e-2"
    assert words.roughly(0.00898) == "0.009"
    assert words.plural(1, "seed") == "1 seed" and words.plural(1200, "seed") == "1,200 seeds"


def test_what_was_not_measured_is_empty_or_said() -> None:
    for said in (
        words.signed,
        words.score,
        words.share,
        words.count,
        words.exponent,
        words.megaflops,
        words.bars,
    ):
        assert said(None) == ""
    assert words.interval(None, 0.1) == words.interval(0.1, math.nan) == ""
    assert words.number(None) == "not measured"
    assert words.number(math.inf) == "not finite"
    assert words.from_to(None, 0.5) == ("", "0.50")


@given(anything, anything, anything)
def test_no_number_breaks_the_words(one: float | None, two: float | None, three: float | None) -> None:
    places = words.decimals(one, two, three)
    assert 0 <= places <= 6
    assert words.from_to(one, two)[0] == "" or not words.missing(one)
    assert words.number(one)
    words.signed(one, places), words.share(one), words.exponent(two), words.interval(one, two, places)


@given(st.floats(0, 1), st.floats(0, 1))
def test_scores_that_differ_by_a_thousandth_are_told_apart(one: float, two: float) -> None:
    if abs(one - two) > 0.001:
        assert len(set(words.from_to(one, two))) == 2


def test_a_tiny_share_is_not_nothing() -> None:
    assert words.share(0.0001) == "<1 %"
    assert words.share(0.9999) == ">99 %"
    assert words.share(0.0) == "0 %"


def test_a_bound_that_decided_is_never_rounded_to_nothing() -> None:
    verdict = attrs.evolve(
        VERDICTS[0], effect=0.02, low=0.0004, high=0.04, low_samples=0.01, high_samples=0.05
    )
    assert words.interval(verdict.low, verdict.high, words.place_values(verdict)).startswith("[+0.0004")


@given(st.lists(st.integers(0, 10**9), min_size=16, max_size=16))
def test_a_histogram_takes_eight_characters(counts: list[int]) -> None:
    assert len(words.bars(counts)) == (8 if any(counts) else 0)


def test_what_helps_comes_first_and_the_largest_of_it_before() -> None:
    ordered = [(v.verdict, v.label) for v in words.by_merit(VERDICTS)]
    assert ordered[:3] == [
        ("helps", "lr 10 → 0.1"),
        ("helps", "momentum 0 → 0.9"),
        ("hurts", "dropout 0.5 before Linear"),
    ]
    assert ordered[-1][0] == "failed"


def test_control_characters_of_a_user_become_visible() -> None:
    assert words.clean("a\x1b[31mb\x00\ud800") == "a\ufffd[31mb\ufffd\ufffd"


def test_a_long_list_says_how_much_of_it_is_shown() -> None:
    assert words.said(list(range(32))) == "0, 1, 2, 3, 4, 5, 6, 7 (first 8 of 32)"


def test_how_a_cause_was_confirmed_names_the_sham_and_the_rival() -> None:
    assert words.confirmed_by(TOO_HIGH) == (
        "The symptom: training skill stays under 0.3. With lr 10 → 0.1 it is gone on 5 of 5 seeds,"
        " with weight decay 0 → 1e-07 (sham) on 0 of 5 seeds,"
        " with inputs standardised instead (input-scale) on 0 of 5 seeds."
    )
    assert "changes by -0.01 [-0.03, +0.01] over 5 seeds" in words.confirmed_by(DEAD)
    assert words.confirmed_by(attrs.evolve(DEAD, confirmation={})) == ""
    assert words.confirmed_by(attrs.evolve(DEAD, confirmation={"count": 3})) == "Tried: count 3."


@pytest.mark.parametrize("outcome", ["improved", "already good", "not improved", "inconclusive"])
def test_every_outcome_has_a_headline(outcome: str) -> None:
    for result in (
        attrs.evolve(IMPROVED, outcome=outcome),
        attrs.evolve(
            IMPROVED, outcome=outcome, verdicts=(), before={"val": None}, after={"val": None}, test=None
        ),
    ):
        headline = sentences.headline(result)
        assert headline.endswith(".") and "  " not in headline and "None" not in headline


def test_a_second_look_is_no_longer_independent() -> None:
    assert sentences.looks(TestEffect(1, 270, 0.1, 0.0, 0.2)) == "first look at these 270 samples"
    assert (
        sentences.looks(TestEffect(4, 270, 0.1, 0.0, 0.2))
        == "look 4 at these 270 samples: no longer independent"
    )


def test_a_metric_is_explained() -> None:
    assert sentences.metric_meaning(MetricName("accuracy", True, 0.1)) == (
        "Accuracy is the share of samples that the network gets right;"
        " ignoring the inputs reaches 0.10, perfect is 1.00."
    )
    assert "lower is better" in sentences.metric_meaning(MetricName("my_cost", False, 3.0, 0.0))


def test_what_was_spent_leaves_out_what_there_was_none_of() -> None:
    assert sentences.spent_words(Spent(98.2, 212, 0, 16)) == "1 min 38 s, 212 epochs, 16 trials"
    assert sentences.spent_words(Spent(0.4)) == "0.4 s"


def test_a_sham_that_was_given_up_at_its_first_seed_is_said_of_that_one_seed() -> None:
    tried = {"symptom": "the loss stops being finite", "repair": "lr 10 → 0.1", "gone_on": 5, "seeds": 5,
             "sham": "weight decay 1e-07", "sham_gone_on": 0, "sham_seeds": 1}  # fmt: skip
    told = words.confirmed_by(Finding("lr-too-high", confirmation=tried))
    assert "it is gone on 5 of 5 seeds, with weight decay 1e-07 on 0 of 1 seed." in told


def test_what_falls_short_is_told_by_its_interval_and_not_by_single_seeds() -> None:
    tried = {"repair": "shuffle", "gone_on": None, "seeds": 5, "effect": 0.2, "low": 0.1, "high": 0.3,
             "sham": "weight decay 1e-07", "sham_gone_on": 0, "sham_seeds": 1}  # fmt: skip
    told = words.confirmed_by(Finding("unshuffled", confirmation=tried))
    assert "+0.20" in told and "over 5 seeds" in told
    assert "with weight decay 1e-07 it reaches half of that on 0 of 1 seed" in told
