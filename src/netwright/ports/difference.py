"""A known difference between technologies: what, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from netwright.ports.program import Layer, Program
from netwright.values.port import LimitKind


@frozen
class Difference:
    """`what` is done differently by `targets` at `operators`, with the `remedy`. `handled` says what the port
    itself does about it; where that is nothing the difference is told before a port is made, of every layer
    for which `when(program, layer)` holds. `rewrites` are what the port computes such layers by."""

    id: str
    targets: tuple[str, ...]
    operators: tuple[str, ...]
    what: str
    remedy: str
    handled: str = ""
    kind: LimitKind = "changes meaning"
    source: str = ""
    rewrites: tuple[str, ...] = ()
    when: Callable[[Program, Layer], bool] | None = field(default=None, repr=False)

    def meets(self, program: Program, layer: Layer) -> bool:
        touched = not self.operators or layer.operator in self.operators
        return touched and (self.when is None or self.when(program, layer))
