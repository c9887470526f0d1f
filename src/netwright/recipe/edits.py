"""The kinds of edit that a recipe applies, each a function of the part that it changes.

Layers are named as in the user's own network; what wraps it (scaling, repairs) is looked through. New layers
are initialised from a stream of their own, named after the place, so that an edit leaves all other weights as
they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from netwright.catalogue import edit
from netwright.recipe.samples import TensorSamples
from netwright.recipe.streams import seeded, stream
from netwright.recipe.training import Training
from netwright.values import Edit, UserError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
}
SATURATING = (nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardsigmoid, nn.Softsign)
RECTIFYING = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.PReLU)
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMALISING = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d)


class Wrapper(nn.Module):
    """Something around the user's `network`; edits look through it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


class StandardisedInputs(Wrapper):
    """(x − mean) / std before the network, both broadcast against (N, ...); integers become floats."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__(network)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, inputs: Tensor) -> Any:
        return self.network((inputs.to(self.mean.dtype) - self.mean) / self.std)


class FilledInputs(Wrapper):
    """Values that are not finite are replaced by `fill`, broadcast against (N, ...), before the network."""

    fill: Tensor

    def __init__(self, network: nn.Module, fill: Tensor) -> None:
        super().__init__(network)
        self.register_buffer("fill", fill)

    def forward(self, inputs: Tensor) -> Any:
        return self.network(torch.where(torch.isfinite(inputs), inputs, self.fill.to(inputs.dtype)))


class RescaledOutputs(Wrapper):
    """outputs · std + mean, so that a network of unit outputs speaks in the units of the targets."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__(network)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        return self.network(*inputs, **named) * self.std + self.mean


class ReshapedOutputs(Wrapper):
    """Outputs (N, 1) as (N,), or (N,) as (N, 1), as the targets are."""

    def __init__(self, network: nn.Module, column: bool) -> None:
        super().__init__(network)
        self.column = column

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        outputs = self.network(*inputs, **named)
        return outputs.reshape(-1, 1) if self.column else outputs.reshape(-1)


class LogOutputs(Wrapper):
    """log of the probabilities that the network gives: what a loss that applies its own softmax can take."""

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        return self.network(*inputs, **named).clamp(min=1e-12).log()


class Followed(nn.Sequential):
    """A layer of the user's and what an edit put behind it; the layer keeps its name for later edits."""


def core(network: nn.Module) -> nn.Module:
    """The user's own network under whatever edits have put around it."""
    while isinstance(network, Wrapper):
        network = network.network
    return network


