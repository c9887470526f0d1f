"""The atlas as a value: what every place of a network made of every input, as plain numbers.

Places are rows, in execution order; inputs are columns. What was not measured is NaN here and `null` in JSON.
"""

from __future__ import annotations

import array
import base64
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from attrs import field, frozen

GridKind = Literal["sequential", "diverging", "category"]
DetailKind = Literal["maps", "attention", "states", "vector", "contributions", "attribution"]


@frozen
class Floats:
    """An array of float32 of some shape, little-endian in C order, as bytes; NaN where nothing was
    measured."""

    shape: tuple[int, ...]
    data: bytes = field(repr=False)

    def __attrs_post_init__(self) -> None:
        if len(self.data) != 4 * math.prod(self.shape):
            raise ValueError(f"{len(self.data)} bytes are no float32 of shape {self.shape}")

    def numbers(self) -> memoryview[float]:
        """All of them in one row."""
        return memoryview(self.data).cast("f")  # pyright: ignore[reportReturnType] - typed as of bytes

    def row(self, index: int) -> Sequence[float]:
        """The numbers of one row of two dimensions."""
        width = self.shape[1]
        return self.numbers()[index * width : (index + 1) * width]

    def at(self, *index: int) -> float:
        place = 0
        for length, part in zip(self.shape, index, strict=True):
            place = place * length + part
        return self.numbers()[place]

    @staticmethod
    def from_document(document: Any) -> Floats:
        """The array that `to_document` made these lists of."""
        shape: list[int] = []
        flat: Any = document
        while isinstance(flat, list):
            shape.append(len(flat))
            flat = flat[0] if flat else None
        flat = document
        for _ in shape[1:]:
            flat = [value for part in flat for value in part]
        numbers = array.array("f", (math.nan if v is None else v for v in flat))
        return Floats(tuple(shape), numbers.tobytes())

    def to_document(self) -> Any:
        """Nested lists; what is not finite is `None`."""
        flat: Any = [v if math.isfinite(v) else None for v in self.numbers()]
        for length in reversed(self.shape[1:]):
            flat = [flat[k : k + length] for k in range(0, len(flat), length)] if length else []
        return flat


@frozen
class Grid:
    """A statistic of every row for every input, (L, N). `meaning` is one sentence of what it is and how it is
    computed; a `category` holds class numbers."""

    name: str
    label: str
    meaning: str
    values: Floats
    unit: str = ""
    kind: GridKind = "sequential"
    scale: Literal["linear", "log"] = "linear"


@frozen
class AtlasRow:
    """A place of the pass: `layer` is its line of the listing, -1 where it has none; `call` is 1 for the
    first time that the layer ran; `shape` is that of one input's values there."""

    name: str
    kind: str
    parent: str
    layer: int = -1
    call: int = 1
    shape: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """The name that tells this row from the others."""
        name = self.name or self.kind
        return name if self.call == 1 else f"{name} (call {self.call})"

    @property
    def said(self) -> str:
        """`Conv2d layer1.0`; the name of a function has its kind already."""
        return f"{self.kind} {self.title}" if self.kind[:1].isupper() and self.name else self.title


@frozen
class Thumbnails:
    """Small pictures of the inputs, (N, height, width, channels) of 8 bits."""

    height: int
    width: int
    channels: int
    data: bytes = field(repr=False)

    def to_document(self) -> Any:
        data = base64.b64encode(self.data).decode("ascii")
        return {"height": self.height, "width": self.width, "channels": self.channels, "data": data}

    @staticmethod
    def from_document(document: Any) -> Thumbnails:
        """The pictures that `to_document` made this of."""
        size = (document[name] for name in ("height", "width", "channels"))
        return Thumbnails(*size, data=base64.b64decode(document["data"]))


