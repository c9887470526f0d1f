"""What a watched loop did: its losses, and in which order it called what.

A loop is heard as events, at sampled iterations only: a forward pass, a gradient that arrives at a parameter,
a call of an optimizer's `step`, a loss that is noted. `heard` folds them into facts; nothing here guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from netwright.values import Place

Graph = Literal["network", "optimizer", "elsewhere", "none", "number", "unknown"]
"""Where the graph behind a noted loss ends: at parameters of the network, at others that the optimizers hold,
at others; there is no graph; a plain number was noted; the graph is too large to say."""


@frozen
class Forward:
    """The network was called: its mode, and whether gradients can flow back from the result."""

    training: bool
    grad_enabled: bool
    differentiable: bool


@frozen
class Arrival:
    """A gradient on its way to a parameter. `stamp` (address, version) is of the gradient that is there
    already, `None` where there is none; `before` and `arrived` number the norms of both."""

    parameter: int
    stamp: tuple[int, int] | None
    before: int | None
    arrived: int


@frozen
class StepBegins:
    """`optimizer.step` was called; `norms` numbers the norm of each watched parameter's gradient."""

    optimizer: int
    lr: float
    norms: tuple[int | None, ...]


@frozen
class StepEnds:
    """`optimizer.step` returned; the stamp of each gradient that it leaves, by parameter."""

    optimizer: int
    stamps: tuple[tuple[int, tuple[int, int] | None], ...]


@frozen
class Noted:
    """`trace.step` was called in iteration `iteration`, counted from 1."""

    iteration: int
    graph: Graph


Event = Forward | Arrival | StepBegins | StepEnds | Noted


@frozen
class Iteration:
    """One whole turn of the loop, from one noted loss to the next.

    `passes` counts forward passes whose result gradients can flow back from, `blind` the others that were
    made in training mode; `evaluating` says that every one of the passes was in evaluation mode. `gradients`
    counts those that arrived at a watched parameter, `zeroed` whether any of them found none or only zeros
    there (`None` where none arrived).
    """

    number: int
    passes: int
    blind: int
    evaluating: bool
    gradients: int
    zeroed: bool | None
    graph: Graph


@frozen
class Update:
    """One call of an optimizer's `step`.

    `arrived` is the largest norm of a gradient that arrived since its previous step (0 for none), `used` of
    those that the step found (`None` where there was none at all), over the watched parameters. `zeroed` says
    whether gradients were zeroed since the previous step; `None` where that was not seen. `behind` says
    that a forward pass was made and its gradients came only after this step; `None` likewise. `closure`:
    gradients were computed within.
    """

    iteration: int
    optimizer: int
    lr: float
    arrived: float
    used: float | None
    zeroed: bool | None
    behind: bool | None
    closure: bool


@frozen(eq=False)
class LoopEvidence:
    """A loop of the user's own as `watch` saw it; `losses` (steps,) in the order they were noted.

    `iterations` and `updates` are those of the sampled part of the loop. `optimizers` are class names,
    `calls` how often each one's `step` was called, in all; `skipping` says that gradients were not finite,
    which a scaler answers by leaving steps out. `moved`: a watched parameter has changed since the start.
    `holds_network`: an optimizer holds a parameter of the network. `modal`: layers that differ between
    training and evaluation. `reached`: a gradient came to a parameter of the network. `gone_for` counts the
    losses noted after the network was deleted. `place` is the line that calls `trace.step`.
    """

    losses: NDArray[np.float64]
    iterations: tuple[Iteration, ...] = ()
    updates: tuple[Update, ...] = ()
    optimizers: tuple[str, ...] = ()
    calls: tuple[int, ...] = ()
    trainable: int = 0
    moved: bool | None = None
    reached: bool = False
    skipping: bool = False
    holds_network: bool = True
    modal: tuple[str, ...] = ()
    gone_for: int = 0
    bad_inputs: bool = False
    place: Place = field(factory=Place)


@frozen
class Heard:
    """The facts of one stretch of consecutive events."""

    iterations: tuple[Iteration, ...]
    updates: tuple[Update, ...]


