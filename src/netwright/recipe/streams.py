"""Random streams keyed by purpose, so that an edit which draws more here shifts nothing there."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def stream(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, `stream(0, "order", epoch)`; the same in every process."""
    key = "\x1f".join(map(str, (seed, *purpose))).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


def set_all(seed: int) -> None:
    """Seed the global generators that a user's code may draw from: torch (every device), NumPy and Python."""
    torch.default_generator.manual_seed(seed)
    if (
        torch.cuda.is_initialized()
    ):  # torch.manual_seed would format a stack for each accelerator that is not there
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed % (1 << 32))
    random.seed(seed)


@contextmanager
def seeded(seed: int, *purpose: str | int) -> Generator[None, None, None]:
    """The global generators seeded for the block, and put back after it."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        set_all(stream(seed, *purpose))
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def generators() -> dict[str, Any]:
    """The states of the global generators as plain tensors, lists and numbers."""
    _, key, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, numbers, python_gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": [
            torch.from_numpy(np.asarray(key).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ],
        "python": [version, list(numbers), python_gauss],
    }


def restore_generators(states: Mapping[str, Any]) -> None:
    """Put back what `generators` gave; of devices, those that are there."""
    torch.set_rng_state(states["torch"].cpu())
    for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state.cpu(), device)
    key, position, has_gauss, gauss = states["numpy"]
    np.random.set_state(("MT19937", key.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))
    version, numbers, python_gauss = states["python"]
    random.setstate((version, tuple(numbers), python_gauss))
