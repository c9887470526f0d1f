"""Faulty recipes: `python -m benchmarks.faults.cases --part fit --single 110 --pairs 40 [--seed 0]`.

A case is a parent with one fault or two. It is kept only where three trainings show on the test rows that
at least a tenth of what the healthy parent reaches is lost; faults of the yardstick itself are judged by
how they are made. Kept cases are appended to `cases-PART.jsonl`, others to `cases.log` in the cache; a call
goes on where the last one stopped. The files of the cases are written anew from their records.
"""

from __future__ import annotations

import argparse
import json
import statistics
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.faults.data import HERE, PARTS, cache
from benchmarks.faults.kinds import FAULTS, Fault
from benchmarks.faults.measure import WORST, measure, open_recipe
from benchmarks.faults.recipes import parents, script
from benchmarks.faults.script import NotApplicable, Script, changed_lines

SEEDS = (20, 21, 22)
LOST, MOST_SECONDS = 0.10, 12.0
# These write the parent anew, so in a pair they come first.
REWRITING = ("too_narrow", "trained_far_too_long", "far_too_wide", "noise_learnt_by_heart")
Case = dict[str, Any]
Planted = list[tuple[str, Any]]


def cases(part: str) -> list[Case]:
    """The kept cases of a part, in the order they were found."""
    path = HERE / f"cases-{part}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def planted(settings: dict[str, Any], faults: Planted) -> Script:
    """A parent's script with the faults in it. Raises `NotApplicable`."""
    built = script(settings)
    for name, strength in sorted(faults, key=lambda f: f[0] not in REWRITING):
        built = FAULTS[name].plant(built, strength)
    return built


def write_case(case: Case, folder: Path) -> Path:
    """The file of a case, faulty or (without faults) healthy."""
    source = planted(parents()[case["parent"]], case.get("faults", [])).render()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{case['id'].replace('+', '_').replace('.', '_')}.py"
    if not path.is_file() or path.read_text() != source:
        path.write_text(source)
    return path


def record(name: str, settings: dict[str, Any], faults: Planted, folder: Path) -> tuple[Case, bool]:
    """The case with its measured scores, and whether it is kept."""
    kinds = [FAULTS[f] for f, _ in faults]
    source, sound = planted(settings, faults).render(), script(settings).render()
    case: Case = {
        "id": f"{name}+" + "+".join(f"{f}-{zlib.crc32(str(s).encode()) % 1000:03d}" for f, s in faults),
        "part": settings["part"],
        "parent": name,
        "data": settings["data"],
        "family": settings["family"],
        "faults": [list(f) for f in faults],
        "causes": [k.cause for k in kinds],
        "also": sorted({c for k in kinds for c in k.also} - {k.cause for k in kinds}),
        "attributes": [k.attribute for k in kinds],
        "visible": [k.visible for k in kinds],
        "by_construction": any(k.by_construction for k in kinds),
        "lines": changed_lines(sound, source),
        "healthy": settings["healthy"],
    }
    path = write_case(case, folder)
    case["layers"] = _layers(path, case["lines"])
    recipe = None
    scores: list[float] = []
    case["error"] = ""
    for seed in SEEDS:
        try:
            if recipe is None:
                recipe = open_recipe(path)
                recipe.build(0)
        except Exception as raised:  # the file or its network cannot be built: no fault, a mishap
            case["error"] = f"{type(raised).__name__}: {raised}"[:200]
            return case, False
        m = measure(recipe, seed, _classes(settings))
        scores.append(max(m.test, WORST))
        case["error"] = case["error"] or m.error
        case["seconds"] = round(m.seconds, 2)
        case["steps"] = m.steps
        if m.seconds > MOST_SECONDS:
            return case, False
        healthy_still = case["healthy"] - m.test < 0.02 * case["healthy"]
        if m.error or (healthy_still and not case["by_construction"]):
            break
    case["scores"] = [round(v, 4) for v in scores]
    case["lost"] = round((case["healthy"] - statistics.fmean(scores)) / case["healthy"], 4)
    return case, case["by_construction"] or case["lost"] >= LOST


def _classes(settings: dict[str, Any]) -> int:
    return script(settings).facts["classes"]


