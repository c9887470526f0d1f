"""How checks, ideas, kinds of edit and targets of ports are declared and found.

A decorator marks a function; nothing is registered while a module is imported. `Catalogue.collect` finds the
marked functions in the packages named by entry points (`netwright.checks`, `netwright.ideas`,
`netwright.edits`, `netwright.targets`; our own rooms are declared in the same way as anybody else's) and in
the files that a user names.
"""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Literal

from attrs import field, frozen

from netwright.values.errors import UserError

_MARK = "__netwright_entry__"
EditedPart = Literal["training", "network", "samples", "validation", "edits"]


class Needs(enum.Flag):
    """The parts of the evidence that a check reads; a check whose needs are not met is skipped and listed as
    such. DATA may be a single batch; PARTS says that training and validation data are there whole."""

    NONE = 0
    RECIPE = enum.auto()
    DATA = enum.auto()
    NETWORK = enum.auto()
    BATCH = enum.auto()
    OPTIMIZER = enum.auto()
    RUN = enum.auto()
    RANGE_TEST = enum.auto()
    LOOP = enum.auto()
    PARTS = enum.auto()

    def words(self) -> str:
        return ", ".join(str(part.name).lower().replace("_", " ") for part in Needs if part in self)


class Cost(enum.Enum):
    """How much a trial of an idea costs against a training of the baseline."""

    ONE_TRIAL = 1.0
    LONGER = 2.0


@frozen
class Check:
    """`function(evidence)` yields findings; `confuses` is what it can mistake for its cause, shown to the
    user. `probes` are the experiments whose answers it reads; `when(evidence)` says, from cheaper evidence,
    whether it is worth making them."""

    id: str
    needs: Needs
    confuses: str
    function: Callable[..., Iterator[Any]] = field(repr=False)
    probes: tuple[str, ...] = ()
    when: Callable[[Any], bool] | None = field(default=None, repr=False)


@frozen
class Idea:
    """`function(recipe, situation)` yields edits of one attribute.

    `addresses` are the causes that it is a remedy of; `prior` (0…1) how often it is worth a trial where no
    finding names it; `late` marks what may win only at full length, and is never dropped before its own
    schedule ended.
    """

    id: str
    attribute: str
    addresses: tuple[str, ...]
    prior: float
    cost: Cost
    late: bool
    source: str
    function: Callable[..., Iterator[Any]] = field(repr=False)


@frozen
class EditKind:
    """`function(part, **parameters)` returns the changed part: the training, the network, the training or the
    validation samples."""

    id: str
    on: EditedPart
    function: Callable[..., Any] = field(repr=False)


@frozen
class Target:
    """A technology that networks are ported to.

    `function(source)` writes the network into `source.folder` and returns its files, the main one first;
    `open(files, program)` makes them ready to run. `needs` are the modules that must be there, `extra` is
    what installs them. `source` says what it is made from: the program, or the same network in ONNX. With
    `batch="one"` its files take one input at a time. Where `taps` are free one run reads every layer; where
    they are dear every set of layers takes a port of its own. `limits(source)` yields, before anything is
    made, what of a program does not fit, as `netwright.values.Limit`. `rewrites` are those, by id,
    that are made of a program first because the technology lacks what they replace
    (`netwright.ports.rewrites.REWRITES`, to which a package may add its own). `quantise(asked)` makes files
    in 8-bit integers of a port's files, as `netwright.ports.running.Quantising` says.
    """

    id: str
    title: str
    needs: tuple[str, ...]
    extra: str
    source: Literal["program", "onnx"]
    batch: Literal["any", "one"]
    taps: Literal["free", "dear"]
    function: Callable[..., Any] = field(repr=False)
    open: Callable[..., Any] | None = field(default=None, repr=False)
    limits: Callable[..., Iterable[Any]] | None = field(default=None, repr=False)
    rewrites: tuple[str, ...] = ()
    quantise: Callable[..., Any] | None = field(default=None, repr=False)

    @property
    def precisions(self) -> tuple[str, ...]:
        """What its ports can be computed in."""
        return ("float32",) if self.quantise is None else ("float32", "int8")


