"""Quantising a port after training, and the layers that suffer from it.

A layer's own harm is measured on the port itself: only that layer is quantised, with the ranges of the same
calibration inputs, and the outputs are compared with the original's. An 8-bit layer's error is made of its
weights and of what it is given (ONNX Runtime: of what it gives as well, so that a range too wide between two
layers is charged to both).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netwright.ports.proof import Harm, Proof
from netwright.ports.running import Quantising
from netwright.ports.workshop import Workshop
from netwright.ports.yard import Failed, Yard
from netwright.values import KeptFloat, Suffering, TargetPort

GROUPS = 24  # of layers, each quantised by itself
SECONDS = 30.0  # that all groups together may take, by what the whole took
FEW = 16  # calibration inputs of a group
KEPT_FLOAT = 3  # layers that are left in 32 bits at most
CALM = 0.01  # error of outputs without decisions below which nothing needs a remedy


class Quantiser:
    """One port's files in 32 bits, quantised whole or in part; its workshop makes it."""

    def __init__(self, yard: Yard, workshop: Workshop, files: tuple[Path, ...]) -> None:
        self._yard, self._workshop, self._files = yard, workshop, files
        self._program = yard.program(workshop.target)
        self.layers: tuple[str, ...] = ()
        self.seconds = 0.0

    def whole(self) -> tuple[Path, ...]:
        """The port's files, `network.int8.*` beside those in 32 bits; `layers` are those quantised."""
        began = self._yard.clock()
        files, self.layers = self._workshop.quantise(self._asked(self._named("int8")))
        self.seconds = self._yard.clock() - began
        return files

    def only(self, layers: Sequence[str]) -> tuple[Path, ...]:
        """Files in which nothing but these layers is quantised; they are not kept."""
        folder = self._yard.scratch / "alone"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        asked = self._asked(folder / self._files[0].name, only=tuple(layers), most=FEW)
        return self._workshop.quantise(asked)[0]

    def all_but(self, layers: Sequence[str]) -> tuple[Path, ...]:
        """The port's files, `network.int8.mixed.*`, with these layers left in 32 bits."""
        return self._workshop.quantise(self._asked(self._named("int8.mixed"), left=tuple(layers)))[0]

    def proof(self, files: tuple[Path, ...]) -> Proof:
        return Proof(self._yard, self._workshop, files, "int8")

    def _named(self, what: str) -> Path:
        file = self._files[0]
        return file.with_name(f"{file.stem}.{what}{file.suffix}")

    def _asked(self, to: Path, **parts: Any) -> Quantising:
        yard, target = self._yard, self._workshop.target
        free = target.batch == "any" and self._program.any_batch
        return Quantising(
            self._files,
            self._program.about(),
            to,
            yard.scratch / f"{target.id}-int8",
            yard.calibration(),
            None if free else yard.batch(target, 1),
            **parts,
        )


def suffering(yard: Yard, quantiser: Quantiser, found: TargetPort) -> dict[str, Any]:
    """The layers by their own harm, the worst first, and the port with the worst left in 32 bits, where that
    gives decisions back."""
    most = max(2, min(GROUPS, int(SECONDS / max(quantiser.seconds, 1e-3))))
    if not quantiser.layers:
        return {"notes": ("no layer of it is quantised",)}
    each = found.latency.median if found.latency is not None else 0.0
    count = min(yard.count, max(8, int(SECONDS / (2 * most * max(each, 1e-6)))))
    groups = _in_groups(quantiser.layers, most)
    harms = _alone(quantiser, groups, count)
    worst = max(harms, key=lambda layers: harms[layers].error, default=())
    if len(worst) > 1:
        parts = _alone(quantiser, _in_groups(worst, most), count)
        if parts:
            harms = {layers: harm for layers, harm in harms.items() if layers != worst} | parts
    ranked = _ranked(quantiser, yard, harms, count)
    proof = quantiser.proof(tuple(Path(file) for file in found.files))
    whole = proof.harm(yard.count)
    needed = whole.decision_changes > 0 if whole.decision_changes is not None else whole.error > CALM
    if not needed or not ranked:
        return {"suffering": ranked}
    return {"suffering": ranked} | _remedied(yard, quantiser, found, ranked, whole)


