"""Measure ports: `python -m benchmarks.ports`.

    python -m benchmarks.ports --report                 coverage, planted faults, a large network; writes
                                                        benchmarks/results/ports-DATE.md and .json
    python -m benchmarks.ports --quick                  a tenth of it, nothing written
    python -m benchmarks.ports --only mutants           one part
    python -m benchmarks.ports --gpu                    TensorRT bundles, run on this machine's GPU

Rows are kept in the cache folder (or --kept FOLDER) by the content of the package, and an interrupted run
goes on there.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

import netwright
from benchmarks.ports import coverage, gpu, large, mutants, pretrained, report
from benchmarks.ports.zoo import ZOO
from netwright.catalogue import Target
from netwright.ports.original import Original

PARTS = ("coverage", "mutants", "large")
Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="python -m benchmarks.ports",
    )
    parser.add_argument("--report", action="store_true", help="write the dated result to benchmarks/results")
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--to", help="ids of targets, with commas between; by default every target")
    parser.add_argument("--pretrained", metavar="FOLDER", help="where packages with pretrained networks are")
    parser.add_argument("--gpu", action="store_true", help="run TensorRT bundles on this machine's GPU")
    parser.add_argument("--kept", metavar="FOLDER", help="where rows are kept")
    parser.add_argument("--stored", action="store_true", help="run nothing, only what is kept")
    parser.add_argument("--load", default="", help="words for the result: what else the machine did")
    parser.add_argument("--json", metavar="FILE", help="also write all rows there")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.gpu:
        return gpu.main(options.json)
    if options.pretrained:
        sys.path.append(options.pretrained)
    chosen = coverage.targets()
    if options.to:
        chosen = {id: chosen[id] for id in options.to.split(",")}
    kept = Path(options.kept) if options.kept else _kept()
    bench = Bench(chosen, kept, quick=options.quick, stored=options.stored)
    found: dict[str, Any] = {}
    for part in PARTS if options.only is None else (options.only,):
        getattr(bench, part)(found)
    about = {
        "date": datetime.date.today().isoformat(),
        "machine": _machine(options.load, bench.seconds),
        "seconds": bench.seconds,
    }
    text = report.text_of(found, about)
    print(text)
    if options.json:
        Path(options.json).write_text(report.document(found, about))
    if options.report:
        print("\n".join(f"written: {path}" for path in report.write(text, found, about)))
    return 0


def _kept() -> Path:
    """A folder for rows of the package as it is now."""
    root = Path(netwright.__file__).parent
    content = hashlib.sha256()
    for file in sorted((*root.glob("ports/**/*.py"), *Path(__file__).parent.glob("*.py"))):
        content.update(file.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "netwright" / "benchmarks" / "ports" / content.hexdigest()[:12]


def _machine(load: str, seconds: float) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    words = f"{cores} CPU cores{' ' + load if load else ''}, Python {platform.python_version()}, "
    return words + f"torch {torch.__version__.partition('+')[0]} (CPU), {seconds / 60:.0f} minutes."


class Bench:
    """Runs parts of the bench, and takes up what an earlier run has kept."""

    def __init__(self, targets: dict[str, Target], kept: Path, *, quick: bool, stored: bool) -> None:
        self._targets, self._kept, self._quick, self._stored = targets, kept, quick, stored
        self.seconds = 0.0

    def coverage(self, found: dict[str, Any]) -> None:
        names = list(ZOO)[:3] if self._quick else list(ZOO)
        found["coverage"] = []
        for name in names:
            network, inputs = ZOO[name]()
            original = Original(name, network, inputs)
            found["coverage"] += self._rows("coverage", name, lambda o=original: self._ported(o, ""))
        found["pretrained"], found["left_out"] = [], {}
        for name in list(pretrained.PRETRAINED)[: 1 if self._quick else None]:
            try:
                network, inputs, what = pretrained.PRETRAINED[name]()
            except (LookupError, ImportError, OSError) as raised:
                found["left_out"][name] = str(raised)
                continue
            original = Original(name, network.eval().requires_grad_(False), inputs)
            rows = self._rows("pretrained", name, lambda o=original, w=what: self._ported(o, w))
            found["pretrained"] += rows

    def mutants(self, found: dict[str, Any]) -> None:
        found["mutants"] = []
        with tempfile.TemporaryDirectory() as folder:
            share = 0.1 if self._quick else 1.0
            for key, make in mutants.plan(self._targets, Path(folder), share):
                found["mutants"] += self._rows("mutants", key, make)

    def large(self, found: dict[str, Any]) -> None:
        ids = [id for id in large.TARGETS if id in self._targets]
        found["large"] = []
        for id in ids[: 1 if self._quick else None]:
            found["large"] += self._rows("large", id, lambda i=id: large.rows((i,)))

    def _ported(self, original: Original, inputs: str) -> Iterable[Row]:
        with tempfile.TemporaryDirectory() as folder:
            for row in coverage.rows(original, list(self._targets.values()), Path(folder)):
                yield row | {"inputs": inputs}

    def _rows(self, part: str, key: str, make: Callable[[], Iterable[Row]]) -> Sequence[Row]:
        """The rows of one piece of work, kept or made now."""
        file = self._kept / part / f"{key}.json"
        began = time.perf_counter()
        if file.exists():
            kept = json.loads(file.read_text())
            self.seconds += kept["seconds"]
            return kept["rows"]
        if self._stored:
            return []
        rows = list(make())
        seconds = time.perf_counter() - began
        self.seconds += seconds
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"seconds": seconds, "rows": rows}))
        print(f"{part} {key}: {len(rows)} rows, {seconds:.0f} s", file=sys.stderr)
        return rows


if __name__ == "__main__":
    sys.exit(main())
