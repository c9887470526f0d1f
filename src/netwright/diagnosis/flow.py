"""Causes in what flows through the network before its first step: between samples, from the input, back."""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from netwright.catalogue import Needs, check
from netwright.recipe.edits import core
from netwright.runs import Evidence, Operation
from netwright.runs.calls import RECURRENT
from netwright.values import Finding, Place

GROWS, GROWS_AND_FAILS = 1e3, 30.0
LEAKS, USED, IDLE, SHUT = 1e-5, 0.5, 0.2, 0.01
LEAVING_OUT = ("getitem", "setitem", "select", "narrow", "index_select", "mul", "zeros_like")
MOVES = ("t", "mt", "transpose", "permute", "swapaxes", "movedim")
SINGULAR = (
    "sqrt",
    "rsqrt",
    "norm",
    "std",
    "var",
    "cdist",
    "acos",
    "asin",
    "pow",
    "log",
    "div",
    "truediv",
    "normalize",
)
HARMLESS = ("pow", "div", "truediv")


@check(
    "exploding-gradient",
    needs=Needs.BATCH,
    confuses="inputs or targets of a large scale, which make every gradient large",
)
def signals_that_grow(evidence: Evidence) -> Iterator[Finding]:
    """Activations or gradients that grow with depth or time until the loss is not finite.

    Looks at the standard deviation of each weighted layer's output and of the gradient at it, in one pass,
    (B, ...); and at the run's weights' gradients where it diverged.
    Threshold: a factor of 1,000 between the first and the last of at least three layers, forwards or
    backwards (30 where the run failed to learn), or values that are not finite though the inputs are; a
    recurrent network that diverged with gradients over 100 times those of its first step.
    Source: Pascanu et al., On the difficulty of training recurrent neural networks (2013), section 2; He et
    al. (2015).
    """
    assert evidence.batch is not None
    batch = evidence.batch
    layers = [s for s in batch.layers if s.parameters and s.std is not None and "Norm" not in s.kind]
    if evidence.network is not None and evidence.network.pretrained:
        return
    infinite = next((s for s in layers if s.std is not None and not math.isfinite(s.std)), None)
    bad = evidence.data is not None and (evidence.data.train.bad_inputs > 0)
    if infinite is not None and not bad and batch.loss is not None and not math.isfinite(batch.loss):
        yield _grown(
            evidence, infinite.name, {"finite": False}, "its values are not finite in the first pass"
        )
        return
    if len(layers) < 3:
        yield from _over_time(evidence)
        return
    forwards = (layers[-2].std or 0.0) / max(layers[0].std or 0.0, 1e-30)
    gradients = [s.gradient for s in layers if s.gradient]
    backwards = gradients[0] / max(gradients[-1], 1e-30) if len(gradients) > 2 else 0.0
    failed = evidence.run is not None and (evidence.run.diverged or (evidence.skill("train") or 0.0) < 0.3)
    limit = GROWS if not failed else GROWS_AND_FAILS
    if forwards > limit:
        yield _grown(
            evidence,
            layers[-2].name,
            {"forwards": forwards},
            f"values grow {forwards:,.0f} times from the first layer to it",
        )
    elif backwards > limit and math.isfinite(backwards):
        yield _grown(
            evidence,
            layers[0].name,
            {"backwards": backwards},
            f"gradients grow {backwards:,.0f} times on their way back to it",
        )
    else:
        yield from _over_time(evidence)


def _over_time(evidence: Evidence) -> Iterator[Finding]:
    """A recurrent layer whose gradients grew while it trained, until the loss was not finite."""
    run = evidence.run
    recurrent = [
        s for s in (evidence.batch.layers if evidence.batch else ()) if s.kind in ("RNN", "LSTM", "GRU")
    ]
    if run is None or not recurrent or not (run.diverged or (evidence.skill("train") or 0.0) < 0.3):
        return
    norms = run.layers.of("weight_gradient")
    with np.errstate(all="ignore"):
        largest, first = (
            float(np.nanmax(norms, initial=0.0)),
            float(np.nansum(norms[:, 0] ** 2) ** 0.5) if norms.size else 0.0,
        )
    if largest > 100 * max(first, 1e-12) or (run.diverged and largest > 100):
        yield _grown(
            evidence,
            recurrent[0].name,
            {"over_time": largest / max(first, 1e-12)},
            "its gradients grew over the steps of the sequence",
        )


