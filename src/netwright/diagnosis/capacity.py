"""Causes in what the network can represent, and in what differs between training and evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from netwright.catalogue import Needs, check
from netwright.recipe import decisions
from netwright.recipe.task import UNIT_LOSSES
from netwright.runs import Evidence
from netwright.runs.calls import RECURRENT
from netwright.runs.probes import TrainedModes
from netwright.values import Finding

ONE_CLASS, GAP, SOME_GAP = 0.97, 0.1, 0.05
RANDOM = 1e-3


def _at_rest_below(evidence: Evidence) -> bool:
    """Whether the training came to rest without having fitted its own data."""
    run, skill = evidence.run, evidence.skill("train")
    if run is None or skill is None or skill >= 0.9 or run.diverged or len(run.epoch_loss) < 4:
        return False
    quarter = max(1, len(run.epoch_loss) // 4)
    fall = run.epoch_loss[0] - run.epoch_loss[-1]
    return bool(run.epoch_loss[-1 - quarter] - run.epoch_loss[-1] < 0.25 * max(fall, 1e-12) or skill > 0.3)


@check(
    "capacity-too-small",
    needs=Needs.RECIPE | Needs.RUN | Needs.BATCH,
    probes=("wider-copy",),
    when=lambda evidence: (
        _at_rest_below(evidence) and _narrowest(evidence) is not None and not _reconstructs(evidence)
    ),
    confuses=(
        "noise in the data, which a wider network only learns by heart; a rate that is too low for this width"
    ),
)
def network_too_small_for_the_task(evidence: Evidence) -> Iterator[Finding]:
    """A network that cannot fit even its training data, with training otherwise sound.

    Looks at the run's skill on its own training data, and at that of a copy whose hidden layers are four
    times as wide, trained the same way. A network that gives back its inputs is narrow on purpose.
    Threshold: a training skill under 0.9 that the wider copy raises by 0.08, and validation skill by 0.08 and
    more than its standard error.
    Source: Goodfellow et al., Deep Learning (2016), section 5.2.
    """
    answer = evidence.probes["wider-copy"]
    train, val = evidence.skill("train") or 0.0, evidence.skill("val") or 0.0
    narrow = _narrowest(evidence)
    if narrow is None or not evidence.outdone_by(answer.train_skill, answer.skill):
        return
    name, width = narrow
    yield Finding(
        "capacity-too-small",
        evidence.layer_place(name, "width"),
        {
            "training_skill": train,
            "wider_training_skill": answer.train_skill,
            "wider_validation_skill": answer.skill,
            "validation_skill": val,
            "narrowest": width,
        },
        f"The network fits its training data to a skill of {train:.2f}; a copy with hidden layers four times"
        f" as wide reaches {answer.train_skill:.2f} (validation {val:.2f} → {answer.skill:.2f}). Its"
        f" narrowest layer, {name}, has {width} units.",
        ("wider-layers",),
    )


@check(
    "linear-network",
    needs=Needs.RECIPE | Needs.RUN | Needs.BATCH,
    probes=("simple-models",),
    when=lambda evidence: _at_rest_below(evidence) and _layers(evidence) == 1,
    confuses="data that nearest neighbours happen to suit",
)
def one_layer_where_more_is_asked(evidence: Evidence) -> Iterator[Finding]:
    """A network of a single layer with weights, where a model that is not linear does better.

    Looks at the number of weighted calls in a forward pass, and at the validation skill of nearest
    neighbours.
    Threshold: one such call, a training skill under 0.9, and 0.05 more for the neighbours than for the
    network.
    Source: Minsky and Papert, Perceptrons (1969); Goodfellow et al., Deep Learning (2016), section 6.1.
    """
    answer, val = evidence.probes["simple-models"], evidence.skill("val") or 0.0
    if answer.neighbours < val + 0.05:
        return
    assert evidence.batch is not None
    call = next(c for c in evidence.batch.operations.forward if c.weighted)
    yield Finding(
        "capacity-too-small",
        evidence.layer_place(call.layer, "width"),
        {"layers": 1, "neighbours": answer.neighbours, "validation_skill": val},
        f"The network is a single linear layer; nearest neighbours reach {answer.neighbours:.2f} on"
        f" validation where it reaches {val:.2f}.",
        ("a-hidden-layer",),
    )


def _reconstructs(evidence: Evidence) -> bool:
    """Whether the targets are the inputs."""
    if evidence.recipe is None:
        return False
    inputs, targets = evidence.recipe.training_samples.head(64)
    same = isinstance(inputs, Tensor) and inputs.numel() == targets.numel()
    return bool(same and torch.equal(inputs.reshape(-1).float(), targets.reshape(-1).float()))


def _layers(evidence: Evidence) -> int:
    assert evidence.batch is not None
    calls = evidence.batch.operations.forward
    return sum(c.weighted for c in calls) if not any(c.name in RECURRENT for c in calls) else 9


def _narrowest(evidence: Evidence) -> tuple[str, int] | None:
    """The hidden layer with the fewest units, and their number."""
    assert evidence.batch is not None
    shapes = {
        p.layer: p.shape
        for p in evidence.batch.parameters
        if p.name.endswith((".weight", "weight_hh_l0")) and len(p.shape) > 1
    }
    names = [s.name for s in evidence.batch.layers if s.name in shapes and "Norm" not in s.kind]
    hidden = names[:-1]
    widths = {n: shapes[n][1] if _recurrent(evidence, n) else shapes[n][0] for n in hidden}
    if not widths:
        return None
    name = min(widths, key=lambda n: widths[n])
    return name, widths[name]


def _recurrent(evidence: Evidence, name: str) -> bool:
    return bool(evidence.network) and evidence.network.kinds.get(name) in ("RNN", "LSTM", "GRU")  # type: ignore[union-attr]


@check(
    "collapse",
    needs=Needs.DATA | Needs.PARTS | Needs.RUN,
    confuses=(
        "the last symptom of many causes: rate, dead units, imbalance; it stands alone only where none of"
        " them does"
    ),
)
def every_output_the_same(evidence: Evidence) -> Iterator[Finding]:
    """Every output becomes the same class or the same number.

    Looks at the run's outputs for the validation part, (N, K): the share of the commonest decision, or the
    spread of a regression's outputs against that of its targets.
    Threshold: 97 % of the decisions in one class that holds under 80 % of the samples, or a spread under 3 %.
    Source: Jing et al., Understanding Dimensional Collapse (2022), on the representation; DeepLocalize (2021)
    on outputs.
    """
    assert evidence.data is not None and evidence.run is not None
    answer = evidence.probes.get("trained-modes")
    task = evidence.data.task
    if answer is None or answer.outputs is None:
        return
    outputs = answer.outputs
    if task.name in ("classification", "binary"):
        loss = evidence.recipe.settings.loss_name if evidence.recipe else None
        decided = decisions(outputs, task, loss not in UNIT_LOSSES).reshape(-1).numpy()
        if decided.size == 0:
            return
        share = float(np.unique(decided, return_counts=True)[1].max() / decided.size)
        truth = max(evidence.data.val.counts().values()) / max(1, sum(evidence.data.val.counts().values()))
        if share < ONE_CLASS or truth > 0.8:
            return
        numbers = {"share_of_one_class": share, "its_true_share": truth}
        text = f"{share:.0%} of all inputs get the same class."
    elif task.name == "regression":
        flat = evidence.data.val.targets.reshape(evidence.data.val.size, -1).float()
        spread = float(outputs.float().std() / max(float(flat.std()), 1e-12))
        if not np.isfinite(spread) or spread > 0.03:
            return
        numbers = {"spread_of_outputs": spread}
        text = f"The outputs hardly differ from input to input: their spread is {spread:.1%} of the targets'."
    else:
        return
    yield Finding(
        "collapse", evidence.place("lr"), numbers, text, ("lower-learning-rate", "kaiming-initialisation")
    )


@check(
    "less-than-simple",
    needs=Needs.RECIPE | Needs.RUN | Needs.BATCH,
    probes=("simple-models",),
    when=lambda evidence: (evidence.skill("train") or 0.0) < 0.8 and not _diverged(evidence),
    confuses="a training that is too slow or too short, which the other checks look for",
)
def simple_models_do_better(evidence: Evidence) -> Iterator[Finding]:
    """A network that learns less than the simplest models make of the same data.

    Looks at the validation skill of a linear model and of nearest neighbours against the network's, and for
    a call that makes a single number of each sample, (B, 1), and that no way from the inputs to the outputs
    leads past.
    Threshold: 0.15 more skill for the simple model, and a training skill under 0.8 when the training came to
    rest. Where the signal of more than two classes goes through a single number a sample, any more skill will
    do, and it is said to collapse there; else the network cannot represent what is needed.
    Source: Karpathy, A Recipe for Training Neural Networks (2019), 'get dumb baselines'.
    """
    assert evidence.batch is not None and evidence.data is not None
    answer, val = evidence.probes["simple-models"], evidence.skill("val") or 0.0
    operations, size = evidence.batch.operations, evidence.batch.size
    path = [c for c in operations.forward if c.shape and c.shape[0] == size and c.makes != operations.output]
    narrow = next((c for c in path if math.prod(c.shape[1:]) == 1 and operations.all_through(c)), None)
    collapses = narrow is not None and evidence.data.task.classes > 2
    surpassed = answer.best >= max(0.0, val) + 0.15 and answer.best >= answer.by_chance + 0.15
    if not (surpassed and _at_rest_below(evidence)) and not (collapses and answer.best > val):
        return
    numbers = {"simple_skill": answer.best, "validation_skill": val, "narrowest": 1 if collapses else None}
    said = (
        f"A linear model or nearest neighbours reach {answer.best:.2f} on validation where the network"
        f" reaches {val:.2f}"
    )
    if collapses and narrow is not None:
        text = f"{said}: {narrow.name} leaves a single number of each sample."
        yield Finding(
            "collapse",
            evidence.call_place(narrow, "pooling"),
            {**numbers, "narrow": True, "at_start": True},
            text,
            ("features-kept-apart",),
        )
    else:
        hidden = _narrowest(evidence)
        text = f"{said}: on its way something that they use is lost."
        yield Finding(
            "capacity-too-small",
            evidence.place("width"),
            {**numbers, "narrowest": hidden[1] if hidden else None, "by_comparison": True},
            text,
            ("wider-layers",),
        )


def _diverged(evidence: Evidence) -> bool:
    return evidence.run is not None and evidence.run.diverged


def _doubled(modes: TrainedModes) -> bool:
    """Whether evaluation mode leaves twice as much to be desired as training mode, and noticeably so."""
    return modes.gap > SOME_GAP and 1 - modes.evaluation > 2 * (1 - modes.training)


@check(
    "train-eval-gap",
    needs=Needs.BATCH,
    probes=("evaluation-modes",),
    confuses=(
        "strong dropout, which lowers the score in training mode on purpose: only the other way round counts"
    ),
)
def modes_that_disagree(evidence: Evidence) -> Iterator[Finding]:
    """The same data score differently in training and in evaluation mode, or evaluation itself is random.

    Looks at outputs of one batch in evaluation mode, twice; and, after a run, at the training data's score in
    both modes.
    Threshold: outputs that differ by 0.1 % of their spread between two evaluations; a training-mode skill 0.1
    above that of evaluation mode on the same data, or 0.05 where that is half of what was left.
    Source: Ioffe, Batch Renormalization (2017), section 2; PyTorch documentation, torch.nn.BatchNorm1d
    ('momentum').
    """
    assert evidence.batch is not None
    modes, trained = evidence.probes["evaluation-modes"], evidence.probes.get("trained-modes")
    if modes.repeated > RANDOM:
        call = next(
            (
                c
                for c in evidence.batch.operations.forward
                if "dropout" in c.name or c.name in ("rand_like", "randn_like", "bernoulli", "randn", "rand")
            ),
            None,
        )
        place = evidence.call_place(call, "network") if call else evidence.place("network")
        yield Finding(
            "train-eval-gap",
            place,
            {"repeated": modes.repeated, "random": True},
            f"Evaluation gives other outputs each time ({modes.repeated:.1%} of their spread apart):"
            " something random stays on, such as a dropout that is not told of the mode.",
            ("quiet-evaluation",),
        )
    elif trained is not None and trained.training > 0.2 and (trained.gap > GAP or _doubled(trained)):
        norms = [c for c in evidence.batch.operations.forward if c.name == "batch_norm"]
        place = evidence.call_place(norms[0], "normalisation") if norms else evidence.place("normalisation")
        if norms and norms[0].layer:
            place = evidence.layer_place(norms[0].layer, "normalisation")
        yield Finding(
            "train-eval-gap",
            place,
            {
                "gap": trained.gap,
                "in_training": trained.training,
                "in_evaluation": trained.evaluation,
                "mild": trained.gap <= GAP,
            },
            f"On the same data the network has a skill of {trained.training:.2f} in training mode and"
            f" {trained.evaluation:.2f} in evaluation mode: its batch statistics and the running ones do not"
            " agree.",
            ("faster-running-statistics", "layer-norm-for-batch-norm"),
        )
