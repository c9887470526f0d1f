"""Names of ONNX made into names of Python: no text of a file reaches the code of a network unchanged."""

from __future__ import annotations

import builtins
import keyword
import re

from torch import fx, nn

_LONGEST = 64
_RESERVED = frozenset(
    {
        *keyword.kwlist,
        *keyword.softkwlist,
        *dir(builtins),
        *dir(nn.Module()),
        *dir(fx.GraphModule),
        "torch",
        "self",
    }
    | {"inf", "nan", "device", "operator", "netwright", "math", "typing", "NoneType", "fx_pytree", "pytree"}
)


class Names:
    """Gives every thing of one graph an identifier that nothing else there has."""

    def __init__(self) -> None:
        self.given: dict[str, int] = {}

    def new(self, wanted: str, otherwise: str = "value") -> str:
        """`wanted` in letters, digits and underscores, with a number where it is taken."""
        name = re.sub(r"[^A-Za-z0-9]+", "_", wanted[: 4 * _LONGEST]).strip("_")[-_LONGEST:].strip("_")
        if not name or name in _RESERVED:
            name = otherwise if not name else f"{name}_"
        if name[0].isdigit():
            name = f"n{name}"
        count = self.given.get(name, 0)
        self.given[name] = count + 1
        return name if not count else self.new(f"{name}_{count}", otherwise)