@frozen
class AtlasInputs:
    """The columns: `labels` and `predictions` are class numbers (or numbers, where `classes` is `None`),
    `order` groups them by class and sorts by loss within one; `texts` say in a few words what is no
    picture."""

    ids: tuple[str, ...]
    labels: tuple[float | None, ...] | None = None
    predictions: tuple[float | None, ...] | None = None
    losses: tuple[float | None, ...] | None = None
    classes: tuple[str, ...] | None = None
    order: tuple[int, ...] = ()
    kind: str = "other"
    thumbnails: Thumbnails | None = None
    texts: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def index_of(self, name: str | int) -> int | None:
        """The column of an input by its number or its id."""
        if isinstance(name, int) or (name.isdigit() and name not in self.ids):
            return int(name) if 0 <= int(name) < len(self) else None
        return self.ids.index(name) if name in self.ids else None


@frozen
class Moment:
    """The same inputs through the same rows at one time: an epoch, or before and after a change."""

    label: str
    grids: tuple[Grid, ...]

    def grid(self, name: str) -> Grid | None:
        return next((g for g in self.grids if g.name == name), None)


@frozen
class AtlasPattern:
    """Something in the atlas that has a name, with the rows, inputs and classes that show it."""

    name: str
    title: str
    explanation: str
    rows: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()


@frozen
class UnitTop:
    """The inputs that excite a unit most, the strongest first, with its largest value for each."""

    unit: int
    inputs: tuple[int, ...]
    values: tuple[float, ...]


@frozen
class Units:
    """The units of a row (channels, features): the first `shown` of `of` are listed.

    `dead` are 0 for every input; `duplicates` are pairs (one, other, correlation) that fire alike;
    `effective_rank` is that of the units' covariance over inputs (Roy and Vetterli 2007), among the units
    listed.
    """

    row: int
    shown: int
    of: int
    dead: tuple[int, ...] = ()
    duplicates: tuple[tuple[int, int, float], ...] = ()
    effective_rank: float | None = None
    top: tuple[UnitTop, ...] = ()


@frozen
class Detail:
    """What one input is at one row, or what counts in it; `of` says how many there are where only the first
    are kept. `method`, `randomised`: of an attribution, its method and how alike it is to that of a network
    with random weights, 0 to 1 (rank correlation of sizes)."""

    row: int
    kind: DetailKind
    values: Floats
    of: int = 0
    method: str = ""
    randomised: float | None = None
    names: tuple[str, ...] | None = None


@frozen
class InputDetails:
    """One input through the layers."""

    input: int
    items: tuple[Detail, ...]


@frozen
class InputMap:
    """Where the inputs lie beside each other at a row: the two directions in which they differ most, and the
    share of their variance in these."""

    row: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    explained: float


@frozen
class Picked:
    """What of an atlas is shown: a statistic of the map; or an input, alone or against another; or a layer,
    or one of its units. Inputs and layers by their number."""

    value: str | None = None
    input: int | None = None
    versus: int | None = None
    layer: int | None = None
    unit: int | None = None


@frozen
class Atlas:
    """Rows × inputs. The last moment is what everything else was taken from.

    `depths`: for each input the row from which on the belief is right and stays right, -1 for never
    (prediction depth, Baldock et al. 2021); `None` where no beliefs were asked for.
    """

    rows: tuple[AtlasRow, ...]
    inputs: AtlasInputs
    moments: tuple[Moment, ...]
    depths: tuple[int, ...] | None = None
    patterns: tuple[AtlasPattern, ...] = ()
    maps: tuple[InputMap, ...] = ()
    units: tuple[Units, ...] = ()
    details: tuple[InputDetails, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def now(self) -> Moment:
        return self.moments[-1]

    def row_index(self, name: str) -> int | None:
        """The row of that name (or title), by the first call."""
        titles = [row.title for row in self.rows]
        return titles.index(name) if name in titles else None

    def details_of(self, index: int) -> tuple[Detail, ...]:
        return next((d.items for d in self.details if d.input == index), ())

    def units_of(self, row: int) -> Units | None:
        return next((u for u in self.units if u.row == row), None)

    def changes(self) -> Iterator[tuple[Moment, Moment]]:
        yield from zip(self.moments[:-1], self.moments[1:], strict=True)
