"""One recipe file in a process of its own: `python -m benchmarks.faults.one VERB FILE ...` prints one JSON
line."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
import warnings
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("diagnose", "improve", "peers"))
    parser.add_argument("file")
    parser.add_argument("--budget", default="20s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device")
    parser.add_argument("--classes", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    verbs = {"diagnose": diagnose, "improve": improve, "peers": peers}
    began, began_cpu = time.perf_counter(), time.process_time()
    try:
        line = verbs[options.verb](options)
    except Exception as raised:  # recorded: a recipe that raises is a result too
        line = {"outcome": "raised", "error": f"{type(raised).__name__}: {raised}"[:400]}
        line["trace"] = traceback.format_exc()[-1500:]
    line["wall_seconds"] = round(time.perf_counter() - began, 3)
    line["own_cpu_seconds"] = round(time.process_time() - began_cpu, 3)
    sys.stdout.write("\n@@" + json.dumps(line) + "\n")


def diagnose(options: argparse.Namespace) -> dict[str, Any]:
    import netwright as nw
    from netwright.values import to_json

    with tempfile.TemporaryDirectory() as journal:
        result = nw.diagnose(
            options.file, budget=options.budget, seed=options.seed, device=options.device, journal=journal
        )
    return {
        "outcome": result.outcome,
        "findings": [_short(f) for f in to_json(result.findings)],
        "considered": [_short(f) for f in to_json(result.considered)],
        "spent": to_json(result.spent),
        "notes": list(result.notes),
        "skipped": len(result.skipped),
        "error": "",
    }


def _short(finding: dict[str, Any]) -> dict[str, Any]:
    kept = ("cause", "status", "confidence", "also", "severity", "check", "explanation", "confirmation")
    short = {k: finding.get(k) for k in kept}
    where = finding.get("where") or {}
    short["where"] = {k: where.get(k) for k in ("layer", "line", "attribute")}
    return short


def improve(options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.faults.repaired import improved

    return improved(options.file, options.budget, options.seed, options.classes, options.device)


def peers(options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.faults.peers import all_peers

    return {"outcome": "done", "peers": all_peers(options.file, options.seed), "error": ""}


if __name__ == "__main__":
    main()
