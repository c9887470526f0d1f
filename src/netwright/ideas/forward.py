"""Ideas about what stands in the network's forward pass: activations, axes, cut gradients, widths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from netwright.catalogue import idea
from netwright.diagnosis.probing import scaled_width
from netwright.ideas.situation import Situation
from netwright.recipe import Recipe
from netwright.recipe.gradients import GradientsStayOn
from netwright.recipe.source import shown
from netwright.runs import Operation, Operations
from netwright.runs.forward import forward
from netwright.values import Edit

FEW = 8  # units of a hidden layer


def operations_of(situation: Situation) -> Operations:
    batch = situation.evidence.batch
    return batch.operations if batch is not None else Operations()


def rewrite(calls: Iterable[Operation], to: str, attribute: str, label: str, value: Any = None) -> Edit:
    """The edit that answers calls of forward otherwise, with the line of the first."""
    calls = list(calls)
    born = calls[0].place
    parameters: dict[str, Any] = {"calls": [[call.name, call.nth] for call in calls], "to": to}
    if value is not None:
        parameters["value"] = value
    if born.file:
        parameters["at"] = [shown(born.file), born.line]
    return Edit("rewrite-calls", parameters, attribute, label)


def judged(situation: Situation) -> Operation | None:
    """The call of forward that gives its values to what the loss reads."""
    operations = operations_of(situation)
    loss = operations.loss_call
    found = operations.source_of(loss.reads[0]) if loss is not None and loss.reads else operations.ends_in
    return found if found in operations.forward else operations.ends_in


@idea(attribute="activation", addresses=("missing-nonlinearity",), prior=0.9)
def activations_between_layers(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """A ReLU after each layer that another follows with nothing nonlinear between.

    Source: Glorot et al., Deep Sparse Rectifier Neural Networks (2011).
    """
    finding = situation.finding("missing-nonlinearity")
    if finding is None:
        return
    firsts = {pair[0] for pair in finding.evidence["pairs"]}
    calls = [c for c in operations_of(situation).forward if c.weighted and c.layer in firsts]
    if calls:
        yield rewrite(calls, "then relu", "activation", f"ReLU after {', '.join(sorted(firsts)[:4])}")


@idea(attribute="activation", addresses=("wrong-activation",), prior=0.9)
def no_activation_at_the_end(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The outputs as the last layer gives them.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 5.2.
    """
    call = judged(situation)
    finding = situation.finding("wrong-activation")
    if finding is not None and finding.evidence.get("under_softmax") and call is not None and call.reads:
        call = operations_of(situation).source_of(call.reads[0])
    if (
        finding is not None
        and call is not None
        and not finding.evidence.get("single_unit")
        and not call.weighted
    ):
        yield rewrite([call], "identity", "activation", f"no {call.name} at the end")


