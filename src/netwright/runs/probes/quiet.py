"""What a probe of one batch works on: a copy in evaluation mode, its gradients, a generator of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from netwright.recipe import stream
from netwright.runs.subject import Subject


def quiet(subject: Subject) -> Subject:
    """A copy in evaluation mode: dropout is off and batch statistics are constants."""
    used = subject.copy()
    used.network.eval()
    return used


def generator_of(seed: int) -> torch.Generator:
    """The generator of what a probe draws."""
    return torch.Generator().manual_seed(stream(seed, "probe"))


def gradients_of(of: Tensor, inputs: Sequence[Tensor], keep: bool = False) -> list[Tensor | None]:
    """The gradients by each of `inputs`; `None` where there is none."""
    return list(torch.autograd.grad(of, inputs, retain_graph=keep, allow_unused=True))
