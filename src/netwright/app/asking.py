"""Single questions: every static and one-batch check of a network as it is, and one probe of a recipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import attrs
from torch import Tensor, nn
from torch.optim import Optimizer

from netwright import diagnosis as rooms
from netwright.app.results import DiagnoseResult, ProbeResult
from netwright.app.work import device_for
from netwright.catalogue import Catalogue
from netwright.diagnosis import probing
from netwright.recipe import Recipe, Training, load, parted, user_code
from netwright.recipe.samples import TensorSamples, as_tensor, tree_map
from netwright.recipe.source import layer_lines
from netwright.recipe.task import infer_task
from netwright.runs import Clocks, DataEvidence, Evidence, outputs_of, summarise
from netwright.runs.batch import examine_batch
from netwright.runs.forward import forward
from netwright.runs.subject import Subject, untouched
from netwright.trials import InlineEngine
from netwright.values import CheckSkipped, Finding, Spent, UserError, to_json

CLOCKS = Clocks(time.perf_counter, time.process_time)


def examine(
    model: nn.Module,
    batch: Any,
    loss: str | Callable[[Any, Tensor], Tensor],
    optimizer: Optimizer | None = None,
    *,
    muted: dict[str, str] | None = None,
) -> DiagnoseResult:
    """Every static and one-batch check of a network as it is, without a recipe; nothing of the user's is
    changed.

    `batch` is (inputs (B, ...), targets (B, ...)) or a dictionary with a target, `loss` a name or
    `loss(outputs, targets)`. Weights, buffers, gradients, modes, the optimizer's state and every random state
    are as before. Raises `UserError` for another kind of argument and `UserCodeError` for an exception that
    no check explains. Nothing is tried, so nothing is confirmed.
    """
    if not isinstance(model, nn.Module):
        raise UserError(
            f"examine: a {type(model).__name__} is no network; give an nn.Module, a batch and a loss"
        )
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise UserError(f"examine: a {type(optimizer).__name__} is no optimizer of torch")
    began = time.perf_counter()
    device = next((p.device for p in model.parameters()), None)
    inputs, targets = parted(batch)
    inputs, targets = tree_map(lambda t: t, inputs), as_tensor(targets, "targets")
    inputs = inputs if isinstance(inputs, (Tensor, dict, tuple, list)) else as_tensor(inputs, "inputs")
    if device is not None:
        inputs, targets = tree_map(lambda t: t.to(device), inputs), targets.to(device)
    training = Training(loss=loss)
    function = training.make_loss()

    def whole(network: nn.Module, inputs: Any, targets: Tensor) -> Tensor:
        return function(outputs_of(forward(network, inputs)), targets)

    name = type(model).__name__
    subject = Subject(model, inputs, targets, optimizer, whole, training.loss_name)
    checks = list(Catalogue.collect().checks.values())
    with user_code(name), untouched(model, optimizer):
        evidence = _evidence(subject, inputs, targets)
        evidence = probing.ask_all([evidence], checks, "batch", str(device or "cpu"))[0]
    items = list(rooms.examine([evidence], checks, muted))
    ranking = rooms.rank(i for i in items if isinstance(i, Finding))
    error = evidence.batch.error if evidence.batch else None
    if error is not None and not ranking.findings:
        raise rooms.unexplained(evidence, error)
    return DiagnoseResult(
        recipe=name,
        fingerprint="",
        healthy=False,
        outcome="findings" if ranking.findings else "inconclusive",
        findings=ranking.findings,
        considered=ranking.considered,
        spent=Spent(time.perf_counter() - began, samples=len(targets)),
        run="one batch, weights as they are",
        notes=(
            (
                "one batch was looked at and nothing was tried, so nothing is confirmed and nothing called"
                " healthy"
            ),
        ),
        skipped={i.check: i.reason for i in items if isinstance(i, CheckSkipped)},
    )


def _evidence(subject: Subject, inputs: Any, targets: Tensor) -> Evidence:
    places = layer_lines(subject.network)
    try:
        start = examine_batch(subject, places)
    except (RuntimeError, TypeError):  # a network that cannot be copied is examined itself, and put back
        start = examine_batch(subject, places, copied=False)
    part = summarise(TensorSamples(inputs, targets, "batch"))
    shape = start.batch.output_shape
    width = None if shape is None else shape[-1] if len(shape) > 1 else 1
    task = infer_task(targets, width, start.batch.loss_name, shape)
    if len(targets) < 64 and task.name == "regression" and start.batch.loss_name in ("cross_entropy", "nll"):
        # Whole numbers under a loss of classes are classes, though a few show little of them.
        name = task.name if targets.is_floating_point() else "classification"
        task = attrs.evolve(task, name=name, ambiguous=True)
    data = DataEvidence(part, part, task, True, whole=False)
    return Evidence(None, data, start.network, start.batch, start.optimizer, subject=subject)


def probe(
    recipe: Recipe | str,
    name: str,
    *,
    seed: int = 0,
    device: str | None = None,
    extensions: tuple[str, ...] = (),
) -> ProbeResult:
    """One experiment by its name (`overfit-batch`, `range-test`, `simple-models`, …) and its answer.

    Raises `UserError` for a name that there is not.
    """
    if name not in probing.PROBES:
        raise UserError(f"no probe {name!r}; there are {', '.join(sorted(probing.PROBES))}")
    if isinstance(recipe, str):
        recipe = load(recipe, extensions=extensions)
    where = device_for(device)
    began = time.perf_counter()
    with user_code(recipe.display_name):
        static = rooms.static_evidence(recipe, where)[0]
        answer = probing.answer(static, name, seed, where, InlineEngine(CLOCKS))
    document = to_json(answer) if answer is not None else None
    return ProbeResult(
        recipe.display_name, name, document, probing.describe(name), Spent(time.perf_counter() - began)
    )
