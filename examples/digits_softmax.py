"""Handwritten digits; the network ends in a softmax and the loss applies its own.
What is wrong: loss-output-mismatch"""

import netwright as nw
from sklearn.datasets import load_digits
from torch import nn


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
        nn.Softmax(dim=1),
    )


x, y = load_digits(return_X_y=True)
x = x.reshape(-1, 1, 8, 8) / 16
recipe = nw.Recipe(
    data=nw.Data.arrays(x, y, split=(0.7, 0.15, 0.15)),
    network=network,
    training=nw.Training(
        loss="cross_entropy", optimizer="sgd", lr=0.1, momentum=0.9, batch_size=64, epochs=15
    ),
)
