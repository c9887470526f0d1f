"""What other tools say of the same recipes: torchtest2 and gradsnitch as they come, two published rule sets.

None of them names causes in our words; `CAUSES_OF` says, generously, which causes each of their findings
could mean. A tool detects a fault where it says anything at all, and names it where one of its findings
could mean a planted cause or an equivalent.
"""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.faults.data import cache
from benchmarks.faults.judging import detected, named, share_of, truth

CAUSES_OF: dict[str, dict[str, tuple[str, ...]]] = {
    "torchtest2": {
        "forward": ("output-width", "target-shape"),
        "output_finite": ("bad-values", "unstable-arithmetic", "exploding-gradient"),
        "output_varies": (
            "collapse",
            "ignores-input",
            "dead-units",
            "initialisation",
            "normalisation-misuse",
        ),
        "eval_determinism": ("train-eval-gap",),
        "loss": ("loss-output-mismatch", "unstable-loss", "output-width", "missing-classes", "bad-values"),
        "initial_loss": ("initialisation", "leakage", "input-scale", "loss-output-mismatch"),
        "optimizer_coverage": ("untrained-parameters",),
        "gradient_flow": ("untrained-parameters", "dead-units", "wrong-activation", "initialisation"),
        "gradient_magnitude": ("exploding-gradient", "unstable-arithmetic", "initialisation", "input-scale"),
        "params_change": ("untrained-parameters", "optimizer-misuse", "lr-too-low", "schedule-mismatch"),
        "frozen_params": ("frozen-but-moving",),
        "input_dependency": ("ignores-input",),
        "batch_independence": ("batch-leak",),
        "overfit_batch": (
            *("lr-too-high", "lr-too-low", "loss-output-mismatch", "capacity-too-small", "wrong-backward"),
            *("vanishing-gradient", "regularisation-too-strong", "optimizer-misuse", "initialisation"),
            *(
                "missing-nonlinearity",
                "wrong-activation",
                "untrained-parameters",
                "saturation",
                "low-precision",
            ),
        ),
    },
    "gradsnitch": {
        "GS001": ("lr-too-high", "bad-values", "low-precision", "unstable-loss", "unstable-arithmetic"),
        "GS002": ("exploding-gradient", "lr-too-high"),
        "GS003": ("lr-too-high", "outlier-batch", "exploding-gradient"),
        "GS004": ("overfit-duration", "overfit-capacity", "overfit-memorised-noise", "too-little-data"),
        "GS005": ("lr-too-low", "dead-units", "initialisation", "untrained-parameters", "label-misalignment"),
        "GS006": ("lr-too-high", "schedule-mismatch"),
        "GS007": ("vanishing-gradient", "dead-units", "saturation", "lr-too-low"),
        "GS008": ("lr-too-high", "lr-too-low"),
        "GS009": ("lr-too-high",),
        "GS010": ("schedule-mismatch",),
    },
    "AutoTrainer": {
        "dying ReLU": ("dead-units", "initialisation", "lr-too-high"),
        "exploding gradient": ("exploding-gradient", "lr-too-high", "input-scale", "initialisation"),
        "vanishing gradient": ("vanishing-gradient", "saturation", "initialisation"),
        "oscillating loss": ("lr-too-high", "batch-size"),
        "slow convergence": ("lr-too-low", "too-few-epochs", "optimizer-misuse"),
    },
    "SageMaker rules": {
        "VanishingGradient": ("vanishing-gradient", "saturation", "dead-units", "initialisation"),
        "ExplodingTensor": (
            "exploding-gradient",
            "lr-too-high",
            "bad-values",
            "unstable-loss",
            "unstable-arithmetic",
        ),
        "WeightUpdateRatio": ("lr-too-high", "lr-too-low", "untrained-parameters", "schedule-mismatch"),
        "LossNotDecreasing": ("lr-too-low", "lr-too-high", "untrained-parameters", "label-misalignment"),
        "Overfit": ("overfit-duration", "overfit-capacity", "too-little-data", "overfit-memorised-noise"),
        "Overtraining": ("overfit-duration",),
        "DeadRelu": ("dead-units",),
        "SaturatedActivation": ("saturation", "wrong-activation"),
        "PoorWeightInitialization": ("initialisation",),
    },
}


