"""How often `nw.improve` brings a faulty recipe's score back on unseen rows."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.faults.judging import middle_of, share_of

SEEDS = (30, 31, 32, 33, 34)
ENOUGH = 0.95
# Trainings with these purposes confirm what was found: their epochs are counted apart.
CONFIRM = ("diagnosis: ", "confirmation: ", "result: ", "all edits", "without ")


def improved(file: str, budget: str, seed: int, classes: int, device: str | None) -> dict[str, Any]:
    """Improve the recipe of a file, then train it with the edits that were kept on five fresh seeds."""
    import torch

    import netwright as nw
    from benchmarks.faults.measure import measure, open_recipe
    from netwright.values import EpochEnded, RoundEnded, RunStarted, to_json

    torch.set_num_threads(1)
    searched, rounds = [0], []
    confirms: set[str] = set()

    def note(event: Any) -> None:
        match event:
            case RunStarted(purpose=purpose) if purpose.startswith(CONFIRM):
                confirms.add(event.run)
            case EpochEnded() if event.run not in confirms:
                searched[0] += 1
            case RoundEnded():
                rounds.append((searched[0], tuple(e.kind for e in event.edits)))
            case _:
                pass

    with tempfile.TemporaryDirectory() as journal:
        result = nw.improve(
            file, budget=budget, seed=seed, device=device, journal=journal, test=False, on_event=note
        )
    recipe = open_recipe(Path(file)).with_edits(*result.edits)
    tests = [measure(recipe, s, classes).test for s in SEEDS]
    return {
        "outcome": result.outcome,
        "edits": [e["kind"] for e in to_json(result.edits)],
        "tests": [round(t, 4) for t in tests],
        "test": round(statistics.fmean(tests), 4),
        "spent": to_json(result.spent),
        "epochs_until_held": _held(rounds),
        "error": "",
    }


def _held(rounds: list[tuple[int, tuple[str, ...]]]) -> int | None:
    """The epochs searched when the edits that stayed to the end were first held; `None` where none
    stayed."""
    if not rounds or not rounds[-1][1]:
        return None
    first = len(rounds) - 1
    while first and rounds[first - 1][1] == rounds[-1][1]:
        first -= 1
    return rounds[first][0]


def table(lines: list[dict[str, Any]]) -> list[str]:
    """Share repaired, and what it took."""
    from benchmarks.faults.kinds import FAULTS
    from benchmarks.faults.recipes import parents

    known = parents()

    def repaired(line: dict[str, Any]) -> bool:
        healthy = known[line["parent"]]["healthy"]
        return line.get("test") is not None and line["test"] / healthy >= ENOUGH

    def healthy_trainings(line: dict[str, Any]) -> float | None:
        held = line.get("epochs_until_held")
        return held / known[line["parent"]]["epochs"] if held and repaired(line) else None

    left = [li for li in lines if not any(FAULTS[kind].loses(strength) for kind, strength in li["faults"])]
    return [
        f"Repaired: at least {ENOUGH:.0%} of the healthy parent's skill, the mean of five fresh seeds.",
        "",
        f"Repaired {share_of(lines, repaired)}; where no rows or labels were thrown away for good,"
        f" {share_of(left, repaired)}; epochs spent, median (mean)"
        f" {middle_of(lines, lambda li: (li.get('spent') or {}).get('epochs'))}; until the repair is held, in"
        " trainings of the healthy recipe and without those that confirm,"
        f" {middle_of(lines, healthy_trainings)}.",
        "",
        *(
            f"- {line['key']}: {line['outcome']}, {', '.join(line.get('edits', [])) or 'nothing kept'},"
            f" skill {line.get('test')} of {known[line['parent']]['healthy']}"
            f"{'' if line in left else ', what is lacking is not in the file'}"
            for line in lines
        ),
    ]
