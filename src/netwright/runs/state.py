"""One training as it stands: network, optimizer, schedule, what was recorded, and the file it goes on from.

Random streams are keyed by seed and epoch; within an epoch the global generators are part of the state.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netwright.recipe import Recipe, Samples, generators, restore_generators, stream
from netwright.recipe.samples import Batch, MapSamples
from netwright.runs.forward import forward, outputs_of
from netwright.runs.run import TRACED, LayerTraces
from netwright.runs.steering import Halted, Steering
from netwright.runs.taps import Tap
from netwright.values import UserError

MAX_TAPPED = 12


def tapped_steps(total: int) -> frozenset[int]:
    """The steps whose layers are recorded: the first, the last and some between; about 1 % of a short
    training."""
    count = min(MAX_TAPPED, max(3, total // 100))
    return (
        frozenset(round(k * (total - 1) / (count - 1)) for k in range(count))
        if total > count
        else frozenset(range(total))
    )


class State:
    """The life of one training: network, optimizer, schedule, and what has been recorded.

    `epochs_done` and `in_epoch` say where it is: so many whole epochs, and so many steps of the next one.
    """

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
        self.epochs_done = 0
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
        self.column: Mapping[str, list[float]] = {}  # by layer `TRACED` of the last step that was tapped
        self._losses: list[Tensor] = []  # of the steps of this epoch, with their numbers of samples
        self._sizes: list[int] = []
        self._random: Mapping[str, Any] | None = None  # generators to put back where an epoch is taken up
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

    @property
    def in_epoch(self) -> int:
        return len(self._losses)

    def loss_now(self) -> float:
        """Of the last step of this epoch; waits for the device."""
        return float(self._losses[-1]) if self._losses else float("nan")

    def epoch(self, epoch: int, steering: Steering | None = None) -> tuple[float, bool]:
        """One pass over the training samples, or what is left of it: the mean loss over all of it,
        and whether every loss was finite. Raises `Halted` where the steering says so."""
        self.network.train()
        losses, sizes = self._losses, self._sizes
        augment = self._augmentation(epoch)
        for inputs, targets, rows in self._batches(epoch):
            if augment is not None:
                inputs = augment(inputs, rows)
            self._schedule(epoch, len(losses))
            kept = self.steps_done in self.tapped
            wanted = steering is not None and steering.taps(self.steps_done)
            if kept or wanted:
                losses.append(self._tapped_step(inputs, targets, kept))
            else:
                losses.append(self._step(inputs, targets))
            sizes.append(len(rows))
            self.steps_done += 1
            if steering is not None and not steering.stepped(self):
                raise Halted
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
        self._losses, self._sizes = [], []
        self.epochs_done = epoch + 1
        return mean, finite

    def _batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch that are still to come. Those that were trained on are dealt out again and
        passed over, from the epoch's own random state; then the state of the moment is put back."""
        done, order = len(self._losses), self._order(epoch)
        if done and order is not None and isinstance(self.samples, MapSamples):  # fetching is not for nothing
            done, order = 0, order[done * self.settings.batch_size :]
        nothing = order is not None and not len(order)
        batches = iter(()) if nothing else self.samples.batches(self.settings.batch_size, order)
        for _ in itertools.islice(batches, done):
            pass
        if self._random is not None:
            restore_generators(self._random)
            self._random = None
        return batches

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

    def _tapped_step(self, inputs: Any, targets: Tensor, kept: bool) -> Tensor:
        """A step with every layer's statistics, and its weights before and after: the next column, and where
        it is `kept` a part of the run's traces."""
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
        column: dict[str, list[float]] = {}
        for state in tap.states():
            nan = float("nan")
            shown = [getattr(state, k) for k in TRACED[:6]]
            column[state.name] = [nan if v is None else v for v in shown] + by_layer.get(
                state.name, [nan] * 3
            )
            if kept:
                self._layers.setdefault(state.name, {})[self.steps_done] = column[state.name]
                self._kinds[state.name] = state.kind
        self.column = column
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

    def save(self, path: Path) -> None:
        """Everything that the next step depends on; what `load` needs no code to read."""
        content = {
            "key": self._key(),
            "epoch": self.epochs_done,
            "network": self.network.state_dict(),
            "buffers": dict(_unsaved_buffers(self.network)),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._scaler.state_dict() if self._scaler else {},
            "losses": torch.stack(self._losses) if self._losses else torch.empty(0),
            "sizes": self._sizes,
            "random": (self._random or generators()) if self._losses else None,
            "recorded": {
                "steps_done": self.steps_done,
                "diverged": self.diverged,
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
        """The epoch to go on with: 0, or that of a state of this very training."""
        if path is None or not path.is_file():
            return 0
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):  # damaged: train from the start
            return 0
        if content.get("key") != self._key():
            return 0
        self.network.load_state_dict(content["network"])
        for name, buffer in content["buffers"].items():
            owner, _, own = name.rpartition(".")
            setattr(self.network.get_submodule(owner), own, buffer.to(self.device))
        self.optimizer.load_state_dict(content["optimizer"])
        if self._scaler is not None:
            self._scaler.load_state_dict(content["scaler"])
        for name, value in content["recorded"].items():
            setattr(self, name, value)
        self.total_steps = self.per_epoch * self.epochs
        self._losses = list(content["losses"].to(self.device))
        self._sizes = list(content["sizes"])
        self._random = content["random"]
        self.epochs_done = int(content["epoch"])
        return self.epochs_done

    def _key(self) -> list[Any]:
        """What makes a state one of this training."""
        return [self.recipe.fingerprint, self.seed, self.epochs]


def _unsaved_buffers(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Buffers that the network leaves out of what it saves, and that training may change all the same."""
    saved = network.state_dict().keys()
    return ((name, buffer) for name, buffer in network.named_buffers() if name not in saved)


def _layer_weights(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The largest parameter of every leaf module that has one, by the layer's name."""
    from netwright.recipe.edits import leaves

    found = []
    for name, module in leaves(network):
        own = list(module.parameters(recurse=False))
        if own:
            found.append((name, max(own, key=lambda p: p.numel())))
    return found