def all_peers(file: str, seed: int) -> dict[str, list[str]]:
    """The names of what each tool finds in the recipe of a file; a tool that raises says 'raised'."""
    import torch

    from benchmarks.faults.measure import open_recipe
    from benchmarks.faults.rules import autotrainer, recorded, sagemaker

    torch.set_num_threads(1)
    sys.path.append(str(cache() / "packages"))
    recipe = open_recipe(Path(file))
    said: dict[str, list[str]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said["torchtest2"] = _guarded(lambda: _torchtest2(recipe, seed))
        monitors: list[Any] = []
        try:
            past = recorded(recipe, seed, _gradsnitch_step(monitors))
        except Exception:  # the recipe itself stops; each tool would show the same traceback
            return {**said, **{tool: ["raised"] for tool in ("gradsnitch", "AutoTrainer", "SageMaker rules")}}
        said["gradsnitch"] = _guarded(lambda: [f.code for f in monitors[0].report()])
        said["AutoTrainer"] = _guarded(lambda: autotrainer(past))
        said["SageMaker rules"] = _guarded(lambda: sagemaker(past))
    return said


def _guarded(ask: Any) -> list[str]:
    try:
        return list(ask())
    except Exception:  # recorded as what it is
        return ["raised"]


def _torchtest2(recipe: Any, seed: int) -> list[str]:
    import torchtest2

    from netwright.runs.batch import first_batch

    inputs, targets = first_batch(recipe, seed)
    network = recipe.build(seed)
    report = torchtest2.check_model(
        network,
        inputs,
        targets,
        loss_fn=recipe.training.make_loss(),
        optimizer=recipe.training.make_optimizer(network),
        seed=seed,
    )
    return [r.name for r in (*report.failures, *report.warnings)]


def _gradsnitch_step(monitors: list[Any]) -> Any:
    import gradsnitch

    def note(network: Any, optimizer: Any, step: int, loss: float, val_losses: list[float]) -> None:
        if not monitors:
            monitors.append(gradsnitch.watch(network, optimizer))
        known = len(getattr(monitors[0], "_seen", []))
        new = len(val_losses) > known
        monitors[0]._seen = list(val_losses)
        monitors[0].log(step, loss, val_loss=val_losses[-1] if new else None)

    return note


def table(peers: list[dict[str, Any]], ours: list[dict[str, Any]]) -> list[str]:
    """Rows of every tool on the recipes that all were run on."""

    keys = {line["key"] for line in peers if line.get("peers")}
    ours = [line for line in ours if line["key"] in keys]
    rows = [
        "| | noticed | could mean the cause (first / any) | alarms on healthy recipes |",
        "| --- | --- | --- | --- |",
    ]
    faulty, healthy = [[li for li in ours if li["healthy"] is kind] for kind in (False, True)]
    rows.append(
        f"| Netwright | {share_of(faulty, detected)} | {share_of(faulty, lambda li: named(li, 1))} /"
        f" {share_of(faulty, lambda li: named(li, 99))} | {share_of(healthy, detected)} |"
    )
    by_tool: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in peers:
        for tool, said in (line.get("peers") or {}).items():
            # A recipe that stops shows every user its traceback; that is nobody's finding, ours included.
            by_tool[tool].append({**line, "said": [s for s in said if s != "raised"]})
    for tool, lines in by_tool.items():
        meaning = CAUSES_OF[tool]

        def means(line: dict[str, Any], first: int, meaning: Any = meaning) -> bool:
            return any(truth(line) & set(meaning.get(s, ())) for s in line["said"][:first])

        faulty, healthy = [[li for li in lines if li["healthy"] is kind] for kind in (False, True)]
        noticed, alarms = (share_of(some, lambda li: bool(li["said"])) for some in (faulty, healthy))
        first, any_ = share_of(faulty, lambda li: means(li, 1)), share_of(faulty, lambda li: means(li, 99))
        rows.append(f"| {tool} | {noticed} | {first} / {any_} | {alarms} |")
    return [
        *rows,
        "",
        "How a tool's words map to causes is written in `benchmarks/faults/peers.py`; it is generous.",
    ]
