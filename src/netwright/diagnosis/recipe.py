"""Causes visible before anything runs: the loss, the outputs and the targets do not fit, or parameters cannot
learn."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from netwright.catalogue import Needs, check
from netwright.runs import Evidence
from netwright.values import Finding, Place

ELEMENTWISE = ("mse", "l1", "huber", "bce", "bce_with_logits")
SQUASHING = ("Softmax", "Sigmoid", "LogSoftmax", "Softmax2d", "LogSigmoid")


def _output_place(evidence: Evidence) -> Place:
    """The layer whose result is the output, or the loss where the network has no layers of its own."""
    layers = evidence.batch.layers if evidence.batch else ()
    last = next((s for s in reversed(layers) if s.kind in (*SQUASHING, "Linear")), None)
    return evidence.layer_place(last.name, "output_layer") if last else evidence.place("loss")


@check(
    "loss-output-mismatch",
    needs=Needs.RECIPE | Needs.DATA | Needs.BATCH,
    confuses="a mixture trained on probabilities on purpose",
)
def loss_that_does_not_fit_the_output(evidence: Evidence) -> Iterator[Finding]:
    """A loss that wants something else than what the network gives.

    Looks at the outputs of one batch, (B, K): whether rows are probabilities (they sum to 1) or
    log-probabilities, against what the loss by that name applies itself; and at the task, which the targets
    decide.
    Threshold: sums within 1e-4 of 1 on every row of a batch, at more than one seed.
    Source: documentation of torch.nn.CrossEntropyLoss ('unnormalized logits'), NLLLoss and BCEWithLogitsLoss.
    """
    assert evidence.recipe is not None and evidence.batch is not None and evidence.data is not None
    loss, batch, task = evidence.recipe.settings.loss, evidence.batch, evidence.data.task
    shape, low, high = batch.output_shape, batch.output_low, batch.output_high
    if shape is None or low is None or high is None:
        return
    last = batch.output_layer.kind if batch.output_layer else ""
    numbers = {
        "loss": loss,
        "output_low": low,
        "output_high": high,
        "written": evidence.attribute("loss").source,
    }
    place, at_loss = _output_place(evidence), evidence.place("loss")
    text, where, ideas = "", at_loss, ("loss-for-the-task",)
    if loss == "cross_entropy" and task.name == "regression" and not task.ambiguous:
        text = "Cross-entropy is for classes, and these targets are measured numbers."
    elif loss == "cross_entropy" and task.name == "multilabel" and not task.ambiguous:
        text = "Cross-entropy makes labels exclude each other, and these samples have several at once."
    elif loss == "cross_entropy" and batch.rows_sum_to_one:
        text = (
            "The network ends in a softmax and cross_entropy applies another: probabilities between 0 and 1"
            " cannot move its loss far from where it starts."
        )
        where, ideas = place, ("remove-final-softmax",)
    elif loss == "nll" and not batch.rows_log_sum_to_zero:
        text = (
            "nll wants log-probabilities, and the network's outputs are none; minus infinity is then the best"
            " loss."
        )
        ideas = ("loss-takes-logits",)
    elif (
        loss == "bce_with_logits" and batch.in_unit_interval and (last == "Sigmoid" or batch.rows_sum_to_one)
    ):
        text = (
            "The network ends in a sigmoid and bce_with_logits applies another: outputs stay between 0.5 and"
            " 0.73."
        )
        where, ideas = place, ("remove-final-softmax",)
    elif loss == "bce" and not batch.in_unit_interval:
        text = f"bce wants probabilities, and the network's outputs go from {low:.3g} to {high:.3g}."
        ideas = ("loss-takes-logits",)
    elif loss in ("mse", "l1", "huber") and task.name == "classification" and not task.ambiguous:
        if len(batch.target_shape) > 1 and batch.target_shape[-1] > 1:
            return  # errors against one-hot rows (the Brier score) are a loss that some choose
        text = f"{loss} treats the class numbers as amounts: class 9 is then three times class 3."
        ideas = ("loss-for-the-task",)
    if text:
        yield Finding("loss-output-mismatch", where, numbers, text, ideas)


@check("output-width", needs=Needs.DATA | Needs.BATCH, confuses="classes reserved for later")
def outputs_that_do_not_fit_the_classes(evidence: Evidence) -> Iterator[Finding]:
    """A last layer with too few outputs for the classes, or labels that no output stands for.

    Looks at the output's width against the labels, (N,), of training and validation.
    Threshold: any label below 0 or at least the width; a width of over twice the classes is noted as surplus.
    Source: documentation of torch.nn.CrossEntropyLoss: class indices in [0, C).
    """
    assert evidence.data is not None and evidence.batch is not None
    shape, task = evidence.batch.output_shape, evidence.data.task
    loss = evidence.recipe.settings.loss if evidence.recipe else None
    if shape is None or task.name != "classification" or loss not in ("cross_entropy", "nll"):
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


@check("target-shape", needs=Needs.RECIPE | Needs.BATCH, confuses="a loss that means to compare all with all")
def targets_that_broadcast(evidence: Evidence) -> Iterator[Finding]:
    """Outputs and targets of different shapes that an elementwise loss broadcasts against each other.

    Looks at the shapes of one batch, (B, ...) each.
    Threshold: any difference under an elementwise loss: (N, 1) against (N,) makes N × N differences, whose
    best constant answer is the mean.
    Source: PyTorch's warning 'Using a target size that is different to the input size'.
    """
    assert evidence.recipe is not None and evidence.batch is not None
    batch, loss = evidence.batch, evidence.recipe.settings.loss
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
    if not lost:
        return
    layers = list(dict.fromkeys(p.layer for p in lost.values()))
    why = ", ".join(
        text
        for group, text in (
            (frozen, "frozen (requires_grad is False)"),
            (unused, "reached by no gradient (unused in forward, or cut off before the loss)"),
            (unheld, "not held by the optimizer"),
        )
        if group
    )
    share = sum(_size(p.shape) for p in lost.values()) / max(1, sum(_size(p.shape) for p in batch.parameters))
    some = f"{', '.join(layers[:3])}{f' and {len(layers) - 3} more' if len(layers) > 3 else ''}"
    yield Finding(
        "untrained-parameters",
        evidence.layer_place(layers[0], "frozen_layers"),
        {"parameters": list(lost), "share": share, "frozen": [p.name for p in frozen], "unused": len(unused)},
        f"{share:.0%} of the parameters cannot learn: {some} {'is' if len(layers) == 1 else 'are'} {why}.",
        ("unfreeze-layers",) if frozen else (),
    )


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
