"""How a network is trained: loss, optimizer, schedule and the rest, by name or by the user's own function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor, nn
from torch.nn import functional as F

from netwright.recipe.source import Birthplace, birthplace
from netwright.values import UserError

LOSSES = ("cross_entropy", "nll", "bce", "bce_with_logits", "mse", "l1", "huber")
SCHEDULES = ("constant", "linear", "cosine", "step", "warmup", "one_cycle")
AUGMENTATIONS = ("noise", "shift", "flip")
PRECISIONS = ("float32", "bf16", "fp16")
OPTIMIZERS = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type)
    and issubclass(kind, torch.optim.Optimizer)
    and kind is not torch.optim.Optimizer
}


def _among(kind: str, names: Any, *, optional: bool = True, function: bool = True) -> Callable[..., None]:
    def validate(_: Any, attribute: Any, value: Any) -> None:
        named = isinstance(value, str) and value in names
        if named or (optional and value is None) or (function and callable(value)):
            return
        raise UserError(
            f"training: {attribute.name}={value!r} is no {kind}; say one of {', '.join(sorted(names))}"
            f"{', or a function' if function else ''}"
        )

    return validate


def _number(
    low: float, high: float = math.inf, *, open_low: bool = False, optional: bool = True
) -> Callable[..., None]:
    def validate(_: Any, attribute: Any, value: Any) -> None:
        if value is None and optional:
            return
        fits = (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and low <= value <= high
            and not (open_low and value == low)
            and math.isfinite(value)
        )
        if not fits:
            limits = f"above {low:g}" if open_low else f"at least {low:g}"
            limits += "" if high == math.inf else f", at most {high:g}"
            raise UserError(f"training: {attribute.name}={value!r} must be a number {limits}")

    return validate


def _whole(_: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"training: {attribute.name}={value!r} must be a whole number of at least 1")


def _yes_or_no(_: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, bool):
        raise UserError(f"training: {attribute.name}={value!r} must be True or False")


def _function(_: Any, attribute: Any, value: Any) -> None:
    if value is not None and not callable(value):
        raise UserError(f"training: {attribute.name}={value!r} must be a function")


def _named(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise UserError(f"training: options={value!r} must be a dictionary of settings by name")
    return dict(value)


def _weights(value: Any) -> tuple[float, ...] | None:
    try:
        return None if value is None else tuple(map(float, value))
    except (TypeError, ValueError):
        raise UserError(f"training: class_weights={value!r} must be numbers, one a class") from None


@frozen(eq=False)
class Training:
    """Settings of a training. `None` means not given: torch's default then holds.

    `loss(outputs, targets) -> scalar` and `optimizer(parameters, **settings that were given)` may be the
    user's own; `step(network, batch) -> loss or {"loss": ..., name: value}` replaces forward and loss whole.
    `schedule` is a name or a function of the share of training done (0…1) that returns a factor of the rate.
    `clip` bounds the gradient's norm. Raises `UserError` for values that are none of these; what trains badly
    is a finding, not an error.
    """

    loss: str | Callable[[Any, Tensor], Tensor] | None = field(default=None, validator=_among("loss", LOSSES))
    optimizer: str | Callable[..., torch.optim.Optimizer] = field(
        default="adam", validator=_among("optimizer of torch.optim", OPTIMIZERS, optional=False)
    )
    lr: float | None = field(default=None, validator=_number(0.0))
    momentum: float | None = field(default=None, validator=_number(0.0))
    weight_decay: float | None = field(default=None, validator=_number(0.0))
    batch_size: int = field(default=32, validator=_whole)
    epochs: int = field(default=10, validator=_whole)
    schedule: str | Callable[[float], float] | None = field(
        default=None, validator=_among("schedule", SCHEDULES)
    )
    clip: float | None = field(default=None, validator=_number(0.0, open_low=True))
    augment: str | Callable[[Any], Any] | None = field(
        default=None, validator=_among("augmentation", AUGMENTATIONS)
    )
    label_smoothing: float = field(default=0.0, validator=_number(0.0, 1.0, optional=False))
    shuffle: bool = field(default=True, validator=_yes_or_no)
    precision: str = field(
        default="float32", validator=_among("precision", PRECISIONS, optional=False, function=False)
    )
    options: Mapping[str, Any] = field(factory=dict, converter=_named)
    step: Callable[[nn.Module, Any], Any] | None = field(default=None, validator=_function)
    class_weights: tuple[float, ...] | None = field(default=None, converter=_weights, kw_only=True)
    target_scaling: tuple[tuple[float, ...], tuple[float, ...]] | None = field(default=None, kw_only=True)
    made_at: Birthplace = field(factory=birthplace, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.loss is None and self.step is None:
            raise UserError(
                "training: no loss; say loss='cross_entropy' or another name, a function, or step="
            )

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """An optimizer over the network's trainable parameters with the settings that were given."""
        given = {
            k: getattr(self, k) for k in ("lr", "momentum", "weight_decay") if getattr(self, k) is not None
        }
        given |= {k: tuple(v) if isinstance(v, list) else v for k, v in self.options.items()}
        parameters = [p for p in network.parameters() if p.requires_grad]
        if not parameters:
            parameters = list(network.parameters())
        if not isinstance(self.optimizer, str):
            return self.optimizer(parameters, **given)
        kind = OPTIMIZERS[self.optimizer]
        if self.optimizer in ("adam", "adamw", "nadam", "radam", "adamax") and "momentum" in given:
            given["betas"] = (given.pop("momentum"), given.get("betas", (0.9, 0.999))[1])
        try:
            return kind(parameters, **given)
        except (TypeError, ValueError) as wrong:
            raise UserError(
                f"training: {self.optimizer} does not take these settings ({wrong}); change or drop them"
            ) from wrong

    @property
    def loss_name(self) -> str | None:
        """The loss by its name, also where it was given as torch's class or function; `None` for the user's
        own."""
        if isinstance(self.loss, str):
            return self.loss
        return _NAMES.get(getattr(self.loss, "__name__", type(self.loss).__name__))

    @property
    def plain_loss(self) -> str | None:
        """`loss_name` where settings of ours can stand for it: a name, torch's function, or an instance of
        torch's class with no setting of its own."""
        if isinstance(self.loss, nn.Module) and self.loss_name is not None:
            plain = _settings_of(type(self.loss)()) == _settings_of(self.loss) and not [*self.loss.buffers()]
            return self.loss_name if plain else None
        return self.loss_name

    def make_loss(self) -> Callable[[Any, Tensor], Tensor]:
        """`loss(outputs, targets)`, a scalar; the same arithmetic as torch's function of that name."""
        if self.loss is None:
            raise UserError(
                "training: this recipe has step= and no loss=; what needs the loss alone cannot run"
            )
        named = self.loss if isinstance(self.loss, str) else None
        if named is None and (self.class_weights or self.label_smoothing):
            named = self.plain_loss
        base = self.loss if named is None else _named_loss(self, named)
        assert callable(base)
        if self.target_scaling is None:
            return base
        mean, std = (torch.tensor(v) for v in self.target_scaling)

        def scaled(outputs: Tensor, targets: Tensor) -> Tensor:
            center, unit = mean.to(outputs), std.to(outputs)
            if targets.ndim == 1:
                center, unit = center[0], unit[0]
            return base((outputs - center) / unit, (targets - center) / unit)

        return scaled

    def factor(self, done: float) -> float:
        """The schedule's factor of the rate when the share `done` (0…1) of the training is over."""
        if self.schedule is None:
            return 1.0
        if callable(self.schedule):
            return float(self.schedule(done))
        return _SCHEDULE[self.schedule](done)


