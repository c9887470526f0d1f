"""Causes visible in the network before its first step: signals and gradients that do not get through."""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs
import numpy as np

from netwright.catalogue import Needs, check
from netwright.recipe.source import Birthplace
from netwright.runs import Evidence, LayerState, Operation, ParameterState
from netwright.values import Finding

WEIGHTED = ("Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "LazyLinear")
RECURRENT = ("RNN", "LSTM", "GRU")
SMALL, LARGE = 0.02, 6.0
SHRINKS = 1e-3
DEAD, SATURATED = 0.9, 0.8


def _weights(evidence: Evidence) -> list[tuple[LayerState, ParameterState]]:
    """Layers with a weight matrix, in execution order, with the state of their weight."""
    assert evidence.batch is not None
    by_name = {p.name: p for p in evidence.batch.parameters}
    pairs: list[tuple[LayerState, ParameterState]] = []
    for state in evidence.batch.layers:
        own = "weight_hh_l0" if state.kind in RECURRENT else "weight"
        weight = by_name.get(f"{state.name}.{own}" if state.name else own)
        if weight is not None and len(weight.shape) > 1 and state.kind in (*WEIGHTED, *RECURRENT):
            pairs.append((state, weight))
    return pairs


@check(
    "initialisation",
    needs=Needs.BATCH,
    confuses="a last layer that starts at zero on purpose, which is left alone",
)
def weights_that_start_wrong(evidence: Evidence) -> Iterator[Finding]:
    """Initial weights that are all the same, far too small or far too large.

    Looks at each weight, (out, in, ...): its standard deviation times the square root of its fan-in, which is
    0.58 for torch's default, 1 for Xavier and 1.4 for Kaiming initialisation.
    Threshold: constant, or outside 0.02…6, not counting one layer of zeros (a last layer or a residual branch
    may start at zero on purpose; two in a row keep each other there).
    Source: Glorot and Bengio (2010), section 4.2; He et al. (2015), section 2.2.
    """
    if evidence.network is not None and evidence.network.pretrained:
        return
    pairs = _weights(evidence)
    wrong: list[tuple[LayerState, str, float]] = []
    for state, weight in pairs:
        fan_in = math.prod(weight.shape[1:])
        if fan_in * weight.shape[0] < 2:
            continue  # a single number is no less random for being alone
        gain = weight.std * math.sqrt(fan_in)
        if weight.constant or weight.std == 0:
            zeros = sum(w.norm == 0 for _, w in pairs)
            if weight.norm != 0 or zeros > max(1, len(pairs) // 2):
                wrong.append((state, "all the same", gain))
        elif gain < SMALL:
            wrong.append((state, "far too small", gain))
        elif gain > LARGE:
            wrong.append((state, "far too large", gain))
    if wrong:
        state, how, gain = wrong[0]
        more = f" (and {len(wrong) - 1} more layers)" if len(wrong) > 1 else ""
        means = {
            "all the same": "its units compute the same thing and receive the same gradient for good",
            "far too small": "signals die out on their way through it",
            "far too large": "signals and gradients grow by orders of magnitude in it",
        }[how]
        yield Finding(
            "initialisation",
            evidence.layer_place(state.name, "initialisation"),
            {"gain": gain, "layers": [s.name for s, _, _ in wrong], "how": how},
            f"The initial weights of {state.kind} {state.name}{more} are {how}: {means}.",
            ("kaiming-initialisation", "xavier-initialisation"),
        )


@check(
    "vanishing-gradient",
    needs=Needs.BATCH,
    confuses="a last layer initialised at zero; a frozen or dead layer",
)
def gradients_that_shrink(evidence: Evidence) -> Iterator[Finding]:
    """Gradients that become so small towards the input that early layers do not move.

    Looks at the norm of each weight's gradient relative to the weight after one backward pass, first layer
    against last.
    Threshold: a factor of 1,000 over at least three layers, with no dead layer between them.
    Source: Hochreiter (1991); Glorot and Bengio, Understanding the difficulty of training deep networks
    (2010).
    """
    pairs = [(s, p) for s, p in _weights(evidence) if p.gradient and p.norm]
    if len(pairs) < 3 or _dead_at_start(evidence):
        return
    ratios = [(p.gradient or 0.0) / p.norm for _, p in pairs]
    shrinks = ratios[0] / ratios[-1]
    if shrinks >= SHRINKS or not np.isfinite(shrinks):
        return
    assert evidence.batch is not None
    ends = evidence.batch.operations.ends_in
    squashing = [
        c for c in evidence.batch.operations.forward
        if c.name in ("sigmoid", "tanh", "softsign", "hardtanh") and c is not ends
    ]  # fmt: skip
    place = evidence.call_place(squashing[0]) if squashing else evidence.layer_place(pairs[0][0].name)
    why = " Each saturating activation between them takes its share." if squashing else ""
    yield Finding(
        "vanishing-gradient",
        attrs.evolve(place, attribute="activation"),
        {"ratio": shrinks, "layers": len(pairs), "saturating_activations": len(squashing)},
        f"The first layer's relative gradient is {1 / shrinks:,.0f} times smaller than the last one's, so it"
        f" hardly learns.{why}",
        ("rectify-hidden-activations", "batch-norm-after-layers", "xavier-initialisation"),
        also=("wrong-activation",) if squashing else (),
    )


def _dead_at_start(evidence: Evidence) -> list[Operation]:
    """Calls of rectifiers, as layers or as functions, whose units are (nearly) all 0 for the whole batch."""
    assert evidence.batch is not None
    calls = evidence.batch.operations.forward
    dead = [c for c in calls if c.dead is not None and c.dead >= DEAD]
    if calls:
        return dead
    return [
        Operation(s.kind.lower(), s.name, Birthplace(), (), -1, s.output_shape or (), dead=s.dead)
        for s in evidence.batch.layers
        if s.rectifier and s.dead is not None and s.dead >= DEAD
    ]


@check(
    "dead-units",
    needs=Needs.BATCH,
    confuses="a rate that is too high, which kills units later on: the range test decides between them",
)
def units_that_never_fire(evidence: Evidence) -> Iterator[Finding]:
    """Rectifier units that are zero for every input.

    Looks at the share of units, of a layer's output over a batch, that are 0 for all of it: with the initial
    weights, and at the end of a run where one is at hand.
    Threshold: 90 % of a layer. A third of the units of a sound rectifier layer may rest on any one batch.
    Source: Lu et al., Dying ReLU and Initialization (2019).
    """
    assert evidence.batch is not None
    dead = _dead_at_start(evidence)
    if dead:
        call = dead[0]
        before = _layer_before(evidence, call)
        bias = next(
            (p for p in evidence.batch.parameters if before and p.name == f"{before.name}.bias"), None
        )
        size = bias.norm / math.sqrt(max(1, math.prod(bias.shape))) if bias else 0.0
        cause = (
            f" The bias of {before.kind} {before.name} starts at a size of about {size:.3g}."
            if before and size > 1
            else ""
        )
        yield Finding(
            "dead-units",
            attrs.evolve(
                evidence.layer_place(before.name) if before and size > 1 else evidence.call_place(call),
                attribute="initialisation",
            ),
            {"share_dead": call.dead, "at_start": True, "bias_size": size, "rectifier": call.layer},
            f"{_called(evidence, call)} gives 0 for every input before any training, so nothing behind it can"
            f" learn from the input and nothing before it gets a gradient.{cause}",
            ("kaiming-initialisation", "leaky-activations"),
            also=("initialisation",) if size > 1 else (),
        )
    elif evidence.run is not None:
        last = {n: v for n, v in evidence.run.layers.last("dead").items() if v >= DEAD}
        if last and (evidence.skill("train") or 0.0) < 0.9:
            name = next(iter(last))
            yield Finding(
                "dead-units",
                evidence.layer_place(name, "activation"),
                {"share_dead": last[name], "at_start": False, "died_in_training": True, "layers": list(last)},
                f"{last[name]:.0%} of the units of layer {name} died while it trained: they are 0 for every"
                " input.",
                ("leaky-activations", "lower-learning-rate"),
            )


def _called(evidence: Evidence, call: Operation) -> str:
    kind = evidence.network.kinds.get(call.layer) if evidence.network else None
    inside = kind is not None and kind.lower() == call.name
    return f"{kind} {call.layer}" if inside else f"{call.name} ({evidence.call_place(call)})"


def _layer_before(evidence: Evidence, call: Operation) -> LayerState | None:
    """The layer with weights whose output a rectifier reads."""
    assert evidence.batch is not None
    found = evidence.batch.operations.before(call, lambda c: not (c.weighted or c.name.endswith("_norm")))
    first = next(found, None)
    if first is not None:
        return evidence.batch.layer(first.layer)
    above = None
    for other in evidence.batch.layers:
        if other.name == call.layer:
            return above
        if other.kind in WEIGHTED or "Norm" in other.kind:
            above = other
    return None


@check(
    "saturation",
    needs=Needs.BATCH,
    confuses="a gate that is meant to be open or shut; an output layer, which is left alone",
)
def activations_at_their_flat_ends(evidence: Evidence) -> Iterator[Finding]:
    """Bounded activations that are at their ends for almost every input, where their slope is about zero.

    Looks at the share of values of hidden sigmoid and tanh layers within 2 % of their range from either end,
    with the initial weights and at the end of a run.
    Threshold: 80 % of a layer's values; after a run, only where the run did not learn.
    Source: Glorot and Bengio (2010), section 3.
    """
    assert evidence.batch is not None
    hidden = evidence.batch.hidden_layers
    calls = evidence.batch.operations
    last_call = calls.ends_in
    flat = [
        c
        for c in calls.forward
        if c.saturated is not None and c.saturated >= SATURATED and c is not last_call
    ]
    at_start = [s for s in hidden if s.saturated is not None and s.saturated >= SATURATED]
    share, name, when = 0.0, "", ""
    place = None
    if flat:
        share, name, when = flat[0].saturated or 0.0, flat[0].layer or flat[0].name, "before any training"
        place = attrs.evolve(evidence.call_place(flat[0]), attribute="activation")
    elif at_start:
        share, name, when = at_start[0].saturated or 0.0, at_start[0].name, "before any training"
    elif evidence.run is not None and (evidence.skill("train") or 0.0) < 0.5:
        names = {s.name for s in hidden}
        last = {
            n: v for n, v in evidence.run.layers.last("saturated").items() if v >= SATURATED and n in names
        }
        if last:
            name, share = next(iter(last.items()))
            when = "by the end of the training"
    if not name:
        return
    yield Finding(
        "saturation",
        place or evidence.layer_place(name, "activation"),
        {"share_saturated": share, "at_start": bool(at_start or flat)},
        f"{share:.0%} of the values of layer {name} lie at the flat ends of its activation {when}: almost no"
        " gradient passes.",
        (
            "xavier-initialisation",
            "rectify-hidden-activations",
            "standardise-inputs",
            "batch-norm-after-layers",
        ),
    )
