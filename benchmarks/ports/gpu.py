"""TensorRT bundles of three networks of the zoo, built here and run on this machine's GPU by their own
`verify.py`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.ports import coverage
from benchmarks.ports.zoo import ZOO
from netwright.ports.original import Original

NETWORKS = ("resnet", "unet", "transformer-encoder")


def bundle(name: str, folder: Path) -> dict[str, Any]:
    """The row of a network's port to TensorRT, its bundle below `folder`."""
    network, inputs = ZOO[name]()
    (row,) = coverage.rows(Original(name, network, inputs), [coverage.targets()["tensorrt"]], folder)
    return row


def main(file: str | None = None) -> int:
    """Print parity and latency, layer by layer; without a GPU say so. 1 where one differs."""
    if not torch.cuda.is_available():
        print("no GPU here: the bundles are built and run where torch.cuda finds one")
        return 0
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            built = bundle(name, Path(folder) / name)
            if built["status"] not in ("built", "parity", "differs"):
                print(f"{name}: {built['status']}: {built['reason']}")
                found.append({"network": name, **built})
                continue
            script = Path(folder) / name / "tensorrt" / "verify.py"
            made = subprocess.run(
                [sys.executable, str(script), "--json"], capture_output=True, text=True, check=False
            )
            if not made.stdout.strip():
                print(f"{name}: verify.py ended with {made.returncode}: {made.stderr.strip()[-300:]}")
                found.append({"network": name, "status": "failed", "reason": made.stderr.strip()[-300:]})
                continue
            report = json.loads(made.stdout.strip().splitlines()[-1])
            found.append({"network": name, **report})
            print(f"## {name}, {torch.cuda.get_device_name()}, {report['runtime']}\n")
            print("| layer | relative error |\n| --- | --- |")
            print("\n".join(f"| {one['layer']} | {one['relative_error']:.1e} |" for one in report["layers"]))
            latency = report["latency"]
            print(
                f"\n{report['status']}: output {report['relative_error']:.1e}, {len(report['layers'])} of"
                f" {report['layers_of']} layers read, {1e3 * latency['median']:.3f} ms for"
                f" {latency['batch']} inputs (p95 {1e3 * latency['p95']:.3f} ms)\n"
            )
    if file:
        Path(file).write_text(json.dumps(found))
    return int(any(one["status"] not in ("parity",) for one in found))
