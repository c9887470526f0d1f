"""Every attribute of a recipe, listed systematically, with where the user set it."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
from torch import nn

from netwright.recipe.edits import NORMALISING, RECTIFYING, SATURATING, WEIGHTED, core
from netwright.recipe.source import Birthplace, argument, shown
from netwright.recipe.training import OPTIMIZERS, Training
from netwright.values import Attribute, Place, UserError

if TYPE_CHECKING:
    from netwright.recipe.recipe import Recipe

_POSITIONAL = tuple(a.name for a in attrs.fields(Training) if a.init and not a.kw_only)
_HIDDEN = {"made_at", "options", "step", "target_scaling", "class_weights"}


def attributes_of(recipe: Recipe) -> tuple[Attribute, ...]:
    """Training first, then data, then what can be read off the network."""
    return (*_of_training(recipe), *_of_data(recipe), *_of_network(recipe))


def _of_training(recipe: Recipe) -> list[Attribute]:
    settings, born = recipe.settings, recipe.training.made_at
    listed = []
    for spec in attrs.fields(Training):
        if spec.name in _HIDDEN:
            continue
        value = getattr(settings, spec.name)
        if value is None:
            value = _default(settings, spec.name)
        listed.append(argument(born, ("Training",), spec.name, _plain(value), _POSITIONAL))
    for name, value in settings.options.items():
        found = argument(born, ("Training",), "options", _plain(value))
        listed.append(
            attrs.evolve(found, name=name, place=attrs.evolve(found.place, attribute=name), literal=False)
        )
    scaling = Attribute("target_scaling", settings.target_scaling, _place(born, "target_scaling"))
    weights = Attribute("class_weights", settings.class_weights, _place(born, "class_weights"))
    return [*listed, scaling, weights]


def _default(settings: Training, name: str) -> Any:
    """What torch takes where the user gave nothing."""
    if name not in ("lr", "momentum", "weight_decay") or not isinstance(settings.optimizer, str):
        return None
    known = inspect.signature(OPTIMIZERS[settings.optimizer]).parameters.get(name)
    return None if known is None or known.default is inspect.Parameter.empty else known.default


def _of_data(recipe: Recipe) -> list[Attribute]:
    data, born = recipe.data, recipe.data.made_at
    calls = ("Data", "arrays", "folder", "table", "loaders")
    scaled = any(edit.kind == "standardise-inputs" for edit in recipe.edits)
    dropped = sum(len(e.parameters.get("rows", ())) for e in recipe.edits if e.kind == "drop-samples")
    listed = [argument(born, calls, n, getattr(data, n)) for n in ("split", "split_seed", "stratify")]
    listed += [
        argument(born, calls, n, "given" if getattr(data, n) is not None else None)
        for n in ("groups", "time")
    ]
    place = _place(born, "input_scaling")
    listed.append(Attribute("input_scaling", "standardised" if scaled else "as given", place))
    filled = any(edit.kind == "fill-inputs" for edit in recipe.edits)
    repairs = [w for w, on in (("values filled", filled), (f"{dropped} samples dropped", dropped)) if on]
    listed.append(Attribute("data_repairs", ", ".join(repairs) or None, _place(born, "data_repairs")))
    return listed


def _of_network(recipe: Recipe) -> list[Attribute]:
    try:
        network, places = recipe.build_with_places(0)
    except UserError:
        raise
    except Exception:  # a network that cannot be built has no attributes; the verb that needs it shows why
        return []
    layers = [(n, m) for n, m in core(network).named_modules() if not list(m.children())]
    weighted = [(n, m) for n, m in layers if isinstance(m, WEIGHTED)]

    def named(name: str, chosen: Sequence[tuple[str, nn.Module]], value: Any) -> Attribute:
        found = next((places[n] for n, _ in chosen if n in places), None)
        born = found or _function_place(recipe)
        return Attribute(name, value, _place(born, name), is_set=found is not None)

    def kinds(of: tuple[type, ...]) -> list[tuple[str, nn.Module]]:
        return [(n, m) for n, m in layers if isinstance(m, of)]

    def words(chosen: Sequence[tuple[str, nn.Module]]) -> str | None:
        return ", ".join(f"{k} ×{c}" for k, c in Counter(type(m).__name__ for _, m in chosen).items()) or None

    activations, norms = kinds((*RECTIFYING, *SATURATING)), kinds(NORMALISING)
    dropouts = kinds((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout))
    widths = [getattr(m, "out_channels", None) or getattr(m, "out_features", 0) for _, m in weighted]
    frozen = [n for n, p in network.named_parameters() if not p.requires_grad]
    outputs = [(n, m) for n, m in layers if isinstance(m, (nn.Softmax, nn.LogSoftmax, nn.Sigmoid))][-1:]
    initialised = [e.parameters["scheme"] for e in recipe.edits if e.kind == "reinitialise"]
    return [
        named("activation", activations, words(activations)),
        named("normalisation", norms, words(norms)),
        named("dropout", dropouts, ", ".join(f"{getattr(m, 'p', 0):g}" for _, m in dropouts) or None),
        named("depth", weighted[:1], len(weighted)),
        named("width", weighted[:1], widths),
        named("output_layer", outputs or weighted[-1:], words(outputs or weighted[-1:])),
        named("initialisation", weighted[:1], initialised[-1] if initialised else "as built"),
        named("frozen_layers", [], frozen or None),
        Attribute("start", str(recipe.start) if recipe.start else None, _place(recipe.made_at, "start")),
        Attribute("parameters", sum(p.numel() for p in network.parameters()), Place(attribute="parameters")),
    ]


def _function_place(recipe: Recipe) -> Birthplace:
    code = getattr(recipe.network, "__code__", None)
    return Birthplace(code.co_filename, code.co_firstlineno) if code else recipe.made_at


def _place(born: Birthplace, name: str) -> Place:
    return Place(file=shown(born.file) or None, line=born.line or None, attribute=name)


def _plain(value: Any) -> Any:
    return getattr(value, "__name__", type(value).__name__) if callable(value) else value
