"""A digest of everything that changes a training, the same in every process."""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def digest(*parts: Any) -> str:
    """16 hexadecimal digits over plain values, arrays, and the users' own functions and classes.

    Of a function counts its code with its constants, its defaults and closure, and, recursively, what it
    names in its module where that is the user's: comments and line numbers do not.
    """
    state = hashlib.sha256()
    seen: set[int] = set()
    for part in parts:
        _feed(state.update, part, seen)
    return state.hexdigest()[:16]


def _feed(update: Callable[[bytes], None], value: Any, seen: set[int]) -> None:
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        update(f"{type(value).__name__}:{value!r};".encode())
    elif isinstance(value, Mapping):
        update(b"{")
        for key in sorted(value, key=repr):
            _feed(update, key, seen)
            _feed(update, value[key], seen)
        update(b"}")
    elif isinstance(value, (list, tuple, set, frozenset)):
        update(type(value).__name__.encode() + b"[")
        for item in sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value:
            _feed(update, item, seen)
        update(b"]")
    elif isinstance(value, CodeType):
        _feed_code(update, value, seen)
    elif isinstance(value, ModuleType):
        update(f"module:{value.__name__}:{getattr(value, '__version__', '')};".encode())
    elif id(value) in seen:
        update(b"again;")
    else:
        seen.add(id(value))
        _feed_object(update, value, seen)


def _feed_object(update: Callable[[bytes], None], value: Any, seen: set[int]) -> None:
    if isinstance(value, MethodType):
        _feed(update, value.__func__, seen)
        _feed(update, value.__self__, seen)
    elif isinstance(value, FunctionType):
        if not _is_users(value.__module__):
            update(f"function:{value.__module__}.{value.__qualname__};".encode())
            return
        _feed_code(update, value.__code__, seen)
        _feed(update, value.__defaults__, seen)
        _feed(update, value.__kwdefaults__ or {}, seen)
        for cell in value.__closure__ or ():
            _feed(update, _content(cell), seen)
        for name in sorted(_names(value.__code__)):
            if name in value.__globals__:
                update(f"global:{name};".encode())
                _feed(update, value.__globals__[name], seen)
    elif inspect.isclass(value):
        update(
            f"class:{'' if _is_users(value.__module__) else value.__module__}.{value.__qualname__};".encode()
        )
        if _is_users(value.__module__):
            for base in value.__bases__:
                _feed(update, base, seen)
            for name, member in sorted(vars(value).items()):
                if isinstance(member, (staticmethod, classmethod)):
                    member = member.__func__
                elif isinstance(member, property):
                    member = member.fget
                if isinstance(member, FunctionType) or (not name.startswith("_") and _is_plain(member)):
                    update(name.encode())
                    _feed(update, member, seen)
    elif hasattr(value, "detach") and hasattr(value, "numpy"):
        _feed_array(update, value.detach().cpu().numpy())
    elif hasattr(value, "dtype") and hasattr(value, "tobytes"):
        _feed_array(update, value)
    elif hasattr(value, "__wrapped__"):  # functools.cache and its like
        update(b"wrapped;")
        _feed(update, value.__wrapped__, seen)
    elif isinstance(value, functools.partial):
        update(b"partial;")
        _feed(update, (value.func, value.args, value.keywords), seen)
    else:
        # Whatever else a user's function refers to counts by its type and its attributes.
        kind = type(value)
        users = _is_users(kind.__module__)
        update(f"object:{'' if users else kind.__module__}.{kind.__qualname__};".encode())
        if users:
            _feed(update, kind, seen)
        attributes = _attributes(value)
        if users or hasattr(value, "state_dict"):
            _feed(update, attributes, seen)
        elif attributes and _root(kind.__module__) not in {*sys.stdlib_module_names, "netwright"}:
            _feed(update, {k: v for k, v in attributes.items() if not k.startswith("_")}, seen)
        else:  # of built-in functions counts the name; of paths, data types and their like what they print as
            named = getattr(value, "__qualname__", None) or repr(value)
            update(named.encode() if " at 0x" not in named else b"")


def _attributes(value: Any) -> dict[str, Any]:
    """What an object holds, in its dictionary or in slots."""
    slots = [name for kind in type(value).__mro__ for name in _slots(kind) if not name.startswith("__")]
    held = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    return {**held, **getattr(value, "__dict__", {})}


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, tuple, list, dict, set, frozenset))


def _feed_array(update: Callable[[bytes], None], array: Any) -> None:
    update(f"array:{array.dtype}:{array.shape};".encode())
    update(array.tobytes())


def _feed_code(update: Callable[[bytes], None], code: CodeType, seen: set[int]) -> None:
    """Instructions with what they stand for: a docstring is never loaded, and lines are not mentioned."""
    _feed(update, (code.co_argcount, code.co_kwonlyargcount, code.co_varnames), seen)
    for instruction in dis.get_instructions(code):
        update(f"{instruction.opname};".encode())
        _feed(update, instruction.argval, seen)


def _names(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None


def _root(module: str) -> str:
    return module.partition(".")[0]


def _is_users(module: str | None) -> bool:
    if module is None:
        return True
    root = _root(module)
    if root in sys.stdlib_module_names and root != "__main__":
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or (not file.startswith(_INSTALLED) and root != "netwright")
