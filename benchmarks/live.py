"""What it costs a training to be watched: `netwright serve` with a page connected, against the same training
alone, alternated.

    python -m benchmarks.live [--pairs 5] [--epochs 150]

Both train the same recipe in a process of their own with one thread; what is compared are the seconds that
the training itself took, by its own clock, from the first step to the scores, and its seconds of processor
time, which other work on the machine disturbs less. The page is a client that takes every message and draws
nothing. Prints the median over pairs of watched over alone, and how many columns a second came. Target:
at most 1.05.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from websockets.sync.client import connect

from netwright.journal import Journal
from netwright.recipe import load
from netwright.runs import Clocks, run_key, train

RECIPES = """
import netwright as nw
from sklearn.datasets import load_digits
from benchmarks.loop_overhead import cnn, mlp

x, y = load_digits(return_X_y=True)
data = nw.Data.arrays(x.reshape(-1, 1, 8, 8) / 16, y)
training = nw.Training(loss="cross_entropy", optimizer="sgd", lr=0.05, momentum=0.9, batch_size=64)
small, large = nw.Recipe(data, mlp, training), nw.Recipe(data, cnn, training)
"""
NAMES = {"cnn": "large", "mlp": "small"}


def alone(spec: str, seed: int, epochs: int) -> tuple[float, float]:
    """Seconds and processor seconds of the training in a process where nobody watches it."""
    command = [sys.executable, "-m", "benchmarks.live", "--alone", spec, str(seed), str(epochs)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=_environment())
    seconds, cpu = answer.stdout.split()
    return float(seconds), float(cpu)


def _train(spec: str, seed: int, epochs: int) -> tuple[float, float]:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    events = train(
        load(spec), seed, clocks=Clocks(time.perf_counter, time.process_time), epochs=epochs, device="cpu",
        keep_weights=True,
    )  # fmt: skip
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value.seconds, end.value.cpu_seconds


def watched(spec: str, seed: int, epochs: int, folder: Path) -> tuple[float, float, float]:
    """Seconds and processor seconds of the training behind a live page, and the columns a second."""
    command = [
        sys.executable, "-m", "netwright", "serve", spec, "--json", "--seed", str(seed),
        "--epochs", str(epochs),
        "--device", "cpu", "--journal", str(folder),
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment())
    try:
        assert server.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            text += server.stdout.readline()
        address = json.loads(text)["address"].replace("http://", "ws://").replace("/?", "/live?")
        columns, state = 0, ""
        with connect(address, max_size=None) as socket:
            while state != "ended":
                message = json.loads(socket.recv())
                columns += message["type"] == "column"
                state = message["state"] if message["type"] == "state" else state
    finally:
        server.terminate()
        server.wait()
    with Journal.open(folder) as journal:
        found = journal.recall(run_key(load(spec).fingerprint, seed, epochs, "cpu"))
    assert found is not None
    return found[0]["seconds"], found[0]["cpu_seconds"], columns / found[0]["seconds"]


def _environment() -> dict[str, str]:
    path = os.pathsep.join(p or os.getcwd() for p in sys.path)
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def measure(name: str, pairs: int, epochs: int) -> None:
    with tempfile.TemporaryDirectory() as kept:
        file = Path(kept) / "served.py"
        file.write_text(RECIPES)
        spec = f"{file}:{NAMES[name]}"
        wall, cpu, rates, seconds = [], [], [], []
        for seed in range(pairs):
            folder = Path(kept) / f"{seed}"
            if seed % 2:  # neither always goes first
                plain = alone(spec, seed, epochs)
                live = watched(spec, seed, epochs, folder)
            else:
                live = watched(spec, seed, epochs, folder)
                plain = alone(spec, seed, epochs)
            wall.append(live[0] / plain[0])
            cpu.append(live[1] / plain[1])
            rates.append(live[2])
            seconds.append(plain[0])
    print(
        f"  {name:<4} watched / alone   {_said(wall)}   processor {_said(cpu)}"
        f"   {statistics.median(rates):.1f} columns a second, {statistics.median(seconds):.1f} s alone",
        flush=True,
    )


def _said(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.3f} [{min(ratios):.3f}, {max(ratios):.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--only", choices=NAMES)
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(*_train(options.alone[0], int(options.alone[1]), int(options.alone[2])))
        return
    print(f"live page, cpu, {options.pairs} pairs, {options.epochs} epochs of digits, batch 64")
    for name in [options.only] if options.only else NAMES:
        measure(name, options.pairs, options.epochs)


if __name__ == "__main__":
    main()
