"""Statistics of a batch: of what goes through every layer in one forward and backward pass.

Hooks are on the layers only while a `Tap` is open; statistics are computed on the device and fetched
together at the end, so that a step which is not tapped pays nothing and a tapped one synchronises once.
"""

from __future__ import annotations

from typing import Any

import attrs
import torch
from attrs import frozen
from torch import Tensor, nn

from netwright.recipe.edits import SATURATING
from netwright.runs.listening import Listener, Spot, first_tensor, unrecorded

STATISTICS = ("mean", "std", "zeros", "dead", "saturated", "gradient", "input_mean", "input_std")
BINS = 16
_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish)


@frozen
class LayerState:
    """A leaf module in one pass over B inputs. Shares are 0…1, `None` where there was nothing to measure.

    `mean`, `std`: over all values of the output. `zeros`: share of values that are exactly 0. `dead`: share
    of units (channels, or features) that are 0 for every input. `saturated`: share of values at the flat ends
    of a bounded activation. `gradient`: root mean square of the loss's gradient at the output, times B.
    `offset`, `spread`: of the input's features, the largest distance of a mean from 0 in standard deviations,
    and the ratio of the extreme standard deviations. `histogram`: counts of the output's values in 16 equal
    bins.
    """

    name: str
    kind: str
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None
    parameters: int
    mean: float | None = None
    std: float | None = None
    zeros: float | None = None
    dead: float | None = None
    saturated: float | None = None
    gradient: float | None = None
    input_mean: float | None = None
    input_std: float | None = None
    rectifier: bool = False
    histogram: tuple[int, ...] | None = None


class Tap:
    """Listens to `network` for one pass: `with Tap(network) as tap: loss(network(x)).backward()`, then
    `tap.states()`. With `only_differentiable`, passes that no gradient can flow back from are left out."""

    def __init__(
        self, network: nn.Module, *, histograms: bool = False, only_differentiable: bool = False
    ) -> None:
        self.histograms = histograms
        self.only_differentiable = only_differentiable
        self._listener = Listener(network, self._heard)
        self._order: list[str] = []
        self._seen: dict[str, LayerState] = {}
        self._values: dict[str, dict[str, Tensor]] = {}
        self._bins: dict[str, Tensor] = {}

    def __enter__(self) -> Tap:
        self._listener.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._listener.__exit__(*raised)

    def _heard(self, spot: Spot, arguments: tuple[Any, ...], result: Any) -> None:
        module = spot.module
        if module is None:
            return
        ends: tuple[float, float] | None = None
        if isinstance(module, SATURATING):
            ends = (0.0, 1.0) if isinstance(module, (nn.Sigmoid, nn.Hardsigmoid)) else (-1.0, 1.0)
        weighted = any(True for _ in module.parameters(recurse=False))
        state = self._seen.get(spot.name) or LayerState(
            spot.name,
            spot.kind,
            None,
            None,
            sum(p.numel() for p in module.parameters()),
            rectifier=isinstance(module, _RECTIFIERS),
        )
        self.note(state, arguments, result, ends=ends, weighted=weighted)

    def note(
        self,
        state: LayerState,
        arguments: Any,
        result: Any,
        *,
        ends: tuple[float, float] | None = None,
        weighted: bool = False,
    ) -> None:
        """The statistics of what `state` names made of its arguments; its shapes are filled in here. `ends`
        are those of a bounded activation's range."""
        output, name = first_tensor(result), state.name
        if output is None or (self.only_differentiable and not torch.is_grad_enabled()):
            return
        given = first_tensor(arguments)
        if name not in self._seen:
            self._order.append(name)
        self._seen[name] = attrs.evolve(
            state,
            input_shape=tuple(given.shape) if given is not None else None,
            output_shape=tuple(output.shape),
        )
        values = self._values[name] = {}
        with torch.no_grad(), unrecorded():
            floating = output.detach()
            if floating.is_floating_point() and floating.numel():
                floating = floating.float()
                values["mean"], values["std"] = _mean_and_std(floating)
                if state.rectifier:
                    values["zeros"] = 1 - (floating != 0).sum() / floating.numel()
                    alive = fires_by_unit(floating)
                    values["dead"] = 1 - alive.sum() / alive.numel()
                elif ends is not None:
                    values["saturated"] = _saturated(floating, *ends)
                if self.histograms:
                    self._bins[name] = _histogram(floating)
            if weighted and given is not None and given.is_floating_point():
                values["input_mean"], values["input_std"] = _mean_and_std(given.detach().float())
        if output.requires_grad:
            size = len(output) if output.ndim else 1
            output.register_hook(lambda gradient, v=values, b=size: _keep_gradient(v, gradient, b))

    def states(self) -> tuple[LayerState, ...]:
        """What was seen, in execution order; one transfer from the device."""
        flat = [(name, key, value) for name in self._order for key, value in self._values[name].items()]
        numbers = torch.stack([v.reshape(()).float() for _, _, v in flat]).tolist() if flat else []
        found: dict[str, dict[str, float]] = {name: {} for name in self._order}
        for (name, key, _), number in zip(flat, numbers, strict=True):
            found[name][key] = number
        bins = {n: tuple(int(c) for c in counts.tolist()) for n, counts in self._bins.items() if counts.any()}
        return tuple(
            attrs.evolve(self._seen[n], histogram=bins.get(n), **{k: found[n].get(k) for k in STATISTICS})
            for n in self._order
        )


def _keep_gradient(values: dict[str, Tensor], gradient: Tensor, size: int) -> None:
    values["gradient"] = torch.linalg.vector_norm(gradient.detach().float()) * (
        size / gradient.numel() ** 0.5
    )


def _mean_and_std(values: Tensor) -> tuple[Tensor, Tensor]:
    """Two vectorised passes: on a CPU a tenth of the time of `torch.std_mean`, and as exact."""
    mean = values.mean()
    return mean, torch.linalg.vector_norm(values - mean) / max(1, values.numel()) ** 0.5


def fires_by_unit(values: Tensor) -> Tensor:
    """(units,) whether a unit is other than 0 for any input: a channel (axis 1) of images (N, C, H, W); of
    (N, T, D) or (N, C, L), where either axis may be the units', the last one; else a feature."""
    if values.ndim >= 4:
        by_unit = values.flatten(2)
        return (by_unit.amax((0, 2)) != 0) | (by_unit.amin((0, 2)) != 0)
    flat = values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)
    return (flat.amax(0) != 0) | (flat.amin(0) != 0)


def _saturated(values: Tensor, low: float, high: float) -> Tensor:
    edge = 0.02 * (high - low)
    return ((values < low + edge) | (values > high - edge)).float().mean()


def _histogram(values: Tensor) -> Tensor:
    """Counts (BINS,) of the values that are finite."""
    finite = torch.isfinite(values)
    return torch.histc(values if bool(finite.all()) else values[finite], BINS)
