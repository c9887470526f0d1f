"""Changes that make a layer fit a technology and alter the function: ideas to retrain with.

They are offered where the changed layer, by itself, computes in the technology what it computes in PyTorch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

from torch import nn

from netwright.catalogue import Catalogue
from netwright.recipe.edits import ACTIVATIONS, find_layer
from netwright.values import Edit

# By activation what is closest to it and simpler, the closest first.
_ACTIVATIONS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.GELU: ("silu", "relu"),
    nn.Mish: ("silu", "gelu", "relu"),
    nn.SiLU: ("gelu", "relu"),
    nn.Hardswish: ("silu", "relu"),
    nn.ELU: ("leaky_relu", "relu"),
    nn.SELU: ("elu", "leaky_relu", "relu"),
    nn.CELU: ("elu", "leaky_relu", "relu"),
    nn.PReLU: ("leaky_relu", "relu"),
    nn.LeakyReLU: ("relu",),
    nn.Softplus: ("relu",),
    nn.Softsign: ("tanh",),
    nn.Tanhshrink: ("tanh",),
    nn.Hardtanh: ("tanh",),
}
# By kind of layer a setting that technologies differ in, with the value that all share.
_POOLINGS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_SETTINGS: tuple[tuple[tuple[type[nn.Module], ...], str, object], ...] = (
    (_POOLINGS, "ceil_mode", False),
    ((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), "count_include_pad", True),
    ((nn.Conv1d, nn.Conv2d, nn.Conv3d), "padding_mode", "zeros"),
)


def candidates(network: nn.Module, layer: str) -> Iterator[tuple[Edit, ...]]:
    """Edits of the module that a layer of a program belongs to, each as a tuple of those to make together,
    that alter what it computes and little else."""
    layer = module_of(network, layer)
    module = find_layer(network, layer)
    was = type(module).__name__
    for to in _ACTIVATIONS.get(type(module), ()):
        label = f"{layer}: {was} → {ACTIVATIONS[to].__name__}"
        yield (Edit("replace-activation", {"layers": (layer,), "to": to}, "activation", label),)
    for kinds, name, value in _SETTINGS:
        if isinstance(module, kinds) and getattr(module, name) != value:
            yield (_set(layer, name, value, getattr(module, name)),)
    if isinstance(module, nn.Upsample) and module.mode not in ("nearest", "nearest-exact"):
        if module.align_corners:
            yield (_set(layer, "align_corners", False, True),)
        aligned = () if module.align_corners is None else (_set(layer, "align_corners", None, False),)
        yield (*aligned, _set(layer, "mode", "nearest", module.mode))
    if isinstance(module, nn.LocalResponseNorm):
        yield (Edit("remove-layer", {"layer": layer}, "normalisation", f"{layer}: without {was}"),)


def module_of(network: nn.Module, layer: str) -> str:
    """The name of the module that a layer of a program is, or is a part of."""
    names = {name for name, _ in network.named_modules()}
    name = layer.partition("#")[0]
    while name not in names:
        name = name.rpartition(".")[0]
    return name


def _set(layer: str, name: str, value: object, now: object) -> Edit:
    label = f"{layer}: {name} {now} → {value}"
    return Edit("set-layer", {"layers": (layer,), "name": name, "value": value}, name, label)


def changed(network: nn.Module, edits: Iterable[Edit]) -> nn.Module:
    """A copy of the network with the edits made. Raises `UserError`."""
    kinds = Catalogue.collect().edits
    network = copy.deepcopy(network)
    for edit in edits:
        network = kinds[edit.kind].function(network, **edit.parameters)
    return network
