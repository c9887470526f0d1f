"""Runs a verb on every chosen recipe, each in its own process, and appends one JSON line a recipe."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.faults.cases import Case, cases, write_case
from benchmarks.faults.data import cache
from benchmarks.faults.one import answer
from benchmarks.faults.recipes import parents

LIMIT_SECONDS = 300


@frozen
class Task:
    """One recipe to run: a faulty case or a healthy parent, with one seed."""

    case: Case
    seed: int
    healthy: bool

    @property
    def key(self) -> str:
        return f"{self.case['id']}#{self.seed}"


def code_of_netwright() -> str:
    """Ten digits of the installed package's source, so that results of two versions are never mixed."""
    import importlib.util

    spec = importlib.util.find_spec("netwright")
    assert spec is not None and spec.submodule_search_locations
    whole = hashlib.sha256()
    for path in sorted(Path(next(iter(spec.submodule_search_locations))).rglob("*")):
        if path.suffix in (".py", ".toml"):
            whole.update(path.read_bytes())
    return whole.hexdigest()[:10]


def tasks(
    part: str, only: str | None = None, sample: float = 1.0, seed: int = 0, healthy_seeds: int = 2
) -> list[Task]:
    """Faulty cases with one seed, healthy parents with several, in an order that any prefix of is a
    sample."""
    chosen: list[Task] = []
    if only != "healthy":
        chosen += [Task(case, seed, False) for case in cases(part)]
    if only != "faulty":
        for name, settings in parents(part).items():
            case = {"id": name, "part": part, "parent": name, "data": settings["data"], "faults": []}
            chosen += [Task(case, seed + k, True) for k in range(healthy_seeds)]
    chosen.sort(key=lambda task: hashlib.sha256(f"{seed} {task.key}".encode()).digest())
    return chosen[: max(1, round(sample * len(chosen)))]


def run(
    chosen: list[Task],
    results: Path,
    *,
    verb: str = "diagnose",
    budget: str | None,
    jobs: int,
    device: str | None,
) -> Iterator[dict[str, Any]]:
    """Results of the tasks, stored ones first; new ones are appended to `results` as they come."""
    stored = {line["key"]: line for line in read(results)}
    left = []
    for task in chosen:
        if task.key in stored:
            yield stored[task.key]
        else:
            left.append(task)
    results.parent.mkdir(parents=True, exist_ok=True)
    # Every recipe has a process of its own, forked from one that has imported what all need.
    context = multiprocessing.get_context("fork")
    with context.Pool(jobs, initializer=_begin, maxtasksperchild=1) as pool:
        asked = [(task, verb, budget, device) for task in left]
        for line in pool.imap_unordered(_asked, asked, chunksize=1):
            with results.open("a") as file:
                file.write(json.dumps(line) + "\n")
            yield line


def _begin() -> None:
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process


def _asked(arguments: tuple[Task, str, str | None, str | None]) -> dict[str, Any]:
    task, verb, budget, device = arguments
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT_SECONDS)
    try:
        return _one(task, verb, budget, device)
    finally:
        signal.alarm(0)


def _too_long(*_: object) -> None:
    raise TimeoutError(f"no answer in {LIMIT_SECONDS} s")


def read(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []


def _one(task: Task, verb: str, budget: str | None, device: str | None) -> dict[str, Any]:
    path = write_case(task.case, cache() / "cases" / task.case["part"])
    classes = 0
    if verb == "improve":
        from benchmarks.faults.recipes import script

        classes = script(parents()[task.case["parent"]]).facts["classes"]
    about = {
        k: task.case.get(k)
        for k in ("id", "part", "parent", "data", "faults", "causes", "also", "attributes")
    }
    about |= {"key": task.key, "seed": task.seed, "healthy": task.healthy, "budget": budget}
    about |= {k: task.case.get(k) for k in ("lines", "layers", "visible", "lost", "family")}
    about["netwright"] = code_of_netwright()  # it may have changed since the run began
    began = time.perf_counter()
    found = answer(verb, str(path), budget=budget, seed=task.seed, device=device, classes=classes)
    found["error"] = found.get("error", "").replace(f"{Path(__file__).parents[2]}{os.sep}", "")
    return {**about, **found, "process_seconds": round(time.perf_counter() - began, 2)}
