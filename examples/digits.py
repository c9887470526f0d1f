"""Handwritten digits, 8×8 pixels, by one convolution. The rate is hundreds of times too high.
What is wrong: lr-too-high"""

import netwright as nw
from sklearn.datasets import load_digits
from torch import nn


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 10))


x, y = load_digits(return_X_y=True)
recipe = nw.Recipe(
    data=nw.Data.arrays(x.reshape(-1, 1, 8, 8), y, split=(0.7, 0.15, 0.15)),
    network=network,
    training=nw.Training(loss="cross_entropy", optimizer="sgd", lr=10.0, batch_size=64, epochs=10),
)
