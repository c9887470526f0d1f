"""What a device has room and time for, and what of a network must change to fit it."""

from __future__ import annotations

import re

from attrs import frozen

from netwright.values.errors import UserError

_BYTES = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip
_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zµ]+)\s*", re.IGNORECASE)


@frozen
class DeviceBudget:
    """How many bytes a port may have, and how many seconds one input may take; `None` where that is open."""

    size: int | None = None
    seconds: float | None = None

    @staticmethod
    def parse(text: str | DeviceBudget) -> DeviceBudget:
        """`2MB,50ms`, `512kiB`, `8ms`; raises `UserError` on anything else."""
        if isinstance(text, DeviceBudget):
            return text
        size: int | None = None
        seconds: float | None = None
        for part in str(text).split(","):
            match = _AMOUNT.fullmatch(part)
            amount, unit = (float(match[1]), match[2].lower()) if match else (0.0, "")
            if amount > 0 and unit in _BYTES and size is None:
                size = round(amount * _BYTES[unit])
            elif amount > 0 and unit in _SECONDS and seconds is None:
                seconds = amount * _SECONDS[unit]
            else:
                raise UserError(
                    f"device budget {str(text)!r}: {part.strip()!r} is not a size or a time, or is the second"
                    " of its kind; say '2MB,50ms', '512kiB' or '8ms'"
                )
        return DeviceBudget(size, seconds)


@frozen
class Heavy:
    """A layer that holds weights: their bytes, and their share (0…1) of all of the network's."""

    layer: str
    kind: str
    file: str | None
    line: int | None
    bytes: int
    share: float


@frozen
class AsInt8:
    """What a port would be in 8-bit integers: `measured` where it was made and run, else computed from the
    bytes that are weights, a quarter of which is left."""

    size: int
    fits: bool | None
    measured: bool
    p95: float | None = None
    metric: float | None = None
    decision_changes: float | None = None
    trim: float | None = None
    files: tuple[str, ...] = ()


@frozen
class Budgeted:
    """Whether a port fits a device; `None` where a limit could not be checked.

    `size` is in bytes, `p95` in seconds for one batch of `batch` inputs with `threads`. Where the port does
    not fit, `trim` is the share (0…1) of the parameters that must go at this precision for the size, over 1
    where a network without weights is too large; `work` is the share of the time that must go, `int8` what
    8-bit integers would do, `heaviest` are the layers that hold most of the weights.
    """

    budget: DeviceBudget
    fits: bool | None
    size: int | None = None
    size_fits: bool | None = None
    p95: float | None = None
    time_fits: bool | None = None
    batch: int = 1
    threads: int | None = None
    trim: float | None = None
    work: float | None = None
    int8: AsInt8 | None = None
    heaviest: tuple[Heavy, ...] = ()
