"""Finding the first layer that diverges in few runs, where reading a layer is dear.

What is upstream of a layer that agrees is not to blame, nor is what is not upstream of one that differs. The
layer asked next is the one that, whichever way it answers, leaves the fewest suspects; in a chain that is the
middle one, and n layers take about log2(n) runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence


def bisect(
    layers: Sequence[str],
    upstream: Mapping[str, frozenset[str]],
    differs: Callable[[str], bool | None],
    last: str,
) -> tuple[str, int]:
    """The first of `layers`, in execution order, that differs, and how many times `differs` was asked.

    `last` is a layer that is known to differ, as the output does. `differs(layer)` is `None` for a layer that
    cannot be read. Asks at most 2 · log2(n) + 2 times and returns the earliest that is known to differ then.
    """
    suspects = [n for n in layers if n == last or n in upstream[last]]
    found, runs = last, 0
    unread: set[str] = set()
    most = 2 * math.ceil(math.log2(max(2, len(layers)))) + 2
    while runs < most:
        inside = set(suspects)
        asked = [n for n in suspects if n != found and n not in unread]
        if not asked:
            break
        behind = {n: len(upstream[n] & inside) + 1 for n in asked}
        half = len(suspects) / 2
        chosen = min(asked, key=lambda n: abs(behind[n] - half))
        answer = differs(chosen)
        runs += 1
        if answer is None:
            unread.add(chosen)
        elif answer:
            found = chosen
            suspects = [n for n in suspects if n == chosen or n in upstream[chosen]]
        else:
            suspects = [n for n in suspects if n != chosen and n not in upstream[chosen]]
    return found, runs
