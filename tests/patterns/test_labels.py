"""Whether labels are right and belong to their inputs: cases in which a check must fire, and near misses."""

import numpy as np
import pytest
from torch import nn

import netwright as nw
from conftest import diabetes_data, digits_data, mlp, table_data, table_mlp
from diagnosis.cases import adam, assert_fires, cases, findings, regression
from diagnosis.networks import binary_table, one_logit


def digits():
    return digits_data(900).train


def noisy(share=0.2):
    """Digits of which a share has another label."""
    x, y = digits()
    generator = np.random.default_rng(0)
    wrong = generator.random(len(y)) < share
    return nw.Data.arrays(x, np.where(wrong, (y + generator.integers(1, 10, len(y))) % 10, y))


def noisy_training(share=0.125):
    """Digits of which a share has another label in training, and none in validation."""
    x, y = digits_data(1400).train
    generator = np.random.default_rng(0)
    order = generator.permutation(len(y))
    x, y = x[order], y[order]
    wrong = (generator.random(len(y)) < share) & (np.arange(len(y)) < 900)
    changed = np.where(wrong, (y + generator.integers(1, 10, len(y))) % 10, y)
    return nw.Data((x[:900], changed[:900]), (x[900:], changed[900:]))


def overlapping(apart=1.0):
    """Two clouds that overlap: many errors, and no wrong label."""
    generator = np.random.default_rng(0)
    y = np.arange(800) % 2
    x = generator.normal(size=(800, 4)) + apart * y[:, None] * np.array([1, 0, 0, 0])
    return nw.Data.arrays(x.astype("float32"), y)


def shuffled(y):
    return np.random.default_rng(0).permutation(y)


def moved(places=1):
    """Each label one row after the input that it belongs to."""
    x, y = table_data().train
    order = np.random.default_rng(0).permutation(len(y))
    return nw.Data.arrays(x[order].astype("float32"), np.roll(y[order], places))


def dealt_out(of=digits):
    x, y = of()
    return nw.Data.arrays(x, shuffled(y))


def hard():
    """A question that a simple model cannot answer and a network can: the parity of three signs."""
    x = np.random.default_rng(0).normal(size=(1500, 3)).astype("float32")
    return nw.Data.arrays(x, (np.sign(x).prod(1) > 0).astype(int))


def easier_first():
    """The first half of the rows tell the class, the others hardly: neighbours answer one part of the rows
    otherwise than the whole."""
    generator = np.random.default_rng(0)
    y = (generator.random(800) < 0.3).astype(int)
    apart = np.where(np.arange(800) < 400, 4.0, 0.3)
    x = generator.normal(size=(800, 4)) + (apart * y)[:, None] * np.array([1, 0, 0, 0])
    return nw.Data.arrays(x.astype("float32"), y)


MUST_FIRE = {
    "label-noise": {
        "a fifth of the labels": lambda: adam(noisy(), epochs=6),
        "one in eight, in training alone": lambda: adam(noisy_training(), epochs=6),
    },
    "label-misalignment": {
        "labels one row late": lambda: adam(moved(), table_mlp, epochs=6),
        "labels of other samples": lambda: adam(dealt_out(), lambda: mlp(hidden=256), epochs=20),
        "numbers of other samples": lambda: regression(
            nw.Data.arrays(diabetes_data().train[0], shuffled(diabetes_data().train[1]))
        ),
    },
}

MUST_NOT = {
    "label-noise": {
        "sound labels": lambda: adam(digits_data(900), epochs=3),
        "a table": lambda: adam(table_data(), table_mlp, epochs=3),
        "classes that overlap": lambda: adam(overlapping(), lambda: mlp(4, 2), epochs=6),
        "a few wrong labels": lambda: adam(noisy(0.01), epochs=6),
        "one logit": lambda: adam(binary_table(), one_logit, loss="bce_with_logits", epochs=3),
        "a regression": lambda: regression(),
    },
    "label-misalignment": {
        "sound labels and too low a rate": lambda: adam(digits_data(900), lr=1e-7, epochs=2),
        "sorted labels and too low a rate": lambda: adam(_sorted(), lr=1e-7, epochs=2),
        "a question for a network": lambda: adam(hard(), lambda: mlp(3, 2, 64), lr=1e-2, epochs=20),
        "classes that hardly differ": lambda: adam(overlapping(0.5), lambda: mlp(4, 2), epochs=6),
        "the easier samples first": lambda: adam(easier_first(), lambda: mlp(4, 2), epochs=3),
        "a regression": lambda: regression(),
    },
}


def _sorted():
    x, y = digits()
    order = np.argsort(y, kind="stable")
    return nw.Data.arrays(x[order], y[order])


@pytest.mark.parametrize(("check", "make"), cases(MUST_FIRE))
def test_it_fires(check, make):
    assert_fires(check, make())


@pytest.mark.parametrize(("check", "make"), cases(MUST_NOT))
def test_it_leaves_alone(check, make):
    assert findings(check, make()) == []


def test_the_samples_whose_labels_are_wrong_are_named():
    x, y = digits()
    wrong = np.arange(20, 900, 9)
    changed = y.copy()
    changed[wrong] = (y[wrong] + 3) % 10
    finding = assert_fires("label-noise", adam(nw.Data.arrays(x, changed), epochs=4))
    named = {int(name.partition(":")[2]) for name in finding.where.samples}
    assert len(named & set(wrong.tolist())) > 0.9 * len(named)


def moved_from(share, both=False):
    """Digits whose training labels are one row late from some row on, and validation's as well or not."""
    x, y = digits_data(1400).train
    y, first = y.copy(), int(share * 1000)
    y[first:1000] = np.roll(y[first:1000], 1)
    if both:
        y[1000:] = np.roll(y[1000:], 1)
    return nw.Data((x[:1000], y[:1000]), (x[1000:], y[1000:]))


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_the_row_from_which_on_labels_are_late_is_found(share):
    finding = assert_fires("label-misalignment", adam(moved_from(share), epochs=6))
    assert finding.evidence["best_shift"] == 1
    assert abs(finding.evidence["first"] - 1000 * share) < 50
    assert "measured" not in finding.evidence


def test_labels_that_are_late_in_validation_as_well_are_counted_and_not_tried():
    finding = assert_fires("label-misalignment", adam(moved_from(0.0, both=True), epochs=6))
    assert finding.evidence["measured"]
    assert "In validation as well." in finding.explanation


@pytest.mark.parametrize("places", [1, -2])
def test_the_way_back_to_the_inputs_is_named(places):
    finding = assert_fires("label-misalignment", adam(moved(places), table_mlp, epochs=6))
    assert finding.evidence["best_shift"] == places


def test_a_network_of_one_unit_is_not_taken_for_wrong_labels():
    assert (
        findings("label-noise", adam(digits_data(900), lambda: nn.Sequential(mlp(hidden=1)), epochs=6)) == []
    )
