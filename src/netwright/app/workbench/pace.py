"""How often something may be done beside the training, by what it costs."""

from __future__ import annotations


class Pace:
    """At most `rate` times a second, and so seldom that it takes at most the share `share` of the time."""

    def __init__(self, share: float, rate: float = float("inf")) -> None:
        self._share, self._rest = share, 1 / rate
        self._next = float("-inf")

    def due(self, now: float) -> bool:
        return now >= self._next

    def spent(self, seconds: float, now: float) -> None:
        """It was done just now and took so long: the next time is when that is a small part of the time."""
        self._next = now + max(self._rest, seconds / self._share)


class Allowance:
    """As long as all of it took no more than `credit` seconds and the share `share` of the time since the
    beginning: what is seldom and welcome early."""

    def __init__(self, share: float, credit: float, now: float) -> None:
        self._share, self._left, self._began = share, credit, now

    def due(self, now: float) -> bool:
        return self._left + self._share * (now - self._began) > 0

    def spent(self, seconds: float) -> None:
        self._left -= seconds


class StepTimes:
    """What a tapped step costs beyond a plain one, by a mean of the plain ones that forgets."""

    def __init__(self) -> None:
        self._plain: float | None = None

    def plain(self, seconds: float) -> None:
        self._plain = seconds if self._plain is None else self._plain + 0.1 * (seconds - self._plain)

    def beyond(self, seconds: float) -> float:
        """Of a step that took `seconds`; all of it as long as no plain one is known."""
        return max(0.0, seconds - (self._plain or 0.0))
