"""What a technology does with every operator of a network, found by porting each by itself.

A converter's list of operators says what it has a name for; this says what it makes of them, with the
settings that the network uses.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from netwright.ports.differences import known_at
from netwright.ports.parity import Agreement
from netwright.ports.program import Layer, Program
from netwright.ports.reasons import reason_of
from netwright.ports.running import NothingRuns
from netwright.ports.workshop import Workshop
from netwright.ports.yard import Failed, Yard
from netwright.values import Limit


def tried(yard: Yard, workshop: Workshop) -> Iterator[Limit]:
    """What a technology refuses or computes otherwise, every operator of the network once."""
    program, target = yard.program(workshop.target), workshop.target
    size = 1 if target.batch == "one" else yard.original.example
    inputs = [torch.from_numpy(array) for array in yard.original.flat(0, size)]
    for layers, part, values in program.alone(inputs):
        try:
            files = yard.build(workshop, part)
            if target.open is None:
                continue
            workshop.open(files, part.about())
            outputs, _ = workshop.run([value.numpy() for value in values])
        except NothingRuns:
            continue
        except Failed as raised:
            what = f"{target.title} does not take {layers[0].operator}: {raised}"
            remedy = f"replace {layers[0].operator}, or keep this layer out of the port"
            yield from (_limit(layer, what, remedy, "refused", None) for layer in layers)
            continue
        agreement = Agreement(yard.tolerance(part))
        wanted, _ = part.read(values, ())
        agreement.add(wanted[0].numpy(), outputs[0])
        if not agreement.within:
            yield from _differs(program, layers, agreement, target.id)


def _differs(program: Program, layers: list[Layer], agreement: Agreement, target: str) -> Iterator[Limit]:
    known = known_at(program, layers[0].name, target)
    seen = reason_of(*agreement.worst) if agreement.worst is not None else None
    what = known.what if known is not None else seen or "its result is another"
    for layer in layers:
        yield _limit(
            layer,
            f"{layer.operator} by itself differs by {agreement.relative_error:.1e}: {what}",
            known.remedy if known is not None else "port the network and look at what its outputs make of it",
            "changes meaning" if agreement.relative_error > 1e-2 else "approximated",
            known.id if known is not None else None,
        )


def _limit(layer: Layer, what: str, remedy: str, kind: str, difference: str | None) -> Limit:
    place = layer.place
    return Limit(layer.name, place.file, place.line, what, remedy, kind, difference)  # type: ignore[arg-type]
