"""Whose weights a verb shows, ports or scores: a file's, else the journal's best finished run's."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from netwright.app.work import journal_folder
from netwright.journal import Journal
from netwright.recipe import Recipe
from netwright.recipe.weights import load_into
from netwright.runs import Run


def fill(network: nn.Module, run: Run) -> None:
    """Give a network the weights of a run."""
    weights = run.weights or {}
    own = network.state_dict()
    network.load_state_dict({k: torch.as_tensor(v).to(own[k].dtype) for k, v in weights.items()})


def weights_of(
    recipe: Recipe,
    network: nn.Module,
    weights: str | Path | None,
    partial: bool,
    seed: int,
    journal: str | Path | None,
    device: str,
) -> tuple[str, tuple[str, ...]]:
    """Fill the network with the weights that DESIGN names and say which run they are of."""
    if weights is not None:
        filled = load_into(network, weights, partial=partial)
        return f"{weights}, {len(filled)} tensors", ()
    folder = journal_folder(recipe, journal)
    if (folder / "journal.db").is_file():
        with Journal.open(folder) as store:
            finished = [
                (run["scores"].get("val"), run["key"])
                for run in store.runs(recipe.fingerprint)
                if run["scores"].get("val") is not None and store.weights(run["key"]) is not None
            ]
            if finished:
                score, key = max(finished)
                path = store.weights(key)
                assert path is not None
                load_into(network, path)
                return f"run {key}, validation {score:.3g}", ()
    if recipe.start is not None:
        return f"untrained, start {recipe.start}", ()
    return f"untrained, seed {seed}", (
        "no finished run of this recipe is in the journal: these are initial weights",
    )
