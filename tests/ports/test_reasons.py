from __future__ import annotations

import numpy as np
import pytest

from netwright.ports.reasons import pictures_of, reason_of

X = np.random.default_rng(0).normal(size=(4, 6, 6)).astype(np.float32)


def edges(x):
    changed = x.copy()
    changed[:, 0] += 1
    return changed


CASES = {
    "an epsilon, a scale or a factor": (X, X * 1.02),
    "a bias is another": (X, X + np.arange(4, dtype=np.float32)[:, None, None]),
    "scaled and shifted": (X, X * 1.5 + 0.5),
    "padding is another": (X, edges(X)),
    "the activation is another": (X, np.where(X > 0, X, 0.1 * X)),
    "the layout is another": (X, np.ascontiguousarray(X.transpose(0, 2, 1))),
    "its axes lie in another order": (X[:, :, :5], X[:, :, :5].transpose(1, 2, 0)),
    "its size is rounded another way": (X, X[:, :5, :5]),
    "not finite": (X, np.where(X > 1, np.nan, X)),
    "fewer bits": (X, X + 2e-3 * np.sin(np.arange(144)).reshape(4, 6, 6).astype(np.float32)),
}


@pytest.mark.parametrize("words", CASES)
def test_a_difference_is_said_as_what_it_looks_like(words):
    said = reason_of(*CASES[words])
    assert said is not None and words in said


def test_what_looks_like_nothing_in_particular_is_not_explained():
    assert reason_of(X, np.random.default_rng(1).normal(size=X.shape).astype(np.float32)) is None


def test_the_pictures_are_of_the_channel_that_differs_most():
    other = X.copy()
    other[2, 3, 3] += 9
    original, port, difference = pictures_of(X, other)
    assert np.allclose(original.rows, X[2], rtol=1e-3) and np.allclose(port.rows, other[2], rtol=1e-3)
    assert difference.rows[3][3] == pytest.approx(9, rel=1e-3)


def test_a_vector_is_a_picture_of_one_row():
    assert len(pictures_of(np.arange(5.0), np.arange(5.0) + 1)[0].rows) == 1
