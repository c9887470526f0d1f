"""Random streams keyed by purpose, so that an edit which draws more here shifts nothing there."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Generator
from contextlib import contextmanager

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
