"""Handwritten digits, 8×8 pixels, by one convolution. Nothing is wrong."""

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
        loss="cross_entropy",
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-3,
        batch_size=64,
        epochs=20,
        schedule="cosine",
    ),
)
