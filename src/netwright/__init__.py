"""Netwright, a development environment for neural networks: `import netwright as nw`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netwright.app.asking import examine, probe
    from netwright.app.looking import look
    from netwright.app.porting import port
    from netwright.app.verbs import attributes, diagnose, improve, scan
    from netwright.catalogue import Needs, check, edit, idea, target
    from netwright.ports import read_network
    from netwright.recipe import Data, Recipe, Training, load
    from netwright.runs import watch
    from netwright.values import Edit, Finding, Place, UserCodeError, UserError, Verdict

__version__ = "0.1.0"

_ROOMS = {
    "netwright.app.asking": ("examine", "probe"),
    "netwright.app.looking": ("look",),
    "netwright.app.porting": ("port",),
    "netwright.app.verbs": ("attributes", "diagnose", "improve", "scan"),
    "netwright.catalogue": ("Needs", "check", "edit", "idea", "target"),
    "netwright.ports": ("read_network",),
    "netwright.recipe": ("Data", "Recipe", "Training", "load"),
    "netwright.runs": ("watch",),
    "netwright.values": ("Edit", "Finding", "Place", "UserCodeError", "UserError", "Verdict"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Data",
    "Edit",
    "Finding",
    "Needs",
    "Place",
    "Recipe",
    "Training",
    "UserCodeError",
    "UserError",
    "Verdict",
    "attributes",
    "check",
    "diagnose",
    "edit",
    "examine",
    "idea",
    "improve",
    "load",
    "look",
    "port",
    "probe",
    "read_network",
    "scan",
    "target",
    "watch",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used (PEP 562): `import netwright` costs no torch."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'netwright' has no attribute {name!r}")
    value = getattr(importlib.import_module(_ROOM_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