_NAMES = {
    "CrossEntropyLoss": "cross_entropy",
    "cross_entropy": "cross_entropy",
    "NLLLoss": "nll",
    "nll_loss": "nll",
    "BCELoss": "bce",
    "binary_cross_entropy": "bce",
    "BCEWithLogitsLoss": "bce_with_logits",
    "binary_cross_entropy_with_logits": "bce_with_logits",
    "MSELoss": "mse",
    "mse_loss": "mse",
    "L1Loss": "l1",
    "l1_loss": "l1",
    "HuberLoss": "huber",
    "SmoothL1Loss": "huber",
    "huber_loss": "huber",
    "smooth_l1_loss": "huber",
}
_SCHEDULE: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: max(0.0, 1.0 - done),
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0))),
    "step": lambda done: 0.1 ** int(3 * min(done, 0.999)),
    "warmup": lambda done: min(1.0, 0.01 + done / 0.1),
    "one_cycle": lambda done: (
        0.04 + 0.96 * done / 0.3
        if done < 0.3
        else 0.5 * (1 + math.cos(math.pi * min((done - 0.3) / 0.7, 1.0)))
    ),
}


def _settings_of(loss: nn.Module) -> dict[str, Any]:
    return {k: v for k, v in vars(loss).items() if not k.startswith("_") and k != "training"}


def _named_loss(training: Training, name: str) -> Callable[[Any, Tensor], Tensor]:
    weights = torch.tensor(training.class_weights) if training.class_weights else None
    smoothing = training.label_smoothing

    def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
        weight = weights.to(outputs) if weights is not None else None
        return F.cross_entropy(outputs, targets, weight=weight, label_smoothing=smoothing)

    def nll(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.nll_loss(outputs, targets, weight=weights.to(outputs) if weights is not None else None)

    def positive(outputs: Tensor) -> Tensor | None:
        # Two classes: (weight of 0, weight of 1) as the factor of the positive one.
        return (weights[1] / weights[0]).to(outputs) if weights is not None and len(weights) == 2 else None

    def smooth(targets: Tensor, outputs: Tensor) -> Tensor:
        goal = targets.to(outputs.dtype)
        return goal * (1 - smoothing) + 0.5 * smoothing if smoothing else goal

    losses: dict[str, Callable[[Any, Tensor], Tensor]] = {
        "cross_entropy": cross_entropy,
        "nll": nll,
        "bce": lambda o, t: F.binary_cross_entropy(o, smooth(t, o)),
        "bce_with_logits": lambda o, t: F.binary_cross_entropy_with_logits(
            o, smooth(t, o), pos_weight=positive(o)
        ),
        "mse": lambda o, t: F.mse_loss(o, t.to(o.dtype)),
        "l1": lambda o, t: F.l1_loss(o, t.to(o.dtype)),
        "huber": lambda o, t: F.huber_loss(o, t.to(o.dtype)),
    }
    return losses[name]
