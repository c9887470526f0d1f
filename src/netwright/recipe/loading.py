"""Finding a recipe in a user's file or module."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from netwright.catalogue import Catalogue
from netwright.recipe.recipe import Origin, Recipe
from netwright.recipe.source import shown
from netwright.values import UserCodeError, UserError

_PACKAGE = str(Path(__file__).resolve().parent.parent)
_OTHERS = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def load(spec: str, *, extensions: tuple[str, ...] = ()) -> Recipe:
    """The recipe named by `FILE`, `FILE:NAME`, `module` or `module:NAME`.

    The checks, ideas and edits that the file itself or the files of `extensions` declare are the recipe's
    too. Raises `UserError` where there is no such recipe or the file trains while it is imported,
    `UserCodeError` where it raises.
    """
    source, name = _divide(spec)
    module = import_source(source)
    catalogue = Catalogue.collect([module, *(import_source(file) for file in extensions)])
    recipes = {k: v for k, v in vars(module).items() if isinstance(v, Recipe)}
    if name is None:
        name = "recipe" if "recipe" in recipes else next(iter(recipes), None) if len(recipes) < 2 else None
        if name is None and recipes:
            raise UserError(
                f"{source}: holds the recipes {', '.join(recipes)}; name one: {source}:{next(iter(recipes))}"
            )
    if name is None:
        raise UserError(
            f"{source}: no recipe found; define one, 'recipe = nw.Recipe(...)', or name it: {source}:NAME",
            file=None,
        )
    found = getattr(module, name, None)
    if not isinstance(found, Recipe):
        what = f"is a {type(found).__name__}, not a recipe" if hasattr(module, name) else "is not defined"
        others = f"; recipes there are {', '.join(recipes)}" if recipes else ""
        raise UserError(f"{source}: {name} {what}{others}")
    made_at = found.made_at
    recipe = attrs.evolve(found, origin=Origin(source, name), catalogue=catalogue)
    object.__setattr__(recipe, "made_at", made_at)
    return recipe


def _divide(spec: str) -> tuple[str, str | None]:
    source, colon, name = spec.rpartition(":")
    if colon and name.isidentifier() and source:
        return source, name
    return spec, None


def import_source(source: str) -> ModuleType:
    """The module of a file or a dotted name, imported with what it prints and raises kept apart from ours."""
    path = Path(source)
    if source.endswith(".py") or path.is_file() or "/" in source:
        if not path.is_file():
            raise UserError(f"{source}: no such file; give a Python file with a recipe, FILE or FILE:NAME")
        full = path.resolve()
        written = full.stat()  # a file that was edited since is another module, also within one process
        version = f"{full}:{written.st_mtime_ns}:{written.st_size}"
        name = f"netwright_recipe_{full.stem}_{hashlib.sha256(version.encode()).hexdigest()[:8]}"
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, full)
        if spec is None or spec.loader is None:
            raise UserError(f"{source}: not a Python file; give a .py file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        if str(full.parent) not in sys.path:
            sys.path.insert(0, str(full.parent))
        try:
            with no_training(source), user_code(source):
                spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise
        return module
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    with no_training(source), user_code(source):
        try:
            # Finding imports the packages around it; a dot in front has no package to start from.
            missing = source.startswith(".") or importlib.util.find_spec(source) is None
        except (ModuleNotFoundError, ValueError):
            missing = True
        if missing:
            raise UserError(
                f"{source}: neither a file nor a module; give FILE.py, FILE.py:NAME or package.module:NAME"
            )
        return importlib.import_module(source)


@contextmanager
def no_training(source: str) -> Generator[None, None, None]:
    """Inside, the first step of any optimizer raises `UserError`: a file that trains cannot be imported
    twice."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    def refuse(*_: Any) -> None:
        raise UserError(
            f"{source}: trains while it is imported; guard it with 'if __name__ == \"__main__\":'"
        )

    handle = register_optimizer_step_pre_hook(refuse)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def user_code(source: str) -> Generator[None, None, None]:
    """Inside, what the user's code raises becomes a `UserCodeError` with the user's frames alone."""
    try:
        yield
    except UserError:
        raise
    except UserCodeError:
        raise
    except (Exception, SystemExit) as raised:  # a file that parses a command line exits when it is imported
        raise blame(raised, source) from raised


def blame(raised: BaseException, source: str = "") -> UserCodeError:
    """The user's error of an exception: one sentence, the innermost line of the user's, the traceback without
    ours."""
    frames = traceback.extract_tb(raised.__traceback__)
    users = [
        f
        for f in frames
        if not f.filename.startswith((_PACKAGE, "<frozen")) and not f.filename.endswith("attrs")
    ]
    text = "".join(
        [
            "Traceback (most recent call last):\n",
            *traceback.format_list(users),
            *traceback.format_exception_only(raised),
        ]
    )
    own = [f for f in users if not f.filename.startswith(_OTHERS) and "site-packages" not in f.filename]
    last = own[-1] if own else None
    if last is None and not source and users:
        last = users[-1]
    where = f"{Path(last.filename).name}:{last.lineno}" if last else source
    file, line = (last.filename, last.lineno) if last else (None, None)
    if isinstance(raised, SyntaxError) and last is None:
        file, line = raised.filename, raised.lineno
    summary = str(raised).strip().splitlines()
    return UserCodeError(
        f"{where}: raised {type(raised).__name__}{': ' + summary[0] if summary else ''}",
        traceback=text,
        file=shown(file) if file else None,
        line=line,
    )
