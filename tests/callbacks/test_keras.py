"""Watching the real `fit` of Keras 3 on its PyTorch backend."""

import numpy as np
import pytest

import netwright as nw


@pytest.fixture
def keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    found = pytest.importorskip("keras")
    if found.backend.backend() != "torch":
        pytest.skip("keras was imported with another backend")
    return found


def fit(keras, callbacks):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Dense(16, activation="relu"), keras.layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(80, 8)).astype("float32"), generator.integers(3, size=80)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False, callbacks=callbacks)
    return model


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_sound_fit_is_left_alone_and_trains_to_the_same_bits(keras):
    from netwright.callbacks.keras import Watch

    watch = Watch()
    watched, plain = fit(keras, [watch]), fit(keras, [])
    assert watch.trace.steps == 20
    assert np.isfinite(watch.trace.losses).all() and watch.trace.losses.min() > 0
    assert nw.diagnose(watch.trace).findings == ()
    for one, other in zip(watched.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_report_is_printed_once(keras, capsys):
    from netwright.callbacks.keras import Watch

    fit(keras, [Watch(report=True)])
    assert capsys.readouterr().out.splitlines() == ["nothing found in 20 watched iterations"]
