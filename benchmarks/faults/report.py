"""The table of a bench: what was detected, named, placed and confirmed, and what it cost."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults.judging import (
    Line,
    both_named,
    detected,
    middle_of,
    named,
    placed,
    planted_named,
    share_of,
    truth,
)
from benchmarks.faults.statistics import Rate, brier, rate, reliability

RESULTS = Path(__file__).parents[1] / "results"


def _stated(lines: Sequence[Line]) -> tuple[list[float], list[bool]]:
    """Stated confidences of all findings and considered causes, and whether each was planted (or
    equivalent)."""
    stated, true = [], []
    for line in lines:
        for finding in (*line.get("findings", []), *line.get("considered", [])):
            if finding["confidence"] is not None:
                stated.append(float(finding["confidence"]))
                true.append(finding["cause"] in truth(line))
    return stated, true


def text_of(found: dict[str, list[Line]], about: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The report as Markdown, and as a document with the same figures and every line."""
    lines = found["diagnose"]
    faulty = [line for line in lines if not line["healthy"]]
    healthy = [line for line in lines if line["healthy"]]
    confirmed = [(line, f) for line in faulty for f in line.get("findings", []) if f["status"] == "confirmed"]
    pairs = [line for line in faulty if len(line["faults"]) == 2]
    rates = {
        "detected": share_of(faulty, detected),
        "named first, or an equivalent": share_of(faulty, lambda li: named(li, 1)),
        "named in the first three, or an equivalent": share_of(faulty, lambda li: named(li, 3)),
        "the planted cause itself first": share_of(faulty, lambda li: planted_named(li, 1)),
        "the planted cause itself in the first three": share_of(faulty, lambda li: planted_named(li, 3)),
        "of pairs: both in the first three": share_of(pairs, both_named),
        "line, layer or attribute right": share_of(faulty, placed),
        "confirmed findings that name a planted cause or an equivalent": rate(
            [f["cause"] in truth(line) for line, f in confirmed],
            [line["data"] for line, _ in confirmed],
            [line["parent"] for line, _ in confirmed],
        ),
        "false alarms on healthy recipes, a run": share_of(healthy, detected),
        "healthy recipes with an alarm under any seed": _any_seed(healthy),
        "confirmed false alarms, a run": share_of(
            healthy, lambda li: any(f["status"] == "confirmed" for f in li.get("findings", []))
        ),
        "inconclusive on faulty recipes": share_of(faulty, lambda li: li["outcome"] == "inconclusive"),
        "inconclusive on healthy recipes": share_of(healthy, lambda li: li["outcome"] == "inconclusive"),
        "raised without a finding": share_of(lines, lambda li: li["outcome"] == "raised"),
    }
    out = [
        f"# Fault bench, {about['part']}, {about['date']}",
        "",
        (
            f"Netwright {about['netwright']}, budget {about['budget']}, seed {about['seed']},"
            f" {about['device']}; {len(faulty)} faulty recipes ({len(pairs)} with two faults),"
            f" {len({line['parent'] for line in healthy})} healthy ones in {len(healthy)} runs,"
            f" {len({line['data'] for line in lines})} data sets ({about['recipes']})."
        ),
        "",
        "Intervals are 95 %: cluster bootstrap over data sets and parents; Clopper–Pearson over parents",
        "where the count is 0 or all.",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in rates.items()),
        f"| wall seconds a recipe, median (mean) | {middle_of(lines, lambda li: li.get('wall_seconds'))} |",
        f"| epochs trained a recipe, median (mean) | {middle_of(lines, lambda li: _spent(li, 'epochs'))} |",
        f"| trainings a recipe, median (mean) | {middle_of(lines, lambda li: _spent(li, 'trials'))} |",
        (
            "| first answer on faulty recipes, in trainings of the recipe, median (mean) |"
            f" {middle_of(faulty, _first_answer)} |"
        ),
        (
            "| until the first cause is confirmed, where one is, in trainings, median (mean) |"
            f" {middle_of(faulty, _first_confirmed)} |"
        ),
        "| whole diagnosis of faulty recipes, in trainings, median (mean) |"
        f" {middle_of(faulty, _trainings)} |",
        f"| samples trained on, median (mean) | {middle_of(lines, lambda li: _spent(li, 'samples'))} |",
        "",
    ]
    out += ["## By planted cause", "", *_by_cause(faulty), ""]
    out += ["## By when it is visible, and by kind of recipe", "", *_by_group(faulty), ""]
    stated, true = _stated(faulty + healthy)
    out += [
        "## Calibration of `confidence`",
        "",
        f"Brier score {brier(stated, true):.3f} over {len(stated)} causes.",
    ]
    out += ["", "| stated | causes | mean stated | came true |", "| --- | --- | --- | --- |"]
    out += [f"| {n} | {k} | {s:.2f} | {t:.2f} |" for n, k, s, t in reliability(stated, true)]
    out += ["", "## False alarms", "", *_alarms(healthy), ""]
    raised = [line for line in lines if line["outcome"] == "raised"]
    if raised:
        out += ["## Raised", "", *(f"- {line['key']}: {line['error'][:160]}" for line in raised), ""]
    versions = {line.get("netwright") for line in lines}
    if len(versions) > 1:
        out[2:2] = [
            f"**These lines come from {len(versions)} versions of the package: it changed meanwhile.**",
            "",
        ]
    document = {
        "about": about,
        "rates": {k: [v.hits, v.count, v.low, v.high] for k, v in rates.items()},
        "brier": brier(stated, true),
        "lines": [_brief(line) for line in lines],
    }
    if "peers" in found:
        from benchmarks.faults.peers import table

        out += ["## Other tools on the same recipes", "", *table(found["peers"], lines), ""]
        document["peers"] = found["peers"]
    if "improve" in found:
        from benchmarks.faults.repaired import table as repaired

        out += ["## Repaired", "", *repaired(found["improve"]), ""]
        document["improve"] = found["improve"]
    return "\n".join(out), document


