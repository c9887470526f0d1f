"""Whether labels are right, and belong to their inputs."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from netwright.catalogue import Needs, check
from netwright.runs import Evidence, SimpleModels
from netwright.values import Finding

NOISE, WORSE, ANYWHERE, KNOWS = 0.06, 0.08, 0.8, 0.35
LUCK, UNKNOWING = 0.05, 0.15


def _could_be_better(evidence: Evidence) -> bool:
    skill = evidence.skill("val")
    return skill is None or skill < 0.95


@frozen(eq=False)
class Doubts:
    """What two simple models make of the training labels: `rejected` (M,), and error rates of a linear model
    fitted without the samples: among the half that it is surest of, among all, and in validation."""

    rejected: NDArray[np.bool_]
    where_sure: float
    errors: float
    in_validation: float
    judged: int
    known: float

    @property
    def noisy(self) -> bool:
        """Whether wrong labels explain the errors better than classes that overlap do.

        Where classes overlap a model errs where it is unsure; wrong labels lie anywhere. And a model errs as
        often on training samples that it was not fitted on as in validation, unless the training labels are
        worse.
        """
        if float(self.rejected.mean()) < 0.03 or self.where_sure < NOISE:
            return False
        rate = self.in_validation
        error = (
            2.5
            * (rate * (1 - rate) / max(1, self.judged) + self.errors * (1 - self.errors) / len(self.rejected))
            ** 0.5
        )
        worse = self.errors - rate > max(WORSE, error) and self.where_sure > 0.5 * self.errors
        return worse or (self.known >= KNOWS and self.where_sure > ANYWHERE * self.errors)


def doubts(simple: SimpleModels, labels: NDArray[np.int64]) -> Doubts | None:
    """The labels (M,) that a linear model fitted without the samples and their five nearest neighbours both
    reject; `None` where there is no such model, or where it knows next to nothing."""
    if not len(simple.linear_odds) or simple.linear_errors is None or simple.best < 0.15:
        return None
    given = np.unique(labels, return_inverse=True)[1]
    odds, votes = simple.linear_odds, simple.neighbour_votes
    guess, sure = odds.argmax(1), odds.max(1)
    wrong = guess != given
    surest = sure >= np.median(sure)
    own = votes[np.arange(len(votes)), given]
    rejected = wrong & (votes.argmax(1) == guess) & (own <= 0.2)
    return Doubts(
        rejected,
        float(wrong[surest].mean()),
        float(wrong.mean()),
        simple.linear_errors,
        simple.judged,
        simple.best,
    )


@check(
    "label-noise",
    needs=Needs.DATA | Needs.PARTS,
    probes=("simple-models",),
    when=_could_be_better,
    confuses="rare but true cases; data in which two simple models share a blind spot",
)
def labels_that_the_data_reject(evidence: Evidence) -> Iterator[Finding]:
    """A share of the labels is wrong.

    Looks at up to 1,500 training samples, (M, F): the odds that a linear model fitted without them gives each
    label, and the votes of their five nearest neighbours.
    Threshold: 3 % of labels that both reject, 6 % of errors among the half of the samples that the model is
    surest of; and either 8 % more errors (2.5 standard errors) than the same model makes in validation, or an
    error rate among the surest half of at least 0.8 of that among all: where classes merely overlap, the sure
    half is right.
    Source: Northcutt et al., Confident Learning (2021), section 3.
    """
    assert evidence.data is not None
    simple: SimpleModels = evidence.probes["simple-models"]
    part = evidence.data.train
    seen = doubts(simple, part.labels[part.positions.numpy()[simple.rows]]) if len(simple.rows) else None
    if seen is None or not seen.noisy:
        return
    rows = part.positions.numpy()[simple.rows[seen.rejected]]
    samples = evidence.recipe.data.parts.train.ids(rows[:100].tolist()) if evidence.recipe else None
    share = float(seen.rejected.mean())
    yield Finding(
        "label-noise",
        attrs.evolve(evidence.place("data_repairs"), samples=samples),
        {
            "share_rejected": share,
            "errors_where_sure": seen.where_sure,
            "errors": seen.errors,
            "errors_in_validation": seen.in_validation,
            "rows": rows.tolist(),
            "linear_skill": simple.linear,
        },
        f"About {max(share, seen.where_sure):.0%} of the labels look wrong: a linear model fitted without"
        " them and their nearest neighbours agree on another class, also far from any border between"
        " classes.",
        ("drop-suspicious-samples", "smooth-labels"),
    )


@check(
    "label-misalignment",
    needs=Needs.DATA | Needs.PARTS | Needs.RUN,
    probes=("simple-models", "label-shift"),
    when=_could_be_better,
    confuses="a question that these inputs cannot answer; a series whose answer comes later than its cause",
)
def labels_that_do_not_belong_to_their_inputs(evidence: Evidence) -> Iterator[Finding]:
    """Inputs and labels that no longer belong together.

    Looks at the validation skill of the run, of a linear model and of nearest neighbours, against what
    permuted labels reach; and at what the nearest neighbours of training samples say of their labels, (M,),
    when these are moved along the source by a few places, all or from some row on.
    Threshold: none better than with permuted labels by over 0.05, for a network that does learn its training
    data better than that (it learns them by heart); or a shift under which neighbours reach a skill of
    0.2 and agree better by 0.05 and three standard errors of chance.
    Source: Zhang et al., Understanding deep learning requires rethinking generalization (2017), on random
    labels.
    """
    assert evidence.data is not None and evidence.run is not None
    simple: SimpleModels = evidence.probes["simple-models"]
    shift = evidence.probes["label-shift"]
    val, train = evidence.skill("val"), evidence.skill("train")
    if val is None or train is None or evidence.data.train.size < 100:
        return
    place = attrs.evolve(evidence.place("data_repairs"), attribute="data_repairs")
    numbers = {
        "validation_skill": val,
        "training_skill": train,
        "simple_skill": simple.best,
        "by_chance": simple.by_chance,
        "best_shift": shift.shift,
        "skill_when_shifted": shift.skill,
        "skill_as_they_are": shift.before,
        "first": shift.first,
    }
    if shift.sure:
        way = "later" if shift.shift > 0 else "earlier"
        which = f"From row {shift.first} of the source on the" if shift.first else "The"
        yield Finding(
            "label-misalignment",
            place,
            {**numbers, "shifted": True, **({"measured": True} if shift.in_validation else {})},
            f"{which} labels stand {abs(shift.shift)} place{'s' if abs(shift.shift) > 1 else ''} {way} than"
            f" their inputs: moved back, nearest neighbours reach a skill of {shift.skill:.2f} instead of"
            f" {shift.before:.2f}.{' In validation as well.' if shift.in_validation else ''}",
            ("targets-to-their-inputs",),
        )
    elif max(val, simple.best) <= max(simple.by_chance, 0.0) + LUCK and val < UNKNOWING:
        learned = f" The network learns them by heart (training skill {train:.2f})." if train > 0.3 else ""
        yield Finding(
            "label-misalignment",
            place,
            {**numbers, "by_heart": train > 0.3},
            "Nothing that these inputs say about their labels carries over to validation: a linear model and"
            f" nearest neighbours do no better than with labels dealt out at random.{learned}",
            (),
        )
