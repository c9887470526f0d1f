"""The augmentations known by name, with random numbers keyed by sample, so that order and batches do not
matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

POOL = 64


def augmentation(
    chosen: str | Callable[[Any], Any] | None, samples: int, seed: int, spread: Tensor | None = None
) -> Callable[[Any, Tensor], Any] | None:
    """`augment(inputs, rows)` for one epoch over `samples` training samples; a user's function takes the
    inputs alone.

    `noise`: Gaussian, a tenth of `spread`, the standard deviation of each input value over the training
    samples. `shift`: images by up to an eighth of their size; what comes in is the middle value of the
    image's rim, which in most stands for nothing. `flip`: images left to right, half of them.
    """
    if chosen is None:
        return None
    if callable(chosen):
        return lambda inputs, rows: chosen(inputs)
    generator = torch.Generator().manual_seed(seed)
    if chosen == "noise":
        scale = 0.1 if spread is None else 0.1 * spread
        return _noise(torch.randint(2 * POOL, (samples,), generator=generator), generator, scale)
    draws = torch.rand(samples, 2, generator=generator)
    return _shift(draws) if chosen == "shift" else _flip(draws)


def _noise(chosen: Tensor, generator: torch.Generator, scale: Tensor | float) -> Callable[[Any, Tensor], Any]:
    """Each sample takes one of a pool of noises (POOL, ...) or its negative, both drawn anew every epoch, so
    that no sample's noise depends on the batch that it comes in."""
    pool: list[Tensor] = []

    def add(inputs: Any, rows: Tensor) -> Any:
        if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
            return inputs
        if not pool:
            pool.append(torch.randn((POOL, *inputs.shape[1:]), generator=generator).to(inputs))
        which = chosen[rows].to(inputs.device)
        sign = (1 - 2 * (which // POOL)).to(inputs.dtype).reshape(-1, *[1] * (inputs.ndim - 1))
        return inputs + scale * sign * pool[0][which % POOL]

    return add


def _shift(draws: Tensor) -> Callable[[Any, Tensor], Any]:
    def move(inputs: Tensor, rows: Tensor) -> Tensor:
        if inputs.ndim != 4:
            return inputs
        height, width = inputs.shape[-2:]
        reach = torch.tensor([max(1, height // 8), max(1, width // 8)])
        by = ((2 * reach + 1) * draws[rows]).long() - reach  # (B, 2) whole pixels
        rim = torch.cat([inputs[..., 0, :], inputs[..., -1, :], inputs[..., :, 0], inputs[..., :, -1]], -1)
        middle = rim.float().nanmedian(-1).values.to(inputs.dtype)  # (B, C)
        moved = middle[..., None, None].expand_as(inputs).clone()
        for dy, dx in {(int(y), int(x)) for y, x in by}:
            chosen = ((by[:, 0] == dy) & (by[:, 1] == dx)).to(inputs.device)
            there, here = _window(dy, height), _window(-dy, height)
            across, from_ = _window(dx, width), _window(-dx, width)
            shifted = moved[chosen]
            shifted[..., there, across] = inputs[chosen][..., here, from_]
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


def spread_of(inputs: Tensor) -> Tensor:
    """The standard deviation of each value of an input, (N, ...) → (...), of those that are finite."""
    known = torch.isfinite(inputs)
    count = known.sum(0).clamp(min=1)
    values = torch.where(known, inputs, 0.0)
    mean = values.sum(0) / count
    return (torch.where(known, values - mean, 0.0).square().sum(0) / (count - 1).clamp(min=1)).sqrt()
