"""Handwritten digits; the freezing of a fine-tuning script was kept, but nothing here is pretrained.
What is wrong: untrained-parameters"""

import netwright as nw
from sklearn.datasets import load_digits
from torch import nn


def network() -> nn.Module:
    body = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()
    )
    for parameter in body.parameters():
        parameter.requires_grad = False
    return nn.Sequential(body, nn.Linear(16, 10))


x, y = load_digits(return_X_y=True)
x = x.reshape(-1, 1, 8, 8) / 16
recipe = nw.Recipe(
    data=nw.Data.arrays(x, y, split=(0.7, 0.15, 0.15)),
    network=network,
    training=nw.Training(loss="cross_entropy", optimizer="adam", lr=0.01, batch_size=64, epochs=20),
)
