"""The training loop: lean, seeded, repeatable to the bit on a CPU, resumable at every step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor, nn

from netwright.recipe import Recipe, Samples, seeded, set_all, stream
from netwright.runs.forward import predict, sample_losses
from netwright.runs.run import Run, run_key
from netwright.runs.state import State
from netwright.runs.steering import Halted, Steering
from netwright.values import EpochEnded, RunEnded, RunStarted

Clock = Callable[[], float]
CHECKPOINT_SECONDS = 30.0


@frozen
class Clocks:
    """Wall and processor seconds, handed in by whoever runs the training."""

    wall: Clock
    cpu: Clock


def train(
    recipe: Recipe,
    seed: int,
    *,
    clocks: Clocks,
    epochs: int | None = None,
    device: str = "cpu",
    purpose: str = "",
    tapped: bool = True,
    keep_weights: bool = False,
    keep_outputs: bool = False,
    initial_weights: Mapping[str, Tensor] | None = None,
    checkpoint: Path | None = None,
    stop: Callable[[EpochEnded], bool] | None = None,
    max_steps: int | None = None,
    score_parts: tuple[str, ...] = ("train", "val"),
    after_epoch: Callable[[nn.Module, int], None] | None = None,
    steering: Steering | None = None,
) -> Generator[RunStarted | EpochEnded | RunEnded, None, Run]:
    """Train `recipe` with `seed` and yield its events; the generator's value is the `Run`.

    `epochs` shortens (or lengthens) the training with its schedule compressed; `stop(event)` ends it after an
    epoch, and `after_epoch(network, epoch)` sees the network then, from 1. A loss that is not finite ends the
    training, and the last weights are scored. With `checkpoint` the state of the last epoch is kept there,
    and a training that finds it goes on from it to the same bits as one never interrupted. `steering` is
    asked after every step and epoch, and may have the training taken up within an epoch, to the same bits
    too. Test data are never read here. Raises what the user's code raises, and `Halted` where the steering
    stops it.
    """
    settings, yardstick = recipe.settings, recipe.yardstick
    total_epochs = settings.epochs if epochs is None else epochs
    where = torch.device(device)
    parts = recipe.data.parts
    samples, val = recipe.training_samples.to(where), parts.val.to(where)
    key = run_key(recipe.fingerprint, seed, total_epochs, device)
    yield RunStarted(key, purpose, seed, total_epochs)
    began, began_cpu = clocks.wall(), clocks.cpu()

    network = recipe.build(seed)
    if initial_weights is not None:
        network.load_state_dict(dict(initial_weights))
    network.to(where)
    state = State(recipe, network, samples, seed, total_epochs, where, tapped, max_steps)
    start = state.resume(checkpoint if steering is None else steering.start)
    last_saved = began
    stopped = False
    seen: tuple[Tensor, Tensor] | None = None  # validation outputs and targets of the weights as they are
    with seeded(seed, "training"), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Using a target size"
        )  # the finding target-shape says it better
        if steering is not None and not steering.between(state):
            raise Halted
        for epoch in range(start, total_epochs if not state.diverged else start):
            set_all(stream(seed, "dropout", epoch))
            mean_loss, finite = state.epoch(epoch, steering)
            val_loss = val_score = None
            if "val" in score_parts:
                seen = predict(network, val)
                val_loss, val_score = _validated(*seen, recipe)
            state.note(mean_loss, val_loss, val_score)
            event = EpochEnded(key, epoch + 1, total_epochs, mean_loss, val_loss, val_score)
            if after_epoch is not None:
                after_epoch(network, epoch + 1)
            yield event
            if steering is not None and not steering.between(state):
                raise Halted
            if not finite or state.exhausted:
                break
            if checkpoint is not None and clocks.wall() - last_saved > CHECKPOINT_SECONDS:
                try:
                    state.save(checkpoint)
                except (OSError, RuntimeError):  # no room: that costs the resume, not the training
                    checkpoint = None
                last_saved = clocks.wall()
            if stop is not None and stop(event):
                stopped = True
                break
        kept = _scored(recipe, network, {"train": samples, "val": val}, score_parts, keep_outputs, seen)
    scores = {
        p: yardstick.metric.score(recipe.judged(guess), goal) for p, (guess, goal) in kept.pairs.items()
    }
    run = Run(
        key=key,
        fingerprint=recipe.fingerprint,
        seed=seed,
        epochs=total_epochs,
        steps=state.steps_done,
        seconds=clocks.wall() - began,
        cpu_seconds=clocks.cpu() - began_cpu,
        diverged=state.diverged,
        scores=scores,
        step_loss=np.concatenate([np.asarray(e, dtype=np.float64) for e in state.step_loss] or [np.empty(0)]),
        epoch_loss=_floats(state.epoch_loss),
        val_loss=_floats(state.val_loss),
        val_score=_floats(state.val_score),
        contributions=kept.contributions,
        sample_loss=kept.sample_loss,
        outputs=kept.outputs,
        layers=state.traces(),
        weights=_numpy_weights(network) if keep_weights else None,
        best_epoch=_best(state.val_loss),
        stopped_early=stopped,
    )
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    yield RunEnded(key, seed, total_epochs, run.steps, run.seconds, scores, run.diverged)
    return run


@frozen(eq=False)
class _Kept:
    pairs: Mapping[str, tuple[Tensor, Tensor]]
    contributions: Mapping[str, Any]
    sample_loss: Mapping[str, Any]
    outputs: Mapping[str, Any]


def _scored(
    recipe: Recipe,
    network: nn.Module,
    parts: Mapping[str, Samples],
    wanted: tuple[str, ...],
    keep_outputs: bool,
    seen: tuple[Tensor, Tensor] | None,
) -> _Kept:
    """Outputs, metric and losses of every sample of the parts, from the last weights."""
    metric = recipe.yardstick.metric
    pairs, contributions, losses, outputs = {}, {}, {}, {}
    for name in wanted:
        # Training samples are those that were trained on: what an edit took out need not be fitted.
        guess, goal = seen if name == "val" and seen is not None else predict(network, parts[name])
        pairs[name] = (guess, goal)
        if metric.contributions is not None:
            contributions[name] = metric.contributions(recipe.judged(guess), goal).double().cpu().numpy()
        try:
            each = sample_losses(recipe.settings, guess, goal)
        except (
            RuntimeError,
            IndexError,
            ValueError,
        ):  # a loss that these outputs or labels are not legal for
            each = None
        if each is not None:
            losses[name] = each.double().cpu().numpy()
        if keep_outputs:
            outputs[name] = guess.float().cpu().numpy()
    return _Kept(pairs, contributions, losses, outputs)


def _validated(outputs: Tensor, targets: Tensor, recipe: Recipe) -> tuple[float | None, float | None]:
    """Loss (mean over samples; `None` for a recipe with `step`) and metric of the validation part."""
    loss: float | None = None
    if recipe.settings.step is None:
        with torch.no_grad():
            loss = float(recipe.settings.make_loss()(outputs, targets))
    return loss, recipe.yardstick.metric.score(recipe.judged(outputs), targets)


def _numpy_weights(network: nn.Module) -> dict[str, Any]:
    kept = {}
    for name, tensor in network.state_dict().items():
        plain = tensor.detach().cpu()
        kept[name] = (plain.float() if plain.dtype == torch.bfloat16 else plain).contiguous().numpy().copy()
    return kept


def _best(val_loss: list[float | None]) -> int | None:
    """The epoch (from 1) of the lowest validation loss."""
    known = [(v, k) for k, v in enumerate(val_loss) if v is not None and np.isfinite(v)]
    return min(known)[1] + 1 if known else None


def _floats(values: list[Any]) -> Any:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
