"""The lines of a listing and what they cost together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen


@frozen
class LayerLine:
    """One layer of the listing, or one function that `forward` calls outside a layer (no name, its kind in
    lower case), or parameters that functions use directly (kind `Parameter`). Shapes without the batch,
    `flops` of one sample's forward pass (multiply and add count apart); in `behaviour`: `zeros` and
    `saturated` shares, `mean`, `std`, `histogram` (16 counts) and `gradient`, the norm of the weight's
    gradient relative to the weight; `None` where there is nothing to measure.

    `parent` is the module that it stands in; `bytes` are those of one sample's outputs, `state` those of the
    parameters, `seconds` of the whole batch that was shown; `calls` says how often it ran. A parameter is
    counted once, at the first line that has it: `shares` names that line. `settings` are as torch prints
    them.
    """

    name: str
    kind: str
    depth: int
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None
    parameters: int
    flops: int | None
    trainable: bool | None
    file: str | None
    line: int | None
    behaviour: Mapping[str, Any]
    findings: tuple[str, ...] = ()
    parent: str = ""
    bytes: int | None = None
    seconds: float | None = None
    calls: int = 1
    state: int = 0
    shares: str | None = None
    settings: str = ""
    trainable_parameters: int | None = None


@frozen
class ModuleLine:
    """A module with layers inside that was called in the pass; `findings` are those about it as a whole.
    Shapes as in a line."""

    name: str
    kind: str
    input_shape: tuple[int, ...] | None = None
    output_shape: tuple[int, ...] | None = None
    file: str | None = None
    line: int | None = None
    findings: tuple[str, ...] = ()


@frozen
class Cost:
    """What some lines cost together; `None` where none of them was measured."""

    layers: int
    parameters: int
    trainable: int
    flops: int | None
    bytes: int | None
    seconds: float | None
    state: int


def cost(lines: Iterable[LayerLine]) -> Cost:
    """The sums over lines."""
    lines = tuple(lines)
    flops, made = (
        [x.flops for x in lines if x.flops is not None],
        [x.bytes for x in lines if x.bytes is not None],
    )
    seconds = [x.seconds for x in lines if x.seconds is not None]
    return Cost(
        len(lines),
        sum(x.parameters for x in lines),
        sum(_trainable(x) for x in lines),
        sum(flops) if flops else None,
        sum(made) if made else None,
        sum(seconds) if seconds else None,
        sum(x.state for x in lines),
    )


def _trainable(line: LayerLine) -> int:
    if line.trainable_parameters is not None:
        return line.trainable_parameters
    return line.parameters if line.trainable else 0
