"""How much the loss of each input asks of every place: a forward and a backward pass over all inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netwright.recipe import tree_map
from netwright.runs.by_input import Call, Output, listening, looked_at, size_of
from netwright.runs.forward import forward

Goal = Callable[[Any, Any], Tensor]  # (outputs, targets) -> a number to differentiate, a sum over the inputs
Places = dict[tuple[str, int], NDArray[np.float32]]


def gradients(
    network: nn.Module,
    batches: Iterable[tuple[Any, Any, Any]],
    goal: Goal,
    count: int,
    call: Call = forward,
) -> tuple[Places, Places]:
    """Of every place, by its name and call, two arrays (N,): the norm of the gradient of an input's own loss
    at its values there, and the sum of |value × gradient|, how much of the loss passes through.

    The network is left as it was.
    """
    norms, masses = Places(), Places()
    sizes = [0]
    start = 0

    def hear(output: Output) -> None:
        values = output.values.detach()
        if not output.source.requires_grad:
            return
        key = output.spot.name, output.spot.call
        for kept in (norms, masses):
            kept.setdefault(key, np.full(count, np.nan, dtype=np.float32))

        def came(gradient: Tensor) -> None:
            flat = output.laid(gradient.detach()).float()
            flat = flat.reshape(len(flat), -1)
            product = flat * values.reshape(flat.shape).float()
            stop = start + len(flat)
            norms[key][start:stop] = torch.linalg.vector_norm(flat, dim=1).cpu().numpy()
            masses[key][start:stop] = product.abs().sum(1).cpu().numpy()

        output.source.register_hook(came)

    with looked_at(network, gradients=True), listening(network, hear, sizes):
        for inputs, targets, _ in batches:
            sizes[0] = size_of(inputs)
            outputs = call(network, tree_map(differentiable, inputs))
            value = goal(outputs, targets)
            if value.requires_grad:
                value.backward()
            start += sizes[0]
            for parameter in network.parameters():
                parameter.grad = None
    return norms, masses


def differentiable(values: Tensor) -> Tensor:
    """Floating inputs with a gradient, and no leaf of the graph: a network may write into them."""
    if not values.is_floating_point():
        return values
    return values.detach().requires_grad_().clone()
