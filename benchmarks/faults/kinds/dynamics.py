"""Faults of rate, length, batch and size."""

from __future__ import annotations

from typing import Any

from benchmarks.faults.kinds.registry import fault, only_if
from benchmarks.faults.script import Script


def _number(value: float) -> str:
    return f"{value:.3g}"


@fault("lr-too-high", (10, 100, 1000), attribute="lr", visible="early")
def rate_too_high(s: Script, factor: int) -> Script:
    return s.with_setting("lr", _number(s.facts["lr"] * factor))


@fault("lr-too-high", (0.1, 1.0), attribute="lr", visible="early")
def adam_at_the_rate_of_sgd(s: Script, rate: float) -> Script:
    """The rate of an example with SGD, under Adam."""
    only_if(s.facts["optimizer"] in ("adam", "adamw", "nadam", "rmsprop"), "no Adam")
    return s.with_setting("lr", str(rate))


@fault("lr-too-high", attribute="loss", visible="early")
def loss_summed(s: Script, _: Any) -> Script:
    """The loss is summed over the batch, so the step grows with the batch."""
    only_if(s.facts["optimizer"] == "sgd", "Adam does not mind")
    names = {"cross_entropy": "cross_entropy", "nll": "nll_loss", "mse": "mse_loss", "l1": "l1_loss"}
    names |= {"huber": "huber_loss", "bce_with_logits": "binary_cross_entropy_with_logits"}
    only_if(s.facts["head"] in names, "no such loss")
    s = s.before_recipe(
        "def loss(outputs: Tensor, targets: Tensor) -> Tensor:",
        f'    return nn.functional.{names[s.facts["head"]]}(outputs, targets, reduction="sum")',
    )
    return s.with_setting("loss", "loss")


@fault("lr-too-low", (0.1, 0.01, 0.001), attribute="lr", visible="end", also=("too-few-epochs",))
def rate_too_low(s: Script, factor: float) -> Script:
    return s.with_setting("lr", _number(s.facts["lr"] * factor))


@fault("too-few-epochs", (0.2, 0.1, 0.0), attribute="epochs", visible="end", also=("lr-too-low",))
def stopped_early(s: Script, share: float) -> Script:
    return s.with_setting("epochs", str(max(1, round(s.facts["epochs"] * share))))


@fault("batch-size", (1, 2), attribute="batch_size", visible="recipe", also=("lr-too-high",))
def tiny_batches(s: Script, size: int) -> Script:
    """Single samples at the rate of whole batches."""
    only_if(not s.facts.get("norm"), "batch norm would be the fault")
    epochs = max(2, min(s.facts["epochs"], 8000 * size // s.facts["size"]))
    return s.with_setting("batch_size", str(size)).with_setting("epochs", str(epochs))


@fault(
    "batch-size",
    (1024, 4096),
    attribute="batch_size",
    visible="recipe",
    also=("too-few-epochs", "lr-too-low"),
)
def huge_batches(s: Script, size: int) -> Script:
    """Hardly any update in an epoch."""
    return s.with_setting("batch_size", str(size))


@fault("capacity-too-small", (1, 2), attribute="width", visible="end")
def too_narrow(s: Script, width: int) -> Script:
    """Hidden layers of one or two units."""
    from benchmarks.faults.recipes import script

    only_if(s.facts["family"] != "transformer", "heads divide the width")
    settings = {k: v for k, v in s.facts.items() if k in _settings(s)} | {"width": width}
    return script(settings)


@fault("capacity-too-small", attribute="width", visible="end", also=("missing-nonlinearity",))
def linear_model(s: Script, _: Any) -> Script:
    """One linear layer where the data ask for more."""
    only_if(s.facts["family"] == "mlp", "no MLP")
    shape, outputs = s.facts["shape"], s.facts["outputs"]
    inputs = 1
    for n in shape:
        inputs *= n
    for tag in ("hidden", "norm", "activation", "dropout"):
        s = s.drop(tag) if s.has(tag) else s
    return s.replace("head", f"        nn.Linear({inputs}, {outputs}),")


def _settings(s: Script) -> set[str]:
    return set(s.facts) - {"kind", "goal", "classes", "outputs", "shape", "size"}


@fault("collapse", ("mean", "sum"), attribute="pooling", visible="start", also=("ignores-input",))
def pooled_to_one(s: Script, how: str) -> Script:
    """Features are pooled over the wrong axis, so that nearly nothing is left of them."""
    only_if(s.has("output") and s.texts("output")[-1].count("self.head(x)"), "no place")
    only_if(s.facts["family"] in ("mlp_class", "cnn_class", "bag"), "no features")
    return s.sub("output", r"self\.head\(x\)", f"self.head(x.{how}(1, keepdim=True).expand_as(x))")
