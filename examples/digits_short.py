"""Handwritten digits by a small convolutional network; the training stops while every epoch still helps.
What is wrong: too-few-epochs"""

import netwright as nw
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn


class Network(nn.Module):
    """(N, 1, 8, 8) to (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 16, 3, padding=1)
        self.head = nn.Linear(16 * 2 * 2, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.max_pool2d(torch.relu(self.first(x)), 2)
        x = torch.max_pool2d(torch.relu(self.second(x)), 2)
        return self.head(x.flatten(1))


x, y = load_digits(return_X_y=True)
recipe = nw.Recipe(
    data=nw.Data.arrays((x / 16).reshape(-1, 1, 8, 8), y, split=(0.6, 0.2, 0.2)),
    network=Network,
    training=nw.Training(loss="cross_entropy", optimizer="sgd", lr=0.5, batch_size=64, epochs=2),
)
