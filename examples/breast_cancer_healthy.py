"""Malignant or benign, from 30 measurements of cell nuclei. Nothing is wrong."""

import netwright as nw
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale
from torch import nn


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 2))


x, y = load_breast_cancer(return_X_y=True)
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
