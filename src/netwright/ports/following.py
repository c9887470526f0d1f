"""Following a network by torch.export, its batch free where that holds, and what is said where it cannot
be."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from netwright.recipe.source import is_ours, shown
from netwright.values import UserError

_TORCH = str(Path(torch.__file__).resolve().parent)


def exported_of(
    network: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], free_batch: bool
) -> tuple[torch.export.ExportedProgram, bool]:
    tensors = [t for t in pytree.tree_leaves((arguments, named)) if isinstance(t, Tensor) and t.ndim]
    batch = len(tensors[0]) if tensors else 1
    if free_batch and tensors:
        # torch.export takes an axis of length 1 for a constant, so the example holds two at least.
        many = (lambda t: torch.cat((t, t))) if batch == 1 else (lambda t: t)
        batch = max(2, batch)
        wide, wide_named = _of_axes(many, arguments), _of_axes(many, named)

        def axes(value: Any) -> Any:
            if isinstance(value, Tensor):
                return {0: torch.export.Dim.AUTO} if value.ndim and len(value) == batch else None
            return None

        shapes = (pytree.tree_map(axes, wide), pytree.tree_map(axes, wide_named))
        try:
            exported = _export(network, wide, wide_named, _by_name(network, shapes))
        except UserError:
            exported = None  # tried again with the batch fixed, whose error is the one to show
        one = tuple(_of_axes(lambda t: t[:1] if len(t) == batch else t, v) for v in (wide, wide_named))
        if exported is not None and _is_free(exported) and _holds(exported, network, one[0], one[1]):
            return exported, True
    return _export(network, arguments, named, None), False


def _holds(exported: torch.export.ExportedProgram, network: nn.Module, arguments: Any, named: Any) -> bool:
    """Whether a program with its batch free gives what the network gives for a batch that it was not followed
    with: a size computed in Python may have been taken for a constant."""
    try:
        with torch.no_grad():
            wanted = pytree.tree_leaves(network(*arguments, **named))
            given = pytree.tree_leaves(exported.module(check_guards=False)(*arguments, **named))
    except Exception:  # whichever of both cannot take it
        return False
    pairs = [(w, g) for w, g in zip(wanted, given, strict=False) if isinstance(w, Tensor)]
    return all(w.shape == g.shape and torch.allclose(w, g, 1e-3, 1e-4, equal_nan=True) for w, g in pairs)


def _export(network: nn.Module, arguments: Any, named: Any, shapes: Any) -> torch.export.ExportedProgram:
    with _Running(network) as running, warnings.catch_warnings():
        try:
            warnings.simplefilter("ignore")  # torch's of its own doings, as how an LSTM keeps its weights
            exported = torch.export.export(network, arguments, named, dynamic_shapes=shapes, strict=False)
        except Exception as raised:  # torch raises whatever the user's operators lead it to
            raise _cannot_follow(network, raised, running.names[-1] if running.names else "") from raised
    return _settled(exported)


def _settled(exported: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program with what is random in training alone as what it is otherwise, which every technology has:
    a randomised leaky ReLU has the mean of its slopes."""
    for node in exported.graph.nodes:
        if node.target is torch.ops.aten.rrelu.default and not any(node.args[3:4]):
            slopes = (*node.args[1:3], *(1 / 8, 1 / 3)[len(node.args[1:3]) :])
            node.target, node.args = torch.ops.aten.leaky_relu.default, (node.args[0], sum(slopes) / 2)
    exported.graph_module.recompile()
    return exported


def _by_name(network: nn.Module, shapes: tuple[Any, Any]) -> Any:
    """The axes of all arguments as torch.export wants them: by name where there are named ones."""
    positional, named = shapes
    if not named:
        return positional
    names = list(inspect.signature(network.forward).parameters)
    return {**dict(zip(names, positional, strict=False)), **named}


def _of_axes(function: Any, value: Any) -> Any:
    return pytree.tree_map(lambda v: function(v) if isinstance(v, Tensor) and v.ndim else v, value)


def _is_free(exported: torch.export.ExportedProgram) -> bool:
    wanted = set(exported.graph_signature.user_inputs)
    values = [n.meta.get("val") for n in exported.graph.nodes if n.op == "placeholder" and n.name in wanted]
    axes = [v.shape[0] for v in values if isinstance(v, Tensor) and v.ndim]
    return bool(axes) and not isinstance(axes[0], int)


class _Running:
    """The modules of a network that are running; after an exception, where it was raised."""

    def __init__(self, network: nn.Module) -> None:
        self.names: list[str] = []
        self._network = network
        self._handles: list[Any] = []

    def __enter__(self) -> _Running:
        for name, module in self._network.named_modules():
            self._handles.append(module.register_forward_pre_hook(lambda *_, n=name: self.names.append(n)))
            self._handles.append(module.register_forward_hook(self._left))
        return self

    def __exit__(self, *raised: Any) -> None:
        for handle in self._handles:
            handle.remove()

    def _left(self, *_: Any) -> None:
        self.names.pop()


def _cannot_follow(network: nn.Module, raised: Exception, name: str) -> UserError:
    """The sentence for what torch.export could not follow: the innermost module, and the user's line."""
    file, line = None, None
    trace = raised.__traceback__
    while trace is not None:
        where = trace.tb_frame.f_code.co_filename
        if not where.startswith(_TORCH) and not is_ours(where) and not where.startswith("<"):
            file, line = where, trace.tb_lineno
        trace = trace.tb_next
    kind = type(dict(network.named_modules()).get(name, network)).__name__
    reason = next((text for text in str(raised).splitlines() if text.strip()), type(raised).__name__)
    data_dependent = "data-dependent" in str(raised) or "GuardOnDataDependent" in type(raised).__name__
    what = (
        "decides by the values of its input which way to go; use torch.where, or port the parts"
        if data_dependent
        else f"cannot be followed by torch.export ({reason.strip()[:160]})"
    )
    where = f"layer {name!r} ({kind})" if name else f"the network ({kind})"
    return UserError(f"port: {where} {what}", file=shown(file) if file else None, line=line)
