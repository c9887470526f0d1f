"""Steering a training while it runs: what is asked after every step, and what whoever steers gets to see."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from torch import nn


class Position(Protocol):
    """Where a training is: `epochs_done` whole epochs and `in_epoch` steps of the next one. Right until its
    next step."""

    @property
    def network(self) -> nn.Module: ...
    @property
    def epochs(self) -> int: ...
    @property
    def epochs_done(self) -> int: ...
    @property
    def in_epoch(self) -> int: ...
    @property
    def steps_done(self) -> int: ...
    @property
    def column(self) -> Mapping[str, list[float]]:
        """By layer the statistics `TRACED` of the last step that was tapped."""
        ...

    def loss_now(self) -> float:
        """The loss of the last step of this epoch; waits for the device."""
        ...

    def save(self, path: Path) -> None:
        """Keep the state, so that a training goes on from here to the same bits. Raises `OSError`."""
        ...


class Steering(Protocol):
    """Steers one training. It is asked at every step, so its answers must be quick; it may take its time to
    answer, which pauses the training. The network it sees must be left as it is, and so must the global
    generators."""

    @property
    def start(self) -> Path | None:
        """The state to take up; `None` begins anew."""
        ...

    def taps(self, step: int) -> bool:
        """Whether the layers of the step that comes are to be recorded."""
        ...

    def stepped(self, at: Position) -> bool:
        """A step was made: whether to go on."""
        ...

    def between(self, at: Position) -> bool:
        """Before the first step from `start`, and after each epoch: whether to go on."""
        ...


class Halted(Exception):
    """A training was stopped by its steering; what is to be kept of it has been saved."""
