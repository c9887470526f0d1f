"""An array whose axes have names and whose places have labels: rows × inputs, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from netwright.atlas.arrays import array
from netwright.values import Atlas, Grid, UserError


@frozen(eq=False, repr=False)
class Labelled:
    """A statistic (L, N) with the titles of its rows and the ids of its inputs; NaN where nothing was
    measured. `np.asarray` gives the plain array, `to_xarray` the same for xarray."""

    name: str
    values: NDArray[np.float32]
    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    meaning: str = ""

    @staticmethod
    def of(atlas: Atlas, grid: Grid) -> Labelled:
        titles = tuple(row.title for row in atlas.rows)
        return Labelled(grid.name, array(grid.values), titles, atlas.inputs.ids, grid.meaning)

    def sel(self, layer: str | None = None, input: str | int | None = None) -> Any:
        """The numbers of one layer, of one input, or the one number of both. Raises `UserError` for a label
        that there is not."""
        rows = slice(None) if layer is None else self._place(self.layers, layer, "layer")
        columns = slice(None) if input is None else self._column(input)
        found = self.values[rows, columns]
        return float(found) if found.ndim == 0 else found

    def _column(self, name: str | int) -> int:
        if isinstance(name, int):
            if not -len(self.inputs) <= name < len(self.inputs):
                raise UserError(f"{self.name}: no input {name}; there are {len(self.inputs)}")
            return name
        return self._place(self.inputs, name, "input")

    def _place(self, labels: Sequence[str], name: str, what: str) -> int:
        if name not in labels:
            raise UserError(f"{self.name}: no {what} {name!r}; there are {', '.join(labels[:6])}, …")
        return labels.index(name)

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape  # type: ignore[return-value]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype) if copy else np.asarray(self.values, dtype=dtype)

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"{self.name} of {len(self.layers)} layers × {len(self.inputs)} inputs: {self.meaning}"

    def to_dataframe(self) -> Any:
        """A pandas table: a line a layer, a column an input."""
        import pandas

        return pandas.DataFrame(np.asarray(self), index=list(self.layers), columns=list(self.inputs))

    def to_xarray(self) -> Any:
        """An `xarray.DataArray` with the dimensions `layer` and `input`; xarray is not installed with
        Netwright."""
        import xarray  # pyright: ignore[reportMissingImports] - the user's own

        places = {"layer": list(self.layers), "input": list(self.inputs)}
        return xarray.DataArray(np.asarray(self), places, ("layer", "input"), name=self.name)


_ONE = {"labels": "label", "predictions": "prediction", "losses": "loss"}


def long_table(atlas: Atlas) -> Any:
    """A pandas table of all statistics: a line for every layer and input, with label, prediction and loss."""
    import pandas

    count, rows = len(atlas.inputs), len(atlas.rows)
    inputs = atlas.inputs
    table: dict[str, Any] = {
        "layer": np.repeat([row.title for row in atlas.rows], count),
        "kind": np.repeat([row.kind for row in atlas.rows], count),
        "input": np.tile(list(inputs.ids), rows),
    }
    for name in _ONE:
        known = getattr(inputs, name)
        if known is not None:
            column = np.array([np.nan if v is None else v for v in known], dtype=np.float64)
            table[_ONE[name]] = np.tile(column, rows)
    for grid in atlas.now.grids:
        table[grid.name] = array(grid.values).reshape(-1)
    return pandas.DataFrame(table)
