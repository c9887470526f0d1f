"""Ideas about the optimizer and its momentum."""

from __future__ import annotations

from collections.abc import Iterator

from netwright.catalogue import idea
from netwright.ideas.situation import Situation, rounded
from netwright.recipe import Recipe
from netwright.values import Edit

ADAPTIVE = ("adam", "adamw", "nadam", "radam", "adamax", "rmsprop", "adagrad", "adadelta", "adafactor")


@idea(attribute="optimizer", addresses=("lr-too-low", "vanishing-gradient", "initialisation"), prior=0.6)
def adamw(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """AdamW at its default rate, for a recipe on another optimizer.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization (2019); torch.optim.AdamW's defaults.
    """
    old = recipe.settings.optimizer
    if isinstance(old, str) and old not in ("adam", "adamw"):
        parameters = {"optimizer": "adamw", "lr": 1e-3}
        yield Edit("swap-optimizer", parameters, "optimizer", f"{old} → adamw, lr 0.001")


@idea(attribute="optimizer", prior=0.3)
def sgd_with_momentum(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """SGD with momentum 0.9, for a recipe on an adaptive optimizer.

    Source: Wilson et al., The Marginal Value of Adaptive Gradient Methods (2017).
    """
    old = recipe.settings.optimizer
    if old in ADAPTIVE:
        lr = rounded(10 * situation.rate) if situation.rate else 0.05
        parameters = {"optimizer": "sgd", "lr": lr, "momentum": 0.9}
        yield Edit("swap-optimizer", parameters, "optimizer", f"{old} → sgd, momentum 0.9, lr {lr:g}")


@idea(attribute="momentum", addresses=("lr-too-low", "too-few-epochs"), prior=0.5)
def momentum(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Momentum 0.9 for plain SGD.

    Source: Sutskever et al., On the importance of initialization and momentum (2013).
    """
    settings = recipe.settings
    if settings.optimizer == "sgd" and not settings.momentum:
        yield Edit.set("training.momentum", 0.9, "momentum 0 → 0.9")


@idea(attribute="optimizer", addresses=("optimizer-misuse",), prior=0.9)
def optimizer_defaults(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Momentum 0.9, and betas, eps and the direction of the step as torch has them.

    Source: Kingma and Ba, Adam (2015), section 2; Sutskever et al., On the importance of momentum (2013).
    """
    if not situation.names("optimizer-misuse"):
        return
    settings = recipe.settings
    kept = {
        k: v
        for k, v in settings.options.items()
        if k not in ("betas", "eps", "maximize", "dampening", "alpha")
    }
    if kept != dict(settings.options):
        label = "betas, eps and direction as torch has them"
        yield Edit("set", {"name": "options", "value": kept}, "optimizer", label)
    if (settings.momentum or 0.0) >= 0.99:
        yield Edit.set("training.momentum", 0.9, f"momentum {settings.momentum:g} → 0.9")


@idea(attribute="clip", addresses=("optimizer-misuse",), prior=0.5)
def no_clipping(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Gradients as they are.

    Source: Pascanu et al., On the difficulty of training recurrent neural networks (2013), section 3.2.
    """
    if recipe.settings.clip is not None and situation.names("optimizer-misuse"):
        yield Edit.set("training.clip", None, f"clip {recipe.settings.clip:g} → none")


@idea(attribute="precision", addresses=("low-precision",), prior=0.9)
def full_precision(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """All arithmetic in float32.

    Source: Micikevicius et al., Mixed Precision Training (2018).
    """
    old = recipe.settings.precision
    if old != "float32":
        yield Edit.set("training.precision", "float32", f"precision {old} → float32")
    elif situation.names("low-precision"):  # cast by hand, in forward or in the loss
        both = [{"kind": kind, "parameters": {}} for kind in ("full-precision", "full-precision-loss")]
        label = "no casts to half precision"
        yield Edit("together", {"edits": both}, "precision", label)


@idea(attribute="optimizer", addresses=("untrained-parameters",), prior=0.9)
def every_parameter_to_the_optimizer(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """An optimizer of the user's making gets the parameters that it left out.

    Source: documentation of torch.optim: 'construct an optimizer with all parameters to be optimized'.
    """
    batch = situation.evidence.batch
    left_out = [p for p in batch.parameters if p.requires_grad and not p.in_optimizer] if batch else []
    if left_out and not isinstance(recipe.settings.optimizer, str):
        yield Edit(
            "hold-all-parameters", {}, "optimizer", f"{len(left_out)} parameters given to the optimizer"
        )
