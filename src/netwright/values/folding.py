"""The listing as a tree that folds: modules over their layers, equal neighbours as one, to any depth."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from attrs import define, evolve, field, frozen

from netwright.values.layers import LayerLine, ModuleLine

_PERIOD = 8  # layers at most that make a repeated group without a module of their own
_OFTEN, _MANY = 3, 12  # times at least that such a group comes, and lines that it is


@frozen
class Row:
    """One row of the listing: a layer, or a module (`line` is `None`) over the rows below it.

    `name` is relative to the module that the row stands under. Equal neighbours are one row with `times` > 1
    and the names of the first and the last; their lines are all in `lines`, whose costs are the row's.
    `copies` are the same lines, and those in further copies of a folded module around it: what differs
    between them is told as a range. `closed` says that the layers of a module are not shown.
    """

    level: int
    kind: str
    name: str
    lines: tuple[LayerLine, ...]
    copies: tuple[LayerLine, ...]
    line: LayerLine | None = None
    module: ModuleLine | None = None
    times: int = 1
    last: str = ""
    closed: bool = False


@define(eq=False)
class _Node:
    """A module, or a repeated group of layers without one (`module` is `None`)."""

    module: ModuleLine | None
    items: list[_Node | LayerLine] = field(factory=list)
    key: Hashable = None

    def lines(self) -> Iterator[LayerLine]:
        for item in self.items:
            if isinstance(item, _Node):
                yield from item.lines()
            else:
                yield item


def flat_rows(lines: Sequence[LayerLine]) -> tuple[Row, ...]:
    """A row a line, with its whole name."""
    return tuple(Row(0, line.kind, line.name, (line,), (line,), line) for line in lines)


def folded_rows(
    lines: Sequence[LayerLine],
    modules: Sequence[ModuleLine] = (),
    *,
    depth: int | None = None,
    unfold: bool = False,
) -> tuple[Row, ...]:
    """The rows from the outermost module in, each module before what is in it. Below `depth` levels modules
    are closed; `unfold` shows every line. What a finding is about is never folded."""
    root = _tree(lines, modules)
    if unfold:
        depth = None
    return tuple(_rows([root], "", 0, depth, unfold))


def _tree(lines: Sequence[LayerLine], modules: Sequence[ModuleLine]) -> _Node:
    known = {module.name: module for module in modules}
    root = _Node(known.get(""))
    open_: list[tuple[str, _Node]] = [("", root)]
    for line in lines:
        path = [name for name in _above(line.parent) if name in known]
        shared = 0
        while shared < min(len(path), len(open_) - 1) and open_[shared + 1][0] == path[shared]:
            shared += 1
        del open_[shared + 1 :]
        for name in path[shared:]:
            node = _Node(known[name])
            open_[-1][1].items.append(node)
            open_.append((name, node))
        open_[-1][1].items.append(line)
    _sign(root)
    return root


def _above(parent: str) -> list[str]:
    """`a.b.c` → `a`, `a.b`, `a.b.c`."""
    parts = parent.split(".") if parent else []
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def _sign(node: _Node) -> None:
    """What makes two modules equal: kinds, shapes, settings and health of all that is in them, in order."""
    for item in node.items:
        if isinstance(item, _Node):
            _sign(item)
    own = node.module
    ill = id(node) if own is not None and own.findings else None
    node.key = (own.kind if own else "", ill, tuple(_key(item) for item in node.items))


def _key(item: _Node | LayerLine) -> Hashable:
    if isinstance(item, _Node):
        return item.key
    if item.findings:
        return id(item)
    return (
        item.kind, item.input_shape, item.output_shape, item.settings, item.parameters, item.flops,
        item.calls, item.trainable, item.behaviour.get("gradient") is None, bool(item.shares),
    )  # fmt: skip


def _rows(copies: Sequence[_Node], prefix: str, level: int, depth: int | None, unfold: bool) -> Iterator[Row]:
    """The rows of the first of some equal modules, the others beside it as copies."""
    groups = _groups(copies[0], unfold)
    start = 0
    for period, times in groups:
        stop = start + period * times
        rounds = [[c.items[n : n + period] for n in range(start, stop, period)] for c in copies]
        mine, all_ = rounds[0], [r for of_copy in rounds for r in of_copy]
        if period == 1:
            yield from _one([r[0] for r in mine], [r[0] for r in all_], prefix, level, depth, unfold)
        else:
            yield from _several(mine, all_, prefix, level, depth, unfold)
        start = stop


def _one(
    mine: Sequence[_Node | LayerLine],
    all_: Sequence[_Node | LayerLine],
    prefix: str,
    level: int,
    depth: int | None,
    unfold: bool,
) -> Iterator[Row]:
    first, last = mine[0], mine[-1]
    times = len(mine)
    row = Row(
        level,
        _kind_of(first),
        _relative(_name_of(first), prefix),
        _lines_of(mine),
        _lines_of(all_),
        first if isinstance(first, LayerLine) else None,
        first.module if isinstance(first, _Node) else None,
        times,
        _relative(_name_of(last), prefix) if times > 1 else "",
    )
    if isinstance(first, LayerLine):
        yield row
        return
    closed = depth is not None and level + 1 >= depth
    yield evolve(row, closed=closed)
    if not closed:
        nodes = [node for node in all_ if isinstance(node, _Node)]
        yield from _rows(nodes, f"{_name_of(first)}.", level + 1, depth, unfold)


def _several(
    mine: Sequence[Sequence[_Node | LayerLine]],
    all_: Sequence[Sequence[_Node | LayerLine]],
    prefix: str,
    level: int,
    depth: int | None,
    unfold: bool,
) -> Iterator[Row]:
    """A group that repeats and has no module: a row for all of it, then those of its first."""
    flat, everywhere = [x for r in mine for x in r], [x for r in all_ for x in r]
    names = [name for item in flat if (name := _relative(_name_of(item), prefix))]
    first, last = (names[0], names[-1]) if names else ("", "")
    yield Row(level, "", first, _lines_of(flat), _lines_of(everywhere), None, None, len(mine), last)
    for place in range(len(mine[0])):
        yield from _one([mine[0][place]], [r[place] for r in all_], prefix, level + 1, depth, unfold)


def _groups(node: _Node, unfold: bool) -> Iterator[tuple[int, int]]:
    """How the items of a module repeat, in order: (items in a group, times it comes)."""
    keys = [_key(item) for item in node.items]
    start = 0
    while start < len(keys):
        found = (1, 1)
        if not unfold:
            for period in range(1, _PERIOD + 1):
                times = 1
                while keys[start + times * period : start + (times + 1) * period] == (
                    keys[start : start + period]
                ) and start + (times + 1) * period <= len(keys):
                    times += 1
                of_modules = period == 1 and isinstance(node.items[start], _Node)
                if times < 2 if of_modules else times < _OFTEN or times * period < _MANY:
                    continue
                if period * times > found[0] * found[1]:
                    found = (period, times)
        yield found
        start += found[0] * found[1]


def _lines_of(items: Sequence[_Node | LayerLine]) -> tuple[LayerLine, ...]:
    found: list[LayerLine] = []
    for item in items:
        found.extend(item.lines() if isinstance(item, _Node) else (item,))
    return tuple(found)


def _kind_of(item: _Node | LayerLine) -> str:
    if isinstance(item, _Node):
        return item.module.kind if item.module else ""
    return item.kind


def _name_of(item: _Node | LayerLine) -> str:
    if isinstance(item, _Node):
        return item.module.name if item.module else ""
    return item.name


def _relative(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)
