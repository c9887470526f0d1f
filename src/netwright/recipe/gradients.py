"""Gradients that the network's forward turns off by hand, and the same with them on."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from netwright.catalogue import edit
from netwright.recipe.edits import Wrapper


class GradientsStayOn(TorchFunctionMode):
    """While it is open, `torch.no_grad` and `torch.set_grad_enabled(False)` do nothing; `answered` counts
    them.

    `torch.inference_mode` is not seen: it asks no function of torch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answered = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") == "_set_grad_enabled" and args and not args[0]:
            self.answered += 1
            return None
        return func(*args, **(kwargs or {}))


class WithGradients(Wrapper):
    """The network with gradients on all through its forward, wherever they are on when it is called."""

    def forward(self, *inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.network(*inputs, **named)
        with GradientsStayOn():
            return self.network(*inputs, **named)


@edit("gradients-on", on="network")
def gradients_on(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """No `torch.no_grad` in forward."""
    return WithGradients(network)
