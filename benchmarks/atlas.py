"""What looking at every layer for every input costs: norm, mean, spread and share of zeros, beside a plain
forward pass, hand-written hooks and torchlens, alternated in one process.

    python -m benchmarks.atlas [--pairs 9] [--device cpu] [--large]

Every pass reads the same batches of the same untrained network without gradients. `hooks` is what one
writes by hand: a forward hook on every layer that keeps the same four numbers of each input. torchlens
(Apache-2.0, no dependency) is run as its documentation has it, from the folder that `--torchlens` names,
after the others: it wraps torch's functions for good.
Prints medians over pairs of the time over that of the plain pass. Targets: ours at most 1.5, and a fifth of
torchlens'. `--large` instead shows the memory of 10,000 inputs through 100 layers.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netwright.runs.by_input import Statistics, read_all

Batches = list[tuple[Tensor, None, None]]


class Block(nn.Module):
    """Two convolutions and what skips them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm_one = nn.BatchNorm2d(width)
        self.other = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm_other = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.norm_one(self.one(x)))
        return F.relu(x + self.norm_other(self.other(hidden)))


class Attention(nn.Module):
    """A pre-norm block of a transformer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_one, self.norm_two = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, D)
        size, steps, width = x.shape
        mixed = self.mix(self.norm_one(x)).view(size, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*mixed.unbind())  # (B, heads, T, D / heads)
        x = x + self.out(seen.transpose(1, 2).reshape(size, steps, width))
        return x + self.down(F.gelu(self.up(self.norm_two(x))))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(4096, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def residual() -> nn.Module:
    stem = nn.Conv2d(3, 32, 3, padding=1)
    return nn.Sequential(
        stem, *[Block(32) for _ in range(4)], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
    )


def mlp() -> nn.Module:
    hidden = [layer for _ in range(4) for layer in (nn.Linear(512, 512), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(512, 10))


def transformer() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), *[Attention(128, 4) for _ in range(4)], nn.Linear(128, 10))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "CNN": (cnn, (512, 3, 32, 32), 64),
    "residual": (residual, (256, 3, 32, 32), 64),
    "MLP": (mlp, (8192, 512), 1024),
    "transformer": (transformer, (256, 64, 64), 64),
}


def plain(network: nn.Module, batches: Batches) -> None:
    with torch.no_grad():
        for inputs, _, _ in batches:
            network(inputs)


def ours(network: nn.Module, batches: Batches) -> Any:
    return read_all(network, batches, [Statistics()])


def four_numbers(output: Tensor) -> Tensor:
    """(4, B) norm, mean, spread and zeros, as one writes them."""
    flat = output.detach().flatten(1)
    return torch.stack([flat.norm(dim=1), flat.mean(1), flat.std(1), (flat == 0).float().mean(1)])


def hooks(network: nn.Module, batches: Batches) -> dict[str, np.ndarray]:
    """The four numbers as one writes them by hand."""
    kept: dict[str, list[Tensor]] = {}
    handles = []
    for name, module in network.named_modules():
        if any(True for _ in module.children()):
            continue

        def note(_: nn.Module, __: Any, output: Tensor, n: str = name) -> None:
            kept.setdefault(n, []).append(four_numbers(output).cpu())

        handles.append(module.register_forward_hook(note))
    try:
        plain(network, batches)
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(parts, 1).numpy() for name, parts in kept.items()}


def torchlens_pass(network: nn.Module, batches: Batches) -> None:
    """Every activation of every batch, and the four numbers of it."""
    import torchlens

    for inputs, _, _ in batches:
        with torch.no_grad():
            trace = torchlens.trace(network, inputs)
        for values in (op.out for layer in trace.layers for op in layer.ops):
            if isinstance(values, Tensor) and values.is_floating_point() and values.ndim > 1:
                four_numbers(values)


def seconds(action: Callable[[], Any], device: str) -> float:
    began = time.perf_counter()
    action()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def measure(name: str, pairs: int, device: str, passes: dict[str, Callable[..., Any]]) -> dict[str, float]:
    """Median seconds of each pass; prints the ratios to the plain one."""
    make, shape, size = NETWORKS[name]
    torch.manual_seed(0)
    network, inputs = make().eval().to(device), torch.randn(shape, device=device)
    batches: Batches = [(part, None, None) for part in inputs.split(size)]
    passes = {"plain": plain, **passes}
    for run in passes.values():
        run(network, batches)
    times: dict[str, list[float]] = {key: [] for key in passes}
    for _ in range(pairs):
        for key, run in passes.items():
            plain(network, batches)  # so that none finds the memory as another left it
            times[key].append(seconds(lambda r=run: r(network, batches), device))
    base = times["plain"]
    told = [f"plain {statistics.median(base) * 1e3:7.1f} ms"]
    for key in list(passes)[1:]:
        ratios = sorted(t / b for t, b in zip(times[key], base, strict=True))
        told.append(f"{key} {statistics.median(ratios):5.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]")
    print(f"{name:12} {'   '.join(told)}", flush=True)
    return {key: statistics.median(values) for key, values in times.items()}


def large() -> None:
    """10,000 inputs through 100 layers: the memory beyond that of the network and the inputs."""
    torch.manual_seed(0)
    layers = [layer for _ in range(50) for layer in (nn.Linear(256, 256), nn.ReLU())]
    network, inputs = nn.Sequential(*layers).eval(), torch.randn(10_000, 256)
    batches: Batches = [(part, None, None) for part in inputs.split(512)]
    plain(network, batches)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = ours(network, batches)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    more = (after - before) / 1024
    print(f"{found.count:,} inputs × {len(found.spots)} layers: {more:.0f} MB more at the peak,")
    print(f"{after / 1024:.0f} MB in all with torch, network and inputs (target: 2,048)")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--torchlens", metavar="FOLDER")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--only", choices=list(NETWORKS))
    given = parser.parse_args()
    if given.large:
        large()
        return
    names = [name for name in NETWORKS if given.only in (None, name)]
    mine = {name: measure(name, given.pairs, given.device, {"ours": ours, "hooks": hooks}) for name in names}
    if given.torchlens:  # last: it wraps torch's functions for good, which makes every other pass slower
        sys.path.insert(0, given.torchlens)
        for name in names:
            peer = measure(name, given.pairs, given.device, {"torchlens": torchlens_pass})
            print(f"{name:12} torchlens over ours {peer['torchlens'] / mine[name]['ours']:.1f}")


if __name__ == "__main__":
    main()
