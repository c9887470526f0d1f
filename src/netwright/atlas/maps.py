"""Where inputs lie beside each other at a row: the two directions in which they differ most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netwright.values import InputMap

MAPS = 8  # rows whose inputs are laid out


def input_maps(features: NDArray[np.float32], weighted: frozenset[int]) -> tuple[InputMap, ...]:
    """Principal components of what the inputs are, at some rows spread over the network."""
    rows = sorted(weighted | {len(features) - 1})
    chosen = {rows[int(k)] for k in np.linspace(0, len(rows) - 1, min(MAPS, len(rows))).round()}
    found = []
    for row in sorted(chosen):
        values = features[row].astype(np.float64)
        if len(values) < 3 or not np.isfinite(values).all():
            continue
        centred = values - values.mean(0)
        left, size, _ = np.linalg.svd(centred, full_matrices=False)
        total = float(np.square(size).sum())
        if total <= 0 or len(size) < 2:
            continue
        x, y = left[:, 0] * size[0], left[:, 1] * size[1]
        share = float(np.square(size[:2]).sum() / total)
        found.append(InputMap(row, _numbers(x), _numbers(y), share))
    return tuple(found)


def _numbers(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{v:.5g}") for v in values)
