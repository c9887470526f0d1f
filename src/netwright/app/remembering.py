"""An engine that answers from the journal what was trained before, and keeps what it trains now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs
import numpy as np

from netwright.journal import Journal
from netwright.runs import Run
from netwright.trials import Engine, Failure, Job, Meter
from netwright.trials.engine import Outcome, RunEvent
from netwright.values import RunEnded


class RememberingEngine:
    """Nothing is ever trained twice with the same seed: not in one verb, not after an interruption, not
    tomorrow.

    What a run cost is charged to the meter whether it was trained or remembered; `resumed` also charges the
    seconds of remembered trainings, which an earlier part of the same work has spent.
    """

    def __init__(
        self, engine: Engine, journal: Journal | None, meter: Meter, *, resumed: bool = False
    ) -> None:
        self.engine, self.journal, self.meter, self.resumed = engine, journal, meter, resumed
        self.workers = engine.workers
        self._known: dict[str, Run] = {}
        self._charged: set[str] = set()
        self.remembered = 0

    def run(self, jobs: Sequence[Job]) -> Iterator[RunEvent | Outcome]:
        missing: list[Job] = []
        again: dict[str, list[Job]] = {}
        for job in jobs:
            known = self._recall(job)
            if known is not None:
                yield RunEnded(
                    known.key,
                    known.seed,
                    known.epochs,
                    known.steps,
                    known.seconds,
                    known.scores,
                    known.diverged,
                    True,
                )
                self._charge(job, known, remembered=True)
                yield job, known
            elif job.key in again:
                again[job.key].append(job)  # the same training asked for twice at once
            else:
                again[job.key] = []
                missing.append(job)
        for item in self.engine.run(missing):
            if not isinstance(item, tuple):
                yield item
                continue
            job, result = item
            if isinstance(result, Run):
                result = self._keep(job, result)
                item = job, result
                self._charge(job, result, remembered=False)
            yield item
            for twin in again.get(job.key, ()):
                yield twin, result

    def _charge(self, job: Job, run: Run, *, remembered: bool) -> None:
        if run.key in self._charged:
            return
        self._charged.add(run.key)
        self.meter.trials += 1
        credit = run.seconds / self.workers if remembered and self.resumed else 0.0
        self.remembered += remembered
        seen = run.steps * job.recipe.settings.batch_size
        if job.max_steps is None:  # the last batch of an epoch is mostly smaller
            seen = min(seen, len(run.epoch_loss) * len(job.recipe.training_samples))
        self.meter.charge(len(run.epoch_loss), run.steps, credit, seen)

    def _recall(self, job: Job) -> Run | None:
        known = self._known.get(job.key)
        if known is None and self.journal is not None:
            found = self.journal.recall(job.key)
            known = Run.restore(*found) if found else None
        if known is None or (job.tapped and not known.layers.steps):
            return None
        if job.keep_weights and known.weights is None:
            known = self._with_weights(job, known)
        return known

    def _with_weights(self, job: Job, run: Run) -> Run | None:
        path = self.journal.weights(job.key) if self.journal is not None else None
        if path is None:
            return None
        from safetensors.numpy import load_file

        return attrs.evolve(run, weights=load_file(path))

    def _keep(self, job: Job, run: Run) -> Run:
        run = attrs.evolve(run, key=job.key)
        self._known[job.key] = run
        if self.journal is not None:
            weights = {k: np.asarray(v, order="C") for k, v in run.weights.items()} if run.weights else None
            self.journal.remember(job.key, run.document(), run.arrays(), weights)
        return run

    def close(self) -> None:
        self.engine.close()


def noting(append: Callable[[object], None], events: Iterator[object]) -> Iterator[object]:
    """The events, each appended to the journal before it is passed on."""
    for event in events:
        append(event)
        yield event


__all__ = ["Failure", "RememberingEngine", "noting"]
