"""Two networks line by line: what the one has, what the other has, and what differs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence

from attrs import frozen

from netwright.values.layers import Cost, LayerLine

COMPARED = ("kind", "settings", "input_shape", "output_shape", "parameters", "flops", "bytes", "trainable")
_EXACT = 250_000  # pairs that are weighed against each other; beyond that, the kinds alone decide


@frozen
class Pair:
    """The places of two lines in their listings, `None` where the other network has no such line; `changed`
    are the fields that differ."""

    left: int | None
    right: int | None
    changed: tuple[str, ...] = ()


@frozen
class Comparison:
    """The other network of a listing, and the lines of both side by side."""

    name: str
    run: str
    layers: tuple[LayerLine, ...]
    total: Cost
    pairs: tuple[Pair, ...]


def compared(left: Sequence[LayerLine], right: Sequence[LayerLine]) -> tuple[Pair, ...]:
    """The lines of both in their order, those together that are the same layer by order, kind and name."""
    pairs: list[Pair] = []
    done_left = done_right = 0
    for i, j in [*_aligned(left, right), (len(left), len(right))]:
        pairs += [Pair(n, None) for n in range(done_left, i)]
        pairs += [Pair(None, n) for n in range(done_right, j)]
        if i < len(left):
            changed = tuple(f for f in COMPARED if getattr(left[i], f) != getattr(right[j], f))
            pairs.append(Pair(i, j, changed))
        done_left, done_right = i + 1, j + 1
    return tuple(pairs)


def _aligned(left: Sequence[LayerLine], right: Sequence[LayerLine]) -> Iterator[tuple[int, int]]:
    """Places that belong together, increasing on both sides: equal beginnings and ends first, then the
    alignment that keeps the most."""
    start, end = _ends(left, right, _called)
    if (len(left) - start - end) * (len(right) - start - end) > _EXACT:
        start, end = _ends(left, right, _stem)
    yield from ((n, n) for n in range(start))
    a, b = left[start : len(left) - end], right[start : len(right) - end]
    if len(a) * len(b) <= _EXACT:
        middle = _best(a, b)
    else:
        kinds = [x.kind for x in a], [x.kind for x in b]
        blocks = difflib.SequenceMatcher(None, *kinds, autojunk=False).get_matching_blocks()
        middle = [(m.a + n, m.b + n) for m in blocks for n in range(m.size)]
    yield from ((start + i, start + j) for i, j in middle)
    yield from ((len(left) - n, len(right) - n) for n in range(end, 0, -1))


def _ends(
    left: Sequence[LayerLine], right: Sequence[LayerLine], named: Callable[[LayerLine], str]
) -> tuple[int, int]:
    """How many lines are equal at the beginning, and how many at the end."""

    def same(a: LayerLine, b: LayerLine) -> bool:
        return named(a) == named(b) and all(getattr(a, f) == getattr(b, f) for f in COMPARED)

    start, most = 0, min(len(left), len(right))
    while start < most and same(left[start], right[start]):
        start += 1
    end = 0
    while end < most - start and same(left[-1 - end], right[-1 - end]):
        end += 1
    return start, end


def _called(line: LayerLine) -> str:
    """Its name; of a function, that of the module that calls it."""
    return line.name or line.parent


def _stem(line: LayerLine) -> str:
    """Its name without the numbers, which shift where a layer is put in."""
    return re.sub(r"\d+", "#", _called(line))


def _best(a: Sequence[LayerLine], b: Sequence[LayerLine]) -> list[tuple[int, int]]:
    """The alignment with the largest sum of likenesses."""
    stems = [_stem(x) for x in a], [_stem(x) for x in b]
    worth = [[_likeness(x, y, stems[0][i] == stems[1][j]) for j, y in enumerate(b)] for i, x in enumerate(a)]
    best = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            together = worth[i][j] + best[i + 1][j + 1] if worth[i][j] else 0
            best[i][j] = max(together, best[i + 1][j], best[i][j + 1])
    found: list[tuple[int, int]] = []
    i = j = 0
    while i < len(a) and j < len(b):
        if worth[i][j] and best[i][j] == worth[i][j] + best[i + 1][j + 1]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _likeness(a: LayerLine, b: LayerLine, same_stem: bool) -> int:
    """0 for lines that have nothing to do with each other."""
    same_name = _called(a) == _called(b)
    if a.kind != b.kind:
        exchanged = same_name and bool(a.name) and not a.parameters and not b.parameters
        return 1 if exchanged else 0  # one activation for another
    shapes = (a.input_shape == b.input_shape) + (a.output_shape == b.output_shape)
    return 4 + 2 * same_stem + 2 * same_name + shapes + (a.settings == b.settings)
