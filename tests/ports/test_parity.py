from __future__ import annotations

import math

import numpy as np
import pytest

from netwright.ports.parity import Agreement, first_to_diverge


def agreement(original, ported, tolerance=1e-4) -> Agreement:
    made = Agreement(tolerance)
    made.add(np.asarray(original, np.float32), np.asarray(ported, np.float32))
    return made


def test_the_error_is_of_the_layers_largest_value():
    found = agreement([[100.0, 1.0]], [[100.0, 1.5]])
    assert found.max_error == pytest.approx(0.5)
    assert found.relative_error == pytest.approx(0.005)
    assert not found.within


def test_the_largest_value_is_that_of_all_batches():
    found = Agreement(1e-4)
    found.add(np.array([[1.0]]), np.array([[1.0001]]))
    found.add(np.array([[1000.0]]), np.array([[1000.0]]))
    assert found.relative_error == pytest.approx(1e-7)


def test_the_share_of_inputs_beyond_the_tolerance_counts_inputs():
    found = agreement([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], [[1, 0], [1, 0.1], [1, 0], [1, 0]])
    assert found.beyond == 0.25


def test_what_is_not_finite_in_both_agrees_and_in_one_differs_wholly():
    assert agreement([[math.nan, math.inf]], [[math.nan, math.inf]]).within
    assert agreement([[1.0, 2.0]], [[1.0, math.nan]]).relative_error == math.inf
    assert agreement([[1.0, math.inf]], [[1.0, -math.inf]]).relative_error == math.inf


def test_axes_of_one_are_no_difference_of_shape_and_any_other_is():
    assert agreement(np.ones((2, 3)), np.ones((2, 3, 1, 1))).within
    assert agreement(np.ones((2, 3, 4)), np.ones((2, 4, 3))).relative_error == math.inf


def test_the_cosine_is_of_all_values():
    assert agreement([[1.0, 0.0]], [[0.0, 1.0]]).cosine == 0
    assert agreement([[0.0]], [[0.0]]).cosine == 1


def test_the_input_that_differs_most_is_kept():
    found = agreement([[1.0], [2.0], [3.0]], [[1.0], [2.5], [3.1]])
    assert found.worst is not None and found.worst[0].tolist() == [2.0]


def test_a_layer_that_is_zero_everywhere_is_compared_with_rounding():
    assert agreement([[0.0]], [[1e-12]]).within
    assert not agreement([[0.0]], [[1e-3]]).within


def test_the_first_to_diverge_is_given_nothing_that_differs():
    upstream = {"a": frozenset(), "b": frozenset("a"), "c": frozenset(), "d": frozenset("abc")}
    assert first_to_diverge({"a": True, "b": False, "c": True, "d": False}, upstream) == "b"
    assert first_to_diverge({"a": True, "b": True, "c": True, "d": True}, upstream) is None


def test_pictures_are_kept_only_of_what_is_beyond_the_tolerance():
    original = np.linspace(0, 1, 8).reshape(2, 4)
    near, far = Agreement(1e-2), Agreement(1e-2)
    near.add(original, original + 1e-3)
    far.add(original, original + np.array([[0.0], [0.5]]))
    assert near.within and near.worst is None
    assert far.worst is not None and np.array_equal(far.worst[0], original[1])
