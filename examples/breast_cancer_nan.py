"""Malignant or benign; one measurement in a hundred is missing and nothing fills it.
What is wrong: bad-values"""

import netwright as nw
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale
from torch import nn


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 2))


x, y = load_breast_cancer(return_X_y=True)
x[np.random.default_rng(0).random(x.shape) < 0.01] = np.nan
recipe = nw.Recipe(
    data=nw.Data.arrays(scale(x), y, split=(0.6, 0.2, 0.2)),
    network=network,
    training=nw.Training(
        loss="cross_entropy",
        optimizer="adamw",
        lr=0.01,
        weight_decay=0.1,
        batch_size=32,
        epochs=15,
        schedule="cosine",
    ),
)
