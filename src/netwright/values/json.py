"""The JSON of values: numbers that are not finite become `null`, tuples become lists, and back."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Plain JSON of a value, NumPy and torch scalars and arrays included; a float that is not finite is
    `None`."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    written = getattr(value, "to_document", None)
    if written is not None:  # a value that says itself how it is written
        return written()
    if attrs.has(type(value)):
        document = {a.name: to_json(getattr(value, a.name)) for a in attrs.fields(type(value))}
        if hasattr(type(value), "id"):
            document = {"id": value.id, **document}
        return document
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(v) for v in value]
    if hasattr(value, "tolist"):  # NumPy and torch
        return to_json(value.tolist())
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    return str(value)


def from_json(document: Any, kind: type[T]) -> T:
    """The value of `kind` that `to_json` made this document of; keys that `kind` lacks are passed over."""
    return _converter().structure(document, kind)


@functools.cache
def _converter() -> Any:
    from cattrs import Converter

    from netwright.values.atlas import Floats, Thumbnails

    converter = Converter(forbid_extra_keys=False)
    converter.register_structure_hook(Floats, lambda v, _: Floats.from_document(v))
    converter.register_structure_hook(Thumbnails, lambda v, _: Thumbnails.from_document(v))
    converter.register_structure_hook(float, lambda v, _: float("nan") if v is None else float(v))
    return converter