@check(
    "growing-recurrence",
    needs=Needs.BATCH,
    when=lambda evidence: evidence.subject is not None and evidence.batch is not None,
    confuses="a network that reads only the first few steps of long sequences",
)
def recurrences_that_grow(evidence: Evidence) -> Iterator[Finding]:
    """A plain recurrent layer whose weights make the state, and the gradient going back, grow at each step.

    Looks at how much a vector grows that each matrix (H, H) from state to state is applied to as often as the
    batch's sequences have steps T, with the initial weights. Gated layers hold their state by other means and
    are left alone.
    Threshold: a factor of 1,000 over a sequence.
    Source: Pascanu et al., On the difficulty of training recurrent neural networks (2013), section 2.1.
    """
    assert evidence.subject is not None and evidence.batch is not None
    for name, module in core(evidence.subject.network).named_modules():
        if type(module) is not nn.RNN:
            continue
        calls = (c for c in evidence.batch.operations.forward if c.layer == name and c.name.startswith("rnn"))
        states = next((c.shape for c in calls if len(c.shape) == 3), None)  # (B, T, H) or (T, B, H)
        if states is None:
            continue
        steps = states[1 if module.batch_first else 0]
        between = [p for key, p in module.named_parameters() if key.startswith("weight_hh")]
        grows = max(_growth(weight, steps) for weight in between)  # logarithm, over the sequence
        if grows > math.log(GROWS):
            each = math.exp(grows / steps)
            found = _grown(
                evidence,
                name,
                {"growth_a_step": each, "steps": steps, "at_start": True},
                f"its weights from state to state make it {each:.2g} times larger at each of {steps} steps",
            )
            place = evidence.layer_place(name, "initialisation")
            yield attrs.evolve(found, where=place, ideas=("orthogonal-recurrence", *found.ideas))


def _growth(weight: Tensor, steps: int) -> float:
    """The logarithm of how much a vector grows under (H, H) applied `steps` times."""
    matrix = weight.detach().float().cpu()
    vector = torch.randn(matrix.shape[1], generator=torch.Generator().manual_seed(0))
    vector /= vector.norm()
    total = 0.0
    for _ in range(steps):
        vector = matrix @ vector
        size = float(vector.norm())
        if not math.isfinite(size) or size == 0:
            return -math.inf
        total += math.log(size)
        vector /= size
    return total


def _grown(evidence: Evidence, layer: str, numbers: dict[str, object], what: str) -> Finding:
    kind = evidence.network.kinds.get(layer, "") if evidence.network else ""
    return Finding(
        "exploding-gradient",
        evidence.layer_place(layer, "clip"),
        numbers,
        f"{kind} {layer}: {what}.".strip(),
        ("clip-gradients", "kaiming-initialisation", "batch-norm-after-layers"),
    )


