"""One real batch through the network as it is built: what happens before anything has been trained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from netwright.recipe import Recipe, Samples, seeded, stream
from netwright.recipe.edits import core
from netwright.runs.evidence import (
    BatchError,
    BatchEvidence,
    NetworkEvidence,
    OptimizerEvidence,
    ParameterState,
)
from netwright.runs.forward import forward, outputs_of
from netwright.runs.taps import LayerState, Tap


def first_batch(recipe: Recipe, seed: int) -> tuple[Any, Tensor]:
    """Inputs and targets of the first batch that a training with `seed` sees."""
    samples: Samples = recipe.training_samples
    order = None
    if samples.shuffles and recipe.settings.shuffle:
        generator = torch.Generator().manual_seed(stream(seed, "order", 0))
        order = torch.randperm(len(samples), generator=generator)[: recipe.settings.batch_size]
    inputs, targets, _ = next(samples.batches(recipe.settings.batch_size, order))
    return inputs, targets


def examine_start(
    recipe: Recipe, seed: int = 0, device: str = "cpu"
) -> tuple[NetworkEvidence, OptimizerEvidence | None, BatchEvidence]:
    """Build the network, send the first batch through it and back, and take one step; nothing of the user's
    changes.

    What forward, loss or backward raise is kept in `BatchEvidence.error`; what building raises comes out.
    """
    network, places = recipe.build_with_places(seed)
    network.to(device)
    inner = core(network)
    kinds = {name: type(module).__name__ for name, module in inner.named_modules() if name}
    if not kinds:
        kinds = {"": type(inner).__name__}
    optimizer = recipe.settings.make_optimizer(network)
    names = {id(p): n for n, p in inner.named_parameters()}
    held = [names.get(id(p), "?") for group in optimizer.param_groups for p in group["params"]]
    group = optimizer.param_groups[0]
    settings = {k: v for k, v in group.items() if k not in ("params", "lr")}
    about = OptimizerEvidence(type(optimizer).__name__, float(group["lr"]), settings, tuple(held))
    inputs, targets = first_batch(recipe, seed)
    move = torch.device(device)
    from netwright.recipe import tree_map

    inputs, targets = tree_map(lambda t: t.to(move), inputs), targets.to(move)
    with seeded(seed, "batch"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evidence = _pass(recipe, network, optimizer, inputs, targets, set(map(id, _params(optimizer))))
    return NetworkEvidence(kinds, places, recipe.start is not None), about, evidence


def _params(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _pass(
    recipe: Recipe,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Any,
    targets: Tensor,
    held: set[int],
) -> BatchEvidence:
    network.train()
    first = inputs if isinstance(inputs, Tensor) else next(iter(_tensors(inputs)))
    known: dict[str, Any] = {
        "size": len(targets),
        "input_shape": tuple(first.shape),
        "output_shape": None,
        "target_shape": tuple(targets.shape),
    }
    stage = "forward"
    error: BatchError | None = None
    layers: tuple[LayerState, ...] = ()
    with Tap(network, histograms=True) as tap:
        try:
            if recipe.settings.step is not None:
                result = recipe.settings.step(network, recipe.training_samples.as_batch(inputs, targets))
                loss = result["loss"] if isinstance(result, Mapping) else result
            else:
                outputs = outputs_of(forward(network, inputs))
                known |= describe_outputs(outputs.detach())
                stage = "loss"
                loss = recipe.settings.make_loss()(outputs, targets)
            known["loss"] = float(loss.detach())
            stage = "backward"
            if loss.requires_grad:
                loss.backward()
        except Exception as raised:  # kept: a check may explain it, else the verb shows it as the user's
            error = BatchError(
                stage, type(raised).__name__, str(raised), raised, _layer_running(raised, network)
            )
        layers = tap.states()
    parameters = tuple(
        parameter_state(name, p, id(p) in held) for name, p in core(network).named_parameters()
    )
    if error is None and recipe.settings.step is None:
        known["loss_after"] = _loss_after(recipe, network, optimizer, inputs, targets)
    return BatchEvidence(**known, layers=layers, parameters=parameters, error=error)


def _loss_after(
    recipe: Recipe, network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Any, targets: Tensor
) -> float | None:
    """The loss on the same batch after one step; `None` where that raises."""
    try:
        optimizer.step()
        with torch.no_grad():
            return float(recipe.settings.make_loss()(outputs_of(forward(network, inputs)), targets))
    except (RuntimeError, ValueError):
        return None


def describe_outputs(outputs: Tensor) -> dict[str, Any]:
    """What the numbers of a batch of outputs (B, ...) look like."""
    flat = outputs.float().reshape(len(outputs), -1)
    classes = (
        flat
        if outputs.ndim <= 2
        else outputs.float().flatten(2).transpose(1, 2).reshape(-1, outputs.shape[1])
    )
    finite = bool(torch.isfinite(flat).all())
    wide = classes.shape[-1] > 1
    unit = finite and float(flat.min()) >= 0 and float(flat.max()) <= 1
    sums = classes.sum(-1)
    logs = classes.exp().sum(-1) if finite else sums
    return {
        "output_shape": tuple(outputs.shape),
        "output_low": float(flat.min()),
        "output_high": float(flat.max()),
        "output_std_over_samples": float(flat.std(0).mean()) if len(flat) > 1 else None,
        "in_unit_interval": unit,
        "rows_sum_to_one": unit and wide and bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-4)),
        "rows_log_sum_to_zero": finite
        and wide
        and float(flat.max()) <= 0
        and bool(torch.allclose(logs, torch.ones_like(logs), atol=1e-3)),
    }


def parameter_state(name: str, parameter: nn.Parameter, held: bool) -> ParameterState:
    values = parameter.detach().float()
    gradient = float(parameter.grad.detach().float().norm()) if parameter.grad is not None else None
    many = values.numel() > 1
    return ParameterState(
        name,
        name.rpartition(".")[0],
        tuple(parameter.shape),
        parameter.requires_grad,
        held and parameter.requires_grad,
        gradient,
        float(values.norm()),
        float(values.std()) if many else 0.0,
        bool(many and (values == values.reshape(-1)[0]).all()),
    )


def _layer_running(raised: BaseException, network: nn.Module) -> str | None:
    """The name of the innermost module whose forward was being run when `raised` was raised."""
    names = {id(module): name for name, module in core(network).named_modules()}
    found, frame = None, raised.__traceback__
    while frame is not None:
        found = names.get(id(frame.tb_frame.f_locals.get("self")), found)
        frame = frame.tb_next
    return found


def _tensors(tree: Any) -> list[Tensor]:
    from netwright.recipe import tree_tensors

    return [t for _, t in tree_tensors(tree)]
