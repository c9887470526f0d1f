"""The statistics behind every word of a verdict."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from netwright.trials.statistics import (
    Comparison,
    compare,
    crossed_bootstrap,
    holm_adjusted,
    holm_alpha,
    seeds_needed,
    t_interval,
    t_p_value,
    word_of,
)

FINITE = st.floats(-100, 100, allow_nan=False, width=32)


def covered(draw, truth, runs=4000):
    generator = np.random.default_rng(7)
    inside = 0
    for _ in range(runs):
        low, high = t_interval(draw(generator), 0.95)
        inside += low <= truth <= high
    return inside / runs


def test_the_interval_covers_normal_differences_at_five_seeds():
    assert 0.93 <= covered(lambda g: g.normal(0.3, 1.0, 5), 0.3) <= 0.97


def test_the_interval_covers_differences_of_a_shared_and_an_own_part():
    def draw(generator):
        shared = generator.normal(0, 1, 5)
        return (shared + generator.normal(0.1, 0.3, 5)) - (shared + generator.normal(0, 0.3, 5))

    assert 0.93 <= covered(draw, 0.1) <= 0.97


@pytest.mark.parametrize(("name", "draw", "mean"), [
    ("exponential", lambda g: g.exponential(1.0, 5), 1.0),
    ("lognormal", lambda g: g.lognormal(0.0, 0.5, 5), np.exp(0.125)),
])  # fmt: skip
def test_skewed_differences_are_covered_less_but_not_wildly_less(name, draw, mean):
    """Known figures: about 0.88 for exponential and 0.92 for mildly log-normal differences at five seeds."""
    assert 0.85 <= covered(draw, mean) <= 0.96


def test_the_p_value_is_that_of_the_paired_t_test():
    generator = np.random.default_rng(0)
    before, after = generator.normal(0, 1, 8), generator.normal(0.5, 1, 8)
    assert t_p_value(after - before) == pytest.approx(stats.ttest_rel(after, before).pvalue)


def test_differences_that_are_all_zero_have_no_effect():
    found = compare(np.full(5, 0.9), np.full(5, 0.9), np.ones((5, 20)), np.ones((5, 20)))
    assert (found.effect, found.p_value) == (0.0, 1.0)
    assert word_of(found, rejected=False, margin=0.01) == "no difference"


def test_one_seed_says_nothing():
    low, high = t_interval(np.array([0.5]), 0.95)
    assert low == -np.inf and high == np.inf


def test_the_bootstrap_of_a_constant_is_that_constant():
    means = crossed_bootstrap(np.full((5, 30), 0.25), resamples=200)
    assert means == pytest.approx(np.full(200, 0.25))


def test_the_bootstrap_sees_the_error_of_the_validation_set():
    """Seeds that agree with each other but stand on few samples are no certainty."""
    one = np.random.default_rng(3).choice([0.0, 1.0], p=[0.7, 0.3], size=40) - 0.3
    means = crossed_bootstrap(np.tile(one, (5, 1)), resamples=2000)
    assert np.std(means) == pytest.approx(one.std() / np.sqrt(40), rel=0.15)


def test_groups_are_drawn_as_units():
    groups = np.repeat(np.arange(4), 25)
    values = np.tile(np.repeat([1.0, -1.0, 1.0, -1.0], 25), (5, 1))
    alone = crossed_bootstrap(values, resamples=1000).std()
    together = crossed_bootstrap(values, groups=groups, resamples=1000).std()
    assert together > 3 * alone


@given(arrays(np.float64, (5, 12), elements=FINITE), st.permutations(range(5)))
@settings(max_examples=30, deadline=None)
def test_a_verdict_does_not_change_when_seeds_are_permuted(differences, order):
    zero = np.zeros(5)
    one = compare(zero, differences.mean(1))
    other = compare(zero, differences.mean(1)[list(order)])
    assert one.effect == pytest.approx(other.effect)
    assert one.p_value == pytest.approx(other.p_value)
    assert word_of(one, True, 0.1) == word_of(other, True, 0.1)


@given(arrays(np.float64, 6, elements=FINITE), FINITE)
@settings(max_examples=50, deadline=None)
def test_swapping_control_and_candidate_turns_the_effect_round(candidate, level):
    control = np.full(6, level)
    forward, backward = compare(control, candidate), compare(candidate, control)
    assert forward.effect == pytest.approx(-backward.effect)
    assert forward.low == pytest.approx(-backward.high)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 6))
def test_holm_never_takes_back_what_it_rejected_early(p_values, more):
    planned = len(p_values) + more
    for k in range(1, len(p_values)):
        early, late = holm_alpha(p_values[:k], planned), holm_alpha(p_values, planned)
        assert all(not a or b for a, b in zip(early, late[:k], strict=True))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 6))
def test_holm_rejects_where_its_adjusted_p_value_is_at_most_alpha(p_values, more):
    planned = len(p_values) + more
    rejected = holm_alpha(p_values, planned)
    adjusted = holm_adjusted(p_values, planned)
    # At the very threshold the two differ by rounding alone.
    assert all(r == (a <= 0.05) or abs(a - 0.05) < 1e-12 for r, a in zip(rejected, adjusted, strict=True))


def comparison(low, high, *, samples=None, narrow=None):
    return Comparison(
        (low + high) / 2, low, high, *(samples or (low, high)), 0.01, 0.1, narrow or (low, high), 5
    )


@pytest.mark.parametrize(("found", "rejected", "word"), [
    (comparison(0.01, 0.05), True, "helps"),
    (comparison(0.01, 0.05), False, "unclear"),
    (comparison(0.02, 0.05, samples=(-0.01, 0.06)), True, "unclear"),
    (comparison(-0.05, -0.02), True, "hurts"),
    (comparison(-0.004, 0.004), False, "no difference"),
    (comparison(-0.05, 0.05), False, "unclear"),
    (comparison(0.002, 0.006), False, "no difference"),
])  # fmt: skip
def test_each_word_takes_what_method_says(found, rejected, word):
    assert word_of(found, rejected, margin=0.01) == word


def test_small_effects_get_ten_seeds_before_any_is_run():
    assert [seeds_needed(effect, 0.1) for effect in (0.3, 0.2, 0.1)] == [5, 5, 10]


def whole_run(generator, confirmations=8):
    """A run of `improve` with ideas that change nothing: seeds and samples of both arms from one
    distribution."""
    p_values, words = [], []
    for _ in range(confirmations):
        difficulty = generator.random(60)
        shift = generator.normal(0, 0.3, (2, 5, 1))
        right = (generator.random((2, 5, 60)) < np.clip(0.8 * difficulty + 0.1 + 0.1 * shift, 0, 1)).astype(
            float
        )
        found = compare(
            right[0].mean(1), right[1].mean(1), right[0], right[1], seed=int(generator.integers(1 << 30))
        )
        p_values.append(found.p_value)
        words.append(word_of(found, holm_alpha(p_values, confirmations)[-1], margin=0.01))
    return words


def test_ideas_that_change_nothing_help_in_at_most_five_percent_of_whole_runs():
    generator = np.random.default_rng(11)
    runs = 250
    alarms = sum("helps" in whole_run(generator) for _ in range(runs))
    assert alarms / runs <= 0.05
