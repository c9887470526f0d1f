"""Evaluation mode against itself and against training mode, on one batch."""

from __future__ import annotations

import warnings

import torch
from attrs import frozen

from netwright.recipe import seeded
from netwright.runs.probes.quiet import quiet
from netwright.runs.subject import Subject

NOISE = 1e-4


@frozen
class Modes:
    """The same batch twice in evaluation mode, and once in training mode: the largest difference of outputs
    over their spread."""

    repeated: float
    training: float


def evaluation_modes(subject: Subject, seed: int = 0) -> Modes:
    """Whether evaluation repeats itself, and how far training mode is from it on the same data."""
    used = quiet(subject)
    with torch.no_grad(), seeded(seed, "modes"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = used.outputs(), used.outputs()
        spread = float(first.float().std()) or 1.0
        repeated = float((first - second).abs().max()) / spread
        used.network.train()
        trained = used.outputs()
    return Modes(repeated if repeated > NOISE else 0.0, float((trained - first).abs().max()) / spread)
