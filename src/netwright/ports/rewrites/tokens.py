"""Comparisons of whole numbers that are looked up elsewhere as well: the answers are looked up, too."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from netwright.ports.patterns import name_of
from netwright.ports.rewrites.call import Call, Instead, Rewrite

_COMPARISONS: dict[str, Any] = {
    "eq": torch.eq,
    "ne": torch.ne,
    "gt": torch.gt,
    "ge": torch.ge,
    "lt": torch.lt,
    "le": torch.le,
}


class LookedUp(nn.Module):
    """What `table` (V, 1) holds for tokens (…) of 0 … V - 1, (…) or with an axis `behind` (…, 1)."""

    table: Tensor

    def __init__(self, table: Tensor, behind: bool) -> None:
        super().__init__()
        self.behind = behind
        self.register_buffer("table", table)

    def forward(self, tokens: Tensor) -> Tensor:
        found = F.embedding(tokens, self.table)
        return found if self.behind else found.flatten(-2)


def _compared(call: Call) -> Instead | None:
    """Of a comparison turned into floating numbers, where the tokens are those of an embedding."""
    compared: Any = call["self"]
    value = call.node.meta["val"]
    if not isinstance(compared, fx.Node):
        return None
    behind = name_of(compared) == "unsqueeze" and compared.args[1] % value.ndim == value.ndim - 1
    if behind:
        compared = compared.args[0]
    if name_of(compared) not in _COMPARISONS or not value.dtype.is_floating_point:
        return None
    tokens, number = compared.args
    if not isinstance(tokens, fx.Node) or isinstance(number, fx.Node):
        return None
    rows = [_rows(user, tokens) for user in tokens.users]
    count = next((row for row in rows if row), None)
    if count is None:
        return None
    answers = _COMPARISONS[name_of(compared)](torch.arange(count), number).to(value.dtype)
    return Instead(LookedUp(answers[:, None], behind), (tokens,))


def _rows(user: fx.Node, tokens: fx.Node) -> int | None:
    """How many rows an embedding has that looks the tokens up."""
    if name_of(user) != "embedding" or user.args[1] is not tokens:
        return None
    weight: Any = user.args[0]
    return int(weight.meta["val"].shape[0])


TOKENS = Rewrite("comparison-by-lookup", ("to", "_to_copy"), _compared)