def _layers(path: Path, lines: list[int]) -> list[str]:
    try:
        _, places = open_recipe(path).build_with_places(0)
    except Exception:  # a network that cannot be built has no layers
        return []
    return sorted(name for name, born in places.items() if name and born.line in lines)


def singles(part: str, seed: int) -> Iterator[tuple[Fault, str, Planted]]:
    """Every kind in turn with a parent and a strength; parents that were used less come first.

    A kind that is alone for its cause has two turns, so that every cause is met a few times.
    """
    generator = np.random.default_rng([seed, zlib.crc32(part.encode())])
    stored = [case for case in cases(part) if len(case["faults"]) == 1]
    used = Counter(case[key] for case in stored for key in ("parent", "data"))
    found = parents(part)
    kinds = list(FAULTS.values())
    alone = Counter(kind.cause for kind in kinds)
    turns = [kind for kind in kinds for _ in range(2 if alone[kind.cause] == 1 else 1)]
    while True:
        for index in generator.permutation(len(turns)):
            kind = turns[index]
            names = sorted(found, key=lambda n: (used[n] + used[found[n]["data"]], generator.random()))
            for name in names:
                strength = kind.strengths[generator.integers(len(kind.strengths))]
                try:
                    planted(found[name], [(kind.name, strength)])
                except NotApplicable:
                    continue
                used[name] += 1
                used[found[name]["data"]] += 1
                yield kind, name, [(kind.name, strength)]
                break


def pairs(part: str, seed: int) -> Iterator[tuple[str, Planted]]:
    """Two kept single faults of other causes and attributes on one parent of one of them."""
    generator = np.random.default_rng([seed, 7, zlib.crc32(part.encode())])
    kept = [c for c in cases(part) if len(c["faults"]) == 1]
    while kept:
        one, other = (kept[k] for k in generator.choice(len(kept), 2, replace=False))
        apart = one["causes"] != other["causes"] and one["attributes"] != other["attributes"]
        stops = one["error"] or other["error"]
        if not apart or stops or (one["by_construction"] and other["by_construction"]):
            continue
        yield one["parent"], [tuple(one["faults"][0]), tuple(other["faults"][0])]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--single", type=int, default=110)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    log = cache() / "cases.log"
    tried = set(log.read_text().splitlines()) if log.is_file() else set()
    folder = cache() / "cases" / options.part
    known = {c["id"] for c in cases(options.part)}
    count = Counter(len(c["faults"]) for c in cases(options.part))
    found = parents(options.part)

    def attempt(name: str, faults: Planted) -> bool:
        key = f"{name} {faults}"
        if key in tried:
            return False
        tried.add(key)
        try:
            case, kept = record(name, found[name], faults, folder)
        except NotApplicable:
            return False
        if case["id"] in known:
            return False
        known.add(case["id"])
        if kept:
            with (HERE / f"cases-{options.part}.jsonl").open("a") as file:
                file.write(json.dumps(case) + "\n")
        else:
            with log.open("a") as file:
                file.write(f"{key}\n")
        lost = case.get("lost", float("nan"))
        print(f"{'kept   ' if kept else 'dropped'} {case['id']}: lost {lost:.2f} {case['error']}", flush=True)
        return kept

    misses = 0
    for _, name, faults in singles(options.part, options.seed):
        if count[1] >= options.single or misses > 400:
            break
        if attempt(name, faults):
            count[1] += 1
            misses = 0
        else:
            misses += 1
    misses = 0
    for name, faults in pairs(options.part, options.seed):
        if count[2] >= options.pairs or misses > 400:
            break
        # Each of the two must matter alone on this parent: what is planted is then two causes.
        if _matters(faults, name, options.part) and attempt(name, faults):
            count[2] += 1
            misses = 0
        else:
            misses += 1


def _matters(faults: Planted, name: str, part: str) -> bool:
    settings, folder = parents(part)[name], cache() / "cases" / part
    for fault in faults:
        if any(c["parent"] == name and c["faults"] == [list(fault)] for c in cases(part)):
            continue
        try:
            if not record(name, settings, [fault], folder)[1]:
                return False
        except NotApplicable:
            return False
    return True


if __name__ == "__main__":
    main()
