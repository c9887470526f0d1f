"""Progression of diabetes by a large network, trained long after validation was best.
What is wrong: overfit-duration"""

import netwright as nw
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale
from torch import nn


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(10, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1), nn.Flatten(0)
    )


x, y = load_diabetes(return_X_y=True)
recipe = nw.Recipe(
    data=nw.Data.arrays(scale(x), scale(y), split=(0.6, 0.2, 0.2)),
    network=network,
    training=nw.Training(loss="mse", optimizer="adam", lr=0.001, batch_size=32, epochs=120),
)