@idea(attribute="activation", addresses=("wrong-activation", "loss-output-mismatch"), prior=0.6)
def sigmoid_for_softmax(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """A sigmoid where a softmax goes over a single unit or over labels that do not exclude each other.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 4.3.
    """
    call = judged(situation)
    data = situation.evidence.data
    if call is None or call.name != "softmax" or data is None:
        return
    single = situation.finding("wrong-activation")
    if data.task.name == "multilabel" or (single is not None and single.evidence.get("single_unit")):
        yield rewrite([call], "sigmoid", "activation", "sigmoid for softmax at the end")


@idea(attribute="activation", addresses=("vanishing-gradient", "saturation", "wrong-activation"), prior=0.5)
def rectify_calls(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """ReLU for every sigmoid or tanh that forward calls as a function before its end.

    Source: Glorot et al., Deep Sparse Rectifier Neural Networks (2011).
    """
    operations, last = operations_of(situation), judged(situation)
    kinds = situation.evidence.network.kinds if situation.evidence.network else {}
    calls = [
        c for c in operations.forward
        if c.name in ("sigmoid", "tanh", "softsign", "hardtanh", "softmax") and c is not last
        and kinds.get(c.layer, "").lower() != c.name
    ]  # fmt: skip
    asked = any(situation.names(c) for c in ("vanishing-gradient", "saturation", "wrong-activation"))
    if calls and asked and not situation.at_the_output("wrong-activation"):
        yield rewrite(calls, "relu", "activation", f"{calls[0].name} in forward → relu")


@idea(attribute="frozen_layers", addresses=("untrained-parameters",), prior=0.9)
def keep_the_gradient(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The gradient goes through where forward cuts it off (`detach`, `data`, `no_grad`).

    Source: PyTorch documentation, torch.Tensor.detach, torch.no_grad.
    """
    operations = operations_of(situation)
    if situation.names("untrained-parameters") and _turns_gradients_off(recipe):
        yield Edit("gradients-on", {}, "frozen_layers", "no torch.no_grad in forward")
    used = {value for call in operations.calls for value in call.reads} | {operations.output}
    calls = [c for c in operations.forward if c.cuts and c.name in ("detach", "data") and c.makes in used]
    if calls and situation.names("untrained-parameters"):
        yield rewrite(calls, "identity", "frozen_layers", f"no {calls[0].name} in forward")


@idea(attribute="activation", addresses=("wrong-backward",), prior=0.9)
def autograd_backward(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The gradient that autograd finds through the same forward, for one that was written by hand.

    Source: PyTorch documentation, Extending PyTorch, 'When to use'.
    """
    finding = situation.finding("wrong-backward")
    if finding is not None and finding.evidence.get("functions"):
        names = [str(name) for name in finding.evidence["functions"]]
        label = f"the gradient of {', '.join(names)} by autograd"
        yield Edit("autograd-backward", {"functions": names}, "activation", label)


def _turns_gradients_off(recipe: Recipe) -> bool:
    inputs, _ = recipe.training_samples.head(2)
    network = recipe.build(0).eval()
    with GradientsStayOn() as watching:
        forward(network, inputs)
    return watching.answered > 0


@idea(attribute="frozen_layers", addresses=("untrained-parameters",), prior=0.9)
def adopt_hidden_layers(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Layers in plain lists and dictionaries become parts of the network.

    Source: PyTorch documentation, torch.nn.ModuleList.
    """
    finding = situation.finding("untrained-parameters")
    if finding is not None and finding.evidence.get("hidden"):
        yield Edit("adopt-layers", {}, "frozen_layers", "layers in plain lists are registered")


@idea(attribute="normalisation", addresses=("normalisation-misuse", "batch-leak"), prior=0.9)
def axis_of_the_units(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """A softmax over the samples of the batch goes over the last axis instead.

    Source: documentation of torch.nn.functional.softmax.
    """
    calls = [
        c for c in operations_of(situation).forward
        if c.name in ("softmax", "log_softmax") and len(c.shape) > 1
        and c.settings.get("dim") in (0, -len(c.shape))
    ]  # fmt: skip
    if calls and (situation.names("normalisation-misuse") or situation.names("batch-leak")):
        yield rewrite(calls, "dim", "normalisation", f"{calls[0].name} over the last axis", -1)


@idea(attribute="network", addresses=("batch-leak",), prior=0.8)
def batch_first(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Recurrent layers and attention that take axis 0 for time take it for the samples.

    Source: documentation of torch.nn.LSTM: `batch_first`.
    """
    network = situation.evidence.network
    if network is None or not situation.names("batch-leak"):
        return
    kinds = ("RNN", "LSTM", "GRU", "MultiheadAttention")
    layers = [name for name, kind in network.kinds.items() if kind in kinds]
    if layers:
        parameters = {"layers": layers, "name": "batch_first", "value": True}
        yield Edit("set-layer", parameters, "network", f"batch_first=True in {', '.join(layers[:3])}")


@idea(attribute="activation", addresses=("unstable-arithmetic",), prior=0.8)
def guarded_arithmetic(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Roots, norms, logarithms and divisions of forward kept a little away from 0.

    Source: PyTorch documentation, Autograd mechanics, 'Gradients for non-differentiable functions'.
    """
    names = ("sqrt", "rsqrt", "norm", "std", "var", "pow", "log", "div", "truediv", "normalize", "cdist")
    calls = [c for c in operations_of(situation).forward if c.name in names and c.reads]
    if calls and situation.names("unstable-arithmetic"):
        yield rewrite(calls, "guarded", "activation", f"{calls[0].name} in forward kept away from 0")


@idea(attribute="dropout", addresses=("train-eval-gap",), prior=0.8)
def quiet_evaluation(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Dropout that forward calls as a function is told whether the network trains.

    Source: documentation of torch.nn.functional.dropout: `training` is True unless given.
    """
    calls = [c for c in operations_of(situation).forward if c.name == "dropout"]
    if calls and situation.names("train-eval-gap"):
        yield rewrite(calls, "dropout", "dropout", "dropout in forward follows the mode")


@idea(attribute="width", addresses=("capacity-too-small", "normalisation-misuse"), prior=0.3)
def wider_layers(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Hidden layers four times as wide, and where one has but a few units, sixteen times.

    Source: Goodfellow et al., Deep Learning (2016), section 5.2.
    """
    finding = situation.finding("capacity-too-small")
    single = situation.finding("normalisation-misuse")
    if (
        single is not None and single.evidence.get("values") == 1
    ):  # a single unit is nothing to normalise over
        factors: tuple[float, ...] = (16.0,)
    elif finding is not None and (finding.evidence.get("narrowest") or FEW) < FEW:
        factors = (4.0, 16.0)
    else:
        factors = (4.0,) if finding is not None or situation.names("output-width") else ()
    edits = (scaled_width(situation.evidence, factor) for factor in factors)
    yield from (edit for edit in edits if edit is not None)


@idea(attribute="width", addresses=("overfit-capacity",), prior=0.2)
def narrower_layers(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Hidden layers a quarter as wide.

    Source: Goodfellow et al., Deep Learning (2016), section 5.2.
    """
    if situation.names("overfit-capacity"):
        edit = scaled_width(situation.evidence, 0.25)
        if edit is not None:
            yield edit
