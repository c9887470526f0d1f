"""Edits as lines to change in the user's own code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from netwright.values import Attribute, Change, Edit

if TYPE_CHECKING:
    from netwright.recipe.recipe import Recipe

ACTIVATION_NAMES = {
    "relu": "nn.ReLU()",
    "leaky_relu": "nn.LeakyReLU()",
    "gelu": "nn.GELU()",
    "silu": "nn.SiLU()",
}
NORM_NAMES = {"batch_norm": "nn.BatchNorm", "layer_norm": "nn.LayerNorm"}


def changes_of(recipe: Recipe, edits: Iterable[Edit]) -> tuple[Change, ...]:
    """What to write where, so that the user's file becomes the edited recipe; one change an attribute, the
    last wins."""
    base = recipe.base
    attributes = {a.name: a for a in base.attributes()}
    network, places = base.build_with_places(0)
    kinds = {name: type(module).__name__ for name, module in network.named_modules()}
    found: dict[tuple[Any, ...], Change] = {}
    for edit in edits:
        for change in _changes(edit, attributes, places, kinds):
            # A later value of one attribute replaces the earlier; changes of layers stand side by side.
            layer = (
                (change.old, change.new) if "layers" in edit.parameters or "layer" in edit.parameters else ()
            )
            found[change.attribute, *layer] = change
    return tuple(found.values())


def _changes(
    edit: Edit, attributes: dict[str, Attribute], places: dict[str, Any], kinds: dict[str, str]
) -> Iterator[Change]:
    given = edit.parameters

    def named(layer: str) -> str:
        return f"nn.{kinds[layer]} (layer {layer})" if layer in kinds else f"layer {layer}"

    match edit.kind:
        case "set" if given["name"] == "target_scaling":
            return
        case "set" if given["name"] == "class_weights":
            weights = ", ".join(f"{w:g}" for w in given["value"])
            yield _change(attributes, "class_weights", f"class_weights=({weights})")
        case "set":
            yield _set(attributes, given["name"], given["value"])
        case "swap-optimizer":
            yield _set(attributes, "optimizer", given["optimizer"])
            yield _set(attributes, "lr", given["lr"])
            if given.get("momentum") is not None or attributes["momentum"].is_set:
                yield _set(attributes, "momentum", given.get("momentum"))
        case "change-task":
            yield _set(attributes, "loss", given["loss"])
            yield _change(attributes, "output_layer", f"{given['width']} outputs", "as it is")
        case "insert-after":
            what = NORM_NAMES.get(given["what"], f"nn.Dropout({given.get('p', 0.5):g})")
            for layer in given["layers"]:
                yield _at(places, layer, edit.attribute, named(layer), f"{what} after it")
        case "replace-activation":
            for layer in given["layers"]:
                yield _at(
                    places,
                    layer,
                    edit.attribute,
                    named(layer),
                    ACTIVATION_NAMES.get(given["to"], str(given["to"])),
                )
        case "remove-layer":
            yield _at(places, given["layer"], edit.attribute, named(given["layer"]), "removed")
        case "replace-output":
            yield _at(
                places,
                given["layer"],
                edit.attribute,
                named(given["layer"]),
                f"out_features={given['width']}",
            )
        case "rewrite-calls" if given.get("at"):
            file, line = given["at"]
            yield Change(file, line, edit.attribute, "as it is", edit.label)
        case "hidden-layer":
            new = f"nn.Linear(…, {given['width']}), nn.ReLU() before it"
            yield _at(places, given["layer"], edit.attribute, named(given["layer"]), new)
        case "add-positions":
            new = (
                f"the sinusoidal encoding of the positions along axis {given['axis']} added to what it gives"
            )
            yield _at(places, given["layer"], edit.attribute, named(given["layer"]), new)
        case "stop-at-the-padding":
            new = "pack_padded_sequence(…, enforce_sorted=False) before it, pad_packed_sequence after it"
            for layer in given["layers"]:
                yield _at(places, layer, edit.attribute, named(layer), new)
        case "unfreeze":
            yield _change(
                attributes, edit.attribute, f"requires_grad=True for {_few(given['parameters'])}", "frozen"
            )
        case _:
            yield _change(attributes, edit.attribute, edit.label)


def _few(names: Any) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _set(attributes: dict[str, Attribute], name: str, value: Any) -> Change:
    attribute = attributes.get(name)
    old = "not set"
    new = f"{name}={value!r}"
    if attribute is not None and attribute.is_set:
        old = attribute.source or f"{name}={attribute.value!r}"
        if attribute.literal and "=" in old:
            left = old.partition("=")[0]  # the user's own spelling: `LR = 10.0` becomes `LR = 0.1`
            new = f"{left}={' ' if left.endswith(' ') else ''}{value!r}"
        elif attribute.literal:
            new = repr(value)
        else:
            new = f"{name}={value!r}, which comes from {old}"
    place = attribute.place if attribute else None
    return Change(place.file if place else None, place.line if place else None, name, old, new)


def _change(attributes: dict[str, Attribute], name: str, new: str, old: str = "not set") -> Change:
    attribute = attributes.get(name)
    # The shape of the outputs is no attribute of its own: it is changed where the output layer stands.
    known = attribute or attributes.get("output_layer")
    place = known.place if known else None
    if (
        attribute is not None
        and attribute.value not in (None, "as given", "as built", False)
        and old == "not set"
    ):
        old = str(attribute.value)
    return Change(place.file if place else None, place.line if place else None, name, old, new)


def _at(places: dict[str, Any], layer: str, attribute: str, old: str, new: str) -> Change:
    from netwright.recipe.source import shown

    # A layer inside something that an edit put there is named after the layer that the user made.
    name = layer
    while name not in places and "." in name:
        name = name.rpartition(".")[0]
    born = places.get(name)
    return Change(shown(born.file) if born else None, born.line if born else None, attribute, old, new)
