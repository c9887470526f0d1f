"""What a line of a result says: whether the fault was noticed, named and placed; and shares of lines."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.faults.statistics import Rate, rate

Line = dict[str, Any]


def truth(line: Line) -> set[str]:
    """The planted causes and those whose repair repairs them as well."""
    return {*(line["causes"] or []), *(line["also"] or [])}


def detected(line: Line) -> bool:
    return line["outcome"] == "findings"


def named(line: Line, first: int) -> bool:
    """One of the first findings is a planted cause or an equivalent."""
    return detected(line) and any(f["cause"] in truth(line) for f in line["findings"][:first])


def planted_named(line: Line, first: int) -> bool:
    """As `named`, without the equivalents."""
    return detected(line) and any(f["cause"] in line["causes"] for f in line["findings"][:first])


def both_named(line: Line) -> bool:
    """Of a pair, both causes are among the first three findings."""
    return detected(line) and set(line["causes"]) <= {f["cause"] for f in line["findings"][:3]}


def placed(line: Line) -> bool:
    """A finding among the first three that names the cause points at the planted line, its layer or
    attribute."""
    for finding in line.get("findings", [])[:3] if detected(line) else []:
        where = finding["where"]
        near = where["line"] is not None and any(abs(where["line"] - n) <= 1 for n in line["lines"] or [])
        layer = where["layer"] is not None and where["layer"] in (line["layers"] or [])
        attribute = where["attribute"] is not None and where["attribute"] in (line["attributes"] or [])
        if finding["cause"] in truth(line) and (near or layer or attribute):
            return True
    return False


def share_of(lines: Sequence[Line], holds: Callable[[Line], bool]) -> Rate:
    return rate(
        [holds(line) for line in lines], [line["data"] for line in lines], [line["parent"] for line in lines]
    )


def middle_of(lines: Sequence[Line], value: Callable[[Line], float | None]) -> str:
    values = [v for v in map(value, lines) if v is not None]
    return f"{statistics.median(values):.1f} ({statistics.fmean(values):.1f})" if values else "–"
