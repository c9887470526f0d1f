"""What the evidence costs: our loop against a plain torch loop over the same tensors, alternated in one
process.

    python -m benchmarks.loop_overhead [--device cpu] [--pairs 15]

Both train the same network from the same weights on the same batches with a validation pass an epoch; ours
keeps its evidence at the default sampling. Prints the median over pairs of our time over the plain loop's.
Target: at most 1.10.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import netwright as nw
from netwright.recipe import stream
from netwright.runs import Clocks, train

EPOCHS, BATCH = 10, 64


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def recipe_of(network: object) -> nw.Recipe:
    x, y = load_digits(return_X_y=True)
    return nw.Recipe(
        data=nw.Data.arrays(x.reshape(-1, 1, 8, 8) / 16, y),
        network=network,  # type: ignore[arg-type]
        training=nw.Training(
            loss="cross_entropy", optimizer="sgd", lr=0.05, momentum=0.9, batch_size=BATCH, epochs=EPOCHS
        ),
    )


def plain(recipe: nw.Recipe, seed: int, device: str) -> float:
    """The loop that a user would write by hand; its final validation accuracy."""
    network = recipe.build(seed).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    parts = recipe.data.parts
    x, y = parts.train.inputs.to(device), parts.train.all_targets.to(device)  # type: ignore[attr-defined]
    val_x, val_y = parts.val.inputs.to(device), parts.val.all_targets.to(device)  # type: ignore[attr-defined]
    accuracy = 0.0
    for epoch in range(EPOCHS):
        network.train()
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(stream(seed, "order", epoch)))
        total = torch.zeros((), device=device)
        for rows in order.split(BATCH):
            rows = rows.to(device)
            loss = F.cross_entropy(network(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        network.eval()
        with torch.no_grad():
            outputs = network(val_x)
            F.cross_entropy(outputs, val_y).item()
            accuracy = (outputs.argmax(1) == val_y).float().mean().item()
        total.item()
    return accuracy


def ours(recipe: nw.Recipe, seed: int, device: str) -> float:
    events = train(recipe, seed, clocks=Clocks(time.perf_counter, time.process_time), device=device)
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value.scores["val"]


def measure(network: object, pairs: int, device: str) -> tuple[float, float, float]:
    """Median, smallest and largest ratio of our seconds over the plain loop's."""
    recipe = recipe_of(network)
    assert abs(plain(recipe, 0, device) - ours(recipe, 0, device)) < 0.02, (
        "the two loops train different things"
    )
    ratios = []
    for seed in range(pairs):
        times = []
        for loop in (plain, ours) if seed % 2 else (ours, plain):  # neither always goes first
            began = time.perf_counter()
            loop(recipe, seed, device)
            times.append(time.perf_counter() - began)
        ratios.append(times[1] / times[0] if seed % 2 else times[0] / times[1])
    return statistics.median(ratios), min(ratios), max(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"loop overhead, {options.device}, {options.pairs} pairs, {EPOCHS} epochs of digits, batch {BATCH}")
    for network in (cnn, mlp):
        median, low, high = measure(network, options.pairs, options.device)
        print(f"  {network.__name__:<4} ours / plain   {median:.3f}   [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    main()
