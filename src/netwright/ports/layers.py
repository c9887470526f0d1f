"""The layers of a program: every operator whose result can be read, named by module or by function, with its
line."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs import frozen
from torch import Tensor, nn

from netwright.recipe.edits import leaves
from netwright.recipe.source import Birthplace, is_ours, shown
from netwright.values import Place

GETITEM = operator.getitem  # how a program takes one of several results
_IDENTITIES = ("dropout", "feature_dropout", "alpha_dropout", "contiguous", "alias", "detach", "clone", "to")
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_TORCH = str(Path(torch.__file__).resolve().parent)


@frozen
class Layer:
    """One operator of a program whose result can be read: a tap.

    `name` is the module's name where the operator is what the module returns (`block.conv`, `block.conv#2`
    for its second call), else the module's name, the operator and its number there (`block.relu#1`). `node`
    is the program's own name for it, `shape` that of one batch, an axis that is free `None`. `operator` is
    PyTorch's name of it (`conv2d`), `kind` the class of its module, or the operator again. A layer that
    `passes_on` gives what it was given, as dropout does outside training.
    """

    name: str
    node: str
    operator: str
    kind: str
    shape: tuple[int | None, ...]
    place: Place
    passes_on: bool = False


def layers_of(
    exported: torch.export.ExportedProgram, network: nn.Module, places: Mapping[str, Birthplace]
) -> Iterable[Layer]:
    """The layers of a program, named; see `Layer`."""
    kinds = {name: type(module).__name__ for name, module in leaves(network)}
    nodes = [node for node in exported.graph.nodes if is_tap(node)]
    groups: dict[tuple[str, str], list[torch.fx.Node]] = {}
    for node in nodes:
        leaf, call = _leaf_of(node, kinds)
        if leaf is not None:
            groups.setdefault((leaf, call), []).append(node)
    returned: dict[torch.fx.Node, str] = {}
    calls: Counter[str] = Counter()
    for (leaf, _), members in groups.items():
        calls[leaf] += 1
        used = [node for node in members if node.users] or members
        firsts = [node for node in used if node.target is GETITEM and node.args[1] == 0]
        chosen = firsts[-1] if firsts and used[-1].target is GETITEM else used[-1]
        returned[chosen] = leaf if calls[leaf] == 1 else f"{leaf}#{calls[leaf]}"
    counts: Counter[str] = Counter()
    for node in nodes:
        called = operator_of(node)
        stack = _stack(node)
        inside = stack[-1][0] if stack else ""
        if node in returned:
            leaf = returned[node].partition("#")[0]
            name, kind, place = returned[node], kinds[leaf], _place(node, places.get(leaf))
        else:
            base = f"{inside}.{called}" if inside else called
            counts[base] += 1
            name, kind, place = f"{base}#{counts[base]}", called, _place(node, None)
        value = node.meta["val"]
        shape = tuple(axis if isinstance(axis, int) else None for axis in value.shape)
        passes_on = called in _IDENTITIES and _same_type(node)
        yield Layer(name, node.name, called, kind, shape, attrs.evolve(place, layer=name), passes_on)


def _same_type(node: torch.fx.Node) -> bool:
    source: Any = node.args[0]
    return source.meta["val"].dtype == node.meta["val"].dtype


def is_tap(node: torch.fx.Node) -> bool:
    """Whether a node gives a floating tensor made of the network's inputs."""
    value = node.meta.get("val")
    if node.op != "call_function" or not isinstance(value, Tensor) or not value.is_floating_point():
        return False
    if node.target is GETITEM and not node.users:
        return False
    return bool(node.all_input_nodes)


def operator_of(node: torch.fx.Node) -> str:
    """PyTorch's name of what a node calls: `conv2d` of `aten.conv2d.default`. The first result of an operator
    with several has the operator's name."""
    if node.target is GETITEM:
        source = node.args[0]
        return operator_of(source) if isinstance(source, torch.fx.Node) else "getitem"
    target = node.target
    name = getattr(target, "_opname", None) or getattr(target, "__name__", str(target))
    return str(name).split(".")[0]


def _stack(node: torch.fx.Node) -> list[tuple[str, Any]]:
    stack = node.meta.get("nn_module_stack") or {}
    return [value for value in stack.values() if isinstance(value, tuple)]


def _leaf_of(node: torch.fx.Node, kinds: Mapping[str, str]) -> tuple[str | None, str]:
    """The layer that a node belongs to, with which call of it."""
    for key, value in (node.meta.get("nn_module_stack") or {}).items():
        if isinstance(value, tuple) and value[0] in kinds:
            return str(value[0]), str(key)
    return None, ""


def _place(node: torch.fx.Node, born: Birthplace | None) -> Place:
    """Where a layer stands in the user's source: the line that made it, else the line that calls it."""
    if born is not None and born.file:
        return Place(file=shown(born.file), line=born.line)
    for file, line in reversed(_FRAME.findall(node.meta.get("stack_trace") or "")):
        if not file.startswith(_TORCH) and not is_ours(file):
            return Place(file=shown(file), line=int(line))
    return Place()