def _brief(line: Line) -> Line:
    """A line without what only a person reads, for the stored document."""
    kept = {k: v for k, v in line.items() if k not in ("trace", "skipped", "notes")}
    for key in ("findings", "considered"):
        words = ("explanation", "confirmation")
        kept[key] = [{k: v for k, v in f.items() if k not in words} for f in line.get(key) or []]
    return kept


def _any_seed(healthy: Sequence[Line]) -> Rate:
    by_parent: dict[str, list[Line]] = defaultdict(list)
    for line in healthy:
        by_parent[line["parent"]].append(line)
    groups = list(by_parent.values())
    return rate([any(map(detected, g)) for g in groups], [g[0]["data"] for g in groups], list(by_parent))


def _spent(line: Line, unit: str) -> float | None:
    return (line.get("spent") or {}).get(unit)


def _first_answer(line: Line) -> float | None:
    """Samples trained on when the first cause was said, in whole trainings of the recipe."""
    return _until(line, "first_answer")


def _first_confirmed(line: Line) -> float | None:
    """The same when the first cause was confirmed by intervention."""
    return _until(line, "first_confirmed")


def _until(line: Line, what: str) -> float | None:
    answer, whole = line.get(what), line.get("one_training")
    return answer["samples"] / whole if answer and whole else None


def _trainings(line: Line) -> float | None:
    samples, whole = _spent(line, "samples"), line.get("one_training")
    return samples / whole if samples is not None and whole else None


