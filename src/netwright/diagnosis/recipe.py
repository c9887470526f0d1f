"""Causes visible before anything runs: the loss, the outputs and the targets do not fit each other."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import torch

from netwright.catalogue import Needs, check
from netwright.runs import BOUNDED, Evidence, Operation, Operations
from netwright.values import Finding, Place

ELEMENTWISE = ("mse", "l1", "huber", "bce", "bce_with_logits")
SQUASHING = ("Softmax", "Sigmoid", "LogSoftmax", "Softmax2d", "LogSigmoid")
PROBABILITIES = ("softmax", "log_softmax", "sigmoid", "logsigmoid")
GUARDS = ("clamp", "clip", "add", "radd", "iadd", "maximum", "clamp_min", "max", "where", "xlogy")


def _output_place(evidence: Evidence) -> Place:
    """The layer or the line whose result is the output, or the loss where the network has no layers of its
    own."""
    batch = evidence.batch
    last = (
        next((s for s in reversed(batch.layers) if s.kind in (*SQUASHING, "Linear")), None) if batch else None
    )
    ends = batch.operations.ends_in if batch else None
    if ends is not None and not ends.weighted and not (last and last.name == ends.layer):
        return attrs.evolve(evidence.call_place(ends), attribute="output_layer")
    return evidence.layer_place(last.name, "output_layer") if last else evidence.place("loss")


def _judged_call(evidence: Evidence) -> Operation | None:
    """The call that gives its values to what the loss reads."""
    assert evidence.batch is not None
    operations = evidence.batch.operations
    loss = operations.loss_call
    return operations.source_of(loss.reads[0]) if loss is not None and loss.reads else operations.ends_in


@check(
    "loss-output-mismatch",
    needs=Needs.DATA | Needs.BATCH,
    confuses="a mixture trained on probabilities on purpose",
)
def loss_that_does_not_fit_the_output(evidence: Evidence) -> Iterator[Finding]:
    """A loss that wants something else than what the network gives.

    Looks at the outputs of one batch, (B, K): whether rows are probabilities (they sum to 1) or
    log-probabilities, and which call made them, against what the loss that is computed applies itself; and at
    the task, which the targets decide.
    Threshold: sums within 1e-4 of 1 on every row of a batch, at more than one seed.
    Source: documentation of torch.nn.CrossEntropyLoss ('unnormalized logits'), NLLLoss and BCEWithLogitsLoss.
    """
    assert evidence.batch is not None and evidence.data is not None
    batch, task = evidence.batch, evidence.data.task
    loss = batch.loss_name
    shape, low, high = batch.output_shape, batch.output_low, batch.output_high
    if shape is None or low is None or high is None:
        return
    last = batch.output_layer.kind if batch.output_layer else ""
    ends = _judged_call(evidence)
    end = ends.name if ends is not None else last.lower()
    sure = not task.ambiguous
    numbers = {
        "loss": loss,
        "output_low": low,
        "output_high": high,
        "output_made_by": end,
        "written": evidence.attribute("loss").source,
    }
    place, at_loss = _output_place(evidence), evidence.place("loss")
    text, where, ideas = "", at_loss, ("loss-for-the-task",)
    equal: tuple[str, ...] = ()
    width = shape[1] if len(shape) > 1 else 1
    wide = width > 1
    if loss == "cross_entropy" and task.name == "regression" and sure:
        text = "Cross-entropy is for classes, and these targets are measured numbers."
    elif loss == "cross_entropy" and task.name == "multilabel" and sure:
        text = "Cross-entropy makes labels exclude each other, and these samples have several at once."
    elif loss == "cross_entropy" and wide and (batch.rows_sum_to_one or end == "softmax"):
        text = (
            "The network ends in a softmax and cross_entropy applies another: probabilities between 0 and 1"
            " cannot move its loss far from where it starts."
        )
        where, ideas = place, ("remove-final-softmax",)
    elif loss == "cross_entropy" and wide and end == "sigmoid":
        text = (
            "The network ends in a sigmoid and cross_entropy applies a softmax to it: between outputs of 0"
            f" and 1 the surest answer among {width} classes is {_surest(width):.0%}."
        )
        where, ideas = place, ("remove-final-softmax",)
    elif loss == "nll" and end != "log" and not batch.rows_log_sum_to_zero:
        text = (
            "nll wants log-probabilities, and the network's outputs are none; minus infinity is then the best"
            " loss."
        )
        ideas = ("loss-takes-logits",)
    elif loss in ("bce", "bce_with_logits") and (said := _asked_beyond_probabilities(evidence, width)):
        text, numbers["targets_beyond"] = said, True
        equal = ("output-width",) if task.name == "classification" else ()
    elif loss == "bce_with_logits" and (
        end in ("sigmoid", "softmax") or (batch.in_unit_interval and last in ("Sigmoid", "Softmax"))
    ):
        text = (
            "The network ends in a sigmoid and bce_with_logits applies another: outputs stay between 0.5 and"
            " 0.73."
        )
        where, ideas = place, ("remove-final-softmax",)
    elif loss == "bce" and not batch.in_unit_interval:
        text = f"bce wants probabilities, and the network's outputs go from {low:.3g} to {high:.3g}."
        ideas = ("loss-takes-logits",)
    elif loss == "bce" and end == "softmax" and task.name == "multilabel" and sure:
        text = "A softmax makes labels exclude each other, and these samples have several at once."
        where, ideas = place, ("sigmoid-for-softmax",)
    elif loss in ("mse", "l1", "huber") and task.name == "classification" and sure:
        if len(batch.target_shape) > 1 and batch.target_shape[-1] > 1:
            return  # errors against one-hot rows (the Brier score) are a loss that some choose
        text = f"{loss} treats the class numbers as amounts: class 9 is then three times class 3."
        ideas = ("loss-for-the-task",)
    elif loss in ("mse", "l1", "huber") and task.name == "classification" and not wide and _fails(evidence):
        text = (
            f"{loss} treats these whole numbers as amounts; if they are classes, each needs an output of its"
            " own."
        )
        numbers["binary"] = True
    elif loss in ("mse", "l1", "huber") and task.name == "binary" and _fails(evidence):
        text = f"{loss} on labels of 0 and 1 gives next to no gradient where the network is sure and wrong."
        numbers["binary"] = True
        ideas = ("loss-for-the-task",)
    if text:
        yield Finding("loss-output-mismatch", where, numbers, text, ideas, also=equal)


def _asked_beyond_probabilities(evidence: Evidence, width: int) -> str:
    """What is wrong with targets outside 0 to 1 under a binary cross-entropy, or nothing."""
    assert evidence.data is not None
    values = evidence.data.train.targets.float()
    values = values[torch.isfinite(values)]
    if not len(values) or (values.min() >= -0.01 and values.max() <= 1.01):
        return ""
    low, high = float(values.min()), float(values.max())
    if evidence.data.task.name == "classification" and width == 1:
        return (
            f"Binary cross-entropy tells two classes apart by one output, and these labels go from {low:.3g}"
            f" to {high:.3g}: above 1 its best answer is without end and the loss falls below 0."
        )
    return (
        f"Binary cross-entropy asks for targets of 0 to 1, and these go from {low:.3g} to {high:.3g}: beyond"
        " that it has no least value."
    )


def _surest(classes: int) -> float:
    return 2.71828 / (2.71828 + classes - 1)


def _fails(evidence: Evidence) -> bool:
    skill = evidence.skill("train")
    return skill is not None and skill < 0.8


@check(
    "unstable-loss",
    needs=Needs.BATCH,
    probes=("loss-extremes",),
    confuses="a loss that is only ever given bounded outputs",
)
def loss_not_finite_for_legal_outputs(evidence: Evidence) -> Iterator[Finding]:
    """A loss written by hand that is not finite for outputs that the network may give.

    Looks at the calls of the loss (and of the network's end): a logarithm of a softmax or sigmoid with
    nothing to keep it from 0; and at the loss of outputs of ±60 (or of probabilities of 0 and 1), and of
    batches of a single class, (B, K).
    Threshold: any value that is not finite, where the ordinary outputs give one that is.
    Source: documentation of torch.nn.LogSoftmax and CrossEntropyLoss; Bengio et al. on numerical stability,
    Deep Learning (2016), section 4.1.
    """
    assert evidence.batch is not None
    operations, extremes = evidence.batch.operations, evidence.probes["loss-extremes"]
    for call in operations.named("log", "log2", "log10"):
        source = next(iter(operations.before(call, lambda c: c.shapes_only)), None)
        if source is None or source.name not in ("softmax", "sigmoid", "exp"):
            continue
        yield Finding(
            "unstable-loss",
            attrs.evolve(evidence.call_place(call), attribute="loss"),
            {"log_of": source.name, "extremes": extremes.failing},
            f"The logarithm of a {source.name} is minus infinity as soon as one output is far from the"
            f" others; log_{'softmax' if source.name == 'softmax' else 'sigmoid'} computes the same and stays"
            " finite.",
            ("loss-for-the-task",),
        )
        return
    if extremes.failing:
        yield Finding(
            "unstable-loss",
            evidence.place("loss"),
            {"extremes": extremes.failing},
            f"The loss is not finite, or far too large, for {extremes.failing[0]}.",
            ("loss-for-the-task",),
        )


@check(
    "wrong-activation",
    needs=Needs.DATA | Needs.BATCH,
    confuses="targets that a scaling brings into range later",
)
def activation_that_does_not_fit_its_place(evidence: Evidence) -> Iterator[Finding]:
    """An activation at the output that cannot give what the targets ask for.

    Looks at the call that makes the outputs, (B, K), past what only reshapes them: its range against that of
    the training targets, (N,); the axis of a softmax; a rectifier over logits.
    Threshold: over 2 % of a regression's targets outside the range; any rectifier or bounded function under a
    loss or a softmax that wants logits; any softmax over one unit.
    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 5.2.
    """
    assert evidence.batch is not None and evidence.data is not None
    batch, task = evidence.batch, evidence.data.task
    ends = _judged_call(evidence)
    if ends is None or batch.output_shape is None:
        return
    place = attrs.evolve(evidence.call_place(ends), attribute="activation")
    dim = ends.settings.get("dim")
    numbers = {"activation": ends.name, "shape": ends.shape}
    if ends.name in ("softmax", "log_softmax") and ends.shape:
        axis = dim if isinstance(dim, int) else (1 if len(ends.shape) > 1 else 0)
        if ends.shape[axis] == 1:
            yield Finding(
                "wrong-activation",
                place,
                {**numbers, "single_unit": True},
                "A softmax over a single unit gives 1 for every input: nothing can be learned.",
                ("sigmoid-for-softmax", "loss-takes-logits"),
            )
            return
    inside = _softmax_inside(batch.operations, ends)
    if inside is not None:
        yield Finding(
            "wrong-activation",
            attrs.evolve(evidence.call_place(inside), attribute="activation"),
            {"activation": "softmax", "shape": inside.shape, "inside": True},
            f"A softmax stands between layers: its {inside.shape[-1]} units must share a sum of 1, so what"
            " goes on is small and its gradient smaller.",
            ("rectify-calls", "rectify-hidden-activations"),
            also=("saturation",),
        )
        return
    if ends.name in PROBABILITIES and ends.reads:
        under = batch.operations.source_of(ends.reads[0])
        if under is not None and under.name in BOUNDED and under.name not in PROBABILITIES:
            yield Finding(
                "wrong-activation",
                attrs.evolve(evidence.call_place(under), attribute="activation"),
                {"activation": under.name, "shape": under.shape, "on_logits": True, "under_softmax": True},
                f"What the {ends.name} reads ends in a {under.name}, which gives"
                f" {_range(BOUNDED[under.name])}: logits have to go both ways.",
                ("no-activation-at-the-end",),
            )
            return
    limits = BOUNDED.get(ends.name)
    if limits is None:
        return
    if task.name == "regression" and batch.loss_name not in ("cross_entropy", "nll"):
        values = evidence.data.train.targets.float()
        values = values[torch.isfinite(values)]
        outside = float(((values < limits[0] - 0.02) | (values > limits[1] + 0.02)).float().mean())
        if outside > 0.02:
            yield Finding(
                "wrong-activation",
                place,
                {**numbers, "targets_outside": outside},
                f"The outputs end in a {ends.name}, which gives {_range(limits)}; {outside:.0%} of the"
                " targets lie outside that.",
                ("no-activation-at-the-end",),
            )
    elif batch.loss_name in ("cross_entropy", "bce_with_logits") and ends.name not in PROBABILITIES:
        yield Finding(
            "wrong-activation",
            place,
            {**numbers, "on_logits": True},
            f"The logits end in a {ends.name}, which gives {_range(limits)}: {batch.loss_name} needs them"
            " free to go both ways.",
            ("no-activation-at-the-end",),
        )


def _softmax_inside(operations: Operations, ends: Operation) -> Operation | None:
    """A softmax whose result a layer with weights reads directly: attention multiplies it with data."""
    readers: dict[int, list[Operation]] = {}
    for call in operations.forward:
        for value in call.reads:
            readers.setdefault(value, []).append(call)
    for call in operations.forward:
        if call.name not in ("softmax", "log_softmax") or call is ends or len(call.shape) < 2:
            continue
        waiting = list(readers.get(call.makes, ()))
        while waiting:
            reader = waiting.pop()
            if reader.weighted:
                return call
            if reader.shapes_only and reader.makes != call.makes:
                waiting.extend(readers.get(reader.makes, ()))
    return None


def _range(limits: tuple[float, float]) -> str:
    low, high = limits
    if high == float("inf"):
        return f"nothing below {low:g}"
    return f"nothing above {high:g}" if low == float("-inf") else f"only {low:g} to {high:g}"


@check("output-width", needs=Needs.DATA | Needs.BATCH, confuses="classes reserved for later")
def outputs_that_do_not_fit_the_classes(evidence: Evidence) -> Iterator[Finding]:
    """A last layer with too few outputs for the classes, or labels that no output stands for.

    Looks at the output's width against the labels, (N,), of training and validation.
    Threshold: any label below 0 or at least the width; a width of over twice the classes is noted as surplus.
    Under a loss written by hand: a single output that ends in a sigmoid, for whole numbers beyond 1.
    Source: documentation of torch.nn.CrossEntropyLoss: class indices in [0, C).
    """
    assert evidence.data is not None and evidence.batch is not None
    shape, task = evidence.batch.output_shape, evidence.data.task
    loss = evidence.batch.loss_name
    if shape is not None and _one_probability(evidence, shape):
        yield Finding(
            "output-width",
            _output_place(evidence),
            {"width": 1, "classes": task.classes, "one_probability": True},
            f"One output between 0 and 1 has to stand for {task.classes} classes: it can tell two apart.",
            ("loss-for-the-task",),
            also=("loss-output-mismatch",),
        )
        return
    if shape is None or task.name not in ("classification", "binary") or loss not in ("cross_entropy", "nll"):
        return
    width = shape[1] if len(shape) > 1 else 1
    if len(evidence.batch.target_shape) > 1 and evidence.batch.target_shape[-1] > 1:
        return  # one-hot rows: a wrong width is the finding target-shape
    counts = evidence.data.train.counts()
    labels = {*counts, *evidence.data.val.counts()}
    if not labels:
        return
    low, high, classes = min(labels), max(labels), len(counts)
    numbers = {"width": width, "lowest_label": low, "highest_label": high, "classes": classes}
    place = _output_place(evidence)
    if width == 1 and classes > 1:
        text = f"There is one output for {classes} classes; cross-entropy over a single output is always 0."
    elif high >= width or low < 0:
        first = "; labels probably start at 1" if low == 1 and high == width else ""
        text = (
            f"Labels go from {low} to {high} but the network has {width} outputs (0 to {width - 1}){first}."
        )
    elif width > 2 * (high + 1):
        text = (
            f"The network has {width} outputs for {high + 1} classes; the others only learn to stay silent."
        )
        numbers["surplus"] = True
    else:
        return
    yield Finding("output-width", place, numbers, text, ("output-width-of-the-classes",))


def _one_probability(evidence: Evidence, shape: tuple[int, ...]) -> bool:
    """Whether a loss written by hand compares a single probability with the numbers of several classes."""
    assert evidence.data is not None and evidence.batch is not None
    task, ends = evidence.data.task, evidence.batch.operations.ends_in
    return (
        evidence.batch.loss_name is None
        and task.name == "classification"
        and task.classes > 2
        and not task.ambiguous
        and all(size == 1 for size in shape[1:])
        and evidence.batch.in_unit_interval
        and ends is not None
        and ends.name == "sigmoid"
    )


@check("target-shape", needs=Needs.BATCH, confuses="a loss that means to compare all with all")
def targets_that_broadcast(evidence: Evidence) -> Iterator[Finding]:
    """Outputs and targets of different shapes that an elementwise loss broadcasts against each other.

    Looks at the shapes of one batch, (B, ...) each.
    Threshold: any difference under an elementwise loss: (N, 1) against (N,) makes N × N differences, whose
    best constant answer is the mean.
    Source: PyTorch's warning 'Using a target size that is different to the input size'.
    """
    assert evidence.batch is not None
    batch, loss = evidence.batch, evidence.batch.loss_name
    if batch.output_shape is None or loss not in ELEMENTWISE or batch.output_shape == batch.target_shape:
        return
    if (
        (
            evidence.data is not None
            and evidence.data.task.name == "classification"
            and loss in ("mse", "l1", "huber")
        )
        and batch.output_shape[-1] > 1
        and len(batch.target_shape) == 1
    ):
        return  # class numbers under a squared error: the finding loss-output-mismatch
    effect = "the loss compares every output with every target, and the best answer is their mean."
    if batch.error is not None and batch.error.stage == "loss":
        effect = f"{loss} refuses them."
    one_column = {batch.output_shape, batch.target_shape} == {(batch.size, 1), (batch.size,)}
    yield Finding(
        "target-shape",
        attrs.evolve(_output_place(evidence), attribute="output_shape"),
        {"output": batch.output_shape, "target": batch.target_shape, "one_column": one_column},
        f"Outputs are {_shape(batch.output_shape)} and targets {_shape(batch.target_shape)}: {effect}",
        ("shape-of-the-targets",) if one_column else (),
    )


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
