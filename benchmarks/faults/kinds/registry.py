"""What a fault is, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from attrs import frozen

from benchmarks.faults.script import NotApplicable, Script

Visible = Literal["recipe", "data", "start", "early", "end"]
Plant = Callable[[Script, Any], Script]


@frozen
class Fault:
    """`cause` is planted by `plant(script, strength)`; repairing one of `also` repairs it as well.

    `attribute` is what a repair changes; `visible` says when it can first be seen: in the recipe, in the
    data, in the network before it trains, in the first tenth of training, or at its end. `by_construction`
    faults spoil the yardstick itself, so that no score on the test rows shows them. `lossy` faults throw rows
    or labels away that no edit can bring back: all of them, or those of the listed strengths.
    """

    name: str
    cause: str
    strengths: tuple[Any, ...]
    also: tuple[str, ...]
    attribute: str
    visible: Visible
    by_construction: bool
    lossy: bool | tuple[Any, ...]
    plant: Plant

    def loses(self, strength: Any) -> bool:
        """Whether what this strength throws away is gone for good."""
        return self.lossy if isinstance(self.lossy, bool) else strength in self.lossy


FAULTS: dict[str, Fault] = {}


def fault(
    cause: str,
    strengths: tuple[Any, ...] = ("",),
    *,
    attribute: str,
    visible: Visible,
    also: tuple[str, ...] = (),
    by_construction: bool = False,
    lossy: bool | tuple[Any, ...] = False,
) -> Callable[[Plant], Plant]:
    """Register a function that plants `cause`; it raises `NotApplicable` where the recipe has no place for
    it."""

    def register(plant: Plant) -> Plant:
        name = plant.__name__
        FAULTS[name] = Fault(name, cause, strengths, also, attribute, visible, by_construction, lossy, plant)
        return plant

    return register


def only_if(holds: Any, why: str) -> None:
    """`NotApplicable` unless `holds`."""
    if not holds:
        raise NotApplicable(why)
