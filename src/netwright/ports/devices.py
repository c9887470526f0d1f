"""Whether a port fits a device, and what of the network must go where it does not."""

from __future__ import annotations

from netwright.ports.program import Program
from netwright.values import AsInt8, Budgeted, DeviceBudget, Heavy, TargetPort

HEAVIEST = 5  # layers that are named
_KEPT = 0.25  # of the bytes of weights in 32 bits is what they are in 8


def budgeted(found: TargetPort, budget: DeviceBudget, program: Program) -> Budgeted:
    """The verdict on a port, with what must be trimmed at its precision where it does not fit."""
    assert found.size is not None
    weights = program.weights()
    total = sum(weights.values())
    inside = total * (_KEPT if found.precision == "int8" else 1.0)
    size_fits = None if budget.size is None else found.size <= budget.size
    latency = min(found.latencies, key=lambda one: one.batch, default=None)
    p95 = latency.p95 if latency is not None else None
    time_fits = None if budget.seconds is None or p95 is None else p95 <= budget.seconds
    fits = _both(budget, size_fits, time_fits)
    verdict = Budgeted(
        budget,
        fits,
        found.size,
        size_fits,
        p95,
        time_fits,
        latency.batch if latency is not None else 1,
        latency.threads if latency is not None else None,
    )
    if fits is not False:
        return verdict
    work = 1 - budget.seconds / p95 if time_fits is False and budget.seconds and p95 else None
    return Budgeted(
        budget,
        fits,
        found.size,
        size_fits,
        p95,
        time_fits,
        verdict.batch,
        verdict.threads,
        _trim(found.size, budget, inside),
        work,
        None if found.precision == "int8" else _computed(found.size, budget, total),
        _heaviest(program, weights, total),
    )


def measured_int8(found: TargetPort, budget: DeviceBudget, program: Program) -> AsInt8 | None:
    """What a quantised port is to a budget; `None` where it could not be made."""
    if found.size is None:
        return None
    verdict = budgeted(found, budget, program)
    return AsInt8(
        found.size,
        verdict.fits,
        True,
        verdict.p95,
        found.metric_after,
        found.decision_changes,
        verdict.trim,
        found.files,
    )


def _computed(size: int, budget: DeviceBudget, weights: int) -> AsInt8:
    """A quarter of the weights' bytes and the rest of the file as it is. How fast that is nobody knows."""
    smaller = round(size - (1 - _KEPT) * weights)
    size_fits = None if budget.size is None else smaller <= budget.size
    fits = _both(budget, size_fits, None)
    return AsInt8(smaller, fits, False, trim=_trim(smaller, budget, _KEPT * weights))


def _both(budget: DeviceBudget, size_fits: bool | None, time_fits: bool | None) -> bool | None:
    """Whether every limit that is set holds; `None` where none is broken and one is not known."""
    asked = [fits for limit, fits in ((budget.size, size_fits), (budget.seconds, time_fits)) if limit]
    if False in asked:
        return False
    return None if None in asked else True


def _trim(size: int, budget: DeviceBudget, weights: float) -> float | None:
    if budget.size is None or size <= budget.size:
        return None
    return (size - budget.size) / weights if weights else None


def _heaviest(program: Program, weights: dict[str, int], total: int) -> tuple[Heavy, ...]:
    by_name = {layer.name: layer for layer in program.layers}
    order = sorted(weights, key=lambda name: -weights[name])[:HEAVIEST]
    return tuple(
        Heavy(
            name,
            by_name[name].kind,
            by_name[name].place.file,
            by_name[name].place.line,
            weights[name],
            weights[name] / total,
        )
        for name in order
    )
