"""What a technology does with every operator of a network, found by porting each by itself.

A converter's list of operators says what it has a name for; this says what it makes of them, with the
settings that the network uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs
import torch
from torch import Tensor

from netwright.catalogue import Target
from netwright.ports.differences import known_at
from netwright.ports.parity import Agreement
from netwright.ports.program import Layer, Program
from netwright.ports.reasons import reason_of
from netwright.ports.retraining import candidates, changed, module_of
from netwright.ports.rewriting import rewritten
from netwright.ports.running import NothingRuns
from netwright.ports.workshop import Workshop
from netwright.ports.yard import Failed, Yard
from netwright.recipe.edits import find_layer
from netwright.values import Edit, Limit


def tried(yard: Yard, workshop: Workshop) -> Iterator[Limit]:
    """What a technology refuses or computes otherwise, every operator of the network once."""
    program, target = yard.program(workshop.target), workshop.target
    for layers, part, values in program.alone(_inputs(yard, target)):
        if layers[0].name in yard.rewrites(target):  # several operators now, of which this is the last
            continue
        try:
            agreement = _agreement(yard, workshop, part, values)
        except Failed as raised:
            what = f"{target.title} does not take {layers[0].operator}: {raised}"
            remedy = f"replace {layers[0].operator}, or keep this layer out of the port"
            yield from (_limit(layer, what, remedy, "refused", None) for layer in layers)
            continue
        if agreement is not None and not agreement.within:
            yield from _differs(program, layers, agreement, target.id)


def with_ideas(yard: Yard, workshop: Workshop, limits: Iterable[Limit]) -> Iterator[Limit]:
    """The limits, those that keep a layer from fitting with edits that make it fit, to retrain with. Of
    layers that are set the same one is tried."""
    network, chosen = yard.original.network, dict[str, int | None]()
    for limit in limits:
        name = limit.layer
        ideas = list(candidates(network, name)) if name is not None else []
        if name is None or not ideas or limit.kind not in ("refused", "changes meaning"):
            yield limit
            continue
        alike = repr(find_layer(network, module_of(network, name)))
        if alike not in chosen:
            tries = (n for n, edits in enumerate(ideas) if _fits(yard, workshop, name, edits))
            chosen[alike] = next(tries, None)
        number = chosen[alike]
        yield attrs.evolve(limit, retrain=ideas[number]) if number is not None else limit


def _fits(yard: Yard, workshop: Workshop, layer: str, edits: Sequence[Edit]) -> bool:
    """Whether all that the module of a layer consists of, changed by the edits, is taken and agrees, each by
    itself."""
    target, inputs = workshop.target, _inputs(yard, workshop.target)
    try:
        network = changed(yard.original.network, edits)
        module = module_of(network, layer)
        original = attrs.evolve(yard.original, network=network)
        program = original.program(1 if target.batch == "one" else None)
        program, _ = rewritten(program, target.rewrites, inputs)
        for layers, part, values in program.alone(inputs):
            if any(module_of(network, one.name) == module for one in layers):
                agreement = _agreement(yard, workshop, part, values)
                if agreement is not None and not agreement.within:
                    return False
    except Failed:  # by torch.export, as where shapes no longer meet, or by the technology
        return False
    return True


def _inputs(yard: Yard, target: Target) -> list[Tensor]:
    size = 1 if target.batch == "one" else yard.original.example
    return [torch.from_numpy(array) for array in yard.original.flat(0, size)]


def _agreement(yard: Yard, workshop: Workshop, part: Program, values: Sequence[Tensor]) -> Agreement | None:
    """How far one operator agrees in the technology, `None` where nothing runs it. Raises `Failed`."""
    files = yard.build(workshop, part)
    if workshop.target.open is None:
        return None
    try:
        workshop.open(files, part.about())
        outputs, _ = workshop.run([value.numpy() for value in values])
    except NothingRuns:
        return None
    agreement = Agreement(yard.tolerance(part))
    wanted, _ = part.read(values, ())
    agreement.add(wanted[0].numpy(), outputs[0])
    return agreement


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
