"""The same network in another technology, with proof.

Comes in: a network with inputs, or a file of another technology; goes out: files, what of them differs from
the original, where first and why. Knows recipes and runs, nothing of diagnosis, ideas and the journal.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netwright.ports.original import Original
    from netwright.ports.porting import port
    from netwright.ports.program import Layer, Program
    from netwright.ports.proof import reading_error
    from netwright.ports.reading import SUFFIXES, FileNetwork, read_file, read_network
    from netwright.ports.yard import Settings

_FILES = {
    "SUFFIXES": "reading",
    "FileNetwork": "reading",
    "Layer": "program",
    "Original": "original",
    "Program": "program",
    "Settings": "yard",
    "port": "porting",
    "read_file": "reading",
    "read_network": "reading",
    "reading_error": "proof",
}

__all__ = [
    "SUFFIXES",
    "FileNetwork",
    "Layer",
    "Original",
    "Program",
    "Settings",
    "port",
    "read_file",
    "read_network",
    "reading_error",
]


def __getattr__(name: str) -> Any:
    """Resolved when first used: collecting the catalogue imports every target, and torch.export takes a
    second to import."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FILES[name]}"), name)
