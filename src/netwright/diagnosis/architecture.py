"""Causes in how the network is put together: what stands between its layers, and what of it can learn."""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs

from netwright.catalogue import Needs, check
from netwright.recipe.source import shown
from netwright.runs import Evidence, Operation, Operations, ParameterState
from netwright.values import Finding, Place

TINY_BATCH = 2
SPARE = 0.05


@check(
    "missing-nonlinearity",
    needs=Needs.BATCH,
    confuses="a low-rank pair of layers, or a depthwise and a pointwise convolution, which are left alone",
)
def layers_with_nothing_between_them(evidence: Evidence) -> Iterator[Finding]:
    """Linear or convolutional layers that follow each other with no nonlinear function between them.

    Looks at the calls of one forward pass: from what each weighted call reads back to the nearest weighted
    call, through all that is linear (reshaping, dropout, batch normalisation, average pooling), but not
    through the sum of two values, which a residual connection is.
    Threshold: any pair, not counting bottlenecks narrower than both their neighbours, and grouped
    convolutions; two such layers are one layer with a harder start.
    Source: Goodfellow et al., Deep Learning (2016), section 6.1; Humbatova et al., Taxonomy of Real Faults in
    Deep Learning Systems (2020), 'missing activation'.
    """
    assert evidence.batch is not None
    operations = evidence.batch.operations
    shapes = {p.name: p.shape for p in evidence.batch.parameters}
    weighted = [c for c in operations.forward if c.weighted]
    pairs = [
        (first, second)
        for second in weighted
        for first in operations.before(second, lambda c: c.linear and not c.weighted and not _joins(c))
        if first.weighted and not _meant(first, second, shapes)
    ]
    if not pairs:
        return
    first, second = pairs[0]
    joined = len({c.makes for _, c in pairs})
    links = max(1, len(weighted) - 1)
    names = f"{_name(evidence, first)} and {_name(evidence, second)}"
    more = f" ({joined} of {links} places)" if joined > 1 else ""
    yield Finding(
        "missing-nonlinearity",
        attrs.evolve(evidence.call_place(second), layer=second.layer or None, attribute="activation"),
        {
            "pairs": [(a.layer, b.layer) for a, b in pairs],
            "share": joined / links,
            "all_linear": joined == links,
        },
        f"Nothing nonlinear stands between {names}{more}: together they can do no more than one of them.",
        ("activations-between-layers",),
    )


def _joins(call: Operation) -> bool:
    return call.name in ("add", "radd", "iadd", "sub", "rsub", "isub", "cat", "stack") and len(call.reads) > 1


def _meant(first: Operation, second: Operation, shapes: dict[str, tuple[int, ...]]) -> bool:
    """Pairs without anything between that are a known design."""
    a, b = (shapes.get(c.parameters[0]) if c.parameters else None for c in (first, second))
    if a is None or b is None or len(a) < 2 or len(b) < 2 or first.layer == second.layer:
        return True
    grouped = (
        "conv" in first.name and (a[1] == 1 or b[1] == 1) and max(a[0], b[0]) > 1 and "conv" in second.name
    )
    narrow = a[0] < math.prod(a[1:]) and a[0] < b[0]  # a factorisation: into few, out to many
    return (grouped and (a[1] == 1 < a[0] or b[1] == 1 < b[0]) and _depthwise(a, b)) or narrow


