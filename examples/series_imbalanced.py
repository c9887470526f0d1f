"""Is a digit, read row by row, an eight? One sample in fifty is, and the loss does best by never saying so.
What is wrong: class-imbalance"""

import netwright as nw
import numpy as np
from sklearn.datasets import load_digits
from torch import nn


def network() -> nn.Module:
    return nn.Sequential(nn.Conv1d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))


x, y = load_digits(return_X_y=True)
kept = (y != 8) | (np.random.default_rng(0).random(len(y)) < 0.2)
x, y = x[kept].reshape(-1, 8, 8) / 16, (y[kept] == 8).astype(int)
recipe = nw.Recipe(
    data=nw.Data.arrays(x, y, split=(0.5, 0.25, 0.25)),
    network=network,
    training=nw.Training(
        loss="cross_entropy",
        optimizer="sgd",
        lr=0.02,
        momentum=0.9,
        weight_decay=0.01,
        batch_size=64,
        epochs=30,
        schedule="cosine",
    ),
)
