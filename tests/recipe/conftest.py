"""Small real recipes: iris by a linear network, and files that hold a recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from sklearn.datasets import load_iris
from torch import nn

import netwright as nw

# The same examples in every run, and none that fails because the computer was busy.
settings.register_profile("steady", derandomize=True, deadline=None, database=None)
settings.load_profile("steady")

FLOWERS, KINDS = load_iris(return_X_y=True)  # (150, 4) and (150,), three classes of 50


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture
def recipe() -> nw.Recipe:
    return nw.Recipe(
        data=nw.Data.arrays(FLOWERS, KINDS),
        network=network,
        training=nw.Training(loss="cross_entropy", optimizer="sgd", lr=0.1, batch_size=16, epochs=3),
    )


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Thirty samples that can be told apart, (30, 2), and two labels, (30,)."""
    return np.arange(60.0).reshape(30, 2), np.arange(30) % 2


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write a Python file and return its path; every file has a name of its own."""

    def write(text: str, name: str = "written.py", **words: Any) -> Path:
        path = tmp_path / name
        path.write_text(text.format(**words) if words else text)
        return path

    return write
