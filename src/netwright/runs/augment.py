"""The augmentations known by name, with random numbers keyed by sample, so that order and batches do not
matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def augmentation(
    chosen: str | Callable[[Any], Any] | None, samples: int, seed: int
) -> Callable[[Any, Tensor], Any] | None:
    """`augment(inputs, rows)` for one epoch over `samples` training samples; a user's function takes the
    inputs alone.

    `noise`: Gaussian, a tenth of the batch's spread. `shift`: images by up to an eighth of their size, zeros
    coming in. `flip`: images left to right, half of them.
    """
    if chosen is None:
        return None
    if callable(chosen):
        return lambda inputs, rows: chosen(inputs)
    generator = torch.Generator().manual_seed(seed)
    if chosen == "noise":
        return _noise(torch.randint(1 << 31, (samples,), generator=generator))
    draws = torch.rand(samples, 2, generator=generator)
    return _shift(draws) if chosen == "shift" else _flip(draws)


def _noise(seeds: Tensor) -> Callable[[Any, Tensor], Any]:
    def add(inputs: Tensor, rows: Tensor) -> Tensor:
        if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
            return inputs
        # One generator a batch, keyed by the batch's first sample: the noise of a sample follows
        # the epoch's order.
        generator = torch.Generator().manual_seed(int(seeds[int(rows[0])]))
        noise = torch.randn(inputs.shape, generator=generator).to(inputs)
        return inputs + 0.1 * inputs.std() * noise

    return add


def _shift(draws: Tensor) -> Callable[[Any, Tensor], Any]:
    def move(inputs: Tensor, rows: Tensor) -> Tensor:
        if inputs.ndim != 4:
            return inputs
        height, width = inputs.shape[-2:]
        reach = torch.tensor([max(1, height // 8), max(1, width // 8)])
        by = ((2 * reach + 1) * draws[rows]).long() - reach  # (B, 2) whole pixels
        moved = torch.zeros_like(inputs)
        for dy, dx in {(int(y), int(x)) for y, x in by}:
            chosen = ((by[:, 0] == dy) & (by[:, 1] == dx)).to(inputs.device)
            there, here = _window(dy, height), _window(-dy, height)
            across, from_ = _window(dx, width), _window(-dx, width)
            part = inputs[chosen]
            shifted = torch.zeros_like(part)
            shifted[..., there, across] = part[..., here, from_]
            moved[chosen] = shifted
        return moved

    return move


def _window(by: int, size: int) -> slice:
    return slice(max(by, 0), size + min(by, 0))


def _flip(draws: Tensor) -> Callable[[Any, Tensor], Any]:
    def turn(inputs: Tensor, rows: Tensor) -> Tensor:
        if inputs.ndim != 4:
            return inputs
        turned = (draws[rows, 0] < 0.5).to(inputs.device)
        return torch.where(turned[:, None, None, None], inputs.flip(-1), inputs)

    return turn
