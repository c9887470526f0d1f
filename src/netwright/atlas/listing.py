"""The listing: a line a layer in execution order, with shapes, parameters, FLOPs, behaviour and gradient."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from netwright.recipe import seeded, tree_tensors
from netwright.recipe.edits import core
from netwright.recipe.source import Birthplace, shown
from netwright.runs import LayerState, Tap, forward
from netwright.values import Finding, LayerLine


def listing(
    network: nn.Module,
    inputs: Any,
    *,
    backward: Callable[[Any], Tensor] | None = None,
    places: Mapping[str, Birthplace] | None = None,
    findings: Sequence[Finding] = (),
) -> tuple[LayerLine, ...]:
    """One line a leaf module that ran, from one pass over `inputs` (B, ...) in evaluation mode.

    `backward(outputs) -> loss` adds the gradients; without it the pass records none. Modes, gradients,
    buffers and random states are as before. Raises what the network's forward raises.
    """
    modes = {module: module.training for module in network.modules()}
    kept = {name: p.grad for name, p in network.named_parameters()}
    size = max(1, next((len(t) for _, t in tree_tensors(inputs)), 1))
    counter = FlopCounterMode(display=False)
    try:
        network.eval()
        for parameter in network.parameters():
            parameter.grad = None
        with seeded(0, "listing"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with torch.set_grad_enabled(backward is not None), Tap(network, histograms=True) as tap:
                with counter:
                    outputs = forward(network, inputs)
                if backward is not None:
                    loss = backward(outputs)
                    if loss.requires_grad:
                        loss.backward()
        gradients = {n: p.grad for n, p in core(network).named_parameters()}
        states = tap.states()
        return tuple(_line(s, network, counter, size, gradients, places or {}, findings) for s in states)
    finally:
        for module, mode in modes.items():
            module.training = mode
        for name, parameter in network.named_parameters():
            parameter.grad = kept[name]


def _line(
    state: LayerState,
    network: nn.Module,
    counter: FlopCounterMode,
    size: int,
    gradients: Mapping[str, Tensor | None],
    places: Mapping[str, Birthplace],
    findings: Sequence[Finding],
) -> LayerLine:
    inner = core(network)
    module = inner.get_submodule(state.name) if state.name else inner
    own = dict(module.named_parameters())
    born = places.get(state.name)
    return LayerLine(
        name=state.name,
        kind=state.kind,
        depth=state.name.count("."),
        input_shape=state.input_shape[1:] if state.input_shape else None,
        output_shape=state.output_shape[1:] if state.output_shape else None,
        parameters=state.parameters,
        flops=_flops(counter, network, state.name, size),
        trainable=any(p.requires_grad for p in own.values()) if own else None,
        file=shown(born.file) if born else None,
        line=born.line if born else None,
        behaviour={
            "zeros": state.zeros,
            "dead": state.dead,
            "saturated": state.saturated,
            "mean": state.mean,
            "std": state.std,
            "histogram": list(state.histogram) if state.histogram else None,
            "gradient": _relative_gradient(module, state.name, gradients),
        },
        findings=tuple(f.id for f in findings if f.where.layer == state.name and f.where.layer is not None),
    )


def _flops(counter: FlopCounterMode, network: nn.Module, name: str, size: int) -> int | None:
    """FLOPs of one sample in the named layer, by torch's own counter; `None` where it counted none."""
    prefix = type(network).__name__
    inner, path = network, prefix
    while inner is not core(network):
        inner = inner.network  # type: ignore[assignment]
        path += ".network"
    counts = counter.get_flop_counts().get(f"{path}.{name}" if name else path)
    return round(sum(counts.values()) / size) if counts else None


def _relative_gradient(module: nn.Module, name: str, gradients: Mapping[str, Tensor | None]) -> float | None:
    """Norm of the gradient of the layer's largest parameter over that parameter's norm."""
    own = list(module.named_parameters(recurse=False))
    if not own:
        return None
    key, weight = max(own, key=lambda item: item[1].numel())
    gradient = gradients.get(f"{name}.{key}" if name else key)
    norm = float(weight.detach().norm())
    return float(gradient.norm()) / norm if gradient is not None and norm else None


def places_below(places: Mapping[str, Birthplace], names: Iterable[str]) -> dict[str, Birthplace]:
    """The place of each name, or of the nearest module above it that has one."""
    found = {}
    for name in names:
        above = name
        while above not in places and above:
            above = above.rpartition(".")[0]
        if above in places:
            found[name] = places[above]
    return found