def _depthwise(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """One of the two convolutions sees a single channel at a time and the other a single position."""
    pointwise = all(n == 1 for n in a[2:]) or all(n == 1 for n in b[2:])
    return pointwise and (a[1] == 1 or b[1] == 1)


def _name(evidence: Evidence, call: Operation) -> str:
    kind = evidence.network.kinds.get(call.layer, call.name) if evidence.network else call.name
    return f"{kind} {call.layer}" if call.layer else f"{call.name} ({evidence.call_place(call)})"


@check(
    "untrained-parameters",
    needs=Needs.BATCH | Needs.OPTIMIZER,
    confuses="layers frozen on purpose, such as random features; say start= for pretrained ones",
)
def parameters_that_cannot_learn(evidence: Evidence) -> Iterator[Finding]:
    """Parameters that the optimizer does not hold, that are frozen, or that no gradient reaches.

    Looks at every parameter after one backward pass: whether it requires a gradient, has one, and is in the
    optimizer. Frozen layers of a recipe with `start` are meant. A gradient of exactly zero is not counted: a
    zero-initialised last layer gives one in the first step.
    Threshold: any such parameter, outside normalisation layers.
    Source: PyTorch documentation, Autograd mechanics, 'Locally disabling gradient computation'.
    """
    assert evidence.batch is not None
    batch = evidence.batch
    if batch.error is not None and batch.error.stage != "backward":
        return
    pretrained = bool(evidence.network and evidence.network.pretrained)
    frozen = [p for p in batch.parameters if not p.requires_grad and not pretrained]
    unused = [p for p in batch.parameters if p.requires_grad and p.gradient is None]
    unheld = [p for p in batch.parameters if p.requires_grad and not p.in_optimizer]
    lost = {p.name: p for p in (*frozen, *unused, *unheld)}
    hidden = [c for c in batch.operations.forward if c.hidden]
    if not lost and not hidden:
        return
    cut = _cut(batch.operations) if unused else None
    whole = max(1, sum(_size(p.shape) for p in batch.parameters))
    share = sum(_size(p.shape) for p in lost.values()) / whole
    numbers = {
        "parameters": list(lost)[:50],
        "share": share,
        "frozen": [p.name for p in frozen][:50],
        "unused": len(unused),
        "hidden": len(hidden),
        "cut_by": cut.name if cut else None,
        "spare": not hidden and not frozen and not unheld and cut is None and share < SPARE,
    }
    if hidden:
        where = evidence.call_place(hidden[0], "frozen_layers")
        text = (
            f"{len(hidden)} calls of forward use weights that the network does not list as its own (a layer"
            " in a plain Python list or dictionary, or made in forward): the optimizer never gets them."
            " nn.ModuleList and nn.ModuleDict list theirs."
        )
        yield Finding("untrained-parameters", where, numbers, text, ("adopt-hidden-layers",))
        return
    yield Finding(
        "untrained-parameters",
        _lost_place(evidence, list(lost.values()), cut),
        numbers,
        _lost_words(list(lost.values()), frozen, unused, unheld, share, cut),
        (
            ("unfreeze-layers",)
            if frozen
            else ("keep-the-gradient",)
            if cut
            else ("every-parameter-to-the-optimizer",)
            if unheld
            else ()
        ),
    )


@check(
    "gradient-cut-inside",
    needs=Needs.BATCH | Needs.OPTIMIZER | Needs.RUN,
    when=lambda evidence: evidence.learns_little,
    confuses="a straight-through estimator or a target that is held still on purpose",
)
def gradient_cut_on_one_of_several_ways(evidence: Evidence) -> Iterator[Finding]:
    """The graph is cut on a way through trained layers, though every parameter still gets some gradient.

    Looks at the calls of forward that read what has a gradient and give on what has none (`detach`, `data`),
    between layers with weights: a state that is detached at every step learns from its last step alone.
    Threshold: any such call whose result reaches the output, with a training skill under 0.5.
    Source: PyTorch documentation, torch.Tensor.detach; Williams and Peng, An Efficient Gradient-Based
    Algorithm for On-Line Training of Recurrent Network Trajectories (1990), on truncation.
    """
    assert evidence.batch is not None
    if any(p.requires_grad and p.gradient is None for p in evidence.batch.parameters):
        return  # what no gradient reaches at all is told by the check above
    operations = evidence.batch.operations
    cuts = [c for c in operations.on_the_way() if c.cuts and c.name in ("detach", "data")]
    cuts = [c for c in cuts if operations.weighted_after(c)]
    if not cuts:
        return
    times = f", {len(cuts)} times in one pass" if len(cuts) > 1 else ""
    yield Finding(
        "untrained-parameters",
        attrs.evolve(evidence.call_place(cuts[0]), attribute="frozen_layers"),
        {"cut_by": cuts[0].name, "cuts": len(cuts), "parameters": [], "share": 0.0, "frozen": []},
        f"{cuts[0].name} cuts the gradient between layers{times}: what comes before it learns nothing from"
        " what comes after.",
        ("keep-the-gradient",),
    )


def _cut(operations: Operations) -> Operation | None:
    """The first call that reads what has a gradient and gives on what has none: on the way to what is
    minimised, else out of torch."""
    ways = set[int]()
    waiting = [
        v for v in (operations.output, *(v for c in operations.calls[-1:] for v in c.reads)) if v is not None
    ]
    while waiting:
        value = waiting.pop()
        if value not in ways:
            ways.add(value)
            waiting.extend(operations.maker[value].reads if value in operations.maker else ())
    inside = next((c for c in operations.calls if c.cuts and c.makes in ways), None)
    left = {value for c in operations.calls if c.makes < 0 for value in c.reads}
    return inside or next((c for c in operations.calls if c.cuts and (c.makes < 0 or c.makes in left)), None)


def _lost_place(evidence: Evidence, lost: list[ParameterState], cut: Operation | None) -> Place:
    if cut is not None and cut.place.file:
        line = cut.place  # that of the call, also inside a layer: the layer itself is sound
        return Place(cut.layer or None, shown(line.file), line.line, None, "frozen_layers")
    return evidence.layer_place(lost[0].layer, "frozen_layers")


def _lost_words(
    lost: list[ParameterState],
    frozen: list[ParameterState],
    unused: list[ParameterState],
    unheld: list[ParameterState],
    share: float,
    cut: Operation | None,
) -> str:
    layers = list(dict.fromkeys(p.layer for p in lost))
    reached = "not used in forward, or cut off before the loss"
    if cut is not None:
        known = cut.name in ("detach", "data") or cut.makes < 0
        reached = f"cut off from the loss by {cut.name}{'' if known else ', which runs without gradients'}"
    why = ", ".join(
        text
        for group, text in (
            (frozen, "frozen (requires_grad is False)"),
            (unused, f"reached by no gradient ({reached})"),
            (unheld, "not held by the optimizer"),
        )
        if group
    )
    some = f"{', '.join(layers[:3])}{f' and {len(layers) - 3} more' if len(layers) > 3 else ''}"
    verb = "is" if len(layers) == 1 else "are"
    return f"{share:.0%} of the parameters cannot learn: {some or 'the network'} {verb} {why}."


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


@check(
    "normalisation-misuse",
    needs=Needs.BATCH,
    confuses="batch normalisation kept in evaluation mode on purpose",
)
def normalisation_that_does_harm(evidence: Evidence) -> Iterator[Finding]:
    """Batch normalisation over too few values, or a softmax or normalisation over the samples of a batch.

    Looks at the calls of one forward pass in training mode: how many values, B × positions, each channel's
    statistics come from; over which axis the others go; and at dropout right before batch normalisation.
    Threshold: batches of 1 or 2 samples, or under 8 values a channel; any softmax over the axis of the
    samples.
    Source: Ioffe and Szegedy, Batch Normalization (2015), section 3.1; Wu and He, Group Normalization (2018),
    figure 1; Li et al., Understanding the Disharmony between Dropout and Batch Normalization (2019).
    """
    assert evidence.batch is not None
    batch = evidence.batch
    if batch.error is not None and "more than 1 value per channel" in batch.error.message:
        layer = batch.error.layer or ""
        yield Finding(
            "normalisation-misuse",
            evidence.layer_place(layer, "normalisation"),
            {"values_per_channel": 1, "batch_size": batch.size},
            f"Batch normalisation {layer} gets a single value a channel (a batch of {batch.size}): its spread"
            " is 0.",
            ("layer-norm-for-batch-norm", "batches-of-sixteen"),
        )
        return
    size = batch.size
    for call in batch.operations.forward:
        if call.name == "batch_norm" and call.settings.get("training", True):
            values = size * math.prod(call.shape[2:])
            if size <= TINY_BATCH or values < 8:
                yield Finding(
                    "normalisation-misuse",
                    (
                        evidence.call_place(call, "normalisation")
                        if not call.layer
                        else evidence.layer_place(call.layer, "normalisation")
                    ),
                    {"values_per_channel": values, "batch_size": size},
                    f"Batch normalisation takes its mean and spread from batches of {size}: they are mostly"
                    " noise, and unlike those of evaluation.",
                    ("layer-norm-for-batch-norm", "batches-of-sixteen"),
                )
                return
        if call.name in ("layer_norm", "group_norm", "instance_norm") and _values(call) == 1:
            narrow = call.shape[-1] == 1
            yield Finding(
                "normalisation-misuse",
                evidence.call_place(call, "normalisation"),
                {"values": 1, "function": call.name, "nth": call.nth},
                f"{call.name} {call.layer} goes over a single value: whatever it is, it becomes 0.",
                ("no-normalisation-of-one",),
                # Where a layer has only one unit, widening it repairs that too.
                also=("ignores-input", "capacity-too-small") if narrow else ("ignores-input",),
            )
            return
        if (
            call.name in ("softmax", "log_softmax", "normalize")
            and len(call.shape) > 1
            and call.shape[0] == size
        ):
            dim = call.settings.get("dim")
            if dim in (0, -len(call.shape)):
                yield Finding(
                    "normalisation-misuse",
                    evidence.call_place(call, "normalisation"),
                    {"axis": 0, "function": call.name, "over_samples": True},
                    f"{call.name} goes over axis 0, the samples of the batch: what one sample gets depends on"
                    " the others.",
                    ("axis-of-the-units",),
                    also=("batch-leak",),
                )
                return
    dropped = _dropout_before_norm(batch.operations)
    modes = evidence.probes.get("trained-modes")
    if dropped is not None and modes is not None and modes.gap > 0.1:
        yield Finding(
            "normalisation-misuse",
            evidence.call_place(dropped, "dropout"),
            {"dropout_before_norm": True, "gap": modes.gap},
            "Dropout right before batch normalisation gives it other variances in training than in"
            " evaluation.",
            ("no-dropout",),
        )


def _values(call: Operation) -> int:
    """Over how many values a normalisation within a sample goes."""
    shape = call.settings.get("normalized_shape")
    if call.name == "layer_norm" and shape is not None:
        return math.prod(shape) if isinstance(shape, (tuple, list)) else int(shape)
    if call.name == "instance_norm":
        return math.prod(call.shape[2:])
    groups = call.settings.get("num_groups")
    return math.prod(call.shape[1:]) // int(groups) if groups else math.prod(call.shape[1:])


def _dropout_before_norm(operations: Operations) -> Operation | None:
    for call in operations.named("batch_norm"):
        for before in operations.before(call, lambda c: c.linear and "dropout" not in c.name):
            if "dropout" in before.name and before.settings.get("p", 0.5) >= 0.3:
                return before
    return None


@check(
    "wrong-backward",
    needs=Needs.BATCH,
    probes=("gradient-check",),
    confuses="a straight-through estimator, whose gradient is meant to differ",
)
def gradient_that_is_not_the_derivative(evidence: Evidence) -> Iterator[Finding]:
    """A gradient written by hand that is not the derivative of its forward.

    Looks, where the pass goes through a torch.autograd.Function, at the loss's slope along a random direction
    of each parameter: autograd's against a central difference in float64.
    Threshold: 5 % apart; differences of this kind agree to 1e-5.
    Source: PyTorch documentation, torch.autograd.gradcheck.
    """
    answer = evidence.probes["gradient-check"]
    if answer.error <= 0.05:
        return
    names = ", ".join(answer.functions)
    yield Finding(
        "wrong-backward",
        attrs.evolve(evidence.layer_place(answer.layer), attribute="activation"),
        {"error": answer.error, "functions": answer.functions, "checked": answer.checked},
        f"The backward of {names} is not the derivative of its forward: behind it, at"
        f" {answer.layer or 'the network'}, the gradient is {answer.error:.0%} away from a finite"
        " difference.",
        ("autograd-backward",),
    )


@check(
    "frozen-but-moving",
    needs=Needs.BATCH | Needs.NETWORK,
    confuses="statistics that are meant to adapt to the new data",
)
def frozen_layers_whose_statistics_move(evidence: Evidence) -> Iterator[Finding]:
    """A frozen part whose batch normalisation still follows the batches.

    Looks at calls of batch normalisation in training mode whose weight and bias, and those of most other
    layers of the same part, are frozen.
    Threshold: any such layer among frozen neighbours, in a network that starts from given weights.
    Source: Keras documentation, Transfer learning and fine-tuning, 'BatchNormalization layer'.
    """
    assert evidence.batch is not None and evidence.network is not None
    states = {p.name: p for p in evidence.batch.parameters}
    frozen = sum(not p.requires_grad for p in states.values())
    if not evidence.network.pretrained or not frozen:
        return
    moving = []
    for call in evidence.batch.operations.forward:
        own = [states[n] for n in call.parameters if n in states]
        if (
            call.name == "batch_norm"
            and call.settings.get("training")
            and own
            and not any(p.requires_grad for p in own)
        ):
            moving.append(call)
    if not moving:
        return
    yield Finding(
        "frozen-but-moving",
        evidence.layer_place(moving[0].layer, "frozen_layers"),
        {"layers": [c.layer for c in moving], "frozen_parameters": frozen},
        f"{len(moving)} frozen batch normalisations (first {moving[0].layer}) still follow the statistics of"
        " each batch, so what they feed into changes all the same; put them into evaluation mode.",
        ("still-frozen-statistics",),
    )
