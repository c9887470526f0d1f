"""Training against validation, and samples that outweigh the rest: cases that must fire, and near misses."""

import numpy as np
import pytest
from torch import nn

import netwright as nw
from conftest import diabetes_data, digits_data, mlp, regressor, table_data, table_mlp
from diagnosis.cases import adam, assert_fires, cases, findings, recipe, regression
from diagnosis.networks import Recurrent, binary_table, one_logit, rows_of_digits, smooth_numbers


def parts(change=lambda x: x, count=900, cut=700, keep=lambda y: y >= 0):
    """Digits in two parts, of which the second is changed."""
    x, y = digits_data(count).train
    held = np.flatnonzero(keep(y[cut:])) + cut
    return nw.Data((x[:cut], y[:cut]), (change(x[held]), y[held]))


def without(classes, part):
    x, y = digits_data(900).train
    train, val = np.arange(700), np.arange(700, 900)
    if part == "train":
        train = train[~np.isin(y[train], classes)]
    else:
        val = val[~np.isin(y[val], classes)]
    return nw.Data((x[train], y[train]), (x[val], y[val]))


def few(train=40, val=400):
    """Digits of which training has few, or validation has few."""
    x, y = digits_data(1500).train
    return nw.Data((x[:train], y[:train]), (x[1000 : 1000 + val], y[1000 : 1000 + val]))


def other_shares():
    x, y = digits_data(1500).train
    rows = np.arange(700, 1500)
    rows = rows[(y[rows] < 3) | (rows % 12 == 0)]
    return nw.Data((x[:700], y[:700]), (x[rows], y[rows]))


def far_targets(count=3, size=300.0):
    x, y = diabetes_data().train
    y = y.copy()
    y[np.arange(count) * 37] = size
    return nw.Data.arrays(x, y)


def far_inputs(count=4):
    x, y = table_data().train
    x = x.astype("float32").copy()
    x[np.arange(count) * 31] *= 5000
    return nw.Data((x, y), (x[-150:], y[-150:]))


def heavy_tails():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(500, 4)).astype("float32")
    return nw.Data.arrays(x, (x[:, 0] + generator.standard_t(4, 500)).astype("float32"))


def number(inputs=4):
    return lambda: nn.Sequential(mlp(inputs, 1), nn.Flatten(0))


def one_feature_tells(count=12):
    generator = np.random.default_rng(0)
    y = np.arange(300) % 2
    x = generator.normal(size=(300, 4)).astype("float32")
    x[:, 0] += 12 * y - 6
    return nw.Data((x[:count], y[:count]), (x[count:], y[count:]))


MUST_FIRE = {
    "split-drift": {
        "validation in 0 to 255": lambda: recipe(parts(lambda x: x * 255)),
        "validation inverted": lambda: recipe(parts(lambda x: 1 - x)),
        "validation not centred": lambda: recipe(parts(lambda x: x - 0.5)),
        "other shares of the classes": lambda: recipe(other_shares()),
    },
    "noisy-validation": {
        "ten samples": lambda: adam(few(800, 10), epochs=3),
        "thirty samples of a hard question": lambda: adam(few(100, 30), epochs=30),
    },
    "a-handful-of-samples": {"twenty digits": lambda: adam(few(20), epochs=30, batch_size=8)},
    "too-little-data": {"forty digits": lambda: adam(few(60), epochs=40, batch_size=8)},
    "missing-classes": {
        "classes that training lacks": lambda: recipe(without([3, 7], "train")),
        "a class that validation lacks": lambda: recipe(without([4], "val")),
    },
    "outlier-batch": {
        "three targets of 300": lambda: regression(far_targets()),
        "four inputs of thousands": lambda: adam(far_inputs(), table_mlp),
    },
}

MUST_NOT = {
    "split-drift": {
        "digits": lambda: recipe(parts()),
        "a random split": lambda: recipe(digits_data(900)),
        "a table": lambda: recipe(table_data(), table_mlp),
        "one logit": lambda: adam(binary_table(), one_logit, loss="bce_with_logits"),
        "a regression": lambda: regression(),
        "series": lambda: adam(rows_of_digits(), Recurrent),
        "a small validation part": lambda: recipe(few(800, 40)),
    },
    "noisy-validation": {
        "135 samples": lambda: recipe(digits_data(900)),
        "a regression": lambda: regression(),
        "a few that are all right": lambda: adam(few(800, 40), epochs=12),
    },
    "a-handful-of-samples": {
        "twenty a class": lambda: adam(few(200), epochs=20),
        "a handful that is enough": lambda: recipe(
            one_feature_tells(), lambda: mlp(4, 2), epochs=30, batch_size=4
        ),
    },
    "too-little-data": {
        "no gap": lambda: recipe(digits_data(900), epochs=10),
        "a rate that is too low": lambda: adam(few(60), lr=1e-6, epochs=3),
        "a gap that more data would not close": lambda: adam(
            few(60), lambda: mlp(hidden=1), epochs=10, batch_size=8
        ),
    },
    "missing-classes": {
        "all in both": lambda: recipe(parts()),
        "a rare class that validation has none of": lambda: recipe(_rare()),
        "a regression": lambda: regression(),
    },
    "outlier-batch": {
        "diabetes": lambda: regression(diabetes_data()),
        "heavy tails": lambda: regression(heavy_tails(), number()),
        "numbers": lambda: regression(smooth_numbers(), number(6)),
        "images": lambda: recipe(digits_data(900)),
        "a table": lambda: recipe(table_data(), table_mlp),
        "targets all alike but some": lambda: regression(_mostly_zero(), regressor),
    },
}


def _rare():
    x, y = digits_data(900).train
    keep = (y != 4) | (np.arange(900) % 900 == np.flatnonzero(y == 4)[0])
    x, y = x[keep], y[keep]
    return nw.Data((x[:650], y[:650]), (x[650:], y[650:]))


def _mostly_zero():
    x, y = diabetes_data().train
    return nw.Data.arrays(x, np.where(np.arange(len(y)) % 100 == 0, 1.0, 0.0).astype("float32"))


@pytest.mark.parametrize(("check", "make"), cases(MUST_FIRE))
def test_it_fires(check, make):
    assert_fires(check, make())


@pytest.mark.parametrize(("check", "make"), cases(MUST_NOT))
def test_it_leaves_alone(check, make):
    assert findings(check, make()) == []


def test_the_classes_that_training_lacks_are_named():
    found = assert_fires("missing-classes", recipe(without([3, 7], "train")))
    assert found.evidence["unseen"] == [3, 7]


def test_the_samples_that_outweigh_the_rest_are_named():
    data = far_targets()
    found = assert_fires("outlier-batch", regression(data))
    assert set(found.where.samples) <= {f"train:{row}" for row in (0, 37, 74)}
