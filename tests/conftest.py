"""Small recipes on real data for every room's tests."""

import os

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from torch import nn

import netwright as nw

torch.set_num_threads(1)


os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    parser.addoption("--matrix", action="store_true", help="port the whole zoo to every technology")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--matrix"):
        left_out = pytest.mark.skip(reason="the whole matrix is run by make test-ports")
        for item in items:
            if "matrix" in item.keywords:
                item.add_marker(left_out)


def digits_data(count=600, scale=16.0, **options):
    x, y = load_digits(return_X_y=True)
    return nw.Data.arrays(x[:count].reshape(-1, 1, 8, 8) / scale, y[:count], **options)


def table_data(standardised=True, **options):
    x, y = load_breast_cancer(return_X_y=True)
    if standardised:
        x = (x - x.mean(0)) / x.std(0)
    return nw.Data.arrays(x, y, **options)


def diabetes_data(**options):
    x, y = load_diabetes(return_X_y=True)
    return nw.Data.arrays(x * 20, (y - y.mean()) / y.std(), **options)


def mlp(inputs=64, outputs=10, hidden=32):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def table_mlp():
    return mlp(30, 2)


def regressor():
    return nn.Sequential(mlp(10, 1), nn.Flatten(0))


def training(**changes):
    given = {
        "loss": "cross_entropy",
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "batch_size": 32,
        "epochs": 6,
    }
    return nw.Training(**{**given, **changes})


@pytest.fixture(scope="session")
def digits_recipe():
    return nw.Recipe(digits_data(), mlp, training())


@pytest.fixture(scope="session")
def table_recipe():
    return nw.Recipe(table_data(), table_mlp, training())


@pytest.fixture(scope="session")
def regression_recipe():
    return nw.Recipe(diabetes_data(), regressor, training(loss="mse", lr=0.02))