@check(
    "unstable-arithmetic",
    needs=Needs.BATCH,
    confuses="bad values in the data, which make the forward pass not finite as well",
)
def gradient_not_finite_behind_a_finite_loss(evidence: Evidence) -> Iterator[Finding]:
    """A forward pass that is finite, with a gradient that is NaN or infinite.

    Looks at the gradient of every parameter after one backward pass whose loss was finite; and at the calls
    of the pass whose derivative is singular somewhere (square root and norm at 0, division by a vanishing
    spread).
    Threshold: any gradient that is not finite; or, with a loss that stopped being finite in the run while its
    last values were ordinary, such a call in the pass.
    Source: PyTorch documentation, Autograd mechanics, 'Gradients for non-differentiable functions'.
    """
    assert evidence.batch is not None
    batch = evidence.batch
    if batch.loss is None or not math.isfinite(batch.loss) or evidence.loop is not None:
        return  # a watched loop may scale its loss: an overflow is then what the scaler looks for
    broken = [p for p in batch.parameters if p.gradient is not None and not math.isfinite(p.gradient)]
    singular = [c for c in batch.operations.calls if c.name in SINGULAR and c.reads and not c.parameters]
    singular.sort(
        key=lambda c: c.name in HARMLESS
    )  # what is singular at 0 whatever the exponent or divisor first
    run = evidence.run
    blew_up = False
    if not broken and run is not None and run.diverged and singular and len(run.step_loss) > 1:
        finite = run.step_loss[np.isfinite(run.step_loss)]
        # Not a loss that grew out of bounds: the last finite ones were like the first.
        blew_up = len(finite) > 0 and float(np.abs(finite[-3:]).max()) < 10 * max(
            1.0, float(np.abs(finite[:3]).max())
        )
    if not broken and not blew_up:
        return
    call = singular[0] if singular else None
    place = (
        evidence.call_place(call, "activation")
        if call
        else evidence.layer_place(broken[0].layer, "activation")
    )
    name = call.name if call else "an operation of the pass"
    when = "of the first batch" if broken else "in the course of the training"
    yield Finding(
        "unstable-arithmetic",
        place,
        {
            "parameters": [p.name for p in broken][:20],
            "operation": call.name if call else None,
            "at_start": bool(broken),
        },
        f"The loss {when} is finite and its gradient is not: {name} has no finite derivative where its input"
        " is 0 (add a small constant inside it).",
        ("guarded-arithmetic",),
    )


@check(
    "batch-leak",
    needs=Needs.BATCH,
    probes=("batch-mixing",),
    confuses=(
        "layers that share information on purpose, such as contrastive heads or batch normalisation in"
        " training"
    ),
)
def samples_that_see_each_other(evidence: Evidence) -> Iterator[Finding]:
    """One sample's output depends on the other samples of its batch, or a sequence model sees the future.

    Looks at the gradient of one sample's output with respect to the others' inputs, in evaluation mode, where
    batch normalisation is constant; whole-number inputs are rolled along the batch instead; for next-position
    tasks, at early outputs when late positions are rolled.
    Threshold: 1e-5 of the gradient at its own input, where it should be exactly 0.
    Source: Karpathy, A Recipe for Training Neural Networks (2019), 'use backprop to chart dependencies'.
    """
    assert evidence.batch is not None
    answer = evidence.probes["batch-mixing"]
    if answer.others > LEAKS:
        call = _mixing_call(evidence)
        place = evidence.call_place(call, "network") if call else Place(attribute="network")
        what = f" {call.name} is where axis 0, the samples, is moved or mixed." if call else ""
        yield Finding(
            "batch-leak",
            place,
            {"others": answer.others, "by": answer.by, "call": call.name if call else None},
            f"A sample's output changes with the other samples of its batch ({answer.others:.0%} of its own"
            f" influence).{what}",
            ("axis-of-the-units", "batch-first"),
        )
    elif answer.future is not None and answer.future > LEAKS:
        attends = next(evidence.batch.operations.named("attention", "scaled_dot_product_attention"), None)
        yield Finding(
            "batch-leak",
            evidence.call_place(attends, "network") if attends else Place(attribute="network"),
            {"future": answer.future, "by": answer.by},
            "Outputs at early positions change with later ones, which hold the answer: a causal mask is"
            " missing.",
            (),
        )


