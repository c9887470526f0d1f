"""What the listing of a network of a thousand layers costs: `nw.look` and its text, against torchinfo.

    python -m benchmarks.listing [--rounds 7]

Both look at the same network on the same batch and write their text, alternated in one process; prints the
median seconds of ours and, where torchinfo is installed, the median over rounds of ours over torchinfo's.
Ours also measures behaviour, FLOPs by operation and the time of every layer over a few passes, which
torchinfo does not; `without the clock` is the same without those passes. Target: under 2 s.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

import netwright as nw
from netwright.app.terminal import renderable
from netwright.atlas import listing


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


def deep() -> tuple[nn.Module, Tensor]:
    """A thousand layers in a row."""
    layers = [m for _ in range(500) for m in (nn.Linear(64, 64), nn.ReLU())]
    return nn.Sequential(*layers), torch.randn(32, 64)


def residual() -> tuple[nn.Module, Tensor]:
    """Blocks of seven lines each, 1,003 in all."""
    blocks = nn.Sequential(*[Block(8) for _ in range(143)])
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), blocks, nn.Flatten(), nn.Linear(8 * 64, 10))
    return network, torch.randn(4, 3, 8, 8)


def seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def measure(network: nn.Module, inputs: Tensor, rounds: int) -> None:
    def ours() -> None:
        Console(file=io.StringIO(), width=160).print(renderable(nw.look(network, inputs)))

    def whole() -> None:
        Console(file=io.StringIO(), width=160).print(renderable(nw.look(network, inputs, unfold=True)))

    def plain() -> None:
        listing(network, inputs)

    def theirs() -> None:
        from torchinfo import summary  # type: ignore[import-not-found]

        str(summary(network, input_data=inputs, depth=9, verbose=0))

    peer = importlib.util.find_spec("torchinfo") is not None
    measured = [ours, whole, plain, *([theirs] if peer else [])]
    for function in measured:
        function()  # what is imported and compiled at the first call
    times: dict[str, list[float]] = {function.__name__: [] for function in measured}
    for turn in range(rounds):
        for function in measured if turn % 2 else reversed(measured):  # none always goes first
            times[function.__name__].append(seconds(function))
    names = {
        "ours": "folded",
        "whole": "every line",
        "plain": "without the clock, no text",
        "theirs": "torchinfo",
    }
    for name, found in times.items():
        ratio = ""
        if peer and name != "theirs":
            ratios = [a / b for a, b in zip(found, times["theirs"], strict=True)]
            ratio = (
                f"   ours / torchinfo {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
            )
        print(f"    {names[name]:<27} {statistics.median(found):.2f} s{ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"listing, {options.rounds} rounds, one thread")
    for build in (deep, residual):
        network, inputs = build()
        print(f"  {build.__name__}, {len(listing(network, inputs)):,} lines")
        measure(network, inputs, options.rounds)


if __name__ == "__main__":
    main()
