"""What has been spent of a budget, what a training costs, and what the rest buys."""

from __future__ import annotations

import math
from collections.abc import Callable

from attrs import define, field, frozen

from netwright.values import Budget, Plan, duration

CLAIM_SEEDS = 5
ENOUGH = 30  # trainings for a diagnosis with its confirmations


@frozen
class Pace:
    """What one training of the baseline costs: wall seconds on one worker, steps, epochs; `workers` run at a
    time."""

    seconds: float
    steps: int
    epochs: int
    workers: int = 1

    def in_unit(self, budget: Budget, share: float = 1.0) -> float:
        """Cost of `share` of a training in the budget's unit; wall seconds are shared between workers."""
        if budget.unit == "seconds":
            return self.seconds * share / self.workers
        return (self.epochs if budget.unit == "epochs" else self.steps) * share


@define
class Meter:
    """Counts what is spent; `clock` gives wall seconds and is handed in, `credit` is what remembered
    trainings cost. A budget of seconds that nobody asked for may grow to `most`."""

    budget: Budget
    clock: Callable[[], float]
    began: float = field(init=False)
    epochs: int = 0
    steps: int = 0
    trials: int = 0
    samples: int = 0
    credit: float = 0.0
    most: float | None = None

    def __attrs_post_init__(self) -> None:
        self.began = self.clock()

    @property
    def seconds(self) -> float:
        return self.clock() - self.began + self.credit

    @property
    def spent(self) -> float:
        return {"seconds": self.seconds, "epochs": self.epochs, "steps": self.steps}[self.budget.unit]

    @property
    def left(self) -> float:
        return self.budget.amount - self.spent

    def suit(self, pace: Pace) -> None:
        """Make a budget that nobody asked for as large as enough trainings at this pace take."""
        if self.most is not None and self.budget.unit == "seconds":
            enough = ENOUGH * pace.in_unit(self.budget)
            self.budget = Budget(min(self.most, max(self.budget.amount, enough)), "seconds")

    def charge(self, epochs: int, steps: int, seconds_remembered: float = 0.0, samples: int = 0) -> None:
        self.epochs += epochs
        self.steps += steps
        self.samples += samples
        self.credit += seconds_remembered

    def affords(self, pace: Pace, trainings: float, reserve: float = 0.0) -> bool:
        """Whether so many of the baseline's trainings fit into what is left, keeping `reserve` more."""
        return self.left >= pace.in_unit(self.budget, trainings + reserve)


def make_plan(budget: Budget, pace: Pace, spent: float = 0.0) -> Plan:
    """What `budget` buys at this pace (METHOD: 'Budgets, from a second to a day')."""
    cost = max(pace.in_unit(budget), 1e-9)
    trainings = max(0.0, budget.amount - spent) / cost
    one = f"1 training ≈ {duration(pace.seconds)} ({pace.epochs} epochs, {pace.steps:,} steps)"
    claim = 2 * CLAIM_SEEDS
    level: str
    if trainings < 0.2:
        level, confirmations, proxy = "static", 0, 0
        buys = "static checks; no training, no verdicts"
    elif trainings < 1:
        level, confirmations, proxy = "probes", 0, max(1, pace.epochs // 4)
        buys = "static checks, one-batch probes and a range test; no verdicts"
    elif trainings < CLAIM_SEEDS + 2 * claim:
        level, confirmations = "proxies", 0
        proxy = max(1, pace.epochs // 4)
        pairs = max(1, int((trainings - 1) * pace.epochs / (2 * proxy)))
        buys = f"static checks, probes, a range test and {pairs} proxy pairs of {proxy} epochs; no verdicts"
    else:
        level = "claims"
        # A third goes to screening, a confirmation needs up to ten seeds of candidate and control,
        # the end ten more.
        confirmations = max(1, min(12, int((trainings * 0.6 - claim) / claim)))
        proxy = max(1, math.ceil(pace.epochs / 3))
        buys = (
            f"about {trainings:,.0f} trainings: a baseline of {CLAIM_SEEDS} seeds, screening of {proxy}"
            f" epochs, up to {confirmations} confirmations of {CLAIM_SEEDS} paired seeds or more"
        )
    return Plan(
        level=level,  # type: ignore[arg-type]
        training_seconds=pace.seconds,
        training_steps=pace.steps,
        training_epochs=pace.epochs,
        trainings=trainings,
        baseline_seeds=CLAIM_SEEDS if level == "claims" else int(level == "proxies"),
        proxy_epochs=proxy,
        confirmations=confirmations,
        sentence=f"{one}; {budget} buys {buys}",
    )
