"""The same sample twice, and answers that are given away: cases that must fire, and near misses."""

import numpy as np
import pytest
from torch import nn

import netwright as nw
from conftest import diabetes_data, digits_data, mlp, table_data, table_mlp
from diagnosis.cases import adam, assert_fires, cases, findings, regression
from diagnosis.networks import binary_table, one_logit


def parts(x, y, cut):
    return nw.Data((x[:cut], y[:cut]), (x[cut:], y[cut:]))


def copied(count):
    """Digits of which the first `count` of training occur three times."""
    x, y = digits_data(600).train
    rows = np.concatenate([np.arange(450), np.arange(count), np.arange(count)])
    return nw.Data((x[rows], y[rows]), (x[450:], y[450:]))


def shared(count):
    """Digits of which the first `count` of training are also in validation."""
    x, y = digits_data(600).train
    rows = np.concatenate([np.arange(450, 600), np.arange(count)])
    return nw.Data((x[:450], y[:450]), (x[rows], y[rows]))


def coarse():
    """Answers to three questions of yes and no: equal ones are different people."""
    x = (np.random.default_rng(0).random((600, 3)) < 0.5).astype("float32")
    return parts(x, (x.sum(1) > 1).astype(int), 450)


def with_answer(noise=0.0, regression=False):
    """A table with a column that is the answer."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(600, 5)).astype("float32")
    y = x[:, 0] + x[:, 1] + generator.normal(size=600)
    y = y.astype("float32") if regression else (y > 0).astype(int)
    x[:, 3] = y + noise * generator.normal(size=600)
    return parts(x, y, 450)


def plain(column=None):
    """A table whose answer every feature tells a little of, or one alone."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(600, 5)).astype("float32")
    y = x.sum(1) if column is None else 2 * x[:, column] + x[:, 1] + generator.normal(size=600)
    return parts(x, (y > 0).astype(int), 450)


def windows(count=400, length=8):
    """Windows of a series of zeros and ones: there are not many different ones."""
    series = np.random.default_rng(0).integers(0, 2, count + length)
    x = np.stack([series[k : k + length] for k in range(count)])
    return nw.Data.arrays(x[:, :, None].astype("float32"), series[length:])


def by_rows():
    return nn.Sequential(nn.Flatten(), nn.Linear(8, 2))


def reconstruction():
    """Each sample is its own target, as an autoencoder's."""
    x = np.random.default_rng(0).normal(size=(300, 5)).astype("float32")
    return nw.Data.arrays(x, x)


MUST_FIRE = {
    "duplicates": {"a third is copies": lambda: adam(copied(120))},
    "leakage": {
        "30 samples in both parts": lambda: adam(shared(30)),
        "a column that is the class": lambda: adam(with_answer(), lambda: mlp(5, 2)),
        "a column that is nearly the number": lambda: regression(
            with_answer(0.05, regression=True), lambda: mlp(5, 1)
        ),
    },
}

MUST_NOT = {
    "duplicates": {
        "each once": lambda: adam(digits_data(600)),
        "a few twice": lambda: adam(copied(10)),
        "answers of yes and no": lambda: adam(coarse(), lambda: mlp(3, 2)),
        "a table": lambda: adam(table_data(), table_mlp),
        "windows of yes and no": lambda: adam(windows(), by_rows),
    },
    "leakage": {
        "windows of yes and no": lambda: adam(windows(), by_rows),
        "an autoencoder": lambda: regression(reconstruction(), lambda: mlp(5, 5)),
        "digits": lambda: adam(digits_data(900)),
        "answers of yes and no": lambda: adam(coarse(), lambda: mlp(3, 2)),
        "a table": lambda: adam(table_data(), table_mlp),
        "one logit": lambda: adam(binary_table(), one_logit, loss="bce_with_logits"),
        "a regression": lambda: regression(diabetes_data()),
        "every feature tells a little": lambda: adam(plain(), lambda: mlp(5, 2)),
        "one feature tells most": lambda: adam(plain(0), lambda: mlp(5, 2)),
    },
}


@pytest.mark.parametrize(("check", "make"), cases(MUST_FIRE))
def test_it_fires(check, make):
    assert_fires(check, make())


@pytest.mark.parametrize(("check", "make"), cases(MUST_NOT))
def test_it_leaves_alone(check, make):
    assert findings(check, make()) == []


def test_the_copies_are_named():
    finding = assert_fires("duplicates", adam(copied(120)))
    assert finding.evidence["rows"] == list(range(450, 690))


def test_the_validation_samples_that_training_has_are_named():
    finding = assert_fires("leakage", adam(shared(30)))
    assert finding.evidence["rows"] == list(range(150, 180))
    assert finding.where.samples[0] == "val:150"


def test_the_feature_that_is_the_answer_is_named():
    assert assert_fires("leakage", adam(with_answer(), lambda: mlp(5, 2))).evidence["feature"] == 3
