"""Watching a user's own loop: two lines in it, nothing process-wide patched."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from netwright.recipe.source import shown
from netwright.runs.batch import describe_outputs, parameter_state
from netwright.runs.evidence import (
    BatchEvidence,
    Evidence,
    NetworkEvidence,
    ParameterState,
)
from netwright.runs.listening import Hook
from netwright.runs.loop import (
    Arrival,
    Event,
    Forward,
    Graph,
    LoopEvidence,
    Noted,
    StepBegins,
    StepEnds,
    heard,
)
from netwright.runs.reading import (
    DESCRIBED,
    choose,
    describe_optimizers,
    differs_between_modes,
    fetch,
    floating_in,
    held_parameters,
    inner_network,
    is_compiled,
    is_in,
    rows_equal,
    sample_of,
    stamp,
    tensors_in,
    unwrapped,
)
from netwright.runs.taps import LayerState, Tap
from netwright.values import Place, UserError

FIRST_STRETCH, STRETCH, LONGEST_STRETCH = 4, 3, 40  # iterations
FIRST_GAP, LARGEST_GAP = 8, 512
SPREADS = 4  # the distance grows by this factor
TAPPED_EVERY = 3  # of the sampled stretches, the first included
KEPT_EARLY, KEPT_LATE = 4, 12  # stretches
MANY_EVENTS, MANY_NODES, MANY_LOSSES = 4096, 5000, 512


class Trace:
    """What was seen of a loop. `step(loss)` once an iteration, anywhere after the loss exists; `close()` is
    optional.

    What is called in which order is listened to in short stretches: the first iterations, then others at
    distances that grow up to 512, or every `every`-th where that is given. Hooks are on the network and its
    parameters only during those; between them an iteration costs a copy of its loss and a count. Nothing
    waits for the device until the trace is read.
    """

    def __init__(
        self, network: nn.Module, optimizers: Sequence[torch.optim.Optimizer], *, every: int | None = None
    ) -> None:
        inner = inner_network(network)
        self.name = type(inner).__name__
        self.every = every
        self.steps = 0
        self.calls = [0] * len(optimizers)
        self._outer, self._inside = weakref.ref(network), weakref.ref(inner)
        self._optimizers = [weakref.ref(o) for o in optimizers]
        self._losses: list[Tensor | float] = []
        self._packed: list[Tensor] = []
        self._first: tuple[LayerState, ...] = ()
        self._last: tuple[LayerState, ...] = ()
        self._reached: dict[str, Tensor] = {}
        self._outputs: dict[str, Any] = {}
        self._input_shape: tuple[int, ...] = ()
        self._tap: Tap | None = None
        self._pending: Tap | None = None
        self._place = Place()
        self._gone_at: int | None = None
        self._own = {id(p): weakref.ref(p) for p in inner.parameters()}
        self._held = {id(p): weakref.ref(p) for o in optimizers for p in held_parameters(o)}
        self._names = {id(p): n for n, p in inner.named_parameters()}
        self._kinds = {n: type(m).__name__ for n, m in inner.named_modules() if n} or {"": self.name}
        self._modal = tuple(n for n, m in inner.named_modules() if differs_between_modes(m))
        self._about = describe_optimizers(optimizers, self._names)
        self._start = {n: parameter_state(n, p, is_in(p, self._held)) for n, p in inner.named_parameters()}
        self._watched, self._owners = choose(inner, optimizers)
        self._samples = [(p, sample_of(p).detach().clone()) for p in self._watched]
        self._norms: list[Tensor] = []
        self._stretches: list[list[Event]] = []
        self._events: list[Event] = []
        self._listening = False
        self._opened_at, self._opened_calls = 0, list(self.calls)
        self._next, self._gap, self._opened = 0, FIRST_GAP, 0
        self._handles: list[Any] = []
        self._closed = False
        self._permanent = [
            o.register_step_post_hook(Hook(_of(self._step_ended, k))) for k, o in enumerate(optimizers)
        ]
        self._open()

    def _network(self) -> nn.Module | None:
        """What was given, or what is in it where nobody kept the wrapper; `None` once both are deleted."""
        outer = self._outer()
        return outer if outer is not None else self._inside()

    # --- what is heard -----------------------------------------------------------------------------

    def _open(self) -> None:
        """Begin to listen."""
        self._listening = True
        self._opened_at, self._opened_calls = self.steps, list(self.calls)
        self._events = [Noted(self.steps, "unknown")] if self.steps else []
        self._stretches.append(self._events)
        if len(self._stretches) > KEPT_EARLY + KEPT_LATE:
            del self._stretches[KEPT_EARLY]
        network = self._network()
        if network is None and self._gone_at is None:
            self._gone_at = self.steps
        if network is not None:
            if self._opened % (1 if self.every else TAPPED_EVERY) == 0 and not is_compiled(network):
                self._tap = Tap(inner_network(network), only_differentiable=True).__enter__()
            roots = list(network.children()) if isinstance(network, (nn.ModuleList, nn.ModuleDict)) else []
            for root in roots or [network]:
                self._handles.append(root.register_forward_hook(Hook(self._passed), with_kwargs=True))
            for name, parameter in inner_network(network).named_parameters():
                if parameter.requires_grad and name not in self._reached:
                    hook = Hook(_of(self._arrived_first, name))
                    self._handles.append(parameter.register_post_accumulate_grad_hook(hook))
        for k, parameter in enumerate(self._watched):
            if parameter.requires_grad:
                self._handles.append(parameter.register_hook(Hook(_of(self._arrives, k))))
        for k, reference in enumerate(self._optimizers):
            optimizer = reference()
            if optimizer is not None:
                self._handles.append(optimizer.register_step_pre_hook(Hook(_of(self._step_begins, k))))
        self._opened += 1

    def _shut(self) -> None:
        """Stop listening and find out when to begin again."""
        self._listening = False
        self._untap()
        while self._handles:
            self._handles.pop().remove()
        while self._next <= self.steps:
            if self.every:
                self._next += self.every
            else:
                self._next += self._gap
                self._gap = min((SPREADS - 1) * self._next, LARGEST_GAP)

    def _untap(self) -> None:
        if self._tap is not None:
            self._tap.__exit__()
            self._pending, self._tap = self._tap, None

    def _hear(self, event: Event) -> None:
        if len(self._events) < MANY_EVENTS:
            self._events.append(event)

    def _number(self, value: Tensor) -> int:
        """The number by which a norm is fetched later, together with all others."""
        with torch.no_grad():
            self._norms.append(torch.linalg.vector_norm(sample_of(value).detach().float()))
        return len(self._norms) - 1

    def _passed(self, module: nn.Module, arguments: tuple[Any, ...], named: Any, result: Any) -> None:
        outputs = floating_in(result)
        differentiable = torch.is_grad_enabled() and any(t.requires_grad for t in outputs)
        self._hear(Forward(module.training, torch.is_grad_enabled(), differentiable))
        if not differentiable:
            return
        if self._tap is not None:
            self._untap()
        if not self._outputs and outputs:
            given = next((t for t in tensors_in((arguments, named)) if t.ndim), None)
            self._input_shape = tuple(given.shape) if given is not None else ()
            largest = max(outputs, key=lambda t: t.ndim)
            if largest.ndim and 0 < largest.numel() <= DESCRIBED:
                with torch.no_grad():
                    self._outputs = describe_outputs(largest.detach())

    def _arrived_first(self, name: str, parameter: Tensor) -> None:
        if name not in self._reached and parameter.grad is not None and not parameter.grad.is_sparse:
            with torch.no_grad():
                self._reached[name] = torch.linalg.vector_norm(parameter.grad.detach().float())

    def _arrives(self, k: int, gradient: Tensor) -> None:
        if gradient.is_sparse or len(self._events) >= MANY_EVENTS:
            return
        there = self._watched[k].grad
        before = self._number(there) if there is not None and not there.is_sparse else None
        self._hear(Arrival(k, stamp(there), before, self._number(gradient)))

    def _step_begins(self, k: int, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        lr = optimizer.param_groups[0]["lr"]
        own = [p.grad for p, owners in zip(self._watched, self._owners, strict=True) if k in owners]
        norms = tuple(self._number(g) if g is not None and not g.is_sparse else None for g in own)
        self._hear(StepBegins(k, float("nan") if isinstance(lr, Tensor) else float(lr), norms))

    def _step_ended(self, k: int, *_: Any) -> None:
        self.calls[k] += 1
        if self._listening:
            stamps = ((q, stamp(p.grad)) for q, p in enumerate(self._watched) if k in self._owners[q])
            self._hear(StepEnds(k, tuple(stamps)))

    # --- the line in the loop ----------------------------------------------------------------------

    def step(self, loss: Tensor | float) -> None:
        """Note one iteration's loss, a tensor of one value or a number.

        A tensor is copied where it is and nothing waits for it. Raises `UserError` for a loss that is no
        single number.
        """
        if isinstance(loss, Tensor):
            if loss.numel() != 1:
                raise UserError(
                    f"trace.step: the loss has {loss.numel()} values; give the scalar that backward() is"
                    " called on"
                )
            on_host = loss.device.type == "cpu"  # where there is nothing to wait for
            self._losses.append(loss.item() if on_host else loss.detach().clone())
        else:
            self._losses.append(float(loss))
        self.steps += 1
        if self._listening:
            self._note(loss)
        elif self.steps == self._next and not self._closed:
            self._open()
        if len(self._losses) >= MANY_LOSSES:
            self._pack()

    def _note(self, loss: Tensor | float) -> None:
        if self.steps == 1:
            self._place = _caller()
        self._hear(Noted(self.steps, self._graph_of(loss)))
        if self._network() is None and self._gone_at is None:
            self._gone_at = self.steps
        self._take()  # of an earlier pass, whose backward is over by now
        self._untap()
        heard_for = self.steps - self._opened_at
        again = all(
            now == 0 or now - then >= 2 for now, then in zip(self.calls, self._opened_calls, strict=True)
        )
        enough = heard_for >= (FIRST_STRETCH if self._opened == 1 else STRETCH) and again
        if enough or heard_for >= LONGEST_STRETCH:
            self._shut()
            if self.steps == self._next:
                self._open()

    def _take(self) -> None:
        if self._pending is None:
            return
        states = self._pending.states()
        self._pending = None
        self._first = self._first or states
        self._last = states

    def _graph_of(self, loss: Tensor | float) -> Graph:
        """Where the graph behind a loss ends; asks the nearest of its nodes first."""
        if not isinstance(loss, Tensor):
            return "number"
        if loss.grad_fn is None:
            return "none"
        nodes, seen, at = [loss.grad_fn], {loss.grad_fn}, 0
        held = other = False
        while at < len(nodes):
            variable = getattr(nodes[at], "variable", None)
            if isinstance(variable, Tensor):
                if is_in(variable, self._own):
                    return "network"
                held |= is_in(variable, self._held)
                other |= isinstance(variable, nn.Parameter)
            for node, _ in nodes[at].next_functions:
                if node is not None and node not in seen:
                    seen.add(node)
                    nodes.append(node)
            at += 1
            if at > MANY_NODES:
                return "unknown"
        return "optimizer" if held else "elsewhere" if other else "none"

    def _pack(self) -> None:
        """Put the losses that were noted one by one into one tensor a device; nothing waits for it."""
        for kind, run in groupby(self._losses, lambda v: v.device if isinstance(v, Tensor) else None):
            if kind is None:
                self._packed.append(torch.tensor(list(run), dtype=torch.float64))
            else:
                self._packed.append(torch.stack([v.reshape(()).float() for v in run]))  # type: ignore[union-attr]
        self._losses.clear()

    # --- what is known afterwards ------------------------------------------------------------------

    @property
    def losses(self) -> np.ndarray:
        """(steps,) the losses noted so far; waits for the device once."""
        self._pack()
        return torch.cat([v.cpu().double() for v in self._packed]).numpy() if self._packed else np.empty(0)

    def evidence(self) -> Evidence:
        """What checks may see of a watched loop: its network, its optimizers, the first batch, and the order
        of what it called. Waits for the device; the loop may go on afterwards."""
        network = self._network()
        inner = inner_network(network) if network is not None else None
        optimizers = [o for reference in self._optimizers if (o := reference()) is not None]
        if self._pending is not None and self._events and isinstance(self._events[-1], (StepEnds, Noted)):
            self._take()
        losses = self.losses
        batch = None
        frozen = False
        if inner is not None and (self._first or self._reached):
            parameters = self._parameters(inner)
            described: dict[str, Any] = {"output_shape": None, **self._outputs}
            batch = BatchEvidence(
                size=self._input_shape[0] if self._input_shape else 0,
                input_shape=self._input_shape,
                target_shape=(),
                loss=float(losses[0]) if len(losses) else None,
                layers=self._first,
                parameters=parameters,
                **described,
            )
            learning = [p.requires_grad for p in parameters]
            frozen = any(learning) and not all(learning)
        about = self._about
        if optimizers and len(optimizers) == len(self._optimizers):
            about = describe_optimizers(optimizers, self._names)
        return Evidence(
            # Some frozen and some not: fine-tuning, and the user's own choice.
            network=NetworkEvidence(self._kinds, {}, pretrained=frozen),
            optimizer=about,
            batch=batch,
            loop=self._loop(losses),
        )

    def _parameters(self, inner: nn.Module) -> tuple[ParameterState, ...]:
        """The parameters as they were before the first step, with the first gradient of each. What has moved
        is held by an optimizer, if not by one of these; what was constant and is no longer is not stuck."""
        reached = dict(zip(self._reached, fetch(list(self._reached.values())), strict=True))
        states: list[ParameterState] = []
        for name, parameter in inner.named_parameters():
            now = parameter_state(name, parameter, is_in(parameter, self._held))
            then = self._start.get(name, now)
            moved = now.norm != then.norm
            stuck = then.constant and not (now.constant or rows_equal(parameter))
            states.append(
                attrs.evolve(
                    now if stuck else then,
                    requires_grad=now.requires_grad,
                    in_optimizer=parameter.requires_grad and (is_in(parameter, self._held) or moved),
                    gradient=reached.get(name, 0.0 if now.gradient is None and moved else now.gradient),
                )
            )
        return tuple(states)

    def _loop(self, losses: np.ndarray) -> LoopEvidence:
        norms = fetch(self._norms)
        facts = [heard(events, self._owners, norms.__getitem__) for events in self._stretches]
        arrived = [norms[e.arrived] for events in self._stretches for e in events if isinstance(e, Arrival)]
        moved = [not torch.equal(sample_of(p).detach().to(s.device), s) for p, s in self._samples]
        first = next((s for s in self._first if s.input_mean is not None), None)
        return LoopEvidence(
            losses=losses,
            iterations=tuple(i for f in facts for i in f.iterations),
            updates=tuple(u for f in facts for u in f.updates),
            optimizers=tuple(self._about.kind.split(", ")) if self._about is not None else (),
            calls=tuple(self.calls),
            trainable=sum(state.requires_grad for state in self._start.values()),
            moved=any(moved) if moved else None,
            reached=bool(self._reached),
            skipping=any(not np.isfinite(v) for v in arrived),
            holds_network=not self._held or bool(self._own.keys() & self._held.keys()),
            modal=self._modal,
            gone_for=self.steps - self._gone_at if self._gone_at is not None else 0,
            bad_inputs=first is not None and not np.isfinite(first.input_mean or 0.0),
            place=self._place,
        )

    def close(self) -> None:
        """Take the hooks off the network and its optimizers; what was seen stays."""
        self._closed = True
        if self._listening:
            self._shut()
        while self._permanent:
            self._permanent.pop().remove()


def watch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer | Iterable[torch.optim.Optimizer],
    *others: torch.optim.Optimizer,
    every: int | None = None,
) -> Trace:
    """Watch a loop of the user's own: `trace = nw.watch(network, optimizer)`, then `trace.step(loss)` in each
    iteration.

    `optimizer` is one, or several: a list, or one after the other. A wrapper around an optimizer or a network
    (`DistributedDataParallel`, `torch.compile`, Accelerate's) may be given as well as what is in it. `every`
    samples each so many iterations instead of the default, which is dense first and rare later. Raises
    `UserError` for anything else.
    """
    if not isinstance(network, nn.Module):
        raise UserError(
            f"watch: a {type(network).__name__} is no network; give an nn.Module and its optimizer"
        )
    given = [optimizer] if isinstance(optimizer, torch.optim.Optimizer) else optimizer
    several = list(given) if isinstance(given, Iterable) else [given]
    found = [unwrapped(o) for o in (*several, *others)]
    if not found:
        raise UserError("watch: no optimizer was given")
    lazy = next((n for n, p in network.named_parameters() if nn.parameter.is_lazy(p)), None)
    if lazy is not None:
        raise UserError(
            f"watch: {lazy} has no shape yet; send one batch through the network before it is watched"
        )
    return Trace(network, found, every=every)


def _of(function: Any, first: Any) -> Any:
    return lambda *rest: function(first, *rest)


def _caller() -> Place:
    """The line outside of this file that called `trace.step`; nowhere where that was a callback of ours."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    if str(frame.f_globals.get("__name__", "")).startswith("netwright."):
        return Place()
    return Place(file=shown(frame.f_code.co_filename), line=frame.f_lineno)
