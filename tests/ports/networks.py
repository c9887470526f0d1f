"""Small networks that ports are tested on."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """A convolution beside a shortcut, with a function called in `forward`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.conv(self.act(x))))


class Small(nn.Module):
    """Images 1 × 8 × 8 to ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3)
        self.pool = nn.MaxPool2d(2)
        self.block = Residual(6)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(54, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(self.pool(self.stem(x)))
        return self.head(self.drop(torch.flatten(x, 1)))


def small(seed: int = 0) -> Small:
    torch.manual_seed(seed)
    network = Small()
    for _ in range(3):
        network(torch.randn(16, 1, 8, 8))
    return network.eval()


def images(count: int = 6, seed: int = 1) -> Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip where a technology is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


def digits() -> tuple[Tensor, Tensor]:
    """Handwritten digits, 8 × 8 pixels from 0 to 1, with what they are."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return torch.tensor(x / 16, dtype=torch.float32)[order], torch.tensor(y)[order]


def reads_digits() -> nn.Sequential:
    """Three dense layers that tell digits apart."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    )  # fmt: skip
    x, y = digits()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(network(x[:1000]), y[:1000]).backward()
        optimizer.step()
    return network.eval()


def with_wild_weights(network: nn.Sequential, layer: int) -> nn.Sequential:
    """The same function, the weights of one dense layer wildly apart: those of an input that is always 0."""
    given, wild = network[layer - 2], network[layer]
    assert isinstance(given, nn.Linear) and isinstance(wild, nn.Linear)
    with torch.no_grad():
        given.weight[0], given.bias[0] = 0.0, -0.1
        wild.weight[:, 0] = 300.0
    return network
