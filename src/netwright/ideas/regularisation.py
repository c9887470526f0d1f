"""Ideas about weight decay, dropout, label smoothing and gradient clipping."""

from __future__ import annotations

from collections.abc import Iterator

from netwright.catalogue import idea
from netwright.ideas.situation import WEIGHTED, Situation
from netwright.recipe import Recipe
from netwright.values import Edit

RECTIFIERS = ("ReLU", "LeakyReLU", "GELU", "SiLU", "ELU")


@idea(attribute="weight_decay", addresses=("overfit-capacity", "too-little-data"), prior=0.3, late=True)
def more_weight_decay(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Ten times the weight decay that is set, or 5e-4 (1e-2 under AdamW) where there is none.

    Source: Krogh and Hertz, A Simple Weight Decay Can Improve Generalization (1991).
    """
    old = recipe.settings.weight_decay or 0.0
    new = 10 * old if old else (1e-1 if recipe.settings.optimizer == "adamw" else 5e-4)
    if new < 1:
        yield Edit.set("training.weight_decay", new, f"weight decay {old:g} → {new:g}")


@idea(attribute="weight_decay", addresses=("regularisation-too-strong",), prior=0.15, late=True)
def no_weight_decay(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """No weight decay, for a recipe that sets one.

    Source: Zhang et al., Three Mechanisms of Weight Decay Regularization (2019).
    """
    if recipe.settings.weight_decay:
        yield Edit.set("training.weight_decay", 0.0, f"weight decay {recipe.settings.weight_decay:g} → 0")


@idea(attribute="dropout", addresses=("overfit-capacity", "overfit-memorised-noise"), prior=0.3, late=True)
def dropout_after_hidden_layers(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Dropout of 0.2 after the last hidden activation, for a network without dropout.

    Source: Srivastava et al., Dropout (2014).
    """
    layers = situation.evidence.batch.layers if situation.evidence.batch else ()
    if any(s.kind.startswith("Dropout") for s in layers):
        return
    hidden = situation.hidden(RECTIFIERS)
    if hidden:
        parameters = {"layers": [hidden[-1].name], "what": "dropout", "p": 0.2}
        yield Edit(
            "insert-after", parameters, "dropout", f"dropout 0.2 after {hidden[-1].kind} {hidden[-1].name}"
        )


@idea(attribute="label_smoothing", addresses=("label-noise", "overfit-memorised-noise"), prior=0.2, late=True)
def smooth_labels(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Label smoothing of 0.1 under cross-entropy.

    Source: Szegedy et al., Rethinking the Inception Architecture (2016), section 7.
    """
    if recipe.settings.plain_loss == "cross_entropy" and not recipe.settings.label_smoothing:
        yield Edit.set("training.label_smoothing", 0.1, "label smoothing 0 → 0.1")


@idea(attribute="clip", addresses=("exploding-gradient",), prior=0.2)
def clip_gradients(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The gradient's norm bounded by 1.

    Source: Pascanu et al., On the difficulty of training recurrent neural networks (2013), section 3.2.
    """
    if recipe.settings.clip is None and recipe.settings.step is None:
        yield Edit.set("training.clip", 1.0, "gradient norm clipped at 1")


@idea(attribute="normalisation", addresses=("vanishing-gradient", "saturation"), prior=0.4)
def batch_norm_after_layers(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Batch normalisation after every hidden layer with weights, for a network without any normalisation.

    Source: Ioffe and Szegedy, Batch Normalization (2015), section 3.2.
    """
    hidden = _unnormalised(situation)
    images = [s for s in hidden if s.kind != "Linear" or (s.output_shape and len(s.output_shape) == 2)]
    if images and recipe.settings.batch_size >= 8:
        parameters = {"layers": [s.name for s in images], "what": "batch_norm"}
        kinds = " and ".join(dict.fromkeys(s.kind for s in images))
        yield Edit("insert-after", parameters, "normalisation", f"batch norm after {kinds}")


@idea(attribute="normalisation", addresses=("vanishing-gradient",), prior=0.2)
def layer_norm_after_layers(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Layer normalisation after every hidden linear layer, for a network without any normalisation.

    Source: Ba et al., Layer Normalization (2016).
    """
    hidden = [s for s in _unnormalised(situation) if s.kind == "Linear"]
    if hidden:
        parameters = {"layers": [s.name for s in hidden], "what": "layer_norm"}
        yield Edit("insert-after", parameters, "normalisation", "layer norm after Linear")


def _unnormalised(situation: Situation) -> list:  # type: ignore[type-arg]
    layers = situation.evidence.batch.layers if situation.evidence.batch else ()
    return [] if any("Norm" in s.kind for s in layers) else situation.hidden(WEIGHTED)


def _with_dropout(recipe: Recipe, situation: Situation, p: float, label: str) -> Iterator[Edit]:
    """Every dropout, as a layer or as a call of forward, at `p`."""
    network, batch = situation.evidence.network, situation.evidence.batch
    if network is None or batch is None:
        return
    layers = [n for n, kind in network.kinds.items() if kind.startswith("Dropout") or kind == "AlphaDropout"]
    calls = [
        [c.name, c.nth] for c in batch.operations.forward if c.name == "dropout" and c.layer not in layers
    ]
    inside = [
        n for n, kind in network.kinds.items() if kind in ("TransformerEncoderLayer", "MultiheadAttention")
    ]
    parts: list[dict[str, object]] = []
    if layers:
        parts.append({"kind": "set-layer", "parameters": {"layers": layers, "name": "p", "value": p}})
    if calls and not inside:
        parts.append({"kind": "rewrite-calls", "parameters": {"calls": calls, "to": "dropout", "value": p}})
    if parts:
        yield Edit("together", {"edits": parts}, "dropout", label)


@idea(attribute="dropout", addresses=("regularisation-too-strong",), prior=0.4)
def less_dropout(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Every dropout at 0.1, or none.

    Source: Srivastava et al., Dropout (2014), section 7.3.
    """
    if situation.names("regularisation-too-strong"):
        yield from _with_dropout(recipe, situation, 0.1, "dropout → 0.1")
        yield from _with_dropout(recipe, situation, 0.0, "no dropout")


@idea(attribute="dropout", addresses=("normalisation-misuse", "train-eval-gap"), prior=0.3)
def no_dropout(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """No dropout, where it stands in the way of batch normalisation.

    Source: Li et al., Understanding the Disharmony between Dropout and Batch Normalization (2019).
    """
    if situation.names("normalisation-misuse"):
        yield from _with_dropout(recipe, situation, 0.0, "no dropout")


@idea(attribute="label_smoothing", addresses=("regularisation-too-strong",), prior=0.2)
def no_label_smoothing(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Labels as they are.

    Source: Szegedy et al., Rethinking the Inception Architecture (2016), section 7.
    """
    old = recipe.settings.label_smoothing
    if old >= 0.3:
        yield Edit.set("training.label_smoothing", 0.0, f"label smoothing {old:g} → 0")