def leaves(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers, by their name in the user's network, in the order of registration: modules without
    children, and those whose children only hold their weights (attention, parametrised layers)."""
    inside: str | None = None  # the layer whose own modules follow; they come right after it
    for name, module in core(network).named_modules():
        if inside is not None and name.startswith(f"{inside}." if inside else ""):
            continue
        whole = isinstance(module, nn.MultiheadAttention) or nn.utils.parametrize.is_parametrized(module)
        if whole:
            inside = name
        if whole or not any(True for _ in module.children()):
            yield name, module


def find_layer(network: nn.Module, name: str) -> nn.Module:
    try:
        found = core(network).get_submodule(name)
    except AttributeError as missing:
        raise UserError(f"network: no layer {name!r}; netwright look lists them") from missing
    return found[0] if isinstance(found, Followed) else found


def replace_layer(network: nn.Module, name: str, new: nn.Module) -> nn.Module:
    """The network with the layer `name` replaced; a network that is a single layer becomes the new one."""
    inner = core(network)
    if not name:
        if inner is network:
            return new
        outer = network
        while isinstance(outer.network, Wrapper):
            outer = outer.network
        outer.network = new
        return network
    parent, _, child = name.rpartition(".")
    holder = inner.get_submodule(parent)
    held = getattr(holder, child)
    if isinstance(held, Followed):
        front = list(new.children()) if isinstance(new, Followed) else [new]
        new = Followed(*front, *list(held.children())[1:])
    setattr(holder, child, new)
    return network


@edit("set", on="training")
def set_field(training: Training, *, name: str, value: Any) -> Training:
    """One field of the training gets a new value; unknown names go to the optimizer's options."""
    known = {a.name for a in attrs.fields(Training)}
    if name in known:
        return attrs.evolve(training, **{name: value})
    return attrs.evolve(training, options={**training.options, name: value})


@edit("swap-optimizer", on="training")
def swap_optimizer(
    training: Training, *, optimizer: str, lr: float, momentum: float | None = None
) -> Training:
    """Another optimizer with its own rate; settings that only the old one knew go with it."""
    return attrs.evolve(training, optimizer=optimizer, lr=lr, momentum=momentum, options={})


@edit("insert-after", on="network")
def insert_after(
    network: nn.Module, *, layers: Sequence[str], what: str, p: float = 0.5, seed: int = 0
) -> nn.Module:
    """Batch or layer normalisation, or dropout with probability `p`, after each of the named layers."""
    for name in layers:
        layer = find_layer(network, name)
        network = replace_layer(network, name, Followed(layer, _inserted(what, layer, p)))
    return network


def _inserted(what: str, layer: nn.Module, p: float) -> nn.Module:
    width = getattr(layer, "out_channels", None) or getattr(layer, "out_features", None)
    if what == "dropout":
        return nn.Dropout2d(p) if isinstance(layer, nn.Conv2d) else nn.Dropout(p)
    if what == "batch_norm" and width:
        kinds: dict[type[nn.Module], type[nn.Module]] = {nn.Conv2d: nn.BatchNorm2d, nn.Conv3d: nn.BatchNorm3d}
        return kinds.get(type(layer), nn.BatchNorm1d)(width)
    if what == "layer_norm" and width and isinstance(layer, nn.Linear):
        return nn.LayerNorm(width)
    raise UserError(f"edit: {what} cannot follow a {type(layer).__name__}")


@edit("replace-activation", on="network")
def replace_activation(network: nn.Module, *, layers: Sequence[str], to: str, seed: int = 0) -> nn.Module:
    """Each of the named activations by another."""
    for name in layers:
        find_layer(network, name)
        network = replace_layer(network, name, ACTIVATIONS[to]())
    return network


@edit("remove-layer", on="network")
def remove_layer(network: nn.Module, *, layer: str, seed: int = 0) -> nn.Module:
    """The identity in a layer's place."""
    find_layer(network, layer)
    return replace_layer(network, layer, nn.Identity())


@edit("replace-output", on="network")
def replace_output(network: nn.Module, *, layer: str, width: int, seed: int = 0) -> nn.Module:
    """The last linear layer by one of another width, initialised anew."""
    old, biased = _linear(network, layer)
    with seeded(seed, "initialisation", "replace-output", layer):
        new = nn.Linear(old.in_features, width, bias=biased)
    return replace_layer(network, layer, new)


@edit("hidden-layer", on="network")
def hidden_layer(network: nn.Module, *, layer: str, width: int, seed: int = 0) -> nn.Module:
    """A hidden layer of `width` rectified units before the named linear layer, both initialised anew."""
    old, biased = _linear(network, layer)
    with seeded(seed, "initialisation", "hidden-layer", layer):
        hidden, last = nn.Linear(old.in_features, width), nn.Linear(width, old.out_features, bias=biased)
    return replace_layer(network, layer, nn.Sequential(hidden, nn.ReLU(), last))


def _linear(network: nn.Module, layer: str) -> tuple[nn.Linear, bool]:
    """The named linear layer, and whether it has a bias."""
    found = find_layer(network, layer)
    if not isinstance(found, nn.Linear):
        raise UserError(f"edit: layer {layer!r} is a {type(found).__name__}, not a Linear")
    return found, getattr(found, "bias", None) is not None


@edit("reinitialise", on="network")
def reinitialise(network: nn.Module, *, layers: Sequence[str], scheme: str, seed: int = 0) -> nn.Module:
    """New initial weights for the named layers: `kaiming`, `xavier` (both with biases 0), `orthogonal` or
    torch's `default`."""
    for name in layers:
        layer = find_layer(network, name)
        for key, parameter in layer.named_parameters(recurse=False):
            generator = torch.Generator().manual_seed(stream(seed, "initialisation", scheme, f"{name}.{key}"))
            _initialise(layer, key, parameter, scheme, generator)
    return network


def _initialise(
    layer: nn.Module, key: str, parameter: Tensor, scheme: str, generator: torch.Generator
) -> None:
    with torch.no_grad():
        if isinstance(layer, NORMALISING):
            parameter.fill_(1.0 if key == "weight" else 0.0)
        elif parameter.ndim < 2:
            parameter.zero_()
        elif scheme == "xavier":
            nn.init.xavier_uniform_(parameter, generator=generator)
        elif scheme == "orthogonal":
            nn.init.orthogonal_(parameter, generator=generator)
        elif scheme == "default":
            nn.init.kaiming_uniform_(parameter, a=5**0.5, generator=generator)
        else:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)


