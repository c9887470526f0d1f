"""Handwritten digits; a bias starts so low that the rectifier after it never fires.
What is wrong: dead-units (initialisation)"""

import netwright as nw
from sklearn.datasets import load_digits
from torch import nn


def network() -> nn.Module:
    hidden = nn.Linear(64, 32)
    nn.init.constant_(hidden.bias, -20.0)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 64),
        nn.ReLU(),
        hidden,
        nn.ReLU(),
        nn.Linear(32, 10),
    )


x, y = load_digits(return_X_y=True)
x = x.reshape(-1, 1, 8, 8) / 16
recipe = nw.Recipe(
    data=nw.Data.arrays(x, y, split=(0.7, 0.15, 0.15)),
    network=network,
    training=nw.Training(loss="cross_entropy", optimizer="adam", lr=0.003, batch_size=64, epochs=20),
)
