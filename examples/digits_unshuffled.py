"""Handwritten digits, sorted by label and served in that order.
What is wrong: unshuffled"""

import netwright as nw
import numpy as np
from sklearn.datasets import load_digits
from torch import nn


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


x, y = load_digits(return_X_y=True)
order = np.argsort(y, kind="stable")
x, y = x[order].reshape(-1, 1, 8, 8) / 16, y[order]
recipe = nw.Recipe(
    data=nw.Data.arrays(x, y, split=(0.7, 0.15, 0.15)),
    network=network,
    training=nw.Training(
        loss="cross_entropy",
        optimizer="sgd",
        lr=0.03,
        momentum=0.9,
        batch_size=16,
        epochs=10,
        shuffle=False,
    ),
)
