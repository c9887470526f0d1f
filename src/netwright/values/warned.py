"""What the user's code warns of, said once a process: a network is built many times in a diagnosis."""

from __future__ import annotations

import warnings
from typing import Any


def each_warning_once() -> None:
    """From now on a warning that was shown from one line is not shown from there again, also where others
    have changed the filters in between."""
    shown: set[tuple[object, ...]] = set()
    show = warnings.showwarning

    def once(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any, **named: Any
    ) -> None:
        key = category, str(message), filename, lineno
        if key not in shown:
            shown.add(key)
            show(message, category, filename, lineno, *rest, **named)

    warnings.showwarning = once
