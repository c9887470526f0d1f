"""How well a recipe file does, by our own yardstick: the skill on its test rows, without any check.

Skill is 0 for ignoring the inputs and 1 for perfect: accuracy against the commonest class, or R² of a
regression.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from netwright.recipe import Recipe
from netwright.runs import Clocks
from netwright.runs.forward import predict
from netwright.runs.train import train

WORST = -1.0
PROBABILITIES = ("bce", "mse", "l1", "huber")


@frozen
class Measured:
    """One training: skills of the three parts at its end, and how far validation fell from its best."""

    val: float
    test: float
    train: float
    seconds: float
    steps: int
    diverged: bool
    best_val_loss: float
    last_val_loss: float
    fallen: float
    error: str = ""


def open_recipe(path: Path) -> Recipe:
    """The recipe of a file; its module is not kept, so that a changed file is read anew."""
    spec = importlib.util.spec_from_file_location(f"bench_{abs(hash(str(path)))}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules.pop(module.__name__, None)
    return module.recipe


def skill(outputs: Tensor, targets: Tensor, classes: int, loss: Any) -> float:
    """0 for the commonest answer, 1 for perfect; outputs (N, ...) as the network gives them."""
    flat = outputs.detach().double().reshape(len(outputs), -1)
    if classes == 0:
        goal = targets.double().reshape(len(targets), -1)
        guess = flat[:, :1].nan_to_num(nan=1e6, posinf=1e6, neginf=-1e6).clamp(-1e6, 1e6)
        spread = ((goal - goal.mean(0)) ** 2).mean()
        return max(WORST, float(1 - ((guess - goal) ** 2).mean() / spread))
    labels = (targets.argmax(1) if targets.ndim == 2 and targets.shape[1] > 1 else targets.reshape(-1)).long()
    if flat.shape[1] > 1:
        decided = flat.nan_to_num(nan=-math.inf).argmax(1)
    elif classes == 2:
        decided = (flat[:, 0] > (0.5 if loss in PROBABILITIES else 0.0)).long()
    else:
        decided = flat[:, 0].round().clamp(-1, classes).nan_to_num(nan=-1).long()
    common = float(torch.bincount(labels).max() / len(labels))
    if common == 1:  # one class only: nothing can be learned from that
        return 0.0
    return (float((decided == labels).double().mean()) - common) / (1 - common)


def measure(recipe: Recipe, seed: int, classes: int, epochs: int | None = None) -> Measured:
    """Train once and score; what the recipe raises is the `error` of a training that scores nothing."""
    clocks = Clocks(time.perf_counter, time.process_time)
    began = time.process_time()
    try:
        with warnings.catch_warnings(), contextlib.suppress(StopIteration):
            warnings.simplefilter("ignore")
            steps = train(
                recipe,
                seed,
                clocks=clocks,
                epochs=epochs,
                tapped=False,
                keep_weights=True,
                score_parts=("val",),
            )
            run = None
            while True:
                try:
                    next(steps)
                except StopIteration as ended:
                    run = ended.value
                    break
        network = recipe.build(seed)
        weights = {k: torch.from_numpy(np.asarray(v)) for k, v in run.weights.items()}
        network.load_state_dict(weights)
        loss = recipe.training.loss
        parts = recipe.data.parts
        scores = [skill(*predict(network, p), classes, loss) for p in (parts.train, parts.val, parts.test)]
    except ImportError:  # no planted fault does this; the installation is being changed
        raise
    except Exception as raised:  # a planted fault may stop the training; that is its measure
        return Measured(WORST, WORST, WORST, time.process_time() - began, 0, True, 0, 0, 0, f"{raised}"[:200])
    losses = [v for v in run.val_loss.tolist() if math.isfinite(v)]
    best, last = (min(losses), losses[-1]) if losses else (math.nan, math.nan)
    course = [v for v in run.val_score.tolist() if math.isfinite(v)]
    fallen = max(course) - course[-1] if course else 0.0
    seconds = time.process_time() - began
    return Measured(scores[1], scores[2], scores[0], seconds, run.steps, run.diverged, best, last, fallen)
