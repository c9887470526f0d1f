"""One input, one layer, one unit, or two inputs of an atlas: what is picked out of it to be shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from netwright.values.atlas import Atlas, AtlasRow, Detail, Grid, Picked, Units, UnitTop
from netwright.values.errors import UserError


@frozen
class InputLook:
    """One input through all rows: by statistic a value a row, `None` where there was nothing to measure."""

    index: int
    id: str
    label: float | None
    prediction: float | None
    loss: float | None
    depth: int | None
    rows: tuple[AtlasRow, ...]
    values: Mapping[str, tuple[float | None, ...]]
    details: tuple[Detail, ...] = ()


@frozen
class Spread:
    """A statistic of one row over the inputs: lowest, median, highest, and the inputs at both ends."""

    low: float
    median: float
    high: float
    lowest: tuple[int, ...]
    highest: tuple[int, ...]


@frozen
class LayerLook:
    """One row over all inputs."""

    index: int
    row: AtlasRow
    spreads: Mapping[str, Spread]
    histograms: Mapping[str, tuple[tuple[float, float, tuple[int, ...]], ...]]
    right: float | None
    units: Units | None


@frozen
class UnitLook:
    """One unit of a row: what excites it most, whether it is dead, and which units fire like it."""

    row: AtlasRow
    unit: int
    dead: bool
    top: UnitTop | None
    duplicates: tuple[tuple[int, float], ...]


@frozen
class Difference:
    """Two columns of an atlas; `differs` is the first row at which the beliefs part, `None` for never or
    where there are none."""

    one: InputLook
    other: InputLook
    differs: int | None


def input_look(atlas: Atlas, index: int) -> InputLook:
    inputs = atlas.inputs
    return InputLook(
        index,
        inputs.ids[index],
        inputs.labels[index] if inputs.labels is not None else None,
        inputs.predictions[index] if inputs.predictions is not None else None,
        inputs.losses[index] if inputs.losses is not None else None,
        atlas.depths[index] if atlas.depths is not None else None,
        atlas.rows,
        {grid.name: _column(grid, index) for grid in atlas.now.grids},
        atlas.details_of(index),
    )


def layer_look(atlas: Atlas, index: int, bins: int = 16, most: int = 5) -> LayerLook:
    spreads, histograms = {}, {}
    for grid in atlas.now.grids:
        values = grid.values.row(index)
        known = sorted((v, n) for n, v in enumerate(values) if math.isfinite(v))
        if not known or grid.kind == "category":
            continue
        numbers = [v for v, _ in known]
        spreads[grid.name] = Spread(
            numbers[0],
            numbers[len(numbers) // 2],
            numbers[-1],
            tuple(n for _, n in known[:most]),
            tuple(n for _, n in reversed(known[-most:])),
        )
        histograms[grid.name] = _bars(known, bins)
    return LayerLook(
        index, atlas.rows[index], spreads, histograms, share_right(atlas, index), atlas.units_of(index)
    )


def _bars(known: Sequence[tuple[float, int]], bins: int) -> tuple[tuple[float, float, tuple[int, ...]], ...]:
    """From, to and the inputs of every bar; all the inputs behind it, so that a bar can be opened."""
    low, high = known[0][0], known[-1][0]
    if not high > low:
        return ((low, high, tuple(n for _, n in known)),)
    width = (high - low) / bins
    kept: list[list[int]] = [[] for _ in range(bins)]
    for value, n in known:
        kept[min(bins - 1, int((value - low) / width))].append(n)
    return tuple((low + k * width, low + (k + 1) * width, tuple(ns)) for k, ns in enumerate(kept))


def unit_look(atlas: Atlas, index: int, unit: int) -> UnitLook | None:
    """`None` where units were not collected, or there is no such unit."""
    units = atlas.units_of(index)
    if units is None or not 0 <= unit < units.of:
        return None
    alike = [(b if a == unit else a, c) for a, b, c in units.duplicates if unit in (a, b)]
    top = next((t for t in units.top if t.unit == unit), None)
    return UnitLook(atlas.rows[index], unit, unit in units.dead, top, tuple(alike))


def difference(atlas: Atlas, one: int, other: int) -> Difference:
    left, right = input_look(atlas, one), input_look(atlas, other)
    beliefs = left.values.get("belief"), right.values.get("belief")
    differs = None
    if beliefs[0] is not None and beliefs[1] is not None:
        pairs = enumerate(zip(beliefs[0], beliefs[1], strict=True))
        differs = next((n for n, (a, b) in pairs if a is not None and b is not None and a != b), None)
    return Difference(left, right, differs)


def share_right(atlas: Atlas, row: int) -> float | None:
    """Share of the inputs whose belief at the row is right; `None` where there are none, or no classes."""
    grid = atlas.now.grid("belief")
    labels = atlas.inputs.labels
    if grid is None or labels is None or grid.kind != "category":
        return None
    known = [(v, t) for v, t in zip(grid.values.row(row), labels, strict=True) if math.isfinite(v)]
    return sum(v == t for v, t in known) / len(known) if known else None


def _column(grid: Grid, index: int) -> tuple[float | None, ...]:
    rows, columns = grid.values.shape
    numbers = grid.values.numbers()
    found = (numbers[row * columns + index] for row in range(rows))
    return tuple(v if math.isfinite(v) else None for v in found)


def picked_of(shown: Atlas | None, picked: Mapping[str, str | int | None]) -> Picked:
    """What was named of an atlas, by number. Raises `UserError` for what is not in it."""
    named = {name: value for name, value in picked.items() if value is not None}
    if not named:
        return Picked()
    if shown is None:
        raise UserError(f"look: --{next(iter(named))} shows a part of the atlas; say --inputs too")
    found: dict[str, Any] = {}
    for name in ("input", "versus"):
        if name in named:
            at = shown.inputs.index_of(named[name])
            if at is None:
                raise UserError(f"look: no input {named[name]!r}; there are {len(shown.inputs)}, from 0")
            found[name] = at
    if "layer" in named:
        at = shown.row_index(str(named["layer"]))
        if at is None:
            some = ", ".join(row.title for row in shown.rows[:8])
            raise UserError(f"look: no layer {named['layer']!r} in the atlas; there are {some}, …")
        found["layer"] = at
    if "value" in named and shown.now.grid(str(named["value"])) is None:
        names = ", ".join(grid.name for grid in shown.now.grids)
        raise UserError(f"look: no statistic {named['value']!r}; there are {names}")
    if "versus" in found and "input" not in found:
        raise UserError("look: --versus names the second of two inputs; say --input too")
    if "unit" in named:
        if "layer" not in found:
            raise UserError("look: --unit is one of a layer's; say --layer too")
        if unit_look(shown, found["layer"], int(named["unit"])) is None:
            units = shown.units_of(found["layer"])
            there = f"there are {units.of}, from 0" if units else "its units were not looked at"
            raise UserError(f"look: no unit {named['unit']} in that layer; {there}")
        found["unit"] = int(named["unit"])
    return Picked(value=str(named["value"]) if "value" in named else None, **found)
