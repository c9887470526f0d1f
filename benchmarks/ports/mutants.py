"""Planted faults: one layer of a port altered. Does the port differ, is the layer named, in how many runs?

Faults of ONNX are planted in the file. Where a port cannot be edited the network that it is made from is
altered, and compared with the network as it was.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto

from benchmarks.ports import coverage
from benchmarks.ports.altered import AlteredYard, alterations
from benchmarks.ports.onnx_faults import candidates, dear_runs, with_fault
from benchmarks.ports.zoo import ZOO
from netwright.catalogue import Target
from netwright.ports.original import Original
from netwright.ports.program import Program
from netwright.ports.proof import Proof
from netwright.ports.workshop import Workshop
from netwright.ports.yard import Failed, Settings, Yard

Row = dict[str, Any]
IN_FILES = (
    "resnet", "resnet-bottleneck", "mobilenet-v2", "mobilenet-v3", "densenet", "inception", "googlenet",
    "alexnet", "shufflenet", "unet", "unet-bilinear", "convnext", "transformer-encoder", "vision-transformer",
    "lstm", "gru-bidirectional", "text", "group-norm",
)  # fmt: skip
BEFORE_PORTING = ("mobilenet-v2", "unet", "densenet", "resnet")
DRAWS = 8  # for every fault that is wanted at most


def settings(original: Original) -> Settings:
    return Settings(inputs=original.count, followed=original.count)


def original_of(name: str) -> Original:
    network, inputs = ZOO[name]()
    return Original(name, network, inputs)


def in_files(name: str, target: Target, folder: Path, wanted: int, seed: int = 0) -> Iterator[Row]:
    """`wanted` faults in the ONNX file of a network of the zoo, of as many kinds as there are."""
    original = original_of(name)
    with (
        Yard(original, folder, settings(original), target, time.perf_counter) as yard,
        yard.workshop(target) as workshop,
    ):
        program = yard.program(target)
        files = yard.build(workshop, program, folder / target.id)
        taps = workshop.open(files, program.about())
        model = onnx.load(files[0])
        fault = files[0].with_name("fault.onnx")
        made = 0
        for kind, number in _drawn(list(candidates(model)), f"{name} {seed}")[: wanted * DRAWS]:
            changed = with_fault(model, kind, number)
            if changed is None:
                continue
            onnx.save(changed[0], fault)
            layer, by_scope = _layer_of(model, number, changed[1], program)
            about = {"network": name, "target": target.id, "kind": kind, "altered": layer}
            row = _judged(about, yard, workshop, (fault,), program, taps)
            yield row | {"named_by_scope": by_scope}
            made += row["outcome"] == "differs"
            if made == wanted:
                return


def _drawn(found: list[tuple[str, int]], seed: str) -> list[tuple[str, int]]:
    """All in random order, a kind again only after every other kind."""
    chance = random.Random(seed)
    chance.shuffle(found)
    turns: dict[str, int] = {}
    keyed: list[tuple[int, tuple[str, int]]] = []
    for one in found:
        turns[one[0]] = turns.get(one[0], 0) + 1
        keyed.append((turns[one[0]], one))
    return [one for _, one in sorted(keyed, key=lambda pair: pair[0])]


def _layer_of(
    model: ModelProto, number: int, constant: str | None, program: Program
) -> tuple[str | None, bool | None]:
    """The layer that a node belongs to: that whose weight was changed or is held, else that of the module the
    exporter notes, else the first value at or after it that a layer is named by; and then whether it lies in
    that module."""
    node = model.graph.node[number]
    names = {layer.name for layer in program.layers}
    for held in ([constant] if constant else []) + list(node.input):
        owner, _, part = held.rpartition(".")
        if owner in names and part in ("weight", "bias"):
            return owner, None
    scopes = next((p.value for p in node.metadata_props if p.key.endswith("name_scopes")), "[]")
    path = [part.strip(" '\"") for part in scopes.strip("[]").split(",")][:-1]
    module = path[-1] if path else ""
    if module in names and not any(name.startswith(f"{module}.") for name in names):
        return module, None
    value = node.output[0]
    while value not in names:
        users = [n for n in model.graph.node if value in n.input]
        if not users:
            return None, None
        value = users[0].output[0]
    return value, value.startswith(module)


def in_networks(name: str, target: Target, maker: Target, folder: Path, wanted: int) -> Iterator[Row]:
    """`wanted` faults of a network of the zoo, each planted before it is ported to a target."""
    original = original_of(name)
    with Yard(original, folder, settings(original), maker, time.perf_counter) as yard:
        program = yard.program(target)
        made = 0
        for kind, layer, network in alterations(original.network, program, f"{name} {target.id}"):
            about = {"network": name, "target": target.id, "kind": kind, "altered": layer}
            changed = Original(name, network, original.arguments)
            with (
                AlteredYard(original, folder, settings(original), maker, time.perf_counter) as one,
                Yard(changed, folder, settings(original), maker, time.perf_counter) as other,
                yard.workshop(target) as workshop,
            ):
                one.other = other
                try:
                    files = one.build(workshop, one.program(target), folder / target.id)
                    taps = workshop.open(files, one.program(target).about())
                except Failed as raised:
                    yield about | {"outcome": "does not run", "reason": str(raised)}
                    continue
                row = _judged(about, one, workshop, files, one.program(target), taps)
            yield row
            made += row["outcome"] == "differs"
            if made == wanted:
                return


def _judged(
    about: Row,
    yard: Yard,
    workshop: Workshop,
    files: tuple[Path, ...],
    program: Program,
    taps: Collection[str],
) -> Row:
    """What the proof says of a port with a fault: all layers at once, and one layer a run."""
    row = about | {"layers": len(program.layers), "most_runs": dear_runs(len(program.layers))}
    try:
        proof = Proof(yard, workshop, files)
        found = proof.outputs()
    except Failed as raised:
        return row | {"outcome": "does not run", "reason": str(raised)}
    row |= {"outcome": found["status"], "relative_error": found["relative_error"]}
    if found["status"] != "differs":
        return row
    readable = set(taps) if workshop.target.taps == "free" else {layer.name for layer in program.layers}
    row["right"] = sorted(_right(about["altered"], program, readable))
    row["fused"] = about["altered"] not in readable
    workshop.open(files, program.about())
    for key, at_once in (("all", True), ("one", False)):
        first = proof.layers(True, at_once=at_once)["first_divergence"]
        row[key] = first.layer if first is not None else None
        row[f"{key}_runs"] = first.runs if first is not None else 0
    return row


def _right(layer: str | None, program: Program, readable: Collection[str]) -> set[str]:
    """The layers that are right to name: the altered one, else the first after it that can be read."""
    if layer is None or layer in readable:
        return {layer} if layer else set()
    upstream = program.upstream()
    after = [name for name in upstream if name in readable and layer in upstream[name]]
    return {name for name in after if not any(other in upstream[name] for other in after)}


def plan(
    targets: Mapping[str, Target], folder: Path, share: float
) -> Iterator[tuple[str, Callable[[], Iterator[Row]]]]:
    """What is to be run, each with a name; dearest last."""
    maker = coverage.targets()["onnx"]
    if "onnx" in targets:
        for name in IN_FILES[: max(1, round(share * len(IN_FILES)))]:
            yield f"onnx-{name}", partial(in_files, name, maker, folder / f"files-{name}", 6)
    runnable = [t for t in targets.values() if t.open is not None and t.id not in ("onnx", "tensorrt")]
    for target in sorted(runnable, key=lambda t: t.taps == "dear"):
        names = BEFORE_PORTING[: 2 if target.taps == "dear" else None]
        for name in names[: None if share >= 1 else 1]:
            below = folder / f"networks-{name}-{target.id}"
            wanted = 2 if share >= 1 else 1
            yield f"{target.id}-{name}", partial(in_networks, name, target, maker, below, wanted)
