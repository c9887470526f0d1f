"""What probes believe, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from netwright.atlas import beliefs

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x.astype(np.float32), y.astype(np.float64)


def test_the_belief_is_that_of_a_nearest_neighbour_classifier(digits):
    x, y = digits
    told = beliefs.ask(x[None, :200], y[:200], x[None, 200:900], y[200:900])
    peer = KNeighborsClassifier(told.neighbours).fit(x[200:900], y[200:900])
    same = told.belief[0] == peer.predict(x[:200])
    assert same.mean() > 0.99  # ties go to the nearest here, to the smallest class there
    shares = peer.predict_proba(x[:200])[np.arange(200), y[:200].astype(int)]
    np.testing.assert_allclose(told.support[0], shares, atol=1e-6)


def test_an_input_is_not_its_own_neighbour(digits):
    x, _ = digits
    near, distance = beliefs.nearest(x[:50], x[:300], 3, np.arange(50))
    assert not (near == np.arange(50)[:, None]).any()
    expected, _ = NearestNeighbors(n_neighbors=4).fit(x[:300]).kneighbors(x[:50])
    np.testing.assert_allclose(distance, expected[:, 1:], rtol=1e-3)


def test_shuffled_labels_are_believed_of_nobody(digits):
    x, y = digits
    labels = RNG.permutation(y[:400])
    told = beliefs.ask(x[None, :400], labels, x[None, :400], labels, np.arange(400))
    assert (told.belief[0] == labels).mean() < 0.25


def test_an_outlier_of_its_class_is_not_typical_and_the_middle_is():
    members = RNG.normal(size=(200, 4)).astype(np.float32)
    asked = np.stack([np.zeros(4), np.full(4, 9.0)]).astype(np.float32)
    told = beliefs.ask(asked[None], np.zeros(2), members[None], np.zeros(200))
    assert told.typicality[0, 0] > 0.99 and told.typicality[0, 1] == 0.0
    assert told.strangeness[0, 0] < 1 < 3 < told.strangeness[0, 1]


def test_a_regression_believes_the_mean_of_its_neighbours():
    x = np.linspace(0, 1, 400, dtype=np.float32)[:, None]
    told = beliefs.ask(x[None], 5.0 * x[:, 0], x[None], 5.0 * x[:, 0].astype(np.float64), classes=False)
    np.testing.assert_allclose(told.belief[0, 20:-20], 5 * x[20:-20, 0], atol=0.05)
    assert np.isnan(told.support).all()


def test_values_that_are_not_finite_are_asked_of_nobody(digits):
    x, y = digits
    x = x.copy()
    x[3, 5] = np.nan
    told = beliefs.ask(x[None, :100], y[:100], x[None], y)
    assert np.isnan(told.belief[0, 3]) and np.isfinite(told.belief[0, :3]).all()


def test_a_row_that_tells_no_input_from_another_has_no_beliefs():
    flat = np.ones((1, 50, 3), np.float32)
    told = beliefs.ask(flat, np.arange(50) % 2.0, flat, np.arange(50) % 2.0)
    assert np.isnan(told.belief).all()


def test_the_depth_is_the_row_from_which_on_the_belief_stays_right():
    nan = np.nan
    belief = np.array([
        [1, 0, 0, 1, nan],
        [0, 1, 0, 1, nan],
        [1, 1, 0, nan, nan],
        [1, 1, 0, 1, nan],
    ], dtype=np.float32)  # fmt: skip
    assert beliefs.depths(belief, np.ones(5)).tolist() == [2, 1, -1, 0, -1]
