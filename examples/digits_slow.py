"""Handwritten digits; the loss falls steadily and has hardly begun when the training ends.
What is wrong: lr-too-low"""

import netwright as nw
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
x = x.reshape(-1, 1, 8, 8) / 16
recipe = nw.Recipe(
    data=nw.Data.arrays(x, y, split=(0.7, 0.15, 0.15)),
    network=network,
    training=nw.Training(
        loss="cross_entropy", optimizer="sgd", lr=1e-4, momentum=0.9, batch_size=64, epochs=20
    ),
)
