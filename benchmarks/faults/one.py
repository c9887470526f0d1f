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


def answer(
    verb: str,
    file: str,
    *,
    budget: str | None = None,
    seed: int = 0,
    device: str | None = None,
    classes: int = 0,
) -> dict[str, Any]:
    """What a verb says of one file, with the time that it took; what it raises is an answer too."""
    options = argparse.Namespace(
        verb=verb, file=file, budget=budget, seed=seed, device=device, classes=classes
    )
    verbs = {"diagnose": diagnose, "improve": improve, "peers": peers}
    began, began_cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            line = verbs[verb](options)
        except Exception as raised:  # recorded: a recipe that raises is a result too
            line = {"outcome": "raised", "error": f"{type(raised).__name__}: {raised}"[:400]}
            line["trace"] = traceback.format_exc()[-1500:]
    line["wall_seconds"] = round(time.perf_counter() - began, 3)
    line["own_cpu_seconds"] = round(time.process_time() - began_cpu, 3)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("diagnose", "improve", "peers"))
    parser.add_argument("file")
    parser.add_argument("--budget")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device")
    parser.add_argument("--classes", type=int, default=0)
    line = answer(**vars(parser.parse_args()))
    sys.stdout.write("\n@@" + json.dumps(line) + "\n")


def diagnose(options: argparse.Namespace) -> dict[str, Any]:
    import netwright as nw
    from netwright.values import to_json

    recipe = nw.load(options.file)
    with tempfile.TemporaryDirectory() as journal:
        result = nw.diagnose(
            recipe,
            budget=options.budget,
            seed=options.seed,
            device=options.device,
            journal=journal,
            workers=0,
        )
    return {
        "outcome": result.outcome,
        "findings": [_short(f) for f in to_json(result.findings)],
        "considered": [_short(f) for f in to_json(result.considered)],
        "spent": to_json(result.spent),
        "first_answer": to_json(result.first_answer),
        "first_confirmed": to_json(result.first_confirmed),
        "one_training": len(recipe.training_samples) * recipe.settings.epochs,
        "notes": list(result.notes),
        "skipped": len(result.skipped),
        "error": "",
    }


WEAK = ("spare", "binary", "mild", "surplus", "died_in_training", "slice_only", "slight")


def _short(finding: dict[str, Any]) -> dict[str, Any]:
    kept = ("cause", "status", "confidence", "also", "severity", "check", "explanation", "confirmation")
    short = {k: finding.get(k) for k in kept}
    where = finding.get("where") or {}
    evidence = finding.get("evidence") or {}
    short["folded"] = bool(evidence.get("explained_by"))
    short["weak"] = any(evidence.get(k) for k in WEAK)
    short["where"] = {k: where.get(k) for k in ("layer", "line", "attribute")}
    return short


def improve(options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.faults.repaired import improved

    budget = options.budget or "60s"
    return improved(options.file, budget, options.seed, options.classes, options.device)


def peers(options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.faults.peers import all_peers

    return {"outcome": "done", "peers": all_peers(options.file, options.seed), "error": ""}


if __name__ == "__main__":
    main()
