"""The statistics of an atlas as grids: their names, what each means in a sentence, and how it is coloured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.atlas.arrays import floats
from netwright.atlas.beliefs import Beliefs
from netwright.atlas.gradients import Places
from netwright.runs.by_input import Seen
from netwright.values import Grid

Numbers = NDArray[np.float32]

_MEANINGS = {
    "norm": ("norm", "Euclidean norm of all values that the row holds for the input.", "sequential", "log"),
    "mean": ("mean", "Mean of all values that the row holds for the input.", "diverging", "linear"),
    "spread": ("spread", "Standard deviation of the values that the row holds.", "sequential", "log"),
    "zeros": ("zeros", "Share of the values that are exactly 0.", "sequential", "linear"),
    "saturated": (
        "saturated",
        "Share of a bounded activation's values within 2 % of its ends; nothing for other rows.",
        "sequential",
        "linear",
    ),
}  # fmt: skip


def _grid(name: str, values: Numbers, label: str, meaning: str, kind: Any, scale: Any) -> Grid:
    return Grid(name, label, meaning, floats(values), kind=kind, scale=scale)


def statistic_grids(seen: Seen) -> list[Grid]:
    """What one pass measured; saturation only where something is bounded."""
    found = []
    for name, (label, meaning, kind, scale) in _MEANINGS.items():
        values = seen.numbers[name]
        if name != "saturated" or np.isfinite(values).any():
            found.append(_grid(name, values, label, meaning, kind, scale))
    return found


def belief_grids(told: Beliefs, reference: int, classes: bool) -> list[Grid]:
    """What probes believe, by that many reference inputs; numbers instead of classes in a regression."""
    by = f"the {told.neighbours} nearest of {reference} reference inputs at the row"
    if not classes:
        meaning = f"Mean target of {by}."
        found = [_grid("belief", told.belief, "belief", meaning, "diverging", "linear")]
    else:
        meaning = f"Class that most of {by} are of."
        found = [
            _grid("belief", told.belief, "belief", meaning, "category", "linear"),
            _grid(
                "support", told.support, "support", f"Share of {by} that are of the input's own class.",
                "sequential", "linear",
            ),
            _grid(
                "typicality", told.typicality, "typical of its class",
                "Share of the class that lies at least as far from the middle of the class as the input does:"
                " near 0 it is an outlier there.",
                "sequential", "linear",
            ),
        ]  # fmt: skip
    meaning = "Distance to the nearest reference input, over what 99 % of the reference keep to theirs."
    return [*found, _grid("strangeness", told.strangeness, "strangeness", meaning, "sequential", "log")]


def gradient_grids(norms: Places, masses: Places, keys: Sequence[tuple[str, int]], count: int) -> list[Grid]:
    """What `gradients` gave of every row in `keys`, over `count` inputs."""
    missing = np.full(count, np.nan, dtype=np.float32)
    norm = np.stack([norms.get(key, missing) for key in keys])
    mass = np.stack([masses.get(key, missing) for key in keys])
    return [
        _grid(
            "gradient", norm, "gradient", "Norm of the gradient of the input's own loss at the row's values.",
            "sequential", "log",
        ),
        _grid(
            "mass", mass, "attribution mass", "Sum of |value × gradient of the input's loss| over the row.",
            "sequential", "log",
        ),
    ]  # fmt: skip
