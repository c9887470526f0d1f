"""Porting one network to several technologies: planned, made, proved. Yields the typed events of the way
there; each technology works in a process of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import attrs

from netwright.catalogue import Target
from netwright.ports.bisection import bisect
from netwright.ports.devices import budgeted, measured_int8
from netwright.ports.differences import mended_by, met_by
from netwright.ports.original import Original
from netwright.ports.program import Program
from netwright.ports.proof import Proof
from netwright.ports.quantising import Quantiser, suffering
from netwright.ports.running import NothingRuns
from netwright.ports.trying import tried, with_ideas
from netwright.ports.workshop import Workshop, here
from netwright.ports.yard import Failed, Settings, Yard
from netwright.values import DeviceBudget, Limit, Port, Precision, TargetEnded, TargetPort, TargetStarted

Event = TargetStarted | TargetEnded


def port(
    original: Original,
    targets: Sequence[Target],
    folder: Path,
    settings: Settings,
    clock: Callable[[], float],
    maker: Target | None = None,
    *,
    only_plan: bool = False,
) -> Generator[Event, None, Port]:
    """Port `original` to every one of `targets`, into a folder each below `folder`; with `only_plan` say what
    does not fit them and make nothing.

    `maker` is the target that writes ONNX, for those that are made from it. Raises `UserError` where the
    network itself cannot be followed.
    """
    with Yard(original, folder, settings, maker, clock) as yard:
        ended: list[TargetPort] = []
        for target in targets:
            began = clock()
            missing = here(target)
            if missing is not None:
                install = f"; pip install 'netwright[{target.extra}]' brings it" if target.extra else ""
                reason = f"{missing} is not installed{install}"
                found = TargetPort(
                    target.id, target.title, "absent", reason, limits=known_limits(yard, target)
                )
            elif settings.precision not in target.precisions:
                reason = f"{target.title} is ported in float32 only, not in {settings.precision}"
                found = TargetPort(
                    target.id, target.title, "unsupported", reason, precision=settings.precision
                )
            else:
                found = yield from (_planned if only_plan else _ported)(yard, target)
                if settings.budget is not None and not only_plan:
                    found = yield from _on_a_device(yard, target, found, settings.budget)
            found = attrs.evolve(found, seconds=clock() - began)
            yield TargetEnded(found)
            ended.append(found)
        parameters = sum(p.numel() for p in original.network.parameters())
        return Port(
            original.name,
            tuple(ended),
            metric=original.metric,
            parameters=parameters,
            layers=len(yard.whole.layers),
        )


def known_limits(yard: Yard, target: Target) -> tuple[Limit, ...]:
    """The known differences that a network meets in a technology, and what is rewritten for it."""
    layers = {layer.name: layer for layer in yard.whole.layers}
    made: list[Limit] = []
    for name, rewrite in yard.rewrites(target).items():
        layer, known = layers[name], mended_by(rewrite, target.id)
        why = known.what if known is not None else f"{target.title} does not take {layer.kind}"
        what = f"{why}; the port computes the same by other operators"
        place = layer.place
        made.append(
            Limit(name, place.file, place.line, what, "", "rewritten", known.id if known else rewrite)
        )
    return (*made, *met_by(yard.program(target), target.id))


def joined(known: tuple[Limit, ...], found: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """What is known and what was found, each layer's matter once: a refusal in the known words, which have
    the better remedy; what differs as it was measured."""
    told = {limit.layer for limit in known if limit.kind == "refused"}
    measured = {(limit.layer, limit.difference) for limit in found if limit.difference is not None}
    kept = tuple(limit for limit in known if (limit.layer, limit.difference) not in measured)
    return kept + tuple(limit for limit in found if limit.kind != "refused" or limit.layer not in told)


def _planned(yard: Yard, target: Target) -> Generator[Event, None, TargetPort]:
    yield TargetStarted(target.id, "plan")
    limits = known_limits(yard, target)
    with yard.workshop(target, yard.scratch / "plan.log") as workshop:
        try:
            said = target.limits is not None
            found = yard.limits(workshop, yard.program(target)) if said else tried(yard, workshop)
            limits = tuple(with_ideas(yard, workshop, joined(limits, tuple(found))))
            if not any(limit.kind == "refused" for limit in limits):
                _made(yard, workshop, yard.program(target))  # that all fit each by itself proves no network
        except Failed as raised:
            limits = tuple(with_ideas(yard, workshop, joined(limits, _refused(yard, workshop, raised))))
            return TargetPort(target.id, target.title, "unsupported", str(raised), limits=limits)
    refused = any(limit.kind == "refused" for limit in limits)
    return TargetPort(target.id, target.title, "unsupported" if refused else "planned", limits=limits)


def _on_a_device(
    yard: Yard, target: Target, found: TargetPort, budget: DeviceBudget
) -> Generator[Event, None, TargetPort]:
    """The port with the verdict on its budget. One that does not fit is quantised as well, where the
    technology can, to say what that makes of it."""
    program = yard.program(target)
    if found.size is None:
        return found
    verdict = budgeted(found, budget, program)
    if verdict.fits is False and found.precision == "float32" and "int8" in target.precisions:
        other = yield from _ported(yard, target, "int8", whole=False)
        int8 = measured_int8(other, budget, program)
        verdict = attrs.evolve(verdict, int8=int8) if int8 is not None else verdict
    return attrs.evolve(found, budget=verdict)


def _ported(
    yard: Yard, target: Target, precision: Precision | None = None, whole: bool = True
) -> Generator[Event, None, TargetPort]:
    """A port, made and proved; without its layers where it is not `whole`."""
    precision = precision or yard.settings.precision
    yield TargetStarted(target.id, "build")
    folder = yard.folder / target.id
    folder.mkdir(parents=True, exist_ok=True)
    limits = known_limits(yard, target)
    empty = TargetPort(target.id, target.title, "unsupported", precision=precision, limits=limits)
    with yard.workshop(target) as workshop:
        program = yard.program(target)
        try:
            files = yard.build(workshop, program, folder)
        except Failed as raised:
            refused = with_ideas(yard, workshop, joined(limits, _refused(yard, workshop, raised)))
            return attrs.evolve(empty, reason=str(raised), limits=tuple(refused))
        found = _sized(attrs.evolve(empty, status="built"), files)
        quantiser = Quantiser(yard, workshop, files)
        if precision == "int8":
            yield TargetStarted(target.id, "quantise")
            try:
                files = quantiser.whole()
            except Failed as raised:
                return attrs.evolve(empty, reason=f"it is not quantised: {raised}")
            found = _sized(attrs.evolve(found, size_before=found.size), files)
        if target.open is None:
            return attrs.evolve(found, reason=f"nothing here runs {target.title}")
        yield TargetStarted(target.id, "outputs")
        try:
            proof = Proof(yard, workshop, files, precision)
            found = attrs.evolve(found, **proof.outputs())
        except NothingRuns as raised:
            return attrs.evolve(found, reason=str(raised))
        except Failed as raised:
            refused = with_ideas(yard, workshop, joined(limits, _refused(yard, workshop, raised)))
            return attrs.evolve(found, status="unsupported", reason=str(raised), limits=tuple(refused))
        # Rounding to 8 bits has no first layer: every layer adds its own.
        differs = found.status == "differs" and precision == "float32"
        stages: dict[str, Callable[[], dict[str, Any]]] = {
            "layers": lambda: proof.layers(differs),
            "time": proof.timed,
            "suffering": lambda: suffering(yard, quantiser, found),
        }
        skipped: set[str] = set() if precision == "int8" else {"suffering"}
        skipped |= {"time"} if not yard.settings.runs else set()
        skipped |= {"layers"} if not yard.settings.followed and not differs else set()
        for stage in stages if whole else ("time",):
            if stage in skipped:
                continue
            yield TargetStarted(target.id, stage)
            try:
                proved = stages[stage]()
            except Failed as raised:
                proved = {"notes": (f"{stage} not measured: {raised}",)}
            found = attrs.evolve(found, **proved | {"notes": (*found.notes, *proved.get("notes", ()))})
    return found


def _sized(found: TargetPort, files: tuple[Path, ...]) -> TargetPort:
    size = sum(file.stat().st_size for file in files)
    return attrs.evolve(found, files=tuple(map(str, files)), size=size)


def _made(yard: Yard, workshop: Workshop, program: Program) -> None:
    """Make a port, open it where that can be, and keep nothing. Raises what making or opening it raises."""
    files = yard.build(workshop, program)
    if workshop.target.open is not None:
        with contextlib.suppress(NothingRuns):
            workshop.open(files, program.about())


def _refused(yard: Yard, workshop: Workshop, raised: Exception) -> tuple[Limit, ...]:
    """What a technology cannot take: what it says itself, else the first layer that cannot be ported, found
    by porting less and less of the network."""
    program, target = yard.program(workshop.target), workshop.target
    try:
        said = tuple(limit for limit in yard.limits(workshop, program) if limit.kind == "refused")
    except Failed:
        said = ()
    if said:
        return said
    name = getattr(raised, "layer", None)
    if name is None:
        end = program.answer_layer
        if end is None:
            return ()

        def fails(name: str) -> bool:
            try:
                _made(yard, workshop, program.tapped([name], only=True))
            except Failed:
                return True
            return False

        name, _ = bisect([layer.name for layer in program.layers], program.upstream(), fails, end.name)
    layer = program.layer(name)
    sentence = f"{target.title} does not take {layer.operator}: {raised}"
    remedy = f"replace {layer.operator}, or keep this layer out of the port"
    return (Limit(name, layer.place.file, layer.place.line, sentence, remedy),)
