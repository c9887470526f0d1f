"""What watching costs: a user's loop with `nw.watch` in it against the same loop without, alternated in one
process.

    python -m benchmarks.watch_overhead [--device cpu] [--pairs 15] [--steps 300]

All train the same network from the same weights on the same batches of random images. Prints the median over
pairs of the watched loop's time over the plain one's, and the same for naive hooks: a forward and a gradient
hook on every layer in every step, with mean, spread and share of zeros, once kept on the device and once
fetched by `.item()`. Target: at most 1.05.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netwright as nw

BATCH, CLASSES = 64, 10


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(768, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, CLASSES),
    )  # fmt: skip


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm2(self.second(F.relu(self.norm1(self.first(x))))))


def residual() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), Block(16), Block(16), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, CLASSES),
    )  # fmt: skip


class Naive:
    """What is often pasted into a loop: statistics of every layer in every step."""

    def __init__(self, network: nn.Module, fetch: bool) -> None:
        self.fetch, self.seen = fetch, {}
        for name, module in network.named_modules():
            if not any(True for _ in module.children()):
                module.register_forward_hook(self.hook(name))
                module.register_full_backward_hook(self.gradient_hook(name))

    def note(self, name: str, value: Tensor) -> None:
        value = value.detach()
        numbers = (value.mean(), value.std(), (value == 0).float().mean())
        self.seen[name] = [n.item() for n in numbers] if self.fetch else numbers

    def hook(self, name: str) -> Callable[..., None]:
        return lambda module, given, made: self.note(name, made)

    def gradient_hook(self, name: str) -> Callable[..., None]:
        return lambda module, given, made: self.note(f"{name}.gradient", made[0])


def loop(make: Callable[[], nn.Module], how: str, batches: list[tuple[Tensor, Tensor]], device: str) -> float:
    """Seconds of the loop from the first iteration to the last, setting up the watching included."""
    torch.manual_seed(0)
    network = make().to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    wait: Any = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    clock = time.perf_counter if device.startswith("cuda") else time.process_time  # other work does not count
    wait()
    began = clock()
    trace = nw.watch(network, optimizer) if how == "watched" else None
    naive = Naive(network, how == "fetched") if how in ("kept", "fetched") else None
    for x, y in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
        if trace is not None:
            trace.step(loss)
    wait()
    seconds = clock() - began
    assert naive is None or naive.seen
    return seconds


def measure(
    make: Callable[[], nn.Module], how: str, pairs: int, steps: int, device: str
) -> tuple[float, float, float]:
    """Median, smallest and largest ratio of the seconds of a loop with `how` over the plain loop's."""
    torch.manual_seed(1)
    some = [
        (torch.randn(BATCH, 3, 16, 16, device=device), torch.randint(CLASSES, (BATCH,), device=device))
        for _ in range(10)
    ]
    batches = [some[k % len(some)] for k in range(steps)]
    for each in ("plain", how):
        loop(make, each, batches[:20], device)
    ratios = []
    for pair in range(pairs):
        times = {}
        for each in ("plain", how) if pair % 2 else (how, "plain"):  # neither always goes first
            times[each] = loop(make, each, batches, device)
        ratios.append(times[how] / times["plain"])
    return statistics.median(ratios), min(ratios), max(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the naive hooks' own
    print(f"watch overhead, {options.device}, {options.pairs} pairs, {options.steps} steps, batch {BATCH}")
    for make in (mlp, cnn, residual):
        for how, name in (
            ("watched", "watched"),
            ("kept", "naive hooks"),
            ("fetched", "naive hooks, .item()"),
        ):
            pairs = options.pairs if how == "watched" else max(3, options.pairs // 3)
            median, low, high = measure(make, how, pairs, options.steps, options.device)
            print(
                f"  {make.__name__:<9} {name:<21} / plain   {median:.3f}   [{low:.3f}, {high:.3f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
