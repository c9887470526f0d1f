"""Half precision that was written by hand, in the network or in its loss, and the same without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from netwright.catalogue import edit
from netwright.recipe.edits import Wrapper
from netwright.recipe.training import Training

HALVES = (torch.float16, torch.bfloat16)


class FullPrecision(TorchFunctionMode):
    """While it is open, what is cast to or made in a half precision is float32; `answered` counts the calls.

    What `torch.autocast` casts is not seen: it is no call of the user's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answered = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in ("half", "bfloat16"):
            self.answered += 1
            return args[0].float()
        # By identity: a tensor among the arguments is compared with nothing.
        if any(value is half for value in (*args, *kwargs.values()) for half in HALVES):
            self.answered += 1
            args = tuple(_full(value) for value in args)
            kwargs = {key: _full(value) for key, value in kwargs.items()}
        return func(*args, **kwargs)


def _full(value: Any) -> Any:
    return torch.float32 if any(value is half for half in HALVES) else value


class InFullPrecision(Wrapper):
    """The network with parameters in float32 and no cast to a half precision in its forward."""

    def forward(self, *inputs: Any, **named: Any) -> Any:
        with FullPrecision():
            return self.network(*inputs, **named)


class LossInFullPrecision:
    """A loss, or a training step, that is computed in float32 whatever it casts to."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        with FullPrecision():
            return self.function(*arguments)


@edit("full-precision", on="network")
def full_precision(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """Parameters in float32, and no cast to a half precision in forward."""
    return InFullPrecision(network.float())


@edit("full-precision-loss", on="training")
def full_precision_loss(training: Training) -> Training:
    """A loss or a training step of the user's own computes in float32; torch's losses cast nothing."""
    if callable(training.loss) and training.loss_name is None:
        training = attrs.evolve(training, loss=LossInFullPrecision(training.loss))
    if training.step is not None:
        training = attrs.evolve(training, step=LossInFullPrecision(training.step))
    return training
