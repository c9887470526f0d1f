"""Causes visible in the network before its first step: signals and gradients that do not get through."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from netwright.catalogue import Needs, check
from netwright.runs import Evidence, LayerState, ParameterState
from netwright.values import Finding

WEIGHTED = ("Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "LazyLinear")
SMALL, LARGE = 0.05, 20.0
SHRINKS = 1e-3
DEAD, SATURATED = 0.9, 0.8


def _weights(evidence: Evidence) -> list[tuple[LayerState, ParameterState]]:
    """Layers with a weight matrix, in execution order, with the state of their weight."""
    assert evidence.batch is not None
    by_name = {p.name: p for p in evidence.batch.parameters}
    pairs = ((s, by_name.get(f"{s.name}.weight" if s.name else "weight")) for s in evidence.batch.layers)
    return [(s, p) for s, p in pairs if p is not None and s.kind in WEIGHTED and len(p.shape) > 1]


@check(
    "initialisation",
    needs=Needs.BATCH,
    confuses="a last layer that starts at zero on purpose, which is left alone",
)
def weights_that_start_wrong(evidence: Evidence) -> Iterator[Finding]:
    """Initial weights that are all the same, far too small or far too large.

    Looks at each weight, (out, in, ...): its standard deviation times the square root of its fan-in, which is
    0.58 for torch's default, 1 for Xavier and 1.4 for Kaiming initialisation.
    Threshold: constant, or outside 0.05…20, not counting a last layer of zeros.
    Source: Glorot and Bengio (2010), section 4.2; He et al. (2015), section 2.2.
    """
    if evidence.network is not None and evidence.network.pretrained:
        return
    pairs = _weights(evidence)
    wrong: list[tuple[LayerState, str, float]] = []
    for k, (state, weight) in enumerate(pairs):
        fan_in = math.prod(weight.shape[1:])
        gain = weight.std * math.sqrt(fan_in)
        if weight.constant or weight.std == 0:
            if not (k == len(pairs) - 1 and weight.norm == 0):
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
    squashing = [
        s.name for s in evidence.batch.hidden_layers if s.kind in ("Sigmoid", "Tanh", "Softsign", "Hardtanh")
    ]
    why = " Each saturating activation between them takes its share." if squashing else ""
    yield Finding(
        "vanishing-gradient",
        evidence.layer_place(squashing[0] if squashing else pairs[0][0].name, "activation"),
        {"ratio": shrinks, "layers": len(pairs), "saturating_activations": len(squashing)},
        f"The first layer's relative gradient is {1 / shrinks:,.0f} times smaller than the last one's, so it"
        f" hardly learns.{why}",
        ("rectify-hidden-activations", "batch-norm-after-layers", "xavier-initialisation"),
    )


def _dead_at_start(evidence: Evidence) -> list[LayerState]:
    assert evidence.batch is not None
    return [s for s in evidence.batch.layers if s.rectifier and s.dead is not None and s.dead >= DEAD]


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
        state = dead[0]
        before = _layer_before(evidence, state)
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
            evidence.layer_place(before.name if before and size > 1 else state.name, "initialisation"),
            {"share_dead": state.dead, "at_start": True, "bias_size": size, "rectifier": state.name},
            f"{state.kind} {state.name} gives 0 for every input before any training, so nothing behind it can"
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


def _layer_before(evidence: Evidence, state: LayerState) -> LayerState | None:
    assert evidence.batch is not None
    found = None
    for other in evidence.batch.layers:
        if other.name == state.name:
            return found
        if other.kind in WEIGHTED or "Norm" in other.kind:
            found = other
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
    at_start = [s for s in hidden if s.saturated is not None and s.saturated >= SATURATED]
    share, name, when = 0.0, "", ""
    if at_start:
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
        evidence.layer_place(name, "activation"),
        {"share_saturated": share, "at_start": bool(at_start)},
        f"{share:.0%} of the values of layer {name} lie at the flat ends of its activation {when}: almost no"
        " gradient passes.",
        (
            "xavier-initialisation",
            "rectify-hidden-activations",
            "standardise-inputs",
            "batch-norm-after-layers",
        ),
    )
