"""Handwritten digits read row by row, eight steps of eight pixels, by a GRU. Nothing is wrong."""

import netwright as nw
from sklearn.datasets import load_digits
from torch import Tensor, nn


class Reader(nn.Module):
    """Reads x (N, 8, 8) and answers after the last row, (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 64, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.gru(x)  # (N, 8, 64)
        return self.head(states[:, -1])


x, y = load_digits(return_X_y=True)
recipe = nw.Recipe(
    data=nw.Data.arrays(x.reshape(-1, 8, 8) / 16, y, split=(0.7, 0.15, 0.15)),
    network=Reader,
    training=nw.Training(
        loss="cross_entropy",
        optimizer="adamw",
        lr=0.02,
        weight_decay=0.01,
        batch_size=64,
        epochs=20,
        schedule="cosine",
    ),
)
