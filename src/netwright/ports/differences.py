"""What the technologies are known to do differently, each with its remedy; docs/ports.md is made of this.

A difference names the operators it touches and when; a plan tells of it before a port is made, a port that
diverges at such an operator names it as the likely reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from netwright.ports.program import Program
from netwright.values import Limit


def met_by(program: Program, target: str) -> Iterator[Limit]:
    yield from ()


def likely_of(program: Program, layer: str, target: str) -> tuple[str | None, str]:
    return None, "no known difference of this operator; its weights or settings were changed on the way"