def _mixing_call(evidence: Evidence) -> Operation | None:
    """The first call that can mix samples: a softmax, mean or norm over axis 0, a recurrent layer that takes
    axis 0 for time, a reshape that moves axis 0."""
    assert evidence.batch is not None
    size = evidence.batch.size
    maker = evidence.batch.operations.maker
    likely: Operation | None = None
    for call in evidence.batch.operations.forward:
        dim = call.settings.get("dim")
        before = maker.get(call.reads[0]) if call.reads else None
        if call.name in ("softmax", "log_softmax", "mean", "sum", "cumsum", "std", "var", "max", "normalize"):
            rank = len(before.shape) if before is not None else 0
            if {0, -rank} & set(dim if isinstance(dim, tuple) else () if dim is None else (dim,)):
                return call
        elif call.name in ("lstm", "gru", "rnn_tanh", "rnn_relu", "attention"):
            return call
        elif call.name in ("view", "reshape", "flatten") and before is not None:
            if not before.shape or not call.shape:
                continue
            came, goes = before.shape[0], call.shape[0]
            if came == size != goes and (size not in call.shape or goes % size):
                return call
            if came != size == goes and size in before.shape:  # a moved axis is taken for the samples
                return call
            if before.name in MOVES:  # as many of the one as of the other: the shapes do not tell
                likely = likely or call
    return likely


@check(
    "ignores-input",
    needs=Needs.BATCH,
    probes=("input-use",),
    confuses="positions that are meant to be dropped, such as padding; strides that skip pixels",
)
def inputs_that_do_not_reach_the_output(evidence: Evidence) -> Iterator[Finding]:
    """The output does not depend on the input, or not on a part of it that should count.

    Looks at the gradient of the outputs with respect to every input value, over 16 samples in evaluation
    mode, and which are exactly 0 for all; whole numbers and masks are rolled along the batch instead.
    Threshold: nothing used at all; under half of the slices along one axis (time, channels, features), or a
    fifth of them and at least three side by side unused, which no stride leaves out; one of several inputs
    unused; or a constant factor of 0.01 and less between layers, on every way to the output.
    Source: Karpathy, A Recipe for Training Neural Networks (2019), 'input-independent baseline'.
    """
    assert evidence.batch is not None
    answer = evidence.probes["input-use"]
    if not evidence.batch.loss_has_graph and not answer.unused:
        return
    numbers = {
        "share_used": answer.share_used,
        "axis_used": answer.axis_used,
        "axis": answer.axis + 1,
        "unused": answer.unused,
    }
    place = _slice_place(evidence)
    if answer.unused:
        names = ", ".join(answer.unused)
        text = f"The output is the same whatever the input {names} holds."
    elif answer.share_used == 0:
        text = "The output is the same for every input: no input value has any influence on it."
    elif answer.axis_used < USED:
        text = (
            f"Only {answer.axis_used:.0%} of the positions along axis {answer.axis + 1} of the input have any"
            " influence on the output."
        )
    elif answer.idle > IDLE and answer.stretch >= 3:
        text = (
            f"{answer.stretch} positions side by side along axis {answer.axis + 1} of the input,"
            f" {answer.idle:.0%} of them all, have no influence on the output."
        )
    elif (shut := _shut_gate(evidence)) is not None:
        place = evidence.call_place(shut, "network")
        numbers["factor"] = shut.factor
        text = (
            f"Everything that the input says is multiplied by {shut.factor:g} on its way: next to nothing is"
            " left."
        )
    elif answer.share_used < 0.25:
        text = f"Only {answer.share_used:.0%} of the input values have any influence on the output."
    else:
        return
    ideas = ("nothing-overwritten", "gate-open", "every-position", "features-kept-apart")
    yield Finding("ignores-input", place, numbers, text, ideas)


def _shut_gate(evidence: Evidence) -> Operation | None:
    """A multiplication by a constant near 0, between layers with weights, that every way from the inputs to
    the outputs leads through; before the first such layer it only scales the inputs."""
    assert evidence.batch is not None
    operations = evidence.batch.operations
    for call in operations.forward:
        if call.factor is not None and abs(call.factor) <= SHUT and operations.all_through(call):
            before = operations.before(call, lambda c: not c.weighted and c.name not in RECURRENT)
            inside = any(True for _ in before)
            if inside and operations.weighted_after(call):
                return call
    return None


def _slice_place(evidence: Evidence) -> Place:
    """The line of the first call that takes a part of a value, else of the forward's first call."""
    assert evidence.batch is not None
    sliced = next(evidence.batch.operations.named(*LEAVING_OUT), None)
    return evidence.call_place(sliced, "network") if sliced else attrs.evolve(Place(), attribute="network")
