"""Healthy recipes as source files: `script(settings)` writes what a parent's settings say.

A parent's settings are plain values (`parents.toml`): data set, family, how inputs and targets are prepared,
the head and its loss, and every number of the network and of the training.
"""

from __future__ import annotations

import tomllib
from typing import Any

from benchmarks.faults.data import HERE, arrays, data_sets
from benchmarks.faults.networks import FAMILIES
from benchmarks.faults.script import Line, Script, lines

Settings = dict[str, Any]
# What the network ends in and what the loss takes; chosen per parent among those that fit the goal.
HEADS = {
    "cross_entropy": "logits of every class, class numbers",
    "one_hot": "logits of every class, one-hot targets",
    "nll": "log-probabilities, class numbers",
    "bce_with_logits": "one logit, targets 0.0 and 1.0",
    "bce": "one probability, targets 0.0 and 1.0",
    "mse": "one number, (N,)",
    "mse_column": "one number, (N, 1)",
    "huber": "one number, (N,)",
    "l1": "one number, (N,)",
}
SETTINGS = (
    "optimizer",
    "lr",
    "momentum",
    "weight_decay",
    "batch_size",
    "epochs",
    "schedule",
    "clip",
    "augment",
)


def parents(part: str | None = None) -> dict[str, Settings]:
    """The healthy recipes that were found, by id."""
    path = HERE / "parents.toml"
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        found = tomllib.load(file)
    return {k: v for k, v in found.items() if part is None or v["part"] == part}


def script(settings: Settings) -> Script:
    """The source file of a parent, as tagged lines."""
    entry = data_sets()[settings["data"]]
    x, y = arrays(entry.name)
    classes = int(y.max()) + 1 if entry.goal == "classes" else 0
    head = settings["head"]
    outputs = classes if head in ("cross_entropy", "one_hot", "nll") else 1
    shape = tuple(int(n) for n in x.shape[1:])
    if entry.kind == "text":
        settings = {**settings, "vocabulary": int(x.max()) + 1}
    network = FAMILIES[settings["family"]](settings, shape, outputs)
    facts = {
        **settings,
        "kind": entry.kind,
        "goal": entry.goal,
        "classes": classes,
        "outputs": outputs,
        "shape": shape,
        "size": len(y),
        "file": f"{settings['data']} {settings['family']}",
    }
    built = Script(
        lines(
            ("doc", f'"""{_title(entry.name, entry.kind, settings["family"])}"""'),
            "",
            ("import", "import netwright as nw"),
            ("import", "import numpy as np"),
            ("import", "import torch"),
            ("import", "from torch import Tensor, nn"),
            "",
            ("import-load", "from benchmarks.faults.data import load"),
            "",
            "",
        )
        + network
        + lines("", *_data(settings, x, classes), *_recipe(settings, network)),
        facts,
    )
    return _with_head(built, head)


def _title(name: str, kind: str, family: str) -> str:
    return f"{name.replace('_', ' ').capitalize()}: {kind}, {family.replace('_', ' ')}."


def _data(settings: Settings, x: Any, classes: int) -> list[tuple[str, str] | str]:
    out = [("load", f'(x, y), (x_val, y_val), (x_test, y_test) = load("{settings["data"]}")')]
    every = "(x, x_val, x_test)"
    match settings["scaling"]:
        case "standard":
            # A column that hardly varies must not be blown up by its own standard deviation.
            out.append(("scale-inputs", "mean, std = x.mean(0), x.std(0).clip(1e-3)"))
            out.append(("scale-inputs", f"x, x_val, x_test = ((part - mean) / std for part in {every})"))
        case "whole":
            out.append(("scale-inputs", "mean, std = x.mean(), x.std()"))
            out.append(("scale-inputs", f"x, x_val, x_test = ((part - mean) / std for part in {every})"))
        case "unit":
            top = int(max(1, round(float(x.max()))))
            out.append(("scale-inputs", f"x, x_val, x_test = x / {top}, x_val / {top}, x_test / {top}"))
    targets = "y, y_val, y_test"
    head = settings["head"]
    if head in ("mse", "mse_column", "huber", "l1"):
        out.append(("scale-targets", "center, unit = y.mean(), y.std()"))
        out.append(("scale-targets", f"{targets} = ((part - center) / unit for part in ({targets}))"))
    if head == "mse_column":
        out.append(("shape-targets", f"{targets} = (part[:, None] for part in ({targets}))"))
    if head in ("bce_with_logits", "bce"):
        out.append(("shape-targets", f"{targets} = (part.astype(np.float32) for part in ({targets}))"))
    if head == "one_hot":
        eye = f"np.eye({classes}, dtype=np.float32)"
        out.append(("shape-targets", f"{targets} = ({eye}[part] for part in ({targets}))"))
    return out


def _recipe(settings: Settings, network: tuple[Line, ...]) -> list[tuple[str, str] | str]:
    named = [line.text.split("(")[0].split()[-1] for line in network if line.tag == "class"]
    loss = {"one_hot": "cross_entropy", "mse_column": "mse"}.get(settings["head"], settings["head"])
    given: list[tuple[str, str]] = [("loss", f'"{loss}"')]
    for name in SETTINGS:
        value = settings.get(name)
        if value is not None:
            given.append((name, f'"{value}"' if isinstance(value, str) else repr(value)))
    return [
        ("recipe", "recipe = nw.Recipe("),
        ("data", "    data=nw.Data((x, y), val=(x_val, y_val), test=(x_test, y_test)),"),
        ("network-name", f"    network={named[-1] if named else 'network'},"),
        ("training", "    training=nw.Training("),
        *((f"training.{name}", f"        {name}={source},") for name, source in given),
        ("training-end", "    ),"),
        ("recipe-end", ")"),
    ]


def _with_head(built: Script, head: str) -> Script:
    """What comes after the last linear layer, where the loss wants it so."""
    if head == "nll":
        return built.on_output("nn.LogSoftmax(dim=1)", "torch.log_softmax(OUT, dim=1)")
    if head in ("mse", "huber", "l1", "bce_with_logits"):
        return _flat(built)
    if head == "bce":
        return _flat(built, sigmoid=True)
    return built


def _flat(built: Script, sigmoid: bool = False) -> Script:
    if built.has("output"):
        old = built.texts("output")[-1].strip().removeprefix("return ")
        flat = f"{old}.squeeze(1)"
        return built.replace("output", f"        return {f'torch.sigmoid({flat})' if sigmoid else flat}")
    extra = ["        nn.Flatten(0),"] if not sigmoid else ["        nn.Sigmoid(),", "        nn.Flatten(0),"]
    return built.after("head", *extra, new="final")
