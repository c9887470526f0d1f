"""Find healthy recipes by random search: `python -m benchmarks.faults.search --part fit [--most 60]`.

For every data set and family at least twelve random configurations are trained; a parent is one within 97 %
of the best validation skill found that is not overfitted at its end, gains nothing that matters from twice
its epochs and holds on further seeds. No check of Netwright takes part. Found parents are appended to
`parents.toml`, refusals to `search.log` in the cache; a search that is called again goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.faults.data import HERE, PARTS, arrays, cache, data_sets
from benchmarks.faults.measure import Measured, measure, open_recipe
from benchmarks.faults.networks import FAMILIES_OF
from benchmarks.faults.recipes import parents, script

DRAWS, KEPT, SEEDS, JUDGED = 12, 3, (1, 2), (10, 11, 12)
CLOSE, LEAST_SKILL = 0.97, 0.3
# At its end the validation loss is within 5 % of its best, or within 12 % with the score hardly fallen.
OVERFIT, LOOSELY, FALLEN = 1.05, 1.12, 0.015
MOST_SECONDS = 2.0
Settings = dict[str, Any]
HEADS_OF = {
    "amount": ("mse", "huber", "mse_column", "mse", "l1"),
    "binary": ("cross_entropy", "bce_with_logits", "bce_with_logits", "nll", "bce"),
    "classes": ("cross_entropy", "cross_entropy", "nll", "one_hot", "cross_entropy"),
}
RATES = {
    "adam": (5e-4, 2e-2),
    "adamw": (5e-4, 2e-2),
    "nadam": (5e-4, 1e-2),
    "rmsprop": (3e-4, 5e-3),
    "sgd": (1e-2, 0.4),
}


def plan(part: str) -> list[tuple[str, str, str]]:
    """(data set, family, head) of the parents to look for; every set once before any twice."""
    wanted = []
    sets = [s for s in data_sets().values() if s.part == part]
    sets.sort(key=lambda s: zlib.crc32(s.name.encode()))
    for turn in range(4):
        for number, entry in enumerate(sets):
            families = FAMILIES_OF[entry.kind]
            family = families[(number + turn) % len(families)]
            if any(w[:2] == (entry.name, family) for w in wanted):
                continue
            goal = entry.goal
            if goal == "classes" and int(arrays(entry.name)[1].max()) == 1:
                goal = "binary"
            heads = HEADS_OF[goal]
            wanted.append((entry.name, family, heads[(number + 2 * turn) % len(heads)]))
    return wanted


def draw(data: str, family: str, head: str, generator: np.random.Generator) -> Settings:
    """Random settings, within what a programmer would try for the family."""

    def pick(*values: Any) -> Any:
        return values[generator.integers(len(values))]

    entry = data_sets()[data]
    size = int(len(arrays(data)[1]) * 0.6)
    optimizer = pick("adam", "adam", "adamw", "adamw", "sgd", "sgd", "rmsprop", "nadam")
    if family == "transformer":
        optimizer = pick("adam", "adamw")
    low, high = RATES[optimizer]
    heavy = family in ("transformer", "gru", "lstm", "resnet")
    settings: Settings = {
        "data": data,
        "part": entry.part,
        "family": family,
        "head": head,
        "scaling": {"table": "standard", "image": pick("unit", "whole"), "series": "whole", "text": "none"}[
            entry.kind
        ],
        "width": pick(16, 32, 64) if entry.kind != "image" or "mlp" in family else pick(8, 12, 16),
        "depth": pick(1, 2) if heavy else pick(1, 2, 2, 3),
        "activation": pick("relu", "relu", "relu", "gelu", "tanh", "silu") if family != "resnet" else "relu",
        "optimizer": optimizer,
        "lr": float(f"{math.exp(generator.uniform(math.log(low), math.log(high))):.1g}"),
        "batch_size": pick(16, 32, 32, 64, 128),
        "schedule": pick(None, None, "cosine", "cosine", "linear", "one_cycle", "step"),
        "weight_decay": pick(None, None, 1e-4, 1e-3, 1e-2),
        "clip": pick(None, None, None, 1.0),
        "norm": pick(False, False, True) and family in ("mlp", "cnn", "cnn_class", "conv1d"),
        "dropout": pick(0, 0, 0.1, 0.2, 0.4) if family in ("mlp", "mlp_class", "cnn", "transformer") else 0,
    }
    if optimizer == "adamw" and settings["weight_decay"]:
        settings["weight_decay"] *= 10
    if optimizer == "sgd":
        settings["momentum"] = 0.9
    if entry.kind == "image":
        settings["augment"] = pick(None, "shift", "shift", "noise")
    if family == "resnet":
        settings["norm"] = True
    if entry.kind == "text":
        settings |= {"embedding": pick(8, 16, 32), "placed": size > 0 and family == "bag" and "words" in data}
    if family in ("gru", "lstm"):
        settings["both"] = pick(False, False, True)
    if entry.kind == "image" and arrays(data)[0].shape[-1] < 12:
        settings["depth"] = min(settings["depth"], 2)
    # Bounds of steps and of samples seen, so that a training takes a second or two.
    large = (entry.kind == "image" and "mlp" not in family) or family == "conv1d"
    steps, seen = (200, 9_000) if heavy else (300, 14_000) if large else (700, 30_000)
    if entry.kind in ("text", "series") and family != "bag":
        seen = seen * 20 // max(20, arrays(data)[0].shape[1])
    epochs = min(pick(8, 12, 15, 20, 30, 40), steps * settings["batch_size"] // size, seen // size)
    settings["epochs"] = max(5, epochs)
    return {k: v for k, v in settings.items() if v is not None and v is not False and v != 0}


def _trained(
    settings: Settings, seeds: tuple[int, ...], folder: Path, epochs: int | None = None
) -> list[Measured]:
    built = script(settings)
    path = folder / "tried.py"
    path.write_text(built.render())
    recipe = open_recipe(path)
    return [measure(recipe, seed, built.facts["classes"], epochs) for seed in seeds]


def _sound(runs: list[Measured]) -> bool:
    """No training diverged, none ends overfitted, none takes too long."""
    return all(
        not m.error
        and not m.diverged
        and (
            m.last_val_loss <= OVERFIT * m.best_val_loss + 0.005
            or (m.last_val_loss <= LOOSELY * m.best_val_loss and m.fallen <= FALLEN)
        )
        and m.seconds < MOST_SECONDS
        for m in runs
    )


def find(data: str, family: str, head: str, folder: Path) -> tuple[Settings | None, str]:
    """The settings of a healthy parent, or `None` and the reason."""
    generator = np.random.default_rng(zlib.crc32(f"{data}/{family}".encode()))
    tried = [draw(data, family, head, generator) for _ in range(DRAWS)]
    first = [_trained(settings, (0,), folder) for settings in tried]
    order = sorted(range(DRAWS), key=lambda k: -first[k][0].val)
    top = first[order[0]][0].val
    if top < LEAST_SKILL:
        return None, f"best skill {top:.2f}"
    # Only configurations near the best can be within 97 % of it after more seeds.
    for k in order[:KEPT]:
        first[k] += _trained(tried[k], SEEDS, folder)
    sound = [k for k in order if first[k][0].val > 0.94 * top and _sound(first[k])][:KEPT]
    for k in sound:
        if len(first[k]) == 1:
            first[k] += _trained(tried[k], SEEDS, folder)
    means = {k: statistics.fmean(m.val for m in runs) for k, runs in enumerate(first) if len(runs) > 1}
    best = max(means.values())
    for k in sorted(sound, key=lambda k: -means[k]):
        if means[k] < CLOSE * best or not _sound(first[k]):
            continue
        settings = tried[k]
        longer = _trained(settings, (0, 1), folder, 2 * settings["epochs"])
        gained = statistics.fmean(m.val for m in longer) / max(means[k], 1e-6)
        if gained > 1 / CLOSE:
            continue
        judged = _trained(settings, JUDGED, folder)
        if not all(not m.error and m.val > 0.9 * means[k] for m in judged):
            continue
        tests = [m.test for m in judged]
        if statistics.fmean(tests) < LEAST_SKILL:
            continue
        found = {
            "healthy": round(statistics.fmean(tests), 4),
            "spread": round(statistics.stdev(tests), 4),
            "val": round(means[k], 4),
            "best_val": round(best, 4),
            "train": round(statistics.fmean(m.train for m in judged), 4),
            "longer": round(gained, 4),
            "seeds": list(JUDGED),
            "seconds": round(statistics.fmean(m.seconds for m in judged), 2),
            "steps": judged[0].steps,
        }
        return {**settings, **found}, ""
    return None, f"none of {len(sound)} sound configurations within 97 % of {best:.2f}, done, and held"


def write(name: str, settings: Settings) -> None:
    """Append one parent to `parents.toml`."""
    rows = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    path = HERE / "parents.toml"
    with path.open("a") as file:
        file.write("\n".join(["", f'["{name}"]', *rows, ""]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--most", type=int, default=1000, help="stop when the part has so many parents")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    log = cache() / "search.log"
    refused = {line.split(": ")[0] for line in log.read_text().splitlines()} if log.is_file() else set()
    with tempfile.TemporaryDirectory() as folder:
        tried = Counter(name.rpartition("-")[0] for name in (*parents(), *refused))
        left: list[tuple[int, str, str, str]] = []
        for data, family, head in plan(options.part):
            if f"{data}-{family}" not in refused and f"{data}-{family}" not in parents():
                left.append((tried[data], data, family, head))
                tried[data] += 1
        for _, data, family, head in sorted(left, key=lambda wanted: wanted[0]):
            name = f"{data}-{family}"
            known = parents()
            if sum(p["part"] == options.part for p in known.values()) >= options.most:
                break
            if name in known or name in refused:
                continue
            settings, why = find(data, family, head, Path(folder))
            if settings is None:
                with log.open("a") as file:
                    file.write(f"{name}: {why}\n")
                print(f"refused {name}: {why}", flush=True)
            else:
                write(name, settings)
                print(f"found   {name}: {settings['healthy']:.2f} ± {settings['spread']:.2f}", flush=True)


if __name__ == "__main__":
    main()
