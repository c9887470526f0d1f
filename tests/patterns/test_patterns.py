"""Patterns in the data: which samples, which feature, and what only looks like one."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import netwright as nw
from conftest import diabetes_data, digits_data, mlp, regressor, table_data, table_mlp, training
from netwright.catalogue import Catalogue
from netwright.diagnosis import examine, static_evidence
from netwright.values import Edit, Finding

CHECKS = Catalogue.collect().checks


def patterns(data, network=mlp, **settings):
    """Causes in the data alone, as `scan` shows them."""
    return {p.pattern: p for p in nw.scan(nw.Recipe(data, network, training(**settings))).patterns}


def finding(check, data, network=mlp, **settings):
    evidence = static_evidence(nw.Recipe(data, network, training(**settings)), "cpu")
    return next((f for f in examine(evidence, [CHECKS[check]]) if isinstance(f, Finding)), None)


def digits(change=lambda x: x):
    x, y = digits_data().train
    return nw.Data.arrays(change(x), y)


def table(change):
    x, y = table_data().train
    x, y = x.copy(), y.astype("float64")
    change(x, y)
    return nw.Data.arrays(x, y if np.isnan(y).any() else y.astype(int))


def put(rows, value, feature=3):
    def change(x, y):
        x[rows, feature] = value

    return change


def diabetes(change):
    x, y = diabetes_data().train
    return nw.Data.arrays(x, change(y))


# --- bad values


def test_the_samples_that_hold_bad_values_are_named():
    found = patterns(table(put([7, 20, 300], np.nan)), table_mlp)["bad-values"]
    parts = table(put([7, 20, 300], np.nan)).parts
    inside = {i for i in (7, 20, 300) if f"train:{i}" in parts.train.ids(range(len(parts.train)))}
    assert {int(name.partition(":")[2]) for name in found.samples} == inside
    assert found.repair == "fill-bad-inputs"


def test_one_bad_value_is_enough():
    assert "bad-values" in patterns(table(put([7], np.inf)), table_mlp)


def test_bad_values_of_the_validation_part_are_found_too():
    x, y = table_data().train
    broken = x[400:].copy()
    broken[3, 3] = np.nan
    assert "bad-values" in patterns(nw.Data((x[:400], y[:400]), (broken, y[400:])), table_mlp)


def test_the_test_part_is_not_read():
    x, y = table_data().train
    sealed = np.full_like(x[500:], np.nan)
    assert patterns(nw.Data((x[:400], y[:400]), (x[400:500], y[400:500]), (sealed, y[500:])), table_mlp) == {}


def test_the_feature_that_holds_a_code_for_missing_is_named():
    found = finding("bad-values", table(put(slice(None, None, 40), -999.0, feature=11)), table_mlp)
    assert found.evidence["features"] == [11]
    assert "Feature 11 holds -999 in" in found.explanation


def test_a_feature_that_has_such_values_anyway_is_left_alone():
    def far_below(x, y):
        x[:, :] = x * 100 - 900
        x[7, 3] = -999.0

    assert finding("bad-values", table(far_below), table_mlp) is None


def test_labels_that_are_not_numbers_are_no_class_of_their_own():
    def unknown(x, y):
        y[::50] = np.nan

    found = patterns(table(unknown), table_mlp)
    assert set(found) == {"bad-values"}
    assert finding("output-width", table(unknown), table_mlp) is None


# --- scale


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x * 1e-3,
        lambda x: (x * 255).astype("uint8"),
        lambda x: x[:, 0] * 1000,
    ],
    ids=["a thousandth", "bytes", "a series in other units"],
)
def test_inputs_of_another_size_are_found(change):
    found = patterns(digits(change), lambda: mlp(64, 10))["input-scale"]
    assert "the initial weights assume about 1" in found.explanation


def test_a_feature_far_from_zero_is_found():
    def offset(x, y):
        x[:, 5] += 20

    found = finding("input-scale", table(offset), table_mlp)
    assert found.evidence["offset"] == pytest.approx(20, rel=0.1)
    assert "standard deviations from 0; the first layer sees mostly that offset" in found.explanation


def test_a_constant_feature_has_no_scale():
    assert patterns(table(put(slice(None), 1e6)), table_mlp) == {}


def test_token_numbers_have_no_scale():
    tokens = np.random.default_rng(0).integers(0, 5000, (300, 12))
    data = nw.Data.arrays(tokens, (tokens[:, 0] > 2500).astype(int))
    network = lambda: nn.Sequential(nn.Embedding(5000, 4), nn.Flatten(), nn.Linear(48, 2))  # noqa: E731
    assert patterns(data, network) == {}


def test_scaling_edits_settle_it():
    recipe = nw.Recipe(digits(lambda x: x * 255), mlp, training()).with_edits(
        Edit("standardise-inputs", {"mean": [[[78.0]]], "std": [[[96.0]]]}, "input_scaling")
    )
    items = examine(static_evidence(recipe, "cpu"), [CHECKS["input-scale"]])
    assert not [f for f in items if isinstance(f, Finding)]


@pytest.mark.parametrize(
    "change",
    [lambda y: y * 1e-3, lambda y: y * 100, lambda y: y + 300],
    ids=["tiny", "large", "far from zero"],
)
def test_targets_of_another_size_are_found(change):
    assert "target-scale" in patterns(diabetes(change), regressor, loss="mse")


def test_target_columns_in_different_units_are_found():
    data = diabetes(lambda y: np.stack([y, y * 500], 1))
    assert "target-scale" in patterns(data, lambda: nn.Linear(10, 2), loss="mse")


def test_pixels_as_targets_are_one_quantity_in_many_places():
    x = digits_data().train[0].reshape(600, 64)  # of which some are always 0, and others hardly ever not
    assert "target-scale" not in patterns(nw.Data.arrays(x, x), lambda: nn.Linear(64, 64), loss="mse")


@pytest.mark.parametrize(
    "change", [lambda y: y + 20, lambda y: y * 5, lambda y: y * 0 + 0.5], ids=["offset", "five", "constant"]
)
def test_targets_within_an_order_of_magnitude_are_left_alone(change):
    assert patterns(diabetes(change), regressor, loss="mse") == {}


def test_scaled_targets_settle_it():
    recipe = nw.Recipe(diabetes(lambda y: y * 100), regressor, training(loss="mse")).with_edits(
        Edit("standardise-targets", {"mean": [0.0], "std": [100.0]}, "target_scaling")
    )
    items = examine(static_evidence(recipe, "cpu"), [CHECKS["target-scale"]])
    assert not [f for f in items if isinstance(f, Finding)]


# --- classes


def one_in(count):
    y = (np.arange(600) % count == 0).astype(int)
    return np.random.default_rng(0).normal(size=(600, 5)).astype("float32"), y


@pytest.mark.parametrize(("count", "unequal"), [(2, False), (10, False), (11, False), (13, True), (40, True)])
def test_classes_are_unequal_beyond_ten_to_one(count, unequal):
    assert ("class-imbalance" in patterns(nw.Data.arrays(*one_in(count)), lambda: mlp(5, 2))) is unequal


def test_the_rare_classes_are_named():
    x, y = one_in(30)
    found = finding(
        "class-imbalance", nw.Data.arrays(x, np.where(y == 1, 2, np.arange(600) % 2)), lambda: mlp(5, 3)
    )
    assert found.evidence["rare_classes"] == [2]
    assert found.evidence["rarest_share"] == pytest.approx(1 / 30, rel=0.1)


def test_unequal_one_hot_rows_are_counted_as_classes():
    x, y = one_in(30)
    rows = np.eye(2, dtype="float32")[y]
    assert "class-imbalance" in patterns(nw.Data.arrays(x, rows), lambda: mlp(5, 2))


def test_labels_that_do_not_exclude_each_other_are_no_classes():
    x, _ = one_in(2)
    several = (np.random.default_rng(0).random((600, 3)) < [0.5, 0.02, 0.3]).astype("float32")
    assert patterns(nw.Data.arrays(x, several), lambda: mlp(5, 3), loss="bce_with_logits") == {}


def test_a_regression_with_a_rare_value_has_no_classes():
    data = diabetes(lambda y: np.where(np.arange(len(y)) % 40 == 0, y, y.mean()))
    assert "class-imbalance" not in patterns(data, regressor, loss="mse")


# --- order


def loaders(shuffle):
    x, y = digits_data().train
    order = np.argsort(y, kind="stable")
    dataset = TensorDataset(torch.tensor(x[order], dtype=torch.float32), torch.tensor(y[order]))

    def loader(mixed):
        return lambda: DataLoader(
            dataset, 32, shuffle=mixed, generator=torch.Generator().manual_seed(0) if mixed else None
        )

    return nw.Data.loaders(train=loader(shuffle), val=loader(False))


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_users_own_loader_is_judged_by_the_order_that_it_gives(shuffle):
    assert ("unshuffled" in patterns(loaders(shuffle))) is not shuffle


def test_a_few_samples_say_nothing_about_order():
    x, y = digits_data().train
    order = np.argsort(y[:16], kind="stable")
    assert "unshuffled" not in patterns(nw.Data((x[order], y[order]), (x, y)), shuffle=False)


def test_the_share_of_equal_neighbours_stands_beside_chance():
    x, y = digits_data().train
    order = np.argsort(y, kind="stable")
    found = finding("unshuffled", nw.Data((x[order], y[order]), (x, y)), shuffle=False)
    assert found.evidence["neighbours_alike"] > 0.95
    assert found.evidence["by_chance"] == pytest.approx(0.1, abs=0.01)
    assert found.evidence["written"]


# --- where


FILE = """
import netwright as nw
import numpy as np
from sklearn.datasets import load_digits
from torch import nn

x, y = load_digits(return_X_y=True)
order = np.argsort(y, kind="stable")
recipe = nw.Recipe(
    nw.Data.arrays(x[order].reshape(-1, 1, 8, 8) * 20, y[order]),
    lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
    nw.Training(
        loss="cross_entropy",
        shuffle=False,
    ),
)
"""


def test_a_finding_names_the_line_of_the_users_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    evidence = static_evidence(nw.load(str(path)), "cpu")
    found = {f.cause: f.where for f in examine(evidence, CHECKS.values()) if isinstance(f, Finding)}
    lines = FILE.splitlines()
    for cause, text in {"unshuffled": "shuffle=False", "input-scale": "nw.Data.arrays"}.items():
        where = found[cause]
        assert where.file.endswith("mine.py")
        assert text in lines[where.line - 1]
    assert found["unshuffled"].attribute == "shuffle"
    assert found["input-scale"].attribute == "input_scaling"
