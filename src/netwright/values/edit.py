"""A named, parameterised, serialisable change of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen


def _plain(value: Any) -> Any:
    """A JSON value with lists as tuples, so that an edit can be compared and hashed."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return tuple(_plain(v) for v in value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"an edit's parameter must be JSON, not {type(value).__name__}")


def _frozen_items(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return _plain(dict(value))


@frozen(hash=False)
class Edit:
    """`kind` names the function that applies it (the catalogue's *edits*); `parameters` are its arguments.

    `attribute` is the attribute of the recipe that it changes, `label` what the user reads.
    """

    kind: str
    parameters: Mapping[str, Any] = field(factory=dict, converter=_frozen_items)
    attribute: str = ""
    label: str = ""

    @staticmethod
    def set(name: str, value: Any, label: str = "") -> Edit:
        """Set a field of the training, `Edit.set("training.lr", 0.1)`."""
        prefix, _, attribute = name.partition(".")
        if prefix != "training" or not attribute:
            raise ValueError(f"only fields of the training can be set, not {name!r}")
        parameters = {"name": attribute, "value": value}
        return Edit("set", parameters, attribute, label or f"{attribute} → {value}")

    def __hash__(self) -> int:
        return hash((self.kind, repr(self.parameters)))
