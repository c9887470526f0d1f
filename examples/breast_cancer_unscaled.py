"""Malignant or benign, from 30 measurements in their own units, some near 0.01 and some above 1,000.
What is wrong: input-scale"""

import netwright as nw
from sklearn.datasets import load_breast_cancer
from torch import nn


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 2))


x, y = load_breast_cancer(return_X_y=True)
recipe = nw.Recipe(
    data=nw.Data.arrays(x, y, split=(0.6, 0.2, 0.2)),
    network=network,
    training=nw.Training(
        loss="cross_entropy", optimizer="sgd", lr=0.05, momentum=0.9, batch_size=32, epochs=30
    ),
)
