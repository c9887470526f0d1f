"""What a check states, and what the ranking and the confirmation make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from netwright.values.place import Place

Status = Literal["confirmed", "suspected", "refuted"]
Severity = Literal["error", "warning", "note"]


@frozen
class Finding:
    """One cause that one check sees, with its raw numbers.

    A check fills `cause`, `where`, `evidence`, `explanation` and `ideas`; the ranking adds `confidence` (0…1)
    and `severity`, the confirmation `status` and `also` (causes whose repair does the same). `confuses` is
    what the check can mistake for this cause, shown beside it.
    """

    cause: str
    where: Place = field(factory=Place)
    evidence: Mapping[str, Any] = field(factory=dict)
    explanation: str = ""
    ideas: tuple[str, ...] = ()
    check: str = ""
    also: tuple[str, ...] = ()
    confidence: float | None = None
    status: Status = "suspected"
    severity: Severity = "warning"
    confuses: str = ""
    reference: str = ""
    confirmation: Mapping[str, Any] = field(factory=dict)

    @property
    def id(self) -> str:
        """The check and where it fired; the same in every process."""
        parts = [self.check or self.cause, self.where.layer or self.where.attribute or ""]
        return "@".join(part for part in parts if part)
