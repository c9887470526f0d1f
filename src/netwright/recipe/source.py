"""Where in the user's source a value is written and a layer is made.

Values remember the frame that constructed them; the abstract syntax tree of that file then says where each
argument stands, and whether it is a literal that can be replaced there or comes from somewhere else.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import os
import textwrap
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
from attrs import frozen

from netwright.values import Attribute, Place

_PACKAGE = str(Path(__file__).resolve().parent.parent) + os.sep


@frozen
class Birthplace:
    """File (absolute) and line of the call that made a value; both empty where it is not known."""

    file: str = ""
    line: int = 0


def is_ours(file: str) -> bool:
    """Whether a file is of this package."""
    return file.startswith((_PACKAGE, "<attrs generated"))


def birthplace() -> Birthplace:
    """The innermost frame outside Netwright: whoever called the constructor."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    return Birthplace(frame.f_code.co_filename, frame.f_lineno) if frame else Birthplace()


def shown(file: str) -> str:
    """A path as a user wants to read it: relative where it lies below the working folder, else its name."""
    if not os.path.isabs(file):
        return file
    relative = os.path.relpath(file)
    return relative if not relative.startswith("..") else os.path.basename(file)


@contextmanager
def layer_places() -> Generator[dict[int, Birthplace], None, None]:
    """While open, every module made is noted: id(module) → the innermost user line that made it.

    `nn.Module.__init__` is wrapped for the time of the block only, since torch offers no hook for a
    construction.
    """
    from torch import nn

    torch_folder = str(Path(nn.__file__).resolve().parent.parent) + os.sep
    places: dict[int, Birthplace] = {}
    original = nn.Module.__init__

    def noting(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        frame: FrameType | None = inspect.currentframe()
        while frame is not None:
            file = frame.f_code.co_filename
            own_init = frame.f_code.co_name == "__init__" and frame.f_locals.get("self") is self
            if not own_init and not file.startswith(torch_folder) and not is_ours(file):
                places[id(self)] = Birthplace(file, frame.f_lineno)
                return
            frame = frame.f_back

    nn.Module.__init__ = noting  # type: ignore[method-assign]
    try:
        yield places
    finally:
        nn.Module.__init__ = original  # type: ignore[method-assign]


def layer_lines(network: Any) -> dict[str, Birthplace]:
    """The lines that assign the layers of a network already built, by the layer's name; read from the source
    of the classes that hold them, so layers made in a loop or by another function have none."""
    places: dict[str, Birthplace] = {}
    for name, module in network.named_modules():
        for attribute, born in _assignments(type(module)).items():
            if attribute in dict(module.named_children()):
                places[f"{name}.{attribute}" if name else attribute] = born
    return places


@functools.lru_cache(maxsize=256)
def _assignments(kind: type) -> dict[str, Birthplace]:
    """`self.<name> = …` in the class's own methods."""
    if kind.__module__.startswith("torch."):
        return {}
    try:
        file = inspect.getsourcefile(kind) or ""
        lines, first = inspect.getsourcelines(kind)
    except (OSError, TypeError):
        return {}
    tree = _parsed(textwrap.dedent("".join(lines)))
    found: dict[str, Birthplace] = {}
    for node in ast.walk(tree) if tree else ():
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        for target in targets:
            if (
                isinstance(target, ast.Attribute)
                and isinstance(target.value, ast.Name)
                and target.value.id == "self"
            ):
                found.setdefault(target.attr, Birthplace(file, first + target.lineno - 1))
    return found


def _tree(file: str) -> ast.Module | None:
    linecache.checkcache(file)
    return _parsed("".join(linecache.getlines(file)))


@functools.lru_cache(maxsize=32)
def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text) if text else None
    except SyntaxError:
        return None


def _call_at(born: Birthplace, names: tuple[str, ...]) -> ast.Call | None:
    """The innermost call of one of `names` whose expression covers the line where the value was made."""
    tree = _tree(born.file)
    found: ast.Call | None = None
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Call) and node.lineno <= born.line <= (node.end_lineno or node.lineno):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in names and (found is None or node.lineno >= found.lineno):
                found = node
    return found


def argument(
    born: Birthplace, calls: tuple[str, ...], name: str, value: Any, order: tuple[str, ...] = ()
) -> Attribute:
    """Where the argument `name` of the call made at `born` is written, as an `Attribute` without its
    qualified name.

    `order` names the arguments that may be given by their position.
    """
    call = _call_at(born, calls)
    file = shown(born.file)
    if call is None:
        return Attribute(name, value, Place(file=file or None, line=born.line or None, attribute=name))
    for keyword in call.keywords:
        if keyword.arg == name:
            return _written(born.file, file, name, value, keyword.value)
    for given, node in zip(order, call.args, strict=False):
        if isinstance(node, ast.Starred):
            break
        if given == name:
            written = _written(born.file, file, name, value, node)
            # A literal that stands in its position is replaced there as itself, without a name before it.
            return attrs.evolve(written, source=ast.unparse(node)) if _is_literal(node) else written
    spread = next((k for k in call.keywords if k.arg is None), None)
    if spread is not None and value is not None:
        text = f"{ast.unparse(spread.value)}[{name!r}]"
        place = Place(file=file, line=spread.value.lineno, attribute=name)
        return Attribute(name, value, place, is_set=True, literal=False, source=text)
    # Not set: the line where a new keyword belongs is that of the call.
    return Attribute(name, value, Place(file=file, line=call.lineno, attribute=name))


def _written(path: str, file: str, name: str, value: Any, node: ast.expr) -> Attribute:
    if _is_literal(node):
        place = Place(file=file, line=node.lineno, attribute=name)
        return Attribute(name, value, place, True, True, f"{name}={ast.unparse(node)}")
    if isinstance(node, ast.Name):
        assigned = [
            a
            for a in ast.walk(_tree(path) or ast.Module([], []))
            if isinstance(a, (ast.Assign, ast.AnnAssign, ast.AugAssign))
            and any(isinstance(t, ast.Name) and t.id == node.id for t in _targets(a))
        ]
        if (
            len(assigned) == 1
            and not isinstance(assigned[0], ast.AugAssign)
            and assigned[0].value is not None
            and _is_literal(assigned[0].value)
        ):
            place = Place(file=file, line=assigned[0].lineno, attribute=name)
            return Attribute(name, value, place, True, True, ast.unparse(assigned[0]))
    place = Place(file=file, line=node.lineno, attribute=name)
    return Attribute(name, value, place, True, False, ast.unparse(node))


def _targets(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True
