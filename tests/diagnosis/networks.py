"""Sound networks of several kinds, and data of the shapes that they read."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import netwright as nw
from conftest import digits_data, mlp, table_data


class Convolutional(nn.Module):
    """(N, 1, 8, 8) to (N, 10); its rectifiers stand in forward."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.second = nn.Conv2d(12, 16, 3, padding=1)
        self.head = nn.Linear(16 * 4, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.first(x))), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        return self.head(x.flatten(1))


class Recurrent(nn.Module):
    """(N, T, D) to (N, 10), by the last state."""

    def __init__(self, kind=nn.GRU, batch_first=True):
        super().__init__()
        self.body, self.head = kind(8, 32, batch_first=batch_first), nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])


class Transformer(nn.Module):
    """(N, T, D) to (N, 10), by the mean over positions."""

    def __init__(self):
        super().__init__()
        self.inward, self.place = nn.Linear(8, 32), nn.Parameter(torch.randn(8, 32) * 0.1)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.body(self.inward(x) + self.place).mean(1))


class Residual(nn.Module):
    """(N, 1, 8, 8) to (N, 10), two blocks of layer normalisation, GELU and a skip."""

    def __init__(self):
        super().__init__()
        self.inward, self.head = nn.Linear(64, 32), nn.Linear(32, 10)
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(2))
        self.wide = nn.ModuleList(nn.Linear(32, 48) for _ in range(2))
        self.back = nn.ModuleList(nn.Linear(48, 32) for _ in range(2))

    def forward(self, x):
        x = self.inward(x.flatten(1))
        for norm, wide, back in zip(self.norms, self.wide, self.back, strict=True):
            x = x + back(F.gelu(wide(norm(x))))
        return self.head(F.relu(x))


def along_time():
    """(N, D, T) to (N, 10) by convolutions over T."""
    return nn.Sequential(
        nn.Conv1d(8, 24, 3, padding=1), nn.ReLU(), nn.BatchNorm1d(24),
        nn.Conv1d(24, 24, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(192, 10),
    )  # fmt: skip


def with_dropout():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 10)
    )


def one_logit():
    return nn.Sequential(mlp(30, 1), nn.Flatten(0))


def rows_of_digits(count=900):
    """Images read line by line: (N, 8 steps, 8 features)."""
    x, y = digits_data(count).train
    return nw.Data.arrays(x[:, 0].astype("float32") * 2 - 0.5, y)


def binary_table():
    x, y = table_data().train
    return nw.Data.arrays(x.astype("float32"), y.astype("float32"))


def smooth_numbers(count=500):
    """Inputs, (N, 6), and a number that a small network can tell from them."""
    x = np.random.default_rng(0).normal(size=(count, 6)).astype("float32")
    return nw.Data.arrays(x, (np.sin(x[:, 0]) + 0.5 * x[:, 1] * x[:, 2] + 0.3 * x[:, 3]).astype("float32"))
