"""One network, one batch and what trains it: what every one-batch experiment is made on."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from netwright.recipe import Recipe, Samples, seeded, stream, tree_map
from netwright.runs.forward import forward, outputs_of

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


@frozen(eq=False)
class Subject:
    """A network with a batch, (B, ...) and (B, ...), its optimizer, and the whole way to the loss.

    `loss(network, inputs, targets)` is the scalar that is minimised. Whoever experiments takes a `copy()`.
    """

    network: nn.Module
    inputs: Any
    targets: Tensor
    optimizer: torch.optim.Optimizer | None
    loss: Callable[[nn.Module, Any, Tensor], Tensor]
    loss_name: str | None = None
    recipe: Recipe | None = None

    @staticmethod
    def of(recipe: Recipe, network: nn.Module, seed: int, device: str = "cpu") -> Subject:
        """The recipe's `network` with the first batch that a training with `seed` sees."""
        settings, samples = recipe.settings, recipe.training_samples
        inputs, targets = first_batch(recipe, seed)
        move = torch.device(device)
        half = HALF.get(settings.precision)

        def loss(network: nn.Module, inputs: Any, targets: Tensor) -> Tensor:
            cast = torch.autocast(move.type, dtype=half) if half is not None else contextlib.nullcontext()
            with cast:
                if settings.step is None:
                    return settings.make_loss()(outputs_of(forward(network, inputs)), targets)
                result = settings.step(network, samples.as_batch(inputs, targets))
                return result["loss"] if isinstance(result, dict) else result

        return Subject(
            network.to(move),
            tree_map(lambda t: t.to(move), inputs),
            targets.to(move),
            settings.make_optimizer(network),
            loss,
            settings.loss_name,
            recipe,
        )

    def copy(self) -> Subject:
        """The same with a network and an optimizer of its own. Raises what cannot be copied raises."""
        network, optimizer = copy.deepcopy((self.network, self.optimizer))
        return Subject(network, self.inputs, self.targets, optimizer, self.loss, self.loss_name, self.recipe)

    def outputs(self, inputs: Any = None) -> Tensor:
        """What the network gives for `inputs`, for its own batch unless others are given."""
        return outputs_of(forward(self.network, self.inputs if inputs is None else inputs))


def first_batch(recipe: Recipe, seed: int) -> tuple[Any, Tensor]:
    """Inputs and targets of the first batch that a training with `seed` sees."""
    samples: Samples = recipe.training_samples
    order = None
    if samples.shuffles and recipe.settings.shuffle:
        generator = torch.Generator().manual_seed(stream(seed, "order", 0))
        order = torch.randperm(len(samples), generator=generator)[: recipe.settings.batch_size]
    inputs, targets, _ = next(samples.batches(recipe.settings.batch_size, order))
    return inputs, targets


@contextmanager
def untouched(network: nn.Module, optimizer: torch.optim.Optimizer | None, seed: int = 0) -> Generator[None]:
    """For the block the global generators are seeded; after it they, the weights, buffers, gradients, modes,
    what the modules keep between calls in attributes, and the optimizer's state are as they were."""
    held = [(module, _held(module)) for module in network.modules()]
    weights = {name: value.detach().clone() for name, value in network.state_dict(keep_vars=True).items()
               if isinstance(value, Tensor)}  # fmt: skip
    live = dict(network.state_dict(keep_vars=True))
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in network.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    modes = [(module, module.training) for module in network.modules()]
    gradients = [
        (p, p.grad, None if p.grad is None else p.grad.detach().clone(), p.requires_grad)
        for p in network.parameters()
    ]
    state = copy.deepcopy(optimizer.state_dict()) if optimizer is not None else None
    try:
        with seeded(seed, "probe"):
            yield
    finally:
        with torch.no_grad():
            for name, value in weights.items():
                live[name].copy_(value)
            for module, name, buffer, value in buffers:
                setattr(module, name, buffer)  # forward may have put another in its place
                buffer.copy_(value)
        for module, training in modes:
            module.training = training
        for module, attributes in held:
            _put_back(module, attributes)
        for parameter, gradient, values, wanted in gradients:
            parameter.requires_grad_(wanted)
            parameter.grad = gradient
            if gradient is not None and values is not None:
                with torch.no_grad():
                    gradient.copy_(values)
        if optimizer is not None and state is not None:
            optimizer.load_state_dict(state)


def _held(module: nn.Module) -> dict[str, tuple[Any, Any]]:
    """What a module holds beside parameters, buffers, children and hooks: by name, the thing, and a copy of a
    tensor, a list or a dictionary that may be written into."""

    def copied(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.detach().clone()
        return copy.copy(value) if type(value) in (list, dict, set) else None

    return {k: (v, copied(v)) for k, v in vars(module).items() if k != "training" and not _of_torch(k)}


def _of_torch(name: str) -> bool:
    """Whether it is one of the tables that every module has."""
    return name in ("_parameters", "_buffers", "_modules") or "_hook" in name


def _put_back(module: nn.Module, attributes: dict[str, tuple[Any, Any]]) -> None:
    now = vars(module)
    for name in [k for k in now if k not in attributes and k != "training" and not _of_torch(k)]:
        del now[name]
    for name, (value, copied) in attributes.items():
        now[name] = value
        if isinstance(copied, Tensor):
            with torch.no_grad():
                value.copy_(copied)
        elif isinstance(copied, list):
            value[:] = copied
        elif copied is not None:
            value.clear()
            value.update(copied)
