"""Fit the likelihood ratios of `diagnosis/causes.toml` to results of the fit part: `python -m
benchmarks.faults.fit RESULTS.jsonl`.

The ratio of a cause is how much more often its check fires, unexplained by another, on recipes in which the
cause (or a declared equivalent) was planted than on all others, healthy ones among them. Counts are small, so
both rates are drawn towards a half observation, a ratio moves at most from 3 to 300, and a cause planted
fewer than three times keeps its own. Priors, severities and what explains what are not counted here: how
often a fault was planted says nothing of how often it is met.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CAUSES = Path(__file__).parents[2] / "src/netwright/diagnosis/causes.toml"
LEAST, MOST, ENOUGH = 3.0, 300.0, 3


def fired(line: dict[str, Any]) -> set[str]:
    """The causes whose checks fired in their full form and that nothing likelier explained."""
    found = [*line.get("findings", []), *line.get("considered", [])]
    return {f["cause"] for f in found if not f.get("weak") and not f.get("folded")}


def ratios(lines: Iterable[dict[str, Any]]) -> dict[str, tuple[float, int, int, int, int]]:
    """By cause: the ratio, hits of planted, planted, firings elsewhere, elsewhere."""
    counts: dict[str, list[int]] = {}
    lines = [line for line in lines if line["outcome"] != "raised"]
    causes = {c for line in lines for c in (*line.get("causes", []), *fired(line))}
    for cause in sorted(causes):
        planted = [cause in (*line.get("causes", []), *line.get("also", [])) for line in lines]
        # An equivalent counts where it is what the check saw; where not, nothing is held against the check.
        own = [
            cause in line.get("causes", []) or (p and cause in fired(line))
            for p, line in zip(planted, lines, strict=True)
        ]
        hits = sum(p and cause in fired(line) for p, line in zip(own, lines, strict=True))
        other = sum(not p and cause in fired(line) for p, line in zip(planted, lines, strict=True))
        counts[cause] = [hits, sum(own), other, len(lines) - sum(planted)]
    return {
        cause: (
            min(MOST, max(LEAST, ((h + 0.5) / (n + 1)) / ((f + 0.5) / (m + 1)))), h, n, f, m,
        )
        for cause, (h, n, f, m) in counts.items()
    }  # fmt: skip


def written(text: str, fitted: dict[str, tuple[float, int, int, int, int]]) -> str:
    """The table with the fitted ratios, each with the counts that it rests on."""
    sections = re.split(r"(?m)^(?=\[)", text)
    out = []
    for section in sections:
        name = section.split("]")[0].lstrip("[")
        if name in fitted and fitted[name][2] >= ENOUGH and "ratio =" in section:
            ratio, hits, planted, others, rest = fitted[name]
            line = f"ratio = {ratio:.0f}  # {hits} of {planted} planted, {others} of {rest} others"
            section = re.sub(r"(?m)^ratio = .*$", line, section)
        out.append(section)
    return "".join(out)


def main() -> None:
    lines = [json.loads(line) for path in sys.argv[1:] for line in Path(path).read_text().splitlines()]
    CAUSES.write_text(written(CAUSES.read_text(), ratios(lines)))


if __name__ == "__main__":
    main()
