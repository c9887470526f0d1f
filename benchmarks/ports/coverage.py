"""Every network of the zoo, and real pretrained ones, in every technology: what is ported and how well."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from netwright.catalogue import Catalogue, Target
from netwright.ports.original import Original
from netwright.ports.porting import port
from netwright.ports.yard import Settings
from netwright.values import TargetEnded, TargetPort, UserError

Row = dict[str, Any]
RUNS = 5  # that are timed; the bench compares results, `netwright port` measures latency


def targets() -> dict[str, Target]:
    return dict(Catalogue.collect().targets)


def rows(original: Original, chosen: Sequence[Target], folder: Path) -> Iterator[Row]:
    """What became of one network in every target."""
    settings = Settings(inputs=original.count, followed=original.count, runs=RUNS)
    maker = targets().get("onnx")
    try:
        for event in port(original, chosen, folder, settings, time.perf_counter, maker):
            if isinstance(event, TargetEnded):
                yield row_of(original.name, event.port)
    except UserError as raised:
        for target in chosen:
            yield {"network": original.name, "target": target.id, "status": "refused", "reason": str(raised)}


def row_of(network: str, found: TargetPort) -> Row:
    refused = next((limit for limit in found.limits if limit.kind == "refused"), None)
    read = [layer for layer in found.layers if not layer.within]
    return {
        "network": network,
        "target": found.target,
        "status": found.status,
        "relative_error": found.relative_error,
        "layers_read": len(found.layers) / found.layers_of if found.layers_of else None,
        "layers_beyond": [layer.layer for layer in read],
        "first_divergence": found.first_divergence.layer if found.first_divergence else None,
        "layer": refused.layer if refused else None,
        "reason": found.reason,
        "notes": list(found.notes),
        "median_seconds": found.latency.median if found.latency else None,
        "size": found.size,
        "seconds": found.seconds,
    }


def summary(found: Sequence[Row]) -> list[Row]:
    """A line a target: how many networks of which status, and what the typical port costs."""
    lines: list[Row] = []
    for id in dict.fromkeys(row["target"] for row in found):
        mine = [row for row in found if row["target"] == id]
        ran = [row for row in mine if row.get("relative_error") is not None]
        shares = [row["layers_read"] for row in ran if row["layers_read"] is not None]
        lines.append(
            {
                "target": id,
                "networks": len(mine),
                "statuses": dict(Counter(row["status"] for row in mine)),
                "largest_error_at_parity": max(
                    (row["relative_error"] for row in ran if row["status"] == "parity"), default=None
                ),
                "layers_read": sum(shares) / len(shares) if shares else None,
                "seconds": median(row.get("seconds", 0.0) for row in mine),
                "agreeing_with_layers_beyond": sum(
                    row["status"] == "parity" and bool(row["layers_beyond"]) for row in ran
                ),
            }
        )
    return lines


def text_of(found: Sequence[Row], title: str) -> list[str]:
    """The summary, the matrix and every network that is not at parity, as Markdown."""
    lines = [f"## {title}", ""]
    lines += ["| target | parity | differs | built | unsupported | largest error at parity | layers read |"]
    lines[-1] += " seconds, median |"
    lines += ["| --- " * 8 + "|"]
    for line in summary(found):
        counts: Mapping[str, int] = line["statuses"]
        cells = [
            line["target"],
            f"{counts.get('parity', 0)} of {line['networks']}",
            *(str(counts.get(status, 0) or "") for status in ("differs", "built")),
            str(sum(counts.get(status, 0) for status in ("unsupported", "refused", "absent")) or ""),
            _number(line["largest_error_at_parity"]),
            f"{line['layers_read']:.0%}" if line["layers_read"] is not None else "",
            f"{line['seconds']:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *_matrix(found), ""]
    other = [row for row in found if row["status"] not in ("parity", "built")]
    if other:
        lines += ["Not at parity:", ""]
        lines += [f"- {row['network']} → {row['target']}: {_why(row)}" for row in other]
        lines.append("")
    wrong = [row for row in found if row["status"] == "parity" and row.get("layers_beyond")]
    if wrong:
        lines += ["At parity, though layers that were read are beyond the tolerance:", ""]
        lines += [
            f"- {row['network']} → {row['target']}: {', '.join(row['layers_beyond'][:5])}"
            + (f" and {len(row['layers_beyond']) - 5} more" if len(row["layers_beyond"]) > 5 else "")
            for row in wrong
        ]
        lines.append("")
    return lines


def _matrix(found: Sequence[Row]) -> list[str]:
    """The relative error of every network in every target, or its status."""
    ids = list(dict.fromkeys(row["target"] for row in found))
    lines = [f"| network | {' | '.join(ids)} |", "| --- " * (len(ids) + 1) + "|"]
    for name in dict.fromkeys(row["network"] for row in found):
        mine = {row["target"]: row for row in found if row["network"] == name}
        cells = [_cell(mine[id]) if id in mine else "" for id in ids]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _cell(row: Row) -> str:
    if row["status"] == "parity":
        return _number(row["relative_error"])
    if row["status"] == "differs":
        return f"**{_number(row['relative_error'])}**"
    return row["status"]


def _number(value: float | None) -> str:
    return "" if value is None else "0" if value == 0 else f"{value:.0e}"


def _why(row: Row) -> str:
    reason = " ".join(str(row["reason"]).split())[:160]
    if row["status"] == "differs":
        first = row["first_divergence"]
        said = f"differs by {_number(row['relative_error'])}, first at {first or 'no layer that can be read'}"
        return "; ".join([said, *(note for note in row["notes"] if note.startswith("rounding alone"))])
    where = f" at {row['layer']}" if row.get("layer") else ""
    return f"{row['status']}{where}: {reason}"
