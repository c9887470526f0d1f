"""A digest of everything that changes a training, the same in every process."""

from __future__ import annotations

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

    Of a function counts its bytecode, its constants, defaults and closure, and, recursively, what it names in its
    module where that is the user's: comments and line numbers do not.
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
            f"class:{value.__module__ if not _is_users(value.__module__) else ''}.{value.__qualname__};".encode()
        )
        if _is_users(value.__module__):
            for base in value.__bases__:
                _feed(update, base, seen)
            for name, member in sorted(vars(value).items()):
                if isinstance(member, (staticmethod, classmethod)):
                    member = member.__func__
                if isinstance(member, (FunctionType, bool, int, float, str, tuple)) and not name.startswith(
                    "__doc"
                ):
                    if name not in ("__module__", "__qualname__", "__firstlineno__"):
                        update(name.encode())
                        _feed(update, member, seen)
    elif hasattr(value, "detach") and hasattr(value, "numpy"):
        _feed_array(update, value.detach().cpu().numpy())
    elif hasattr(value, "dtype") and hasattr(value, "tobytes"):
        _feed_array(update, value)
    else:
        # Whatever else a user's function refers to counts by its type and its plain attributes.
        update(f"object:{type(value).__module__}.{type(value).__qualname__};".encode())
        attributes = getattr(value, "__dict__", {})
        if _is_users(type(value).__module__):
            _feed(update, type(value), seen)
            _feed(update, {k: v for k, v in attributes.items() if not k.startswith("_")}, seen)


def _feed_array(update: Callable[[bytes], None], array: Any) -> None:
    update(f"array:{array.dtype}:{array.shape};".encode())
    update(array.tobytes())


def _feed_code(update: Callable[[bytes], None], code: CodeType, seen: set[int]) -> None:
    update(code.co_code)
    _feed(update, (code.co_names, code.co_varnames, code.co_freevars), seen)
    for constant in code.co_consts[1:] if _has_docstring(code) else code.co_consts:
        _feed(update, constant, seen)


def _has_docstring(code: CodeType) -> bool:
    named = code.co_name != "<lambda>" and bool(code.co_flags & inspect.CO_OPTIMIZED)
    return named and bool(code.co_consts) and isinstance(code.co_consts[0], str)


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


def _is_users(module: str | None) -> bool:
    if module is None:
        return True
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names and root != "__main__":
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or (not file.startswith(_INSTALLED) and root != "netwright")
