"""What the technologies are known to do differently, each with its remedy; docs/ports.md is made of this.

A difference names the operators it touches and when; a plan tells of it before a port is made, a port that
diverges at such an operator names it as the likely reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import field, frozen

from netwright.ports.program import Layer, Program
from netwright.values import Limit
from netwright.values.port import LimitKind


@frozen
class Difference:
    """`what` is done differently by `targets` at `operators`, with the `remedy`. `handled` says what the port
    itself does about it; where that is nothing the difference is told before a port is made, of every layer
    for which `when(program, layer)` holds."""

    id: str
    targets: tuple[str, ...]
    operators: tuple[str, ...]
    what: str
    remedy: str
    handled: str = ""
    kind: LimitKind = "changes meaning"
    source: str = ""
    when: Callable[[Program, Layer], bool] | None = field(default=None, repr=False)

    def meets(self, program: Program, layer: Layer) -> bool:
        touched = not self.operators or layer.operator in self.operators
        return touched and (self.when is None or self.when(program, layer))


DIFFERENCES: tuple[Difference, ...] = ()


def met_by(program: Program, target: str) -> Iterator[Limit]:
    """The differences that a program meets in a technology and that the port does not mend by itself."""
    for difference in DIFFERENCES:
        if target not in difference.targets or difference.handled:
            continue
        for layer in program.layers:
            if difference.meets(program, layer):
                place = layer.place
                yield Limit(
                    layer.name if difference.operators else None,
                    place.file if difference.operators else None,
                    place.line if difference.operators else None,
                    difference.what,
                    difference.remedy,
                    difference.kind,
                    difference.id,
                )
                if not difference.operators:
                    break


def known_at(program: Program, layer: str, target: str) -> Difference | None:
    """The known difference of a technology at a layer's operator."""
    at = program.layer(layer)
    of_it = (d for d in DIFFERENCES if target in d.targets and d.operators and d.meets(program, at))
    return next(of_it, None)
