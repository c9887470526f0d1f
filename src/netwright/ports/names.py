"""What layers are called where a technology allows letters, digits and underscores only."""

from __future__ import annotations

import re


def identifier(name: str) -> str:
    """The name of the module that a layer lies in, in `Program.module`."""
    return "layer_" + re.sub(r"\W", "_", name)
