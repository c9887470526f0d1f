"""One recipe trained with one seed, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
TRACED = (
    "mean", "std", "zeros", "dead", "saturated", "gradient", "weight_gradient", "weight_norm", "update_ratio",
)  # fmt: skip


@frozen(eq=False)
class LayerTraces:
    """Statistics (L, S, K) of L layers at S sampled steps; the K are `TRACED`, NaN where there was nothing to
    measure.

    `update_ratio` is the norm of a step's change of the weight over the norm of the weight.
    """

    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    values: Numbers = field(factory=lambda: np.empty((0, 0, len(TRACED))))

    def of(self, statistic: str) -> Numbers:
        """(L, S) of one statistic."""
        return self.values[:, :, TRACED.index(statistic)]

    def last(self, statistic: str) -> dict[str, float]:
        """By layer, the value at the last sampled step; layers without one are left out."""
        if not self.steps:
            return {}
        column = self.of(statistic)[:, -1]
        return {n: float(v) for n, v in zip(self.names, column, strict=True) if np.isfinite(v)}


@frozen(eq=False)
class Run:
    """A finished training. Losses are means over samples; scores are the yardstick's metric.

    `step_loss` (steps,), `epoch_loss`, `val_loss`, `val_score` (epochs,). `contributions[part]` (N,) have the
    score of the part as their mean, `sample_loss[part]` (N,) and `outputs[part]` (N, ...) come from the last
    weights. What was not measured is absent.
    """

    key: str
    fingerprint: str
    seed: int
    epochs: int
    steps: int
    seconds: float
    cpu_seconds: float
    diverged: bool
    scores: Mapping[str, float]
    step_loss: Numbers
    epoch_loss: Numbers
    val_loss: Numbers
    val_score: Numbers
    contributions: Mapping[str, Numbers] = field(factory=dict)
    sample_loss: Mapping[str, Numbers] = field(factory=dict)
    outputs: Mapping[str, NDArray[np.float32]] = field(factory=dict)
    layers: LayerTraces = field(factory=LayerTraces)
    weights: Mapping[str, NDArray[Any]] | None = None
    best_epoch: int | None = None
    stopped_early: bool = False

    def document(self) -> dict[str, Any]:
        """The JSON part of what the journal keeps; `arrays` is the rest."""
        return {
            "key": self.key,
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "epochs": self.epochs,
            "steps": self.steps,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "diverged": self.diverged,
            "scores": dict(self.scores),
            "best_epoch": self.best_epoch,
            "stopped_early": self.stopped_early,
            "layer_names": list(self.layers.names),
            "layer_kinds": list(self.layers.kinds),
            "layer_steps": list(self.layers.steps),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        kept: dict[str, NDArray[Any]] = {
            "step_loss": self.step_loss,
            "epoch_loss": self.epoch_loss,
            "val_loss": self.val_loss,
            "val_score": self.val_score,
            "layers": self.layers.values,
        }
        for group in ("contributions", "sample_loss", "outputs"):
            kept |= {f"{group}.{part}": values for part, values in getattr(self, group).items()}
        return kept

    @staticmethod
    def restore(document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Run:
        """The run that `document` and `arrays` were made of, without its weights."""
        groups: dict[str, Any] = {"contributions": {}, "sample_loss": {}, "outputs": {}}
        for name, values in arrays.items():
            group, dot, part = name.partition(".")
            if dot:
                groups[group][part] = values
        layers = LayerTraces(
            tuple(document["layer_names"]),
            tuple(document["layer_kinds"]),
            tuple(document["layer_steps"]),
            arrays["layers"],
        )
        plain = {k: v for k, v in document.items() if not k.startswith("layer_")}
        curves: dict[str, Any] = {k: arrays[k] for k in ("step_loss", "epoch_loss", "val_loss", "val_score")}
        # Numbers that were not finite are null in JSON; a score is always a number.
        plain["scores"] = {k: float("nan") if v is None else v for k, v in plain["scores"].items()}
        return Run(**plain, **curves, **groups, layers=layers)


def run_key(fingerprint: str, seed: int, epochs: int, device: str) -> str:
    """What makes two trainings the same one."""
    kind = device.split(":")[0]
    return f"{fingerprint}-s{seed}-e{epochs}" + ("" if kind == "cpu" else f"-{kind}")
