"""Running a network over a part of the data, and the losses of single samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netwright.recipe import Samples, Training

EVALUATION_BATCH = 512  # fits a small network's activations into the processor's cache


def outputs_of(result: Any) -> Tensor:
    """The tensor of outputs in what a network returns: itself, its `logits`, or the first tensor."""
    if isinstance(result, Tensor):
        return result
    logits = getattr(result, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    if isinstance(result, Mapping):
        result = result["logits"] if "logits" in result else next(iter(result.values()))
        return outputs_of(result)
    if isinstance(result, (tuple, list)) and result:
        return outputs_of(result[0])
    raise TypeError(
        f"the network returned a {type(result).__name__}, not a tensor, a tuple or a dictionary of tensors"
    )


def forward(network: nn.Module, inputs: Any) -> Any:
    """`network(inputs)`; a dictionary of inputs goes by name."""
    return network(**inputs) if isinstance(inputs, Mapping) else network(inputs)


@torch.no_grad()
def predict(
    network: nn.Module, samples: Samples, batch_size: int = EVALUATION_BATCH
) -> tuple[Tensor, Tensor]:
    """Outputs (N, ...) and targets (N, ...) in evaluation mode, on the device of the samples; the mode is put
    back."""
    was_training = network.training
    network.eval()
    try:
        outputs, targets = [], []
        for inputs, goal, _ in samples.batches(batch_size):
            outputs.append(outputs_of(forward(network, inputs)))
            targets.append(goal)
        return torch.cat(outputs), torch.cat(targets)
    finally:
        network.train(was_training)


def sample_losses(training: Training, outputs: Tensor, targets: Tensor) -> Tensor | None:
    """The loss of every sample (N,), without smoothing or weights; `None` for a loss of the user's own."""
    if training.target_scaling is not None:
        mean, std = (torch.tensor(v).to(outputs) for v in training.target_scaling)
        if targets.ndim == 1:
            mean, std = mean[0], std[0]
        outputs, targets = (outputs - mean) / std, (targets - mean) / std
    goal = targets.to(outputs.dtype) if targets.shape == outputs.shape else targets
    each: Tensor
    match training.loss:
        case "cross_entropy":
            each = F.cross_entropy(outputs, targets, reduction="none")
        case "nll":
            each = F.nll_loss(outputs, targets, reduction="none")
        case "bce" if outputs.shape == targets.shape:
            each = F.binary_cross_entropy(outputs, goal, reduction="none")
        case "bce_with_logits" if outputs.shape == targets.shape:
            each = F.binary_cross_entropy_with_logits(outputs, goal, reduction="none")
        case "mse" if outputs.shape == targets.shape:
            each = F.mse_loss(outputs, goal, reduction="none")
        case "l1" if outputs.shape == targets.shape:
            each = F.l1_loss(outputs, goal, reduction="none")
        case "huber" if outputs.shape == targets.shape:
            each = F.huber_loss(outputs, goal, reduction="none")
        case _:
            return None
    return each.reshape(len(each), -1).mean(1)
