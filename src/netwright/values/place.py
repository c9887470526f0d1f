"""Where something is: in the user's source, in the network, in the data."""

from __future__ import annotations

from typing import Any

from attrs import frozen


@frozen
class Place:
    """Any of: a layer by its qualified name, a file and line, sample ids, an attribute of the recipe."""

    layer: str | None = None
    file: str | None = None
    line: int | None = None
    samples: tuple[str, ...] | None = None
    attribute: str | None = None

    def __str__(self) -> str:
        source = f"{self.file}:{self.line}" if self.file and self.line else self.file
        return "   ".join(part for part in (source, self.layer) if part)


@frozen
class Attribute:
    """One attribute of a recipe: its value now and where the user set it.

    `literal` says that the value stands there as it is and can be replaced in place; else `source` is the
    expression (a name, a key of a configuration) that the value came from. `place.line` is `None` where the
    attribute was not set.
    """

    name: str
    value: Any
    place: Place
    is_set: bool = False
    literal: bool = False
    source: str | None = None
