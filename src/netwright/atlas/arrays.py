"""Between NumPy and the values of an atlas."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.values import Floats


def floats(values: Any) -> Floats:
    """`Floats` of an array."""
    array = np.ascontiguousarray(values, dtype="<f4")
    return Floats(tuple(array.shape), array.tobytes())


def array(values: Floats) -> NDArray[np.float32]:
    """A read-only array of `Floats`."""
    return np.frombuffer(values.data, dtype="<f4").reshape(values.shape)


def plain(values: Any) -> tuple[float | None, ...]:
    """Numbers as a tuple, `None` where they are not finite."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    return tuple(float(v) if np.isfinite(v) else None for v in flat)