@edit("unfreeze", on="network")
def unfreeze(network: nn.Module, *, parameters: Sequence[str], seed: int = 0) -> nn.Module:
    """The named parameters learn again."""
    for name in parameters:
        layer, _, key = name.rpartition(".")
        getattr(find_layer(network, layer), key).requires_grad_(True)
    return network


@edit("standardise-inputs", on="network")
def standardise_inputs(
    network: nn.Module, *, mean: Sequence[Any], std: Sequence[Any], seed: int = 0
) -> nn.Module:
    """(x − mean) / std as a fixed first layer, with the statistics of the training inputs."""
    return StandardisedInputs(network, torch.tensor(mean), torch.tensor(std))


@edit("fill-inputs", on="network")
def fill_inputs(network: nn.Module, *, fill: Sequence[Any], seed: int = 0) -> nn.Module:
    """Values that are not finite by the training mean of their feature, as a fixed first layer."""
    return FilledInputs(network, torch.tensor(fill))


@edit("rescale-outputs", on="network")
def rescale_outputs(
    network: nn.Module, *, mean: Sequence[float], std: Sequence[float], seed: int = 0
) -> nn.Module:
    """Outputs in units of the targets."""
    return RescaledOutputs(network, torch.tensor(mean), torch.tensor(std))


@edit("standardise-targets", on="edits")
def standardise_targets(*, mean: Sequence[float], std: Sequence[float]) -> tuple[Edit, ...]:
    """The network learns targets of unit scale and gives them back in their own."""
    return (
        Edit("rescale-outputs", {"mean": mean, "std": std}),
        Edit("set", {"name": "target_scaling", "value": (mean, std)}),
    )


@edit("change-task", on="edits")
def change_task(*, layer: str, width: int, loss: str) -> tuple[Edit, ...]:
    """Another loss, with as many outputs as it needs."""
    return (
        Edit("replace-output", {"layer": layer, "width": width}),
        Edit("set", {"name": "loss", "value": loss}),
    )


@edit("reshape-outputs", on="network")
def reshape_outputs(network: nn.Module, *, column: bool, seed: int = 0) -> nn.Module:
    """Outputs in the shape of the targets, (N,) or (N, 1)."""
    return ReshapedOutputs(network, column)


@edit("log-outputs", on="network")
def log_outputs(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """Probabilities become log-probabilities."""
    return LogOutputs(network)


@edit("drop-samples", on="samples")
def drop_samples(samples: Any, *, rows: Sequence[int]) -> Any:
    """The training samples without the given rows."""
    keep = torch.ones(len(samples), dtype=torch.bool)
    keep[list(rows)] = False
    if not isinstance(samples, TensorSamples) and not hasattr(samples, "take"):
        raise UserError("edit: samples of a loader cannot be dropped; drop them in the loader's data set")
    return samples.take(keep.nonzero()[:, 0].numpy())


@edit("shift-targets", on="samples")
def shift_targets(samples: Any, *, by: int, first: int = 0) -> Any:
    """Each training sample with the target of the sample `by` places further along the source, those before
    the source's row `first` with their own; those at the end, which have none, are left out."""
    if not isinstance(samples, TensorSamples):
        raise UserError("edit: targets of a loader cannot be shifted; shift them in the loader's data set")
    place = {int(source): row for row, source in enumerate(samples.index)}
    pairs = [
        (row, place.get(int(source) + by) if source >= first else row)
        for row, source in enumerate(samples.index)
    ]
    rows = [row for row, other in pairs if other is not None]
    others = torch.tensor([other for _, other in pairs if other is not None], dtype=torch.long)
    kept = samples.take(rows)
    moved = samples.all_targets[others.to(samples.all_targets.device)]
    return TensorSamples(kept.inputs, moved, kept.source, kept.index).laid_as(samples)


@edit("shift-validation-targets", on="validation")
def shift_validation_targets(samples: Any, *, by: int) -> Any:
    """Validation samples with the target of the sample `by` places further along the source, for labels that
    stand apart from their inputs there as well."""
    return shift_targets(samples, by=by)


@edit("map-inputs", on="samples")
def map_inputs(samples: Any, *, scale: Any, shift: Any) -> Any:
    """The training inputs times `scale` plus `shift`, both broadcast against (N, ...)."""
    if not isinstance(samples, TensorSamples) or not isinstance(samples.inputs, Tensor):
        raise UserError("edit: inputs of a loader cannot be mapped; map them in the loader's data set")
    inputs = samples.inputs.float()
    mapped = inputs * torch.tensor(scale).to(inputs) + torch.tensor(shift).to(inputs)
    return TensorSamples(mapped, samples.all_targets, samples.source, samples.index).laid_as(samples)
