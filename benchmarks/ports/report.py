"""The figures of the bench as Markdown, and the dated result."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.ports import coverage, large

RESULTS = Path(__file__).parents[1] / "results"
Row = dict[str, Any]


def right(row: Row, key: str) -> bool:
    return row.get(key) in row.get("right", ())


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """What bisection did on planted faults."""
    planted = [row for row in rows if row["outcome"] == "differs"]
    dear = [row for row in planted if row["one_runs"]]
    return {
        "planted": len(planted),
        "networks": len({row["network"] for row in planted}),
        "kinds": len({row["kind"] for row in planted}),
        "drawn_again": dict(Counter(row["outcome"] for row in rows if row["outcome"] != "differs")),
        "named_at_once": sum(right(row, "all") for row in planted),
        "one_run": sum(row["all_runs"] == 1 for row in planted),
        "named_one_a_run": sum(right(row, "one") for row in planted),
        "within_runs": sum(row["one_runs"] <= row["most_runs"] for row in planted),
        "runs_one_a_run": sum(row["one_runs"] for row in dear) / len(dear) if dear else None,
        "most_runs_one_a_run": max((row["one_runs"] for row in dear), default=0),
        "fused": sum(row["fused"] for row in planted),
    }


def mutants_text(rows: Sequence[Row]) -> list[str]:
    lines = ["## Planted faults", ""]
    lines += [
        "One layer altered: of ONNX in the file, else in the network that is ported. 'At once': every layer",
        "read, of a port made for it where taps are dear. 'One a run': one layer read a run, as where all",
        "cannot be. Right is the altered layer, or where the port has no such value the first after it.",
        "",
    ]
    head = ("target", "planted", "networks", "kinds", "named, at once", "in one run", "named, one a run")
    head += ("runs, mean (most)", "within 2 log2 n + 2", "fused into the next", "drawn again")
    lines.append(f"| {' | '.join(head)} |")
    lines += ["| --- " * 11 + "|"]
    for id in [*dict.fromkeys(row["target"] for row in rows), "all"]:
        mine = figures([row for row in rows if id in (row["target"], "all")])
        planted = mine["planted"]
        if not planted:
            lines.append(f"| {id} | 0 |" + " |" * 8 + f" {_drawn(mine)} |")
            continue
        cells = [id, planted, mine["networks"], mine["kinds"]]
        cells += [f"{mine[key]} ({mine[key] / planted:.0%})" for key in ("named_at_once", "one_run")]
        cells.append(f"{mine['named_one_a_run']} ({mine['named_one_a_run'] / planted:.0%})")
        cells.append(f"{mine['runs_one_a_run'] or 0:.1f} ({mine['most_runs_one_a_run']})")
        cells += [mine["within_runs"], mine["fused"], _drawn(mine)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    missed = [r for r in rows if r["outcome"] == "differs" and not (right(r, "all") and right(r, "one"))]
    lines += ["", "Missed:" if missed else "No layer was missed.", ""]
    for row in missed:
        lines.append(
            f"- {row['network']} → {row['target']}, {row['kind']} at {row['altered']}: at once"
            f" {row['all'] or 'none'}, one a run {row['one'] or 'none'}; right {', '.join(row['right'])}"
        )
    kinds = Counter(row["kind"] for row in rows if row["outcome"] == "differs")
    named = Counter(row["kind"] for row in rows if row["outcome"] == "differs" and right(row, "all"))
    lines += ["", "| fault | planted | named at once |", "| --- | --- | --- |"]
    lines += [f"| {kind} | {count} | {named[kind]} |" for kind, count in sorted(kinds.items())]
    return [*lines, ""]


def _drawn(mine: dict[str, Any]) -> str:
    names = {"parity": "no change beyond the tolerance", "does not run": "does not run"}
    return ", ".join(f"{count} {names.get(name, name)}" for name, count in mine["drawn_again"].items())


def text_of(found: dict[str, Any], about: dict[str, Any]) -> str:
    lines = [f"# Bench of ports, {about['date']}", "", about["machine"], ""]
    if found.get("coverage"):
        lines += coverage.text_of(found["coverage"], "The zoo")
    if found.get("pretrained"):
        lines += coverage.text_of(found["pretrained"], "Real pretrained networks")
        inputs = {row["network"]: row["inputs"] for row in found["pretrained"] if row.get("inputs")}
        lines += [*(f"- {name}: {what}" for name, what in inputs.items()), ""]
    if found.get("left_out"):
        lines += ["Left out:", "", *(f"- {name}: {why}" for name, why in found["left_out"].items()), ""]
    if found.get("mutants"):
        lines += mutants_text(found["mutants"])
    if found.get("large"):
        lines += large.text_of(found["large"])
    return "\n".join(lines).rstrip() + "\n"


def write(text: str, found: dict[str, Any], about: dict[str, Any]) -> tuple[Path, Path]:
    """The dated result; figures and every row."""
    paths = RESULTS / f"ports-{about['date']}.md", RESULTS / f"ports-{about['date']}.json"
    paths[0].write_text(text)
    paths[1].write_text(document(found, about))
    return paths


def document(found: dict[str, Any], about: dict[str, Any]) -> str:
    summaries = {key: coverage.summary(found[key]) for key in ("coverage", "pretrained") if found.get(key)}
    if found.get("mutants"):
        summaries["mutants"] = figures(found["mutants"])
    kept = {key: value for key, value in found.items() if value}
    rows = ",\n".join(
        f"{json.dumps(key)}: [\n" + ",\n".join(map(json.dumps, value)) + "\n]"
        for key, value in kept.items()
        if isinstance(value, list)
    )
    about, summary, left_out = (json.dumps(o) for o in (about, summaries, found.get("left_out", {})))
    return f'{{"about": {about},\n"summary": {summary},\n"left_out": {left_out},\n{rows}}}\n'
