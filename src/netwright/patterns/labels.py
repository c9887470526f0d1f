"""Whether labels are right, and belong to their inputs."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from netwright.catalogue import Needs, check
from netwright.runs import Evidence, SimpleModels
from netwright.values import Finding

NOISE = 0.06


def _could_be_better(evidence: Evidence) -> bool:
    skill = evidence.skill("val")
    return skill is None or skill < 0.95


def suspicious(simple: SimpleModels, labels: NDArray[np.int64]) -> tuple[NDArray[np.bool_], float, float]:
    """(M,) training samples whose label a linear model fitted without them and their neighbours both reject,
    the error rate among the half that the linear model is surest of, and the error rate among all.

    Where classes overlap, errors lie where the model is unsure; wrong labels lie anywhere.
    """
    given = np.unique(labels, return_inverse=True)[1]
    odds, votes = simple.linear_odds, simple.neighbour_votes
    guess, sure = odds.argmax(1), odds.max(1)
    wrong = guess != given
    surest = sure >= np.median(sure)
    own = votes[np.arange(len(votes)), given]
    rejected = wrong & (votes.argmax(1) == guess) & (own <= 0.2)
    return rejected, float(wrong[surest].mean()), float(wrong.mean())


@check(
    "label-noise",
    needs=Needs.DATA | Needs.PARTS,
    probes=("simple-models",),
    when=_could_be_better,
    confuses="rare but true cases; data in which two simple models share a blind spot",
)
def labels_that_the_data_reject(evidence: Evidence) -> Iterator[Finding]:
    """A share of the labels is wrong.

    Looks at up to 1,500 training samples, (M, F): the odds that a linear model fitted without them gives each label,
    and the votes of their five nearest neighbours.
    Threshold: 6 % of errors among the half of the samples that the model is surest of, and at least 0.55 of the
    error rate among all (where classes merely overlap, the sure half is right), and 3 % of labels that both reject.
    Source: Northcutt et al., Confident Learning (2021), section 3.
    """
    assert evidence.data is not None
    simple: SimpleModels = evidence.probes["simple-models"]
    if not len(simple.linear_odds) or simple.best < 0.2:
        return
    part = evidence.data.train
    labels = part.labels[part.positions.numpy()[simple.rows]]
    rejected, sure_errors, errors = suspicious(simple, labels)
    share = float(rejected.mean())
    if sure_errors < NOISE or sure_errors < 0.55 * errors or share < 0.03:
        return
    rows = part.positions.numpy()[simple.rows[rejected]]
    samples = evidence.recipe.data.parts.train.ids(rows[:100].tolist()) if evidence.recipe else None
    yield Finding(
        "label-noise",
        attrs.evolve(evidence.place("data_repairs"), samples=samples),
        {
            "share_rejected": share,
            "errors_where_sure": sure_errors,
            "errors": errors,
            "rows": rows.tolist(),
            "linear_skill": simple.linear,
        },
        f"About {max(share, sure_errors):.0%} of the labels look wrong: a linear model fitted without them and their"
        " nearest neighbours agree on another class, also far from any border between classes.",
        ("drop-suspicious-samples", "smooth-labels"),
    )


@check(
    "label-misalignment",
    needs=Needs.DATA | Needs.PARTS | Needs.RUN,
    probes=("simple-models", "label-shift"),
    when=lambda evidence: (evidence.skill("val") or 0.0) < 0.3,
    confuses="a question that these inputs cannot answer",
)
def labels_that_do_not_belong_to_their_inputs(evidence: Evidence) -> Iterator[Finding]:
    """Inputs and labels that no longer belong together.

    Looks at the validation skill of the run, of a linear model and of nearest neighbours, against what permuted
    labels reach; and at the same with the labels moved along the source by a few places.
    Threshold: none better than with permuted labels by over 0.03, for a network that does learn its training data better than that (it
    learns them by heart); or a shift under which a simple model reaches 0.2 more than it does now.
    Source: Zhang et al., Understanding deep learning requires rethinking generalization (2017), on random labels.
    """
    assert evidence.data is not None and evidence.run is not None
    simple: SimpleModels = evidence.probes["simple-models"]
    shift = evidence.probes["label-shift"]
    val, train = evidence.skill("val"), evidence.skill("train")
    if val is None or train is None:
        return
    place = attrs.evolve(evidence.place("data_repairs"), attribute="data_repairs")
    numbers = {
        "validation_skill": val,
        "training_skill": train,
        "simple_skill": simple.best,
        "by_chance": simple.by_chance,
        "best_shift": shift.shift,
        "skill_when_shifted": shift.skill,
    }
    if shift.shift and shift.skill > simple.best + 0.2 and shift.skill > simple.by_chance + 0.2:
        way = "later" if shift.shift > 0 else "earlier"
        yield Finding(
            "label-misalignment",
            place,
            {**numbers, "shifted": True},
            f"The labels stand {abs(shift.shift)} place{'s' if abs(shift.shift) > 1 else ''} {way} than their inputs: moved back,"
            f" nearest neighbours reach a skill of {shift.skill:.2f} instead of {simple.best:.2f}.",
            (),
        )
    elif max(val, simple.best) <= max(simple.by_chance, 0.0) + 0.03 and val < 0.1:
        learned = f" The network learns them by heart (training skill {train:.2f})." if train > 0.3 else ""
        yield Finding(
            "label-misalignment",
            place,
            {**numbers, "by_heart": train > 0.3},
            "Nothing that these inputs say about their labels carries over to validation: a linear model and nearest"
            f" neighbours do no better than with labels dealt out at random.{learned}",
            (),
        )
