"""One real batch through the network as it is built: what happens before anything has been trained."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from netwright.recipe import Recipe, seeded, tree_tensors
from netwright.recipe.edits import core
from netwright.recipe.source import Birthplace
from netwright.runs.calls import LOSS_NAMES
from netwright.runs.evidence import (
    BatchError,
    BatchEvidence,
    NetworkEvidence,
    OptimizerEvidence,
    ParameterState,
)
from netwright.runs.forward import outputs_of
from netwright.runs.operations import Recorder
from netwright.runs.subject import Subject, first_batch
from netwright.runs.taps import Tap

__all__ = ["Start", "describe_outputs", "examine_batch", "examine_start", "first_batch", "parameter_state"]


@frozen(eq=False)
class Start:
    """A network before its first step: what it is made of, what one batch does in it, and the subject, with
    initial weights, for further experiments. `optimizer` is `None` where there is none."""

    network: NetworkEvidence
    optimizer: OptimizerEvidence | None
    batch: BatchEvidence
    subject: Subject


def examine_start(recipe: Recipe, seed: int = 0, device: str = "cpu") -> Start:
    """Build the recipe's network and send the first batch through it.

    What forward, loss or backward raise is kept in `BatchEvidence.error`; what building raises comes out.
    """
    network, places = recipe.build_with_places(seed)
    subject = Subject.of(recipe, network, seed, device)
    return examine_batch(subject, places, seed, pretrained=recipe.start is not None)


def examine_batch(
    subject: Subject,
    places: Mapping[str, Birthplace],
    seed: int = 0,
    *,
    pretrained: bool = False,
    copied: bool = True,
) -> Start:
    """Send the subject's batch forward and back in training mode and take one step, on a copy of it.

    With `copied=False` on the subject itself, for what cannot be copied; the caller then puts it back.
    """
    inner = core(subject.network)
    kinds = {name: type(module).__name__ for name, module in inner.named_modules() if name}
    if not kinds:
        kinds = {"": type(inner).__name__}
    with seeded(seed, "batch"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        used = subject.copy() if copied else subject
        batch = _pass(used)
    return Start(NetworkEvidence(kinds, places, pretrained), _optimizer(subject), batch, subject)


def _optimizer(subject: Subject) -> OptimizerEvidence | None:
    if subject.optimizer is None:
        return None
    names = {id(p): n for n, p in core(subject.network).named_parameters()}
    groups = subject.optimizer.param_groups
    held = tuple(names.get(id(p), "?") for group in groups for p in group["params"])
    settings = {k: v for k, v in groups[0].items() if k not in ("params", "lr")}
    return OptimizerEvidence(type(subject.optimizer).__name__, float(groups[0]["lr"]), settings, held)


def _pass(subject: Subject) -> BatchEvidence:
    network = subject.network
    network.train()
    network.zero_grad(set_to_none=True)  # of a network in use: what is measured is this pass alone
    first = next(t for _, t in tree_tensors(subject.inputs))
    known: dict[str, Any] = {
        "size": len(subject.targets),
        "input_shape": tuple(first.shape),
        "output_shape": None,
        "target_shape": tuple(subject.targets.shape),
        "loss_name": subject.loss_name,
    }
    stage, error = "forward", None
    recorder = Recorder(network)
    with Tap(network, histograms=True) as tap:
        try:
            with recorder:
                loss = subject.loss(network, subject.inputs, subject.targets)
            stage = "loss"
            known |= _of_loss(loss)
            stage = "backward"
            if loss.requires_grad:
                loss.backward()
        except Exception as raised:  # kept: a check may explain it, else the verb shows it as the user's
            stage = "loss" if stage == "forward" and recorder.outputs is not None else stage
            running = _layer_running(raised, network)
            error = BatchError(stage, type(raised).__name__, str(raised), raised, running)
        layers = tap.states()
    if recorder.outputs is not None:
        with contextlib.suppress(TypeError, StopIteration):  # what it returned holds no tensor
            known |= describe_outputs(outputs_of(recorder.outputs).detach())
    operations = recorder.operations()
    if operations.loss_call is not None:
        known["loss_name"] = LOSS_NAMES[operations.loss_call.name]
    held = {id(p) for g in subject.optimizer.param_groups for p in g["params"]} if subject.optimizer else None
    parameters = tuple(
        parameter_state(name, p, held is None or id(p) in held)
        for name, p in core(network).named_parameters()
    )
    if error is None and subject.optimizer is not None:
        known["loss_after"] = _loss_after(subject)
    return BatchEvidence(**known, layers=layers, parameters=parameters, operations=operations, error=error)


def _of_loss(loss: Any) -> dict[str, Any]:
    if not isinstance(loss, Tensor):
        raise TypeError(f"the loss is a {type(loss).__name__}, not a tensor: nothing can be learned from it")
    if loss.numel() != 1:
        raise ValueError(
            f"the loss has {loss.numel()} values, shape {tuple(loss.shape)}, where one number is needed; take"
            " its mean"
        )
    return {"loss": float(loss.detach()), "loss_has_graph": loss.requires_grad}


def _loss_after(subject: Subject) -> float | None:
    """The loss on the same batch after one step; `None` where that raises."""
    assert subject.optimizer is not None
    try:
        if isinstance(subject.optimizer, torch.optim.LBFGS):
            return None
        subject.optimizer.step()
        with torch.no_grad():
            return float(subject.loss(subject.network, subject.inputs, subject.targets))
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
    # On a CPU a sixth of the time of `std()`, and a twentieth of that of comparing all with the first.
    spread = torch.linalg.vector_norm(values - values.mean()) / (values.numel() - 1) ** 0.5 if many else 0.0
    low, high = torch.aminmax(values) if many else (0.0, 1.0)
    return ParameterState(
        name,
        name.rpartition(".")[0],
        tuple(parameter.shape),
        parameter.requires_grad,
        held and parameter.requires_grad,
        gradient,
        float(values.norm()),
        float(spread),
        bool(low == high),
    )


def _layer_running(raised: BaseException, network: nn.Module) -> str | None:
    """The name of the innermost module whose forward was being run when `raised` was raised."""
    names = {id(module): name for name, module in core(network).named_modules()}
    found, frame = None, raised.__traceback__
    while frame is not None:
        found = names.get(id(frame.tb_frame.f_locals.get("self")), found)
        frame = frame.tb_next
    return found
