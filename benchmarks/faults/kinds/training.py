"""Faults in the optimizer, its schedule, its precision."""

from __future__ import annotations

from typing import Any

from benchmarks.faults.kinds.registry import fault, only_if
from benchmarks.faults.script import Script

ADAMS = ("adam", "adamw", "nadam")


def _is(s: Script, *optimizers: str) -> None:
    only_if(s.facts["optimizer"] in optimizers, f"optimizer is {s.facts['optimizer']}")


@fault("regularisation-too-strong", (0.1, 1.0, 10.0), attribute="weight_decay", visible="recipe")
def heavy_weight_decay(s: Script, decay: float) -> Script:
    """A weight decay that pulls every weight to zero."""
    return s.with_setting("weight_decay", str(decay))


@fault("regularisation-too-strong", (0.9, 0.99), attribute="label_smoothing", visible="recipe")
def heavy_label_smoothing(s: Script, smoothing: float) -> Script:
    """Targets smoothed until every class is as good as any."""
    only_if(s.facts["head"] == "cross_entropy", "no cross-entropy")
    return s.with_setting("label_smoothing", str(smoothing))


@fault("optimizer-misuse", (0.99, 0.999, 1.0), attribute="momentum", visible="recipe", also=("lr-too-high",))
def momentum_near_one(s: Script, momentum: float) -> Script:
    """The velocity remembers (nearly) everything."""
    _is(s, "sgd")
    return s.with_setting("momentum", str(momentum))


@fault(
    "optimizer-misuse", ("(0.0, 0.1)", "(0.9, 0.0)", "(0.999, 0.999)"), attribute="betas", visible="recipe"
)
def odd_betas(s: Script, betas: str) -> Script:
    """Adam's averages remember nothing, or the first as long as the second."""
    _is(s, *ADAMS)
    return s.with_setting("options", f'{{"betas": {betas}}}')


@fault("optimizer-misuse", (0.1, 1.0, 10.0), attribute="eps", visible="recipe", also=("lr-too-low",))
def large_epsilon(s: Script, epsilon: float) -> Script:
    """An epsilon beside which the gradients vanish."""
    _is(s, *ADAMS)
    return s.with_setting("options", f'{{"eps": {epsilon}}}')


@fault("optimizer-misuse", (1e-3, 1e-4), attribute="clip", visible="recipe", also=("lr-too-low",))
def tiny_clip(s: Script, norm: float) -> Script:
    """Gradients are clipped to almost nothing."""
    _is(s, "sgd")
    return s.with_setting("clip", str(norm))


@fault(
    "optimizer-misuse",
    attribute="optimizer",
    visible="recipe",
    also=("lr-too-low", "too-few-epochs"),
)
def rate_of_adam_under_sgd(s: Script, _: Any) -> Script:
    """The optimizer was changed to plain SGD and Adam's rate kept."""
    _is(s, *ADAMS)
    return s.with_setting("optimizer", '"sgd"').with_setting("momentum", None)


@fault(
    "schedule-mismatch",
    ("tenth", "exponential", "steps", "warm-up"),
    attribute="schedule",
    visible="recipe",
    also=("too-few-epochs", "lr-too-low"),
)
def schedule_ends_early(s: Script, strength: str) -> Script:
    """The rate is (nearly) zero long before the end, or warms up all the way."""
    source = {
        "tenth": "lambda done: max(0.0, 1 - 20 * done)",
        "exponential": "lambda done: 0.001 ** (10 * done)",
        "steps": "lambda done: 0.1 ** int(40 * done)",
        "warm-up": "lambda done: 0.01 * done",
    }[strength]
    return s.with_setting("schedule", source)


@fault("low-precision", ("loss", "inputs"), attribute="precision", visible="early")
def halves_without_care(s: Script, strength: str) -> Script:
    """A loss computed in half precision: small gradients are lost, large values overflow."""
    only_if(s.facts["head"] == "mse" or s.facts["head"] == "huber", "no squared error")
    scale = "1e-7" if strength == "loss" else "300.0"
    if strength == "loss":
        body = f"    return nn.functional.mse_loss(outputs.half(), targets.half()) * {scale}"
    else:
        body = f"    return nn.functional.mse_loss({scale} * outputs.half(), {scale} * targets.half())"
    s = s.before_recipe("def loss(outputs: Tensor, targets: Tensor) -> Tensor:", body)
    return s.with_setting("loss", "loss")


@fault("low-precision", attribute="precision", visible="start", also=("lr-too-low",))
def weights_in_bfloat16(s: Script, _: Any) -> Script:
    """Weights kept in bfloat16 lose every small update."""
    only_if(s.has("output") and s.has("def-forward") and s.has("step"), "no forward of its own")
    only_if(not s.has("embedding") and not s.has("norm"), "inputs are no amounts")
    s = s.after_build("NET.to(torch.bfloat16)").after("def-forward", "        x = x.to(torch.bfloat16)")
    return s.sub("output", r"return (.*)$", r"return (\1).float()")
