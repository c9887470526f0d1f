"""The training loop: lean, seeded, repeatable to the bit on a CPU, resumable at every epoch."""

from __future__ import annotations

import contextlib
import pickle
import warnings
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor, nn

from netwright.recipe import Recipe, Samples, seeded, set_all, stream
from netwright.runs.forward import forward, outputs_of, predict, sample_losses
from netwright.runs.run import TRACED, LayerTraces, Run, run_key
from netwright.runs.taps import Tap
from netwright.values import EpochEnded, RunEnded, RunStarted, UserError

Clock = Callable[[], float]
MAX_TAPPED = 12
CHECKPOINT_SECONDS = 30.0


@frozen
class Clocks:
    """Wall and processor seconds, handed in by whoever runs the training."""

    wall: Clock
    cpu: Clock


def tapped_steps(total: int) -> frozenset[int]:
    """The steps whose layers are recorded: the first, the last and some between; about 1 % of a short
    training."""
    count = min(MAX_TAPPED, max(3, total // 100))
    return (
        frozenset(round(k * (total - 1) / (count - 1)) for k in range(count))
        if total > count
        else frozenset(range(total))
    )


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
) -> Generator[RunStarted | EpochEnded | RunEnded, None, Run]:
    """Train `recipe` with `seed` and yield its events; the generator's value is the `Run`.

    `epochs` shortens (or lengthens) the training with its schedule compressed; `stop(event)` ends it after an
    epoch, and `after_epoch(network, epoch)` sees the network then, from 1. A loss that is not finite ends the
    training, and the last weights are scored. With `checkpoint` the state of the last epoch is kept there,
    and a training that finds it goes on from it to the same bits as one never interrupted. Test data are
    never read here. Raises what the user's code raises.
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
    state = _State(recipe, network, samples, seed, total_epochs, where, tapped, max_steps)
    start = state.resume(checkpoint)
    last_saved = began
    stopped = False
    seen: tuple[Tensor, Tensor] | None = None  # validation outputs and targets of the weights as they are
    with seeded(seed, "training"), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Using a target size"
        )  # the finding target-shape says it better
        for epoch in range(start, total_epochs):
            set_all(stream(seed, "dropout", epoch))
            mean_loss, finite = state.epoch(epoch)
            val_loss = val_score = None
            if "val" in score_parts:
                seen = predict(network, val)
                val_loss, val_score = _validated(*seen, recipe)
            state.note(mean_loss, val_loss, val_score)
            event = EpochEnded(key, epoch + 1, total_epochs, mean_loss, val_loss, val_score)
            if after_epoch is not None:
                after_epoch(network, epoch + 1)
            yield event
            if not finite or state.exhausted:
                break
            if checkpoint is not None and clocks.wall() - last_saved > CHECKPOINT_SECONDS:
                try:
                    state.save(checkpoint, epoch + 1)
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


class _State:
    """The life of one training: network, optimizer, schedule, and what has been recorded."""

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Module,
        samples: Samples,
        seed: int,
        epochs: int,
        device: torch.device,
        tapped: bool,
        max_steps: int | None,
    ) -> None:
        self.recipe, self.settings = recipe, recipe.settings
        self.network, self.samples, self.seed, self.device = network, samples, seed, device
        self.optimizer = self.settings.make_optimizer(network)
        self.loss = self.settings.make_loss() if self.settings.step is None else None
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.per_epoch = max(1, -(-len(samples) // self.settings.batch_size)) if samples.shuffles else 0
        self.total_steps = self.per_epoch * epochs
        self.epochs = epochs
        self.max_steps = max_steps
        self.tapped = tapped_steps(self.total_steps) if tapped and self.total_steps else frozenset({0})
        self.tapped = self.tapped if tapped else frozenset()
        self.steps_done = 0
        self.diverged = False
        self.exhausted = False
        self.step_loss: list[list[float]] = []
        self.epoch_loss: list[float] = []
        self.val_loss: list[float | None] = []
        self.val_score: list[float | None] = []
        self._layers: dict[str, dict[int, list[float]]] = {}
        self._kinds: dict[str, str] = {}
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.settings.precision)
        self._autocast = (
            (lambda: torch.autocast(device.type, dtype=half)) if half is not None else contextlib.nullcontext
        )
        self._scaler = torch.amp.GradScaler(device.type) if half is torch.float16 else None
        self._spread: Tensor | None = None
        if self.settings.augment == "noise":
            given = samples.head(1024)[0]
            if isinstance(given, Tensor) and given.is_floating_point() and len(given) > 1:
                from netwright.runs.augment import spread_of

                self._spread = spread_of(given.to(device))
        self._wants_closure = isinstance(self.optimizer, torch.optim.LBFGS)
        one_tensor = isinstance(getattr(samples, "inputs", None), Tensor)
        self._plain = half is None and self.loss is not None and one_tensor
        self._parameters = [p for p in network.parameters() if p.requires_grad]

    def epoch(self, epoch: int) -> tuple[float, bool]:
        """One pass over the training samples: the mean loss over them, and whether every loss was finite."""
        self.network.train()
        losses: list[Tensor] = []
        sizes: list[int] = []
        augment = self._augmentation(epoch)
        for inputs, targets, rows in self.samples.batches(self.settings.batch_size, self._order(epoch)):
            if augment is not None:
                inputs = augment(inputs, rows)
            self._schedule(epoch, len(losses))
            if self.steps_done in self.tapped:
                losses.append(self._tapped_step(inputs, targets))
            else:
                losses.append(self._step(inputs, targets))
            sizes.append(len(rows))
            self.steps_done += 1
            if self.max_steps is not None and self.steps_done >= self.max_steps:
                self.exhausted = True
                break
        if not losses:
            raise UserError("data: the training loader gave no batch; give it samples")
        values = torch.stack(losses).double().cpu()
        self.step_loss.append(values.tolist())
        finite = bool(torch.isfinite(values).all())
        self.diverged = not finite
        mean = float((values * torch.tensor(sizes)).sum() / sum(sizes))
        if not self.per_epoch:  # the first pass over a loader tells how long one is
            self.per_epoch = len(losses)
            self.total_steps = self.per_epoch * self.epochs
        return mean, finite

    def _order(self, epoch: int) -> Tensor | None:
        if not (self.samples.shuffles and self.settings.shuffle):
            return None
        generator = torch.Generator().manual_seed(stream(self.seed, "order", epoch))
        return torch.randperm(len(self.samples), generator=generator)

    def _augmentation(self, epoch: int) -> Callable[[Any, Tensor], Any] | None:
        from netwright.runs.augment import augmentation

        seed = stream(self.seed, "augmentation", epoch)
        return augmentation(self.settings.augment, len(self.samples), seed, self._spread)

    def _schedule(self, epoch: int, step: int) -> None:
        if self.settings.schedule is None:
            return
        per_epoch = self.per_epoch or step + 1
        factor = self.settings.factor((epoch * per_epoch + step) / max(1, per_epoch * self.epochs))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def _step(self, inputs: Any, targets: Tensor) -> Tensor:
        if self._wants_closure:
            return self._closed_step(inputs, targets)
        if self._plain:
            loss = self.loss(outputs_of(self.network(inputs)), targets)  # type: ignore[misc]
        else:
            with self._autocast():
                loss = self._loss(inputs, targets)
        self.optimizer.zero_grad(set_to_none=True)
        self._backward_and_update(loss)
        return loss.detach()

    def _closed_step(self, inputs: Any, targets: Tensor) -> Tensor:
        """One step of an optimizer that evaluates the loss itself, several times."""

        def closure() -> Tensor:
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._loss(inputs, targets)
            loss.backward()
            return loss

        return self.optimizer.step(closure).detach()  # type: ignore[arg-type, union-attr]

    def _loss(self, inputs: Any, targets: Tensor) -> Tensor:
        if self.settings.step is not None:
            result = self.settings.step(self.network, self.samples.as_batch(inputs, targets))
            return result["loss"] if isinstance(result, Mapping) else result
        assert self.loss is not None
        return self.loss(outputs_of(forward(self.network, inputs)), targets)

    def _backward_and_update(self, loss: Tensor) -> None:
        if self._scaler is not None:
            self._scaler.scale(loss).backward()
            if self.settings.clip is not None:
                self._scaler.unscale_(self.optimizer)
                nn.utils.clip_grad_norm_(self._parameters, self.settings.clip)
            self._scaler.step(self.optimizer)
            self._scaler.update()
            return
        if loss.requires_grad:
            loss.backward()
        if self.settings.clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.settings.clip)
        self.optimizer.step()

    def _tapped_step(self, inputs: Any, targets: Tensor) -> Tensor:
        """A step with every layer's statistics, and its weights before and after."""
        with Tap(self.network) as tap:
            weights = _layer_weights(self.network)
            before = [(p, p.detach().clone()) for _, p in weights]
            loss = self._step(inputs, targets)
        numbers: list[Tensor] = []
        zero = torch.zeros((), device=self.device)
        for weight, old in before:
            norm = old.norm()
            gradient = weight.grad.norm() if weight.grad is not None else zero
            numbers += [gradient, norm, (weight.detach() - old).norm() / norm.clamp(min=1e-12)]
        fetched = torch.stack([n.float() for n in numbers]).reshape(-1, 3).tolist() if numbers else []
        by_layer = {name: row for (name, _), row in zip(weights, fetched, strict=True)}
        for state in tap.states():
            nan = float("nan")
            shown = [getattr(state, k) for k in TRACED[:6]]
            row = [nan if v is None else v for v in shown] + by_layer.get(state.name, [nan] * 3)
            self._layers.setdefault(state.name, {})[self.steps_done] = row
            self._kinds[state.name] = state.kind
        return loss

    def note(self, loss: float, val_loss: float | None, val_score: float | None) -> None:
        self.epoch_loss.append(loss)
        self.val_loss.append(val_loss)
        self.val_score.append(val_score)

    def traces(self) -> LayerTraces:
        steps = tuple(sorted({step for rows in self._layers.values() for step in rows}))
        values = np.full((len(self._layers), len(steps), len(TRACED)), np.nan)
        for i, rows in enumerate(self._layers.values()):
            for j, step in enumerate(steps):
                if step in rows:
                    values[i, j] = rows[step]
        return LayerTraces(tuple(self._layers), tuple(self._kinds[n] for n in self._layers), steps, values)

    def save(self, path: Path, epoch: int) -> None:
        """Everything that the next epoch depends on; random streams are keyed by epoch and need no saving."""
        content = {
            "epoch": epoch,
            "fingerprint": self.recipe.fingerprint,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._scaler.state_dict() if self._scaler else {},
            "recorded": {
                "steps_done": self.steps_done,
                "per_epoch": self.per_epoch,
                "step_loss": self.step_loss,
                "epoch_loss": self.epoch_loss,
                "val_loss": self.val_loss,
                "val_score": self.val_score,
                "_layers": self._layers,
                "_kinds": self._kinds,
            },
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        torch.save(content, temporary)
        temporary.replace(path)

    def resume(self, path: Path | None) -> int:
        """The epoch to go on with: 0, or that of a checkpoint of this very recipe."""
        if path is None or not path.is_file():
            return 0
        try:
            content = torch.load(path, map_location=self.device, weights_only=True)
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):  # damaged: train from the start
            return 0
        if content.get("fingerprint") != self.recipe.fingerprint:
            return 0
        self.network.load_state_dict(content["network"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self._scaler is not None:
            self._scaler.load_state_dict(content["scaler"])
        for name, value in content["recorded"].items():
            setattr(self, name, value)
        self.total_steps = self.per_epoch * self.epochs
        return int(content["epoch"])


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


def _layer_weights(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The largest parameter of every leaf module that has one, by the layer's name."""
    from netwright.recipe.edits import leaves

    found = []
    for name, module in leaves(network):
        own = list(module.parameters(recurse=False))
        if own:
            found.append((name, max(own, key=lambda p: p.numel())))
    return found


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