def heard(events: Sequence[Event], owners: Sequence[frozenset[int]], norm: Callable[[int], float]) -> Heard:
    """Fold the events of one stretch. `owners` gives, for each watched parameter, the optimizers that hold
    it; `norm` the value of a numbered norm. An iteration counts where its beginning was seen."""
    iterations: list[Iteration] = []
    updates: list[Update] = []
    turns = _turns(events)
    for turn in turns:
        noted = turn[-1]
        if isinstance(noted, Noted):
            iterations.append(_iteration(turn, noted, norm))
    holders = {o for held in owners for o in held}
    for optimizer in sorted(holders):
        updates += _updates(events, optimizer, owners, norm)
    return Heard(tuple(iterations), tuple(sorted(updates, key=lambda u: u.iteration)))


def _turns(events: Sequence[Event]) -> list[list[Event]]:
    """The events between one noted loss and the next, the later one included."""
    turns: list[list[Event]] = []
    turn: list[Event] | None = None
    for event in events:
        if turn is not None:
            turn.append(event)
        if isinstance(event, Noted):
            if turn is not None:
                turns.append(turn)
            turn = []
    return turns


def _iteration(turn: Iterable[Event], noted: Noted, norm: Callable[[int], float]) -> Iteration:
    passes = [e for e in turn if isinstance(e, Forward)]
    differentiable = [p for p in passes if p.differentiable]
    arrivals = [e for e in turn if isinstance(e, Arrival)]
    return Iteration(
        noted.iteration,
        len(differentiable),
        sum(p.training and not p.grad_enabled for p in passes),
        bool(differentiable) and not any(p.training for p in differentiable),
        len(arrivals),
        any(e.before is None or norm(e.before) == 0 for e in arrivals) if arrivals else None,
        noted.graph,
    )


def _updates(
    events: Sequence[Event], optimizer: int, owners: Sequence[frozenset[int]], norm: Callable[[int], float]
) -> list[Update]:
    """The steps of one optimizer. What is said of the time since its previous step needs that one to be
    among the events."""
    found: list[Update] = []
    left: dict[int, tuple[int, int] | None] | None = None  # the stamps at the end of the previous step
    since: list[Event] = []
    begun: StepBegins | None = None
    before_step: list[Event] = []
    iteration = 0
    for event in events:
        if isinstance(event, Noted):
            iteration = event.iteration
        elif isinstance(event, StepBegins) and event.optimizer == optimizer:
            begun, before_step = event, list(since)
        elif isinstance(event, StepEnds) and event.optimizer == optimizer:
            if begun is not None:
                closure = any(isinstance(e, Arrival) for e in since[len(before_step) :])
                own = [e for e in since if isinstance(e, Arrival) and optimizer in owners[e.parameter]]
                norms = [norm(n) for n in begun.norms if n is not None]
                found.append(
                    Update(
                        iteration + 1,
                        optimizer,
                        begun.lr,
                        max((norm(e.arrived) for e in own), default=0.0),
                        max(norms) if norms else None,
                        _zeroed(own, left, norm) if left is not None else None,
                        _behind(before_step) if left is not None else None,
                        closure,
                    )
                )
            left, since, begun = dict(event.stamps), [], None
            continue
        since.append(event)
    return found


def _zeroed(
    own: Iterable[Arrival], left: dict[int, tuple[int, int] | None], norm: Callable[[int], float]
) -> bool | None:
    """Whether a gradient was zeroed between two steps: `False` needs one that the next pass found exactly as
    the step left it, and that is not zero."""
    kept = False
    first: set[int] = set()
    for arrival in own:
        value = norm(arrival.before) if arrival.before is not None else 0.0
        if arrival.stamp is None or value == 0:
            return True
        if arrival.parameter not in first and arrival.stamp == left.get(arrival.parameter):
            kept = True
        first.add(arrival.parameter)
    return False if kept else None


def _behind(since: Iterable[Event]) -> bool:
    """Whether, since the previous step, all gradients came before the first forward pass: those of that pass
    are still to come."""
    passed = arrived = False
    for event in since:
        if isinstance(event, Forward) and event.differentiable:
            passed = True
        elif isinstance(event, Arrival):
            if passed:
                return False
            arrived = True
    return passed and arrived
