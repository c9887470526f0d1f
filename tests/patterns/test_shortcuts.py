"""Features that tell the label in training only: cases that must fire, and near misses."""

import numpy as np
import pytest

import netwright as nw
from conftest import diabetes_data, digits_data, table_data, table_mlp
from diagnosis.cases import adam, assert_fires, cases, findings, recipe, regression
from diagnosis.networks import rows_of_digits


def with_column(column, x, y, cut=0.7):
    """A table with one more column, `column(y, generator)` of each part."""
    generator = np.random.default_rng(0)
    at = int(cut * len(y))
    held, kept = slice(at, None), slice(0, at)
    part = [column(y[rows], rows is kept, generator)[:, None] for rows in (kept, held)]
    return nw.Data(
        (np.hstack([x[kept], part[0]]).astype("float32"), y[kept]),
        (np.hstack([x[held], part[1]]).astype("float32"), y[held]),
    )


def half_true(labels, training, generator):
    """The label in training; in validation that of the sample for one half, of any sample for the other."""
    if training:
        return labels.astype(float)
    return np.where(generator.random(len(labels)) < 0.5, labels, generator.permutation(labels))


def marked(true_in_validation=0.0):
    """Digits with a pixel of the first row that says the class in training."""
    generator = np.random.default_rng(0)
    x, y = digits_data(1500).train
    x = x.reshape(len(x), 1, 8, 8).astype("float32").copy()
    said = y.copy()
    others = generator.random(len(y)) >= true_in_validation
    others[:1000] = False
    said[others] = generator.permutation(y[others])
    x[np.arange(len(y)), 0, 0, said % 8] = 16.0
    return nw.Data((x[:1000], y[:1000]), (x[1000:], y[1000:]))


MUST_FIRE = {
    "shortcut": {
        "a column that is half true": lambda: regression(with_column(half_true, *diabetes_data().train)),
        "a column that is noise in validation": lambda: regression(
            with_column(
                lambda y, training, g: y.astype(float) if training else g.permutation(y),
                *diabetes_data().train,
            )
        ),
        "pixels that say the class": lambda: recipe(marked()),
        "pixels that say it for half of validation": lambda: recipe(marked(0.5)),
    },
}

MUST_NOT = {
    "shortcut": {
        "digits": lambda: recipe(digits_data(900)),
        "a table": lambda: adam(table_data(), table_mlp),
        "a regression": lambda: regression(),
        "a column that is true everywhere": lambda: regression(
            with_column(lambda y, training, g: y.astype(float), *diabetes_data().train)
        ),
        "a column of noise": lambda: regression(
            with_column(lambda y, training, g: g.normal(size=len(y)), *diabetes_data().train)
        ),
        "series": lambda: adam(rows_of_digits()),
        "copies of few": lambda: recipe(copies_of_few()),
        "another scale in validation": lambda: recipe(rescaled()),
    },
}


def copies_of_few():
    x, y = digits_data(1500).train
    drawn = np.random.default_rng(0).integers(0, 80, 1000)
    return nw.Data((x[drawn], y[drawn]), (x[1000:], y[1000:]))


def rescaled():
    x, y = digits_data(1500).train
    return nw.Data((x[:1000], y[:1000]), (x[1000:] * 255, y[1000:]))


@pytest.mark.parametrize(("check", "make"), cases(MUST_FIRE))
def test_it_fires(check, make):
    assert_fires(check, make())


@pytest.mark.parametrize(("check", "make"), cases(MUST_NOT))
def test_it_leaves_alone(check, make):
    assert findings(check, make()) == []


def test_the_column_is_named_and_counted():
    found = assert_fires("shortcut", regression(with_column(half_true, *diabetes_data().train)))
    assert found.evidence["index"] == [10]
    assert found.evidence["measured"]
    assert found.evidence["tells_in_training"] > 2 * found.evidence["tells_in_validation"]


def test_the_marked_pixels_are_found_and_no_others():
    found = assert_fires("shortcut", recipe(marked()))
    assert set(found.evidence["index"]) == set(range(8))
