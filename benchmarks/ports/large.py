"""A port with parity of a network of ResNet-50's real size: seconds, and memory above that of the processes
with network and libraries loaded.

Every target is measured in an interpreter of its own, `python -m benchmarks.ports.large TARGET`, after a
small network was ported in it: counting starts at what its two processes hold then and the large network.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.ports.zoo import ZOO, resnet50
from netwright.catalogue import Catalogue
from netwright.ports.original import Original
from netwright.ports.porting import port
from netwright.ports.yard import Settings
from netwright.values import TargetEnded, TargetPort, TargetStarted

TARGETS = ("onnx", "openvino", "mnn")
RUNS = 10  # that are timed
INPUTS = 4
MOST_SECONDS, MOST_MEMORY = 60.0, "3 × the network + 256 MB"


def memory(pid: int | str, field: str) -> int:
    """Bytes of a process: `VmRSS` now, `VmHWM` at most since the last reset."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)


def descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in found:
            yield child
            yield from descendants(child)


class Watch(threading.Thread):
    """The most memory of this process's descendants, looked at while they live."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peaks: dict[int, int] = {}
        self.by_stage: dict[str, dict[int, int]] = {}
        self.stage = ""
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.02):
            self.look()

    def look(self) -> None:
        for pid in list(descendants(os.getpid())):
            peak = memory(pid, "VmHWM")
            self.peaks[pid] = max(peak, self.peaks.get(pid, 0))
            stage = self.by_stage.setdefault(self.stage, {})
            stage[pid] = max(peak, stage.get(pid, 0))

    def enter(self, stage: str) -> None:
        """Note what was held, and count anew for the next stage."""
        self.look()
        own = os.getpid()
        before = self.by_stage.setdefault(self.stage, {})
        before[own] = max(before.get(own, 0), memory(own, "VmHWM"))
        self.stage = stage
        for pid in (own, *descendants(own)):
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._over.set()
        self.join()


def ported(original: Original, id: str, folder: Path) -> tuple[TargetPort, float, Watch, dict[str, float]]:
    """The port, its seconds, the memory of the processes it took, and the seconds of its stages."""
    targets = Catalogue.collect().targets
    settings = Settings(inputs=INPUTS, followed=INPUTS, runs=RUNS)
    events = port(original, [targets[id]], folder, settings, time.perf_counter, targets["onnx"])
    stages: dict[str, float] = {}
    stage, since = "follow", time.perf_counter()
    began, ended = since, None
    with Watch() as watch:
        watch.enter(stage)
        for event in events:
            now = time.perf_counter()
            stages[stage], since = now - since, now
            if isinstance(event, TargetStarted):
                stage = event.stage
                watch.enter(stage)
            elif isinstance(event, TargetEnded):
                ended = event.port
        watch.enter("end")
    assert ended is not None
    return ended, time.perf_counter() - began, watch, stages


def measured(id: str) -> dict[str, Any]:
    """One target, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        small, inputs = ZOO["resnet-bottleneck"]()
        _, _, before, _ = ported(Original("small", small, inputs), id, Path(folder) / "small")
        network, images = resnet50()
        size = sum(t.numel() * t.element_size() for t in network.state_dict().values())
        base = memory("self", "VmRSS")
        found, seconds, watch, stages = ported(
            Original("resnet50", network, images), id, Path(folder) / "large"
        )
    # The server that forks and its workers, oldest first: each is compared with its like of the small port.
    held = {os.getpid(): base} | dict(
        zip(sorted(watch.peaks), _like(before.peaks, len(watch.peaks)), strict=False)
    )
    stage_bytes = {
        stage: {
            "parent": watch.by_stage[stage].get(os.getpid(), base) - base,
            "worker": max((p - held[pid] for pid, p in peaks.items() if pid != os.getpid()), default=0),
        }
        for stage, peaks in watch.by_stage.items()
    }
    parent = max(one["parent"] for one in stage_bytes.values())
    worker = max(one["worker"] for one in stage_bytes.values())
    return {
        "target": id,
        "status": found.status,
        "relative_error": found.relative_error,
        "layers_read": len(found.layers) / found.layers_of if found.layers_of else None,
        "seconds": seconds,
        "stages": stages,
        "network_bytes": size,
        "parent_bytes": parent,
        "worker_bytes": worker,
        "stage_bytes": stage_bytes,
        "bytes": max(one["parent"] + max(0, one["worker"]) for one in stage_bytes.values()),
        "most_bytes": 3 * size + 256 * 1024**2,
        "latency": found.latency.median if found.latency else None,
        "notes": list(found.notes),
    }


def _like(peaks: dict[int, int], count: int) -> list[int]:
    ordered = [peaks[pid] for pid in sorted(peaks)]
    return ordered + [max(ordered, default=0)] * (count - len(ordered))


def rows(ids: tuple[str, ...] = TARGETS) -> Iterator[dict[str, Any]]:
    """Every target in an interpreter of its own."""
    for id in ids:
        command = [sys.executable, "-m", "benchmarks.ports.large", id]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            yield {"target": id, "status": "failed", "reason": made.stderr.strip().splitlines()[-1:]}
        else:
            yield json.loads(made.stdout.strip().splitlines()[-1])


def text_of(found: list[dict[str, Any]]) -> list[str]:
    lines = ["## A network of ResNet-50's size", ""]
    lines += [f"Wanted with ONNX: under {MOST_SECONDS:.0f} s, at most {MOST_MEMORY}.", ""]
    lines += [
        "| target | status | error | seconds | of the network's process | of the target's | both | at most |"
    ]
    lines += ["| --- " * 8 + "|"]
    for row in found:
        if row["status"] == "failed":
            lines.append(f"| {row['target']} | failed: {row['reason']} |" + " |" * 6)
            continue
        sizes = [
            f"{row[key] / 1e6:.0f} MB" for key in ("parent_bytes", "worker_bytes", "bytes", "most_bytes")
        ]
        stages = ", ".join(f"{stage} {seconds:.0f}" for stage, seconds in row["stages"].items())
        cells = [row["target"], row["status"], f"{row['relative_error']:.0e}"]
        cells += [f"{row['seconds']:.1f} ({stages})", *sizes]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(measured(sys.argv[1])))
