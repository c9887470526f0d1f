"""What may be spent, and the plan of what that buys."""

from __future__ import annotations

import re
from typing import Literal

from attrs import frozen

from netwright.values.errors import UserError

Unit = Literal["seconds", "epochs", "steps"]
Level = Literal["static", "probes", "proxies", "claims"]

_SECONDS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)


@frozen
class Budget:
    """An amount of one unit: wall seconds, or training epochs or steps summed over all trainings."""

    amount: float
    unit: Unit

    @staticmethod
    def parse(text: str | Budget) -> Budget:
        """`90s`, `2m`, `1h`, `1d`, `200 epochs`, `2000 steps`; raises `UserError` on anything else."""
        if isinstance(text, Budget):
            return text
        match = _PATTERN.fullmatch(str(text))
        if match:
            amount, unit = float(match[1]), match[2].lower()
            if unit in _SECONDS and amount > 0:
                return Budget(amount * _SECONDS[unit], "seconds")
            if unit in ("epoch", "epochs", "step", "steps") and amount > 0:
                return Budget(amount, "epochs" if unit.startswith("epoch") else "steps")
        raise UserError(f"budget {str(text)!r} is not an amount; say 90s, 2m, 1h, 200 epochs or 2000 steps")

    def __str__(self) -> str:
        if self.unit != "seconds":
            return f"{self.amount:,.0f} {self.unit}"
        return duration(self.amount)


def duration(seconds: float) -> str:
    """`0.4 s`, `48 s`, `1 min 38 s`, `2 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    seconds = round(seconds)
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


@frozen
class Plan:
    """What a budget buys for one recipe (METHOD: 'Budgets, from a second to a day').

    `level`: `static` (checks that train nothing), `probes` (one-batch probes, a range test), `proxies`
    (shortened trainings, which claim nothing), `claims` (paired seeds at full length). `trainings` are full
    ones that fit.
    """

    level: Level
    training_seconds: float
    training_steps: int
    training_epochs: int
    trainings: float
    baseline_seeds: int
    proxy_epochs: int
    confirmations: int
    sentence: str
