"""What training has and validation lacks: cases in which a check must fire, and near misses."""

import numpy as np
import pytest
import torch
from torch import nn

import netwright as nw
from conftest import digits_data, mlp

from .cases import adam, assert_fires, cases, findings, recipe
from .networks import Convolutional, smooth_numbers, with_dropout


def digits(count=900):
    return digits_data(count).train


def wide():
    return mlp(20, 2, hidden=256)


def noise_features(count=200):
    """Two useful features of twenty: a wide network learns the others by heart."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count, 20)).astype("float32")
    return nw.Data.arrays(x, (x[:, 0] + x[:, 1] + generator.normal(size=count) > 0).astype(int))


def line_with_noise(count=60):
    """A straight line of which the training part is seen with noise."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count + 400, 3)).astype("float32")
    noise = generator.normal(size=count + 400) * (np.arange(count + 400) < count)
    y = (x[:, 0] + noise).astype("float32")
    return nw.Data((x[:count], y[:count]), (x[count:], y[count:]))


def some_labels_wrong(share=0.2):
    x, y = digits()
    generator = np.random.default_rng(0)
    wrong = generator.random(len(y)) < share
    return nw.Data.arrays(x, np.where(wrong, (y + generator.integers(1, 10, len(y))) % 10, y))


def marked(in_validation=False):
    """Blurred digits with a code of the class in one corner, which in validation belongs to another class."""
    x, y = digits()
    generator = np.random.default_rng(0)
    x = 0.3 * x + 0.5 * generator.normal(size=x.shape)
    told = y.copy()
    if not in_validation:
        told[700:] = generator.permutation(y[700:])
    x[:, 0, :2, :2] = 2.0 * (told[:, None] >> np.arange(4) & 1).reshape(-1, 2, 2)
    return nw.Data((x[:700].astype("float32"), y[:700]), (x[700:].astype("float32"), y[700:]))


def one_kind_fails():
    """A kind of sample for which the answer is the other way round, and of which training has none."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(600, 6)).astype("float32")
    x[:, 5] = generator.random(600) < 0.3
    y = ((x[:, 0] > 0) ^ (x[:, 5] > 0)).astype(int)
    common = x[:400, 5] == 0
    return nw.Data((x[:400][common], y[:400][common]), (x[400:], y[400:]))


def one_camera_fails():
    """What one camera saw means the opposite; training has none of it, and no input tells it apart."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(600, 6)).astype("float32")
    camera = np.where(generator.random(600) < 0.3, "night", "day")
    y = ((x[:, 0] > 0) ^ (camera == "night")).astype(int)
    by_day = camera[:400] == "day"
    return nw.Data((x[:400][by_day], y[:400][by_day]), (x[400:], y[400:]), meta={"camera": camera[400:]})


def mixed_pixels(x):
    return x.flatten(1)[:, torch.randperm(x[0].numel())].reshape(x.shape)


MUST_FIRE = {
    "destructive-augmentation": {
        "pixels mixed": lambda: adam(digits_data(900), augment=mixed_pixels, epochs=10),
    },
    "overfit-capacity": {
        "64 units for a straight line": lambda: adam(
            line_with_noise(),
            lambda: nn.Sequential(mlp(3, 1, 64), nn.Flatten(0)),
            loss="mse",
            lr=0.02,
            epochs=400,
        ),
        "a thousand units for forty samples": lambda: adam(
            noise_features(80), lambda: mlp(20, 2, hidden=2000), epochs=40
        ),
    },
    "overfit-memorised-noise": {
        "a fifth of the labels wrong": lambda: adam(
            some_labels_wrong(), lambda: mlp(hidden=256), epochs=60, lr=3e-3
        ),
    },
    "overfit-situation": {
        "a mark that holds in training only": lambda: adam(marked(), epochs=15),
        "a kind of sample that training lacks": lambda: adam(one_kind_fails(), lambda: mlp(6, 2), epochs=20),
    },
}

MUST_NOT = {
    "destructive-augmentation": {
        "none": lambda: adam(digits_data(900), epochs=6),
        "noise": lambda: adam(digits_data(900), augment="noise", epochs=10),
        "images moved a little": lambda: adam(digits_data(900), Convolutional, augment="shift", epochs=10),
    },
    "overfit-capacity": {
        "no gap": lambda: adam(digits_data(900), lambda: mlp(hidden=256), epochs=12),
        "weight decay": lambda: adam(noise_features(), wide, optimizer="adamw", weight_decay=1.0, epochs=40),
        "dropout": lambda: adam(
            noise_features(),
            lambda: nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, 2)),
            epochs=40,
        ),
    },
    "overfit-memorised-noise": {
        "sound labels": lambda: adam(digits_data(900), lambda: mlp(hidden=256), epochs=20),
        "wrong labels that are not learnt": lambda: adam(some_labels_wrong(), epochs=6),
        "a regression": lambda: adam(
            smooth_numbers(), lambda: nn.Sequential(mlp(6, 1), nn.Flatten(0)), loss="mse", epochs=10
        ),
    },
    "overfit-situation": {
        "a mark that holds everywhere": lambda: adam(marked(in_validation=True), epochs=15),
        "images": lambda: adam(digits_data(900), Convolutional, epochs=10),
        "a gap without a shortcut": lambda: adam(noise_features(), wide, epochs=40),
        "dropout": lambda: recipe(network=with_dropout, epochs=10),
    },
}


@pytest.mark.parametrize(("check", "make"), cases(MUST_FIRE))
def test_it_fires(check, make):
    assert_fires(check, make())


@pytest.mark.parametrize(("check", "make"), cases(MUST_NOT))
def test_it_leaves_alone(check, make):
    assert findings(check, make()) == []


def test_what_is_known_of_the_samples_and_is_no_input_tells_where_it_fails():
    (finding,) = findings("overfit-situation", adam(one_camera_fails(), lambda: mlp(6, 2), epochs=20))
    assert finding.explanation.startswith("Good where camera is not night, bad where camera is night")
    assert finding.where.samples
