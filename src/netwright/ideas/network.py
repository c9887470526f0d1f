"""Ideas about the network: activations, initial weights, outputs, what is frozen."""

from __future__ import annotations

from collections.abc import Iterator

from netwright.catalogue import idea
from netwright.ideas.forward import judged
from netwright.ideas.situation import WEIGHTED, Situation
from netwright.recipe import Recipe
from netwright.values import Edit

SATURATING = ("Sigmoid", "Tanh", "Hardtanh", "Softsign", "Hardsigmoid", "Softmax")
SQUASHING = ("Softmax", "Sigmoid")


def _replace(layers: list, to: str, label: str) -> Edit:  # type: ignore[type-arg]
    return Edit("replace-activation", {"layers": [s.name for s in layers], "to": to}, "activation", label)


@idea(attribute="activation", addresses=("vanishing-gradient", "saturation", "wrong-activation"), prior=0.5)
def rectify_hidden_activations(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """ReLU for every hidden sigmoid or tanh.

    Source: Glorot et al., Deep Sparse Rectifier Neural Networks (2011).
    """
    batch = situation.evidence.batch
    layers = [s for s in batch.hidden_layers if s.kind in SATURATING] if batch else []
    if layers and not situation.at_the_output("wrong-activation"):
        kinds = " and ".join(dict.fromkeys(s.kind for s in layers))
        yield _replace(layers, "relu", f"hidden {kinds} → ReLU")


@idea(attribute="activation", addresses=("dead-units",), prior=0.3)
def leaky_activations(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Leaky ReLU for every ReLU, so that no unit loses its gradient.

    Source: Maas et al., Rectifier Nonlinearities Improve Neural Network Acoustic Models (2013).
    """
    layers = situation.hidden(("ReLU", "ReLU6"))
    if layers:
        yield _replace(layers, "leaky_relu", "ReLU → LeakyReLU")


@idea(attribute="activation", prior=0.2)
def gelu_activations(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """GELU for every ReLU.

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units (2016).
    """
    layers = situation.hidden(("ReLU", "ReLU6"))
    if layers:
        yield _replace(layers, "gelu", "ReLU → GELU")


def _initialise(recipe: Recipe, situation: Situation, scheme: str, label: str) -> Iterator[Edit]:
    if recipe.start is not None:  # pretrained layers are not wiped
        return
    batch = situation.evidence.batch
    layers = [s.name for s in batch.layers if s.kind in WEIGHTED] if batch else []
    layers = list(dict.fromkeys(layers))
    if layers:
        yield Edit("reinitialise", {"layers": layers, "scheme": scheme}, "initialisation", label)


@idea(attribute="initialisation", addresses=("initialisation", "dead-units", "vanishing-gradient"), prior=0.3)
def kaiming_initialisation(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Normal weights of variance 2 / fan-in and biases of zero.

    Source: He et al., Delving Deep into Rectifiers (2015), section 2.2.
    """
    yield from _initialise(recipe, situation, "kaiming", "weights by Kaiming, biases 0")


@idea(attribute="initialisation", addresses=("initialisation", "saturation", "vanishing-gradient"), prior=0.2)
def xavier_initialisation(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Uniform weights of variance 2 / (fan-in + fan-out) and biases of zero.

    Source: Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks
    (2010).
    """
    yield from _initialise(recipe, situation, "xavier", "weights by Xavier, biases 0")


@idea(attribute="initialisation", prior=0.1)
def orthogonal_initialisation(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Orthogonal weights and biases of zero.

    Source: Saxe et al., Exact solutions to the nonlinear dynamics of learning (2014).
    """
    yield from _initialise(recipe, situation, "orthogonal", "weights orthogonal, biases 0")


@idea(attribute="initialisation", addresses=("exploding-gradient", "vanishing-gradient"), prior=0.6)
def orthogonal_recurrence(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Orthogonal weights and biases of zero in recurrent layers, which neither grow nor shrink a state.

    Source: Henaff et al., Recurrent Orthogonal Networks and Long-Memory Tasks (2016).
    """
    if not situation.names("exploding-gradient") and not situation.names("vanishing-gradient"):
        return
    batch = situation.evidence.batch
    names = [s.name for s in batch.layers if s.kind in ("RNN", "LSTM", "GRU")] if batch else []
    layers = list(dict.fromkeys(names))
    if layers:
        label = f"weights of {', '.join(layers[:3])} orthogonal, biases 0"
        yield Edit("reinitialise", {"layers": layers, "scheme": "orthogonal"}, "initialisation", label)


@idea(attribute="output_layer", addresses=("loss-output-mismatch",), prior=0.9)
def remove_final_softmax(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The network's last softmax or sigmoid goes, where the loss applies its own; one inside `forward` is
    undone by a log.

    Source: documentation of torch.nn.CrossEntropyLoss and BCEWithLogitsLoss.
    """
    batch = situation.evidence.batch
    if batch is None or batch.loss_name not in ("cross_entropy", "bce_with_logits") or not batch.layers:
        return
    last, call = batch.output_layer, judged(situation)
    if call is not None and call.name in ("softmax", "sigmoid") and not (last and last.kind in SQUASHING):
        parameters = {"calls": [[call.name, call.nth]], "to": "identity"}
        yield Edit("rewrite-calls", parameters, "output_layer", f"{call.name} in forward removed")
    elif last is not None and last.kind in SQUASHING and (batch.rows_sum_to_one or batch.in_unit_interval):
        yield Edit("remove-layer", {"layer": last.name}, "output_layer", f"{last.kind} {last.name} removed")
    elif batch.loss_name == "cross_entropy" and batch.rows_sum_to_one:
        yield Edit("log-outputs", {}, "output_layer", "softmax in forward removed (its logarithm taken)")


@idea(attribute="output_layer", addresses=("output-width",), prior=0.9)
def output_width_of_the_classes(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """One output a class, up to the highest label, from a last linear layer made anew.

    Source: documentation of torch.nn.CrossEntropyLoss: class indices in [0, C).
    """
    batch, data = situation.evidence.batch, situation.evidence.data
    if batch is None or data is None or not situation.names("output-width"):
        return
    last = next((s for s in reversed(batch.layers) if s.kind == "Linear"), None)
    width = 1 + max(int(part.labels.max()) for part in (data.train, data.val))
    if last is not None:
        label = f"outputs {last.output_shape[-1] if last.output_shape else '?'} → {width}"
        yield Edit("replace-output", {"layer": last.name, "width": width}, "output_layer", label)


@idea(attribute="output_shape", addresses=("target-shape",), prior=0.9)
def shape_of_the_targets(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Outputs (N, 1) as (N,) where the targets are (N,), and the reverse.

    Source: PyTorch's warning 'Using a target size that is different to the input size'.
    """
    batch = situation.evidence.batch
    if batch is None or batch.output_shape is None or not situation.names("target-shape"):
        return
    if {batch.output_shape, batch.target_shape} == {(batch.size, 1), (batch.size,)}:
        column = len(batch.target_shape) == 2
        label = "outputs (N,) → (N, 1)" if column else "outputs (N, 1) → (N,)"
        yield Edit("reshape-outputs", {"column": column}, "output_shape", label)


@idea(attribute="frozen_layers", addresses=("untrained-parameters",), prior=0.8)
def unfreeze_layers(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Frozen parameters learn again, in a network that was not pretrained.

    Source: PyTorch documentation, Autograd mechanics, 'Locally disabling gradient computation'.
    """
    batch = situation.evidence.batch
    if batch is None or recipe.start is not None:
        return
    frozen = [p.name for p in batch.parameters if not p.requires_grad]
    if frozen:
        yield Edit(
            "unfreeze", {"parameters": frozen}, "frozen_layers", f"{len(frozen)} frozen parameters learn"
        )


@idea(attribute="normalisation", addresses=("normalisation-misuse",), prior=0.8)
def no_normalisation_of_one(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """No normalisation where it goes over a single value, which it makes 0.

    Source: Wu and He, Group Normalization (2018), section 3.1, on groups of one channel.
    """
    finding = situation.finding("normalisation-misuse")
    if finding is None or finding.evidence.get("values") != 1:
        return
    name, layer = finding.evidence["function"], finding.where.layer
    kinds = situation.evidence.network.kinds if situation.evidence.network else {}
    if layer and "Norm" in kinds.get(layer, ""):
        yield Edit("remove-layer", {"layer": layer}, "normalisation", f"{kinds[layer]} {layer} removed")
    else:
        calls = [[finding.evidence["function"], finding.evidence["nth"]]]
        parameters = {"calls": calls, "to": "identity"}
        yield Edit("rewrite-calls", parameters, "normalisation", f"{name} in forward removed")


@idea(
    attribute="normalisation", addresses=("normalisation-misuse", "train-eval-gap", "batch-size"), prior=0.3
)
def layer_norm_for_batch_norm(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Normalisation within each sample for every batch normalisation.

    Source: Wu and He, Group Normalization (2018).
    """
    network = situation.evidence.network
    layers = [n for n, kind in network.kinds.items() if kind.startswith("BatchNorm")] if network else []
    if layers and any(situation.names(c) for c in ("normalisation-misuse", "train-eval-gap", "batch-size")):
        label = f"normalisation within samples for {len(layers)} batch norms"
        yield Edit("replace-normalisation", {"layers": layers}, "normalisation", label)


@idea(attribute="normalisation", addresses=("train-eval-gap",), prior=0.7)
def faster_running_statistics(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Momentum 0.1 for batch normalisations, so that running statistics follow the weights.

    Source: documentation of torch.nn.BatchNorm1d: `momentum`.
    """
    network = situation.evidence.network
    layers = [n for n, kind in network.kinds.items() if kind.startswith("BatchNorm")] if network else []
    if layers and situation.names("train-eval-gap"):
        parameters = {"layers": layers, "name": "momentum", "value": 0.1}
        yield Edit("set-layer", parameters, "normalisation", "batch norm momentum → 0.1")


@idea(attribute="frozen_layers", addresses=("frozen-but-moving",), prior=0.8)
def still_frozen_statistics(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Frozen batch normalisations stay in evaluation mode.

    Source: Keras documentation, Transfer learning and fine-tuning, 'BatchNormalization layer'.
    """
    finding = situation.finding("frozen-but-moving")
    if finding is not None:
        layers = list(finding.evidence["layers"])
        yield Edit(
            "quiet-statistics", {"layers": layers}, "frozen_layers", f"{len(layers)} frozen norms kept still"
        )
