"""Gradients that the network's forward turns off or writes by hand, and the same as autograd has them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
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


class _Context:
    """What a hand-written forward puts aside for its backward, and nobody asks for."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def _plainly(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """The function's forward as ordinary calls, through which autograd finds the gradient itself."""
    own_setup = function.setup_context is not torch.autograd.Function.setup_context

    def apply(*arguments: Any) -> Any:
        return function.forward(*arguments) if own_setup else function.forward(_Context(), *arguments)

    return apply


def _functions(names: Sequence[str]) -> list[type[torch.autograd.Function]]:
    found, waiting = [], [torch.autograd.Function]
    while waiting:
        children = waiting.pop().__subclasses__()
        waiting += children
        found += [c for c in children if c.__name__ in names and not c.__module__.startswith("torch.")]
    return found


class AutogradBackward(Wrapper):
    """The network with the gradients of some of its functions taken by autograd instead of by hand."""

    def __init__(self, network: nn.Module, functions: Sequence[str]) -> None:
        super().__init__(network)
        self.functions = tuple(functions)
        for module in network.modules():  # an `apply` that the user put aside when the network was built
            for name, value in list(vars(module).items()):
                owner = getattr(value, "__self__", None)
                if owner in _functions(functions) and getattr(value, "__name__", "") == "apply":
                    setattr(module, name, _plainly(owner))

    def forward(self, *inputs: Any, **named: Any) -> Any:
        with ExitStack() as stack:
            for function in _functions(self.functions):
                stack.enter_context(_applied_plainly(function))
            return self.network(*inputs, **named)


@contextmanager
def _applied_plainly(function: type[torch.autograd.Function]) -> Generator[None]:
    own = vars(function).get("apply")
    function.apply = staticmethod(_plainly(function))  # type: ignore[assignment]
    try:
        yield
    finally:
        if own is None:
            del function.apply
        else:
            function.apply = own


@edit("autograd-backward", on="network")
def autograd_backward(network: nn.Module, *, functions: Sequence[str], seed: int = 0) -> nn.Module:
    """The gradient of the named functions as autograd finds it through their forward."""
    return AutogradBackward(network, functions)
