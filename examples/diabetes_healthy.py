"""How far a diabetes has progressed after a year, from ten measurements. Nothing is wrong."""

import netwright as nw
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale
from torch import nn


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))


x, y = load_diabetes(return_X_y=True)
recipe = nw.Recipe(
    data=nw.Data.arrays(scale(x), scale(y), split=(0.6, 0.2, 0.2)),
    network=network,
    training=nw.Training(
        loss="mse",
        optimizer="adamw",
        lr=0.005,
        weight_decay=0.5,
        batch_size=32,
        epochs=30,
        schedule="cosine",
    ),
)
