"""What a watched loop did: its losses, its rates, and in which order it called what."""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray


@frozen(eq=False)
class LoopEvidence:
    """A loop of the user's own as `watch` saw it; `losses` (steps,) in the order they were noted."""

    losses: NDArray[np.float64]