def _in_groups(layers: Sequence[str], most: int) -> list[tuple[str, ...]]:
    """Layers that follow each other together, in `most` groups."""
    parts = np.array_split(np.arange(len(layers)), min(most, len(layers)))
    return [tuple(str(layers[i]) for i in part) for part in parts]


def _alone(
    quantiser: Quantiser, groups: Sequence[tuple[str, ...]], count: int
) -> dict[tuple[str, ...], Harm]:
    """The harm of every group quantised by itself; those that cannot be are left out."""
    found: dict[tuple[str, ...], Harm] = {}
    for layers in groups:
        try:
            found[layers] = quantiser.proof(quantiser.only(layers)).harm(count)
        except Failed:
            continue
    return found


def _ranked(
    quantiser: Quantiser, yard: Yard, harms: dict[tuple[str, ...], Harm], count: int
) -> tuple[Suffering, ...]:
    by_name = {layer.name: layer for layer in yard.whole.layers}
    total = sum(harm.error**2 for harm in harms.values()) or 1.0
    measured = f"only it is quantised, {count} inputs"
    ranked: list[Suffering] = []
    for layers, harm in sorted(harms.items(), key=lambda item: -item[1].error):
        first = by_name.get(layers[0])
        ranked.append(
            Suffering(
                layers,
                first.kind if first is not None else "",
                first.place.file if first is not None else None,
                first.place.line if first is not None else None,
                harm.error**2 / total,
                harm.error,
                harm.decision_changes,
                harm.metric,
                measured,
            )
        )
    return tuple(ranked)


def _remedied(
    yard: Yard, quantiser: Quantiser, found: TargetPort, ranked: Sequence[Suffering], whole: Harm
) -> dict[str, Any]:
    """The port with the worst layers left in 32 bits: one, two, … until the error is halved."""
    order = [name for harmed in ranked for name in harmed.layers]
    tried: list[KeptFloat] = []
    for number in range(1, min(KEPT_FLOAT, len(order) - 1) + 1):
        try:
            tried.append(_kept_float(yard, quantiser, tuple(order[:number])))
        except Failed:
            continue
        if tried[-1].error <= whole.error / 2 and _changes(tried[-1]) <= _changes(whole):
            break
    if not tried:
        return {}
    better = [kept for kept in tried if _gives_back(kept, whole)]
    smaller = [kept for kept in better if kept.size < (found.size_before or math.inf)]
    if smaller:
        best = min(smaller, key=lambda kept: (_changes(kept), kept.error))
        if best is not tried[-1]:
            quantiser.all_but(best.layers)
        return {"kept_float": best}
    for file in tried[-1].files:
        Path(file).unlink()
    names = ", ".join((better or tried)[-1].layers)
    but = "gives decisions back, but leaves nothing of the gain in size" if better else "gives nothing back"
    return {"notes": (f"keeping {names} in float32 {but}",)}


def _gives_back(kept: KeptFloat, whole: Harm) -> bool:
    """Whether fewer decisions change; of networks without decisions, whether the error is clearly less."""
    if whole.decision_changes is None:
        return kept.error <= 0.9 * whole.error
    return _changes(kept) < _changes(whole)


def _kept_float(yard: Yard, quantiser: Quantiser, layers: tuple[str, ...]) -> KeptFloat:
    files = quantiser.all_but(layers)
    harm = quantiser.proof(files).harm(yard.count)
    size = sum(file.stat().st_size for file in files)
    return KeptFloat(layers, harm.error, harm.decision_changes, harm.metric, size, tuple(map(str, files)))


def _changes(of: Harm | KeptFloat) -> float:
    return of.decision_changes or 0.0