def _by_cause(faulty: Sequence[Line]) -> list[str]:
    rows = ["| cause | cases | detected | first | first three | place | confirmed | epochs | named instead |"]
    rows.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    single = [line for line in faulty if len(line["faults"]) == 1]
    groups: dict[str, list[Line]] = defaultdict(list)
    for line in single:
        groups[line["causes"][0]].append(line)
    groups["(pairs)"] = [line for line in faulty if len(line["faults"]) == 2]
    for cause, lines in sorted(groups.items(), key=lambda item: (item[0] == "(pairs)", item[0])):
        if not lines:
            continue
        instead: dict[str, int] = defaultdict(int)
        for line in lines:
            if not named(line, 1):
                found = line.get("findings") or []
                instead[found[0]["cause"] if found and detected(line) else line["outcome"]] += 1
        confirmed = sum(
            any(f["status"] == "confirmed" and f["cause"] in truth(line) for f in line.get("findings", []))
            for line in lines
        )
        counts = (sum(map(detected, lines)), *(sum(named(li, n) for li in lines) for n in (1, 3)))
        worst = sorted(instead.items(), key=lambda i: -i[1])[:3]
        epochs = middle_of(lines, lambda li: _spent(li, "epochs"))
        cells = (cause, len(lines), *counts, sum(map(placed, lines)), confirmed, epochs)
        rows.append(f"| {' | '.join(map(str, cells))} | {', '.join(f'{c} {n}' for c, n in worst)} |")
    return rows


def _by_group(faulty: Sequence[Line]) -> list[str]:
    rows = [
        "| | cases | detected | first, or an equivalent | first answer | first confirmed | whole diagnosis |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    groups: dict[str, list[Line]] = defaultdict(list)
    for line in faulty:
        for when in sorted(set(line["visible"] or [])):
            groups[f"visible: {when}"].append(line)
        groups[f"family: {line['family']}"].append(line)
    for name, lines in sorted(groups.items(), key=lambda item: item[0]):
        rows.append(
            f"| {name} | {len(lines)} | {share_of(lines, detected)}"
            f" | {share_of(lines, lambda li: named(li, 1))} | {middle_of(lines, _first_answer)}"
            f" | {middle_of(lines, _first_confirmed)}"
            f" | {middle_of(lines, _trainings)} |"
        )
    told = (
        "In trainings of the recipe, median (mean): the first answer, the first confirmed cause, and the"
        " whole with the rounds that follow on the repaired recipe."
    )
    return [told, "", *rows]


def _alarms(healthy: Sequence[Line]) -> list[str]:
    rows = []
    for line in healthy:
        if detected(line):
            said = ", ".join(
                f"{f['cause']} ({f['status']}, {f['confidence'] or 0:.2f})" for f in line["findings"][:3]
            )
            rows.append(f"- {line['key']}: {said}")
    return rows or ["None."]


def lines_of(lines: Sequence[Line]) -> list[str]:
    """A line for every recipe: what was planted and what was said."""
    out = []
    for line in sorted(lines, key=lambda li: (li["healthy"], li["causes"] or [], li["key"])):
        said = [
            f"{f['cause']}:{f['status'][:4]}:{f['confidence'] or 0:.2f}" for f in line.get("findings", [])[:4]
        ]
        mark = "H" if line["healthy"] else "1" if named(line, 1) else "3" if named(line, 3) else "-"
        planted = "+".join(line["causes"] or ["healthy"])
        out.append(f"{mark} {planted:34} {line['key']:60} {line['outcome']:12} {' '.join(said)}")
    return out


def note_look(about: dict[str, Any]) -> int:
    """Every look at the report part is written down; returns how many there were."""
    path = RESULTS / "faults-looks.md"
    RESULTS.mkdir(exist_ok=True)
    if not path.is_file():
        path.write_text("# Looks at the report part of the fault bench\n\n")
    with path.open("a") as file:
        file.write(
            f"- {about['date']}: {about['recipes']}, netwright {about['netwright']}, seed {about['seed']}\n"
        )
    return path.read_text().count("\n- ")


def write_report(text: str, document: dict[str, Any], part: str, date: str) -> list[Path]:
    """`faults-DATE-PART.md` and `.json` under benchmarks/results."""
    RESULTS.mkdir(exist_ok=True)
    base = RESULTS / f"faults-{date}-{part}"
    base.with_suffix(".md").write_text(text + "\n")
    rows = ",\n".join(json.dumps(line) for line in document.pop("lines"))
    rest = json.dumps(document, indent=1).removesuffix("\n}")
    base.with_suffix(".json").write_text(f'{rest},\n "lines": [\n{rows}\n]\n}}\n')
    return [base.with_suffix(".md"), base.with_suffix(".json")]
