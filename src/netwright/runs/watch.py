"""Watching a user's own loop: two lines in it, nothing process-wide patched."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from netwright.recipe.edits import core
from netwright.runs.batch import describe_outputs, parameter_state
from netwright.runs.evidence import (
    BatchEvidence,
    Evidence,
    NetworkEvidence,
    OptimizerEvidence,
    ParameterState,
)
from netwright.runs.taps import LayerState, Tap
from netwright.values import UserError

EVERY = 50


class Trace:
    """What was seen of a loop. `step(loss)` once an iteration, anywhere after the loss exists; `close()` is
    optional.

    The layers of the first pass and of every `every`-th are recorded; hooks are on the network only during
    those.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, *, every: int = EVERY) -> None:
        self.name = type(network).__name__
        self.every = every
        self.steps = 0
        self._network = weakref.ref(network)
        self._optimizer = weakref.ref(optimizer)
        self._losses: list[Tensor] = []
        self._first: tuple[LayerState, ...] = ()
        self._last: tuple[LayerState, ...] = ()
        self._reached: dict[str, Tensor] = {}
        self._outputs: dict[str, Any] = {}
        self._sizes: tuple[tuple[int, ...], ...] = ()
        self._tap: Tap | None = None
        self._pending: Tap | None = None
        self._handles = [network.register_forward_hook(self._seen)]
        # Which parameters a gradient reaches is asked of autograd itself: whether step() stands
        # before backward() or after
        # zero_grad() is the loop's own business.
        for name, parameter in core(network).named_parameters():
            if parameter.requires_grad:
                self._handles.append(parameter.register_post_accumulate_grad_hook(self._reach(name)))
        self._listen()

    def _reach(self, name: str) -> Callable[[Tensor], None]:
        def note(parameter: Tensor) -> None:
            if name not in self._reached and parameter.grad is not None:
                self._reached[name] = parameter.grad.detach().float().norm()

        return note

    def _listen(self) -> None:
        network = self._network()
        if network is not None:
            self._tap = Tap(network)
            self._tap.__enter__()

    def _seen(self, module: nn.Module, arguments: tuple[Any, ...], result: Any) -> None:
        if self._tap is None or self._first or not arguments or not isinstance(arguments[0], Tensor):
            return
        if isinstance(result, Tensor):
            self._outputs = describe_outputs(result.detach())
            self._sizes = (tuple(arguments[0].shape),)

    def step(self, loss: Tensor | float) -> None:
        """Note one iteration's loss. Raises `UserError` for a loss that is no single number."""
        if isinstance(loss, Tensor):
            if loss.numel() != 1:
                raise UserError(
                    f"trace.step: the loss has {loss.numel()} values; give the scalar that backward() is"
                    " called on"
                )
            value = loss.detach().reshape(())
        else:
            value = torch.tensor(float(loss))
        self._losses.append(value)
        self._take()  # of an earlier pass, whose backward is over by now
        if self._tap is not None:
            self._tap.__exit__()
            self._pending, self._tap = self._tap, None
        self.steps += 1
        if self.steps == 2:
            for handle in self._handles[1:]:
                handle.remove()
            del self._handles[1:]
        if self.steps % self.every == 0:
            self._listen()

    def _take(self) -> None:
        if self._pending is None:
            return
        states = self._pending.states()
        self._pending = None
        self._first = self._first or states
        self._last = states

    def _parameters(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[ParameterState, ...]:
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        reached = {name: float(norm) for name, norm in self._reached.items()}
        states = (parameter_state(n, p, id(p) in held) for n, p in core(network).named_parameters())
        return tuple(attrs.evolve(s, gradient=reached.get(s.name)) for s in states)

    @property
    def losses(self) -> np.ndarray:
        """(steps,) the losses noted so far."""
        return torch.stack([v.cpu() for v in self._losses]).double().numpy() if self._losses else np.empty(0)

    def evidence(self) -> Evidence:
        """What checks may see of a watched loop: network, optimizer and the first batch."""
        network, optimizer = self._network(), self._optimizer()
        if network is None or optimizer is None:
            raise UserError("trace: the network or its optimizer is gone; diagnose before they are deleted")
        self._take()
        names = {id(p): n for n, p in core(network).named_parameters()}
        group = optimizer.param_groups[0]
        held = tuple(names.get(id(p), "?") for g in optimizer.param_groups for p in g["params"])
        settings = {k: v for k, v in group.items() if k not in ("params", "lr")}
        kinds = {n: type(m).__name__ for n, m in core(network).named_modules() if n}
        losses = self.losses
        first = self._sizes[0] if self._sizes else (0,)
        batch = None
        if self._first:
            described: dict[str, Any] = {"output_shape": None, **self._outputs}
            batch = BatchEvidence(
                size=first[0],
                input_shape=first,
                target_shape=(),
                loss=float(losses[0]) if len(losses) else None,
                layers=self._first,
                parameters=self._parameters(network, optimizer),
                **described,
            )
        return Evidence(
            network=NetworkEvidence(kinds, {}),
            optimizer=OptimizerEvidence(type(optimizer).__name__, float(group["lr"]), settings, held),
            batch=batch,
        )

    def close(self) -> None:
        """Take the hooks off the network; what was seen stays."""
        if self._tap is not None:
            self._tap.__exit__()
            self._tap = None
        for handle in self._handles:
            handle.remove()
        self._handles = []


def watch(network: nn.Module, optimizer: torch.optim.Optimizer, *, every: int = EVERY) -> Trace:
    """Watch a loop of the user's own: `trace = nw.watch(network, optimizer)`, then `trace.step(loss)` in each
    iteration."""
    if not isinstance(network, nn.Module):
        raise UserError(
            f"watch: a {type(network).__name__} is no network; give an nn.Module and its optimizer"
        )
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UserError(f"watch: a {type(optimizer).__name__} is no optimizer of torch")
    return Trace(network, optimizer, every=every)
