"""Which seeds are for what: those that screened never confirm, those that confirmed never score the test."""

from __future__ import annotations

from attrs import frozen


@frozen
class Seeds:
    """Seeds of one verb, all derived from the user's `--seed`; no two purposes share one."""

    base: int = 0

    def screening(self, count: int) -> list[int]:
        return self._from(0, count)

    def reproducing(self, count: int, attempt: int = 0) -> list[int]:
        """For the confirmation of findings."""
        return self._from(100 + 20 * attempt, count)

    def confirming(self, round: int, count: int) -> list[int]:
        """For the claims of one round of trials."""
        return self._from(1000 + 20 * round, count)

    def final(self, count: int) -> list[int]:
        """For the result, and the one look at the test."""
        return self._from(9000, count)

    def elimination(self, count: int) -> list[int]:
        return self._from(8000, count)

    def _from(self, start: int, count: int) -> list[int]:
        return [self.base * 10_000 + start + k for k in range(count)]
