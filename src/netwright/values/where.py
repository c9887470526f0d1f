"""Which lines of a listing are meant: `conv and dead>0.3`, `params > 1e5 or frozen`, `not relu`."""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import frozen

from netwright.values.errors import UserError
from netwright.values.layers import LayerLine

_OWN = {
    "params": "parameters", "parameters": "parameters", "flops": "flops", "bytes": "bytes",
    "seconds": "seconds", "depth": "depth",
    "state": "state", "calls": "calls", "name": "name", "kind": "kind",
    "parent": "parent",
    "file": "file", "line": "line",
}  # fmt: skip
_BEHAVIOUR = ("zeros", "dead", "saturated", "mean", "std", "gradient")
_FLAGS: Mapping[str, Callable[[LayerLine], bool]] = {
    "trainable": lambda line: line.trainable is True,
    "frozen": lambda line: line.trainable is False,
    "finding": lambda line: bool(line.findings),
}
SORTABLE = ("parameters", "params", "flops", "bytes", "seconds", "state", "calls", "depth", *_BEHAVIOUR)
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_LONGEST = 1000


def field_of(line: LayerLine, name: str) -> Any:
    """The value of a field by its name; `None` where it was not measured."""
    if name in _OWN:
        return getattr(line, _OWN[name])
    if name in _FLAGS:
        return _FLAGS[name](line)
    return line.behaviour.get(name)


def sorted_by(lines: Iterable[LayerLine], name: str) -> tuple[LayerLine, ...]:
    """The largest first; lines where it was not measured come last, in their order."""
    if name not in SORTABLE:
        raise UserError(f"--sort {name}: say one of {', '.join(n for n in SORTABLE if n != 'params')}")
    lines = tuple(lines)
    known = [line for line in lines if not _missing(field_of(line, name))]
    rest = [line for line in lines if _missing(field_of(line, name))]
    return (*sorted(known, key=lambda line: -field_of(line, name)), *rest)


def _missing(value: Any) -> bool:
    return value is None or value != value


@frozen(eq=False)
class Where:
    """An expression that holds for a line or does not. Nothing of it is run as Python."""

    text: str
    tree: ast.expr

    @classmethod
    def parse(cls, text: str) -> Where:
        """Raises `UserError` for what is no such expression."""
        try:
            if len(text) > _LONGEST:
                raise SyntaxError
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of Python's, about how a text is escaped
                tree = ast.parse(text.strip(), mode="eval").body
            _check(tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            shown = text if len(text) <= 80 else f"{text[:80]}…"
            raise UserError(
                f"--where {shown!r}: cannot be read; say what must hold for a layer, as in"
                " --where 'conv and dead>0.3'"
            ) from None
        return cls(text, tree)

    def __call__(self, line: LayerLine) -> bool:
        return bool(_holds(self.tree, line))


def _check(node: ast.expr) -> None:
    """Raises `SyntaxError` where there is anything but the few forms that are understood."""
    match node:
        case ast.BoolOp(values=values):
            for value in values:
                _check(value)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check(operand)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            if not all(type(op) in _COMPARISONS for op in ops):
                raise SyntaxError
            for value in (left, *comparators):
                if isinstance(value, (ast.BoolOp, ast.Compare)) or _is_not(value):
                    raise SyntaxError
                _check(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
            pass
        case ast.Constant(value=bool() | int() | float() | str()) | ast.Name():
            pass
        case ast.Attribute():  # layer1.0 is no name of Python's, encoder.norm is
            _dotted(node)
        case _:
            raise SyntaxError


def _is_not(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{_dotted(value)}.{name}"
        case _:
            raise SyntaxError


def _holds(node: ast.expr, line: LayerLine) -> bool:
    match node:
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_holds(value, line) for value in values)
        case ast.BoolOp(values=values):
            return any(_holds(value, line) for value in values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _holds(operand, line)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [_value(value, line) for value in (left, *comparators)]
            return all(_compared(op, a, b) for op, a, b in zip(ops, sides, sides[1:], strict=False))
        case ast.Name(id=name) if name in _FLAGS or name in _OWN or name in _BEHAVIOUR:
            return _true(field_of(line, name)) or _matches(name, line)
        case ast.Name() | ast.Attribute():
            return _matches(_dotted(node), line)
        case ast.Constant(value=str() as word):
            return _matches(word, line)
        case _:
            return _true(_value(node, line))


def _true(value: Any) -> bool:
    return not _missing(value) and bool(value)


def _matches(word: str, line: LayerLine) -> bool:
    """Whether it stands in the kind or in the name."""
    low = word.lower()
    return low in line.kind.lower() or low in line.name.lower()


def _value(node: ast.expr, line: LayerLine) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Name(id=name) if name in _OWN or name in _FLAGS or name in _BEHAVIOUR:
            return field_of(line, name)
        case ast.Name() | ast.Attribute():
            return _dotted(node)  # kind == Linear
        case _:
            return None


def _compared(op: ast.cmpop, left: Any, right: Any) -> bool:
    if _missing(left) or _missing(right):
        return False
    if isinstance(left, str) and isinstance(right, str):
        left, right = left.lower(), right.lower()
    elif isinstance(left, str) or isinstance(right, str):
        return False
    return _COMPARISONS[type(op)](left, right)