def check(
    id: str,
    *,
    needs: Needs = Needs.RECIPE,
    probes: Iterable[str] = (),
    when: Callable[[Any], bool] | None = None,
    confuses: str = "",
) -> Callable[[Any], Any]:
    """Declare a check: a generator of findings over the evidence it `needs` and the answers of its `probes`.

    With `when`, probes are made and the check is asked only where it holds of the evidence so far.
    """

    def mark(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        setattr(function, _MARK, Check(id, needs, confuses, function, tuple(probes), when))
        return function

    return mark


def idea(
    *,
    attribute: str,
    addresses: Iterable[str] = (),
    prior: float,
    cost: Cost = Cost.ONE_TRIAL,
    late: bool = False,
) -> Callable[[Any], Any]:
    """Declare an idea; its id is the function's name with hyphens, its source the docstring's 'Source:'."""

    def mark(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        doc = inspect.getdoc(function) or ""
        _, found, source = doc.partition("Source:")
        if not found:
            raise ValueError(f"idea {function.__name__}: the docstring names no 'Source:'")
        name = function.__name__.replace("_", "-")
        entry = Idea(name, attribute, tuple(addresses), prior, cost, late, " ".join(source.split()), function)
        setattr(function, _MARK, entry)
        return function

    return mark


def edit(id: str, *, on: EditedPart) -> Callable[[Any], Any]:
    """Declare a kind of edit, applied by id; one on the validation samples makes another yardstick."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        setattr(function, _MARK, EditKind(id, on, function))
        return function

    return mark


def target(
    id: str,
    title: str,
    *,
    needs: Iterable[str] = (),
    extra: str = "ports",
    source: Literal["program", "onnx"] = "program",
    batch: Literal["any", "one"] = "any",
    taps: Literal["free", "dear"] = "dear",
    open: Callable[..., Any] | None = None,
    limits: Callable[..., Iterable[Any]] | None = None,
    rewrites: Iterable[str] = (),
    quantise: Callable[..., Any] | None = None,
) -> Callable[[Any], Any]:
    """Declare a technology that networks are ported to; see `Target`. Without `open` its ports are built and
    not run."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        entry = Target(
            id,
            title,
            tuple(needs),
            extra,
            source,
            batch,
            taps,
            function,
            open,
            limits,
            tuple(rewrites),
            quantise,
        )
        setattr(function, _MARK, entry)
        return function

    return mark


Entry = Check | Idea | EditKind | Target


@frozen
class Catalogue:
    """What is declared: checks, ideas, kinds of edit and targets by id."""

    checks: Mapping[str, Check]
    ideas: Mapping[str, Idea]
    edits: Mapping[str, EditKind]
    targets: Mapping[str, Target]

    @staticmethod
    def collect(modules: Iterable[ModuleType] = ()) -> Catalogue:
        """All entries of the installed packages and of `modules` (a user's files); no two share an id."""
        checks: dict[str, Check] = {}
        ideas: dict[str, Idea] = {}
        edits: dict[str, EditKind] = {}
        targets: dict[str, Target] = {}
        tables = ((Check, checks), (Idea, ideas), (EditKind, edits), (Target, targets))
        for entry in (*_installed(), *(e for module in modules for e in entries_of(module))):
            table: dict[str, Any] = next(table for kind, table in tables if isinstance(entry, kind))
            if entry.id in table and table[entry.id].function is not entry.function:
                raise UserError(
                    f"{entry.function.__module__}: {type(entry).__name__.lower()} {entry.id!r} is declared"
                    " twice; give it another id"
                )
            table[entry.id] = entry
        return Catalogue(checks, ideas, edits, targets)


def entries_of(module: ModuleType) -> Iterator[Entry]:
    """The entries that a module itself declares, in the order of its source."""
    for value in vars(module).values():
        entry = getattr(value, _MARK, None)
        if isinstance(entry, Entry) and value.__module__ == module.__name__:
            yield entry


@functools.cache
def _installed() -> tuple[Entry, ...]:
    entries: list[Entry] = []
    groups = ("checks", "ideas", "edits", "targets")
    names = {e.value for group in groups for e in entry_points(group=f"netwright.{group}")}
    for name in sorted(names):
        module = importlib.import_module(name)
        entries.extend(entries_of(module))
        for child in pkgutil.iter_modules(getattr(module, "__path__", ())):
            entries.extend(entries_of(importlib.import_module(f"{name}.{child.name}")))
    return tuple(entries)
