"""Handwritten digits by five layers with sigmoids between them; the first layers hardly move.
What is wrong: vanishing-gradient"""

import netwright as nw
from sklearn.datasets import load_digits
from torch import nn


def network() -> nn.Module:
    layers = [nn.Flatten(), nn.Linear(64, 64), nn.Sigmoid()]
    for _ in range(3):
        layers += [nn.Linear(64, 64), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(64, 10))


x, y = load_digits(return_X_y=True)
x = x.reshape(-1, 1, 8, 8) / 16
recipe = nw.Recipe(
    data=nw.Data.arrays(x, y, split=(0.7, 0.15, 0.15)),
    network=network,
    training=nw.Training(
        loss="cross_entropy", optimizer="sgd", lr=0.05, momentum=0.9, batch_size=64, epochs=25
    ),
)
