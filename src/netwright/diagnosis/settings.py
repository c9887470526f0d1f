"""Causes in the settings of the training: regularisation, optimizer, schedule, precision, batch size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from netwright.catalogue import Needs, check
from netwright.recipe.precision import HALVES
from netwright.runs import Evidence, Operation, Operations
from netwright.values import Finding

DROPS, SMOOTHS, DECAYS = 0.65, 0.5, 2.0
DROPS_STRONGLY, KEEPS = 0.4, 0.15
ADAPTIVE = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta")
DECOUPLED = ("AdamW",)
FEW_UPDATES = 30


@check(
    "regularisation-too-strong",
    needs=Needs.RECIPE | Needs.BATCH | Needs.OPTIMIZER | Needs.RUN,
    confuses="data whose noise nobody could fit; a network that is too small",
)
def regularisation_that_prevents_fitting(evidence: Evidence) -> Iterator[Finding]:
    """Dropout, weight decay or label smoothing at a strength that prevents fitting.

    Looks at the calls of dropout and their p, at the decay that weights go through in the whole training (the
    sum over steps of rate × weight decay) and the weight decay itself, at label smoothing; and at the run,
    which must have failed to fit its own training data (skill under 0.95) without overfitting them.
    Threshold: p of 0.65, of 0.4 on the inputs themselves, or several of 0.4 that leave 15 %; a decay of
    e^-2 with a coefficient over 0.01 (any coefficient over 0.02 where the optimizer scales it up, as Adam's
    L2 does); smoothing of 0.5.
    Source: Srivastava et al., Dropout (2014), section 7.3; Loshchilov and Hutter, Decoupled Weight Decay
    Regularization (2019), section 2.
    """
    assert evidence.recipe is not None and evidence.batch is not None
    assert evidence.optimizer is not None and evidence.run is not None
    settings, optimizer = evidence.recipe.settings, evidence.optimizer
    train, val = evidence.skill("train"), evidence.skill("val")
    if train is None or val is None or train >= 0.95 or train - val > 0.25:
        return
    dropped = [c for c in evidence.batch.operations.forward if "dropout" in c.name and c.settings.get("p")]
    strongest = max(dropped, key=lambda c: float(c.settings["p"]), default=None)
    decay = float(optimizer.settings.get("weight_decay") or 0.0)
    rates = [settings.factor(k / 50) for k in range(50)]
    total = optimizer.lr * decay * evidence.run.steps * float(np.mean(rates))
    coupled = optimizer.kind in ADAPTIVE and optimizer.kind not in DECOUPLED
    numbers = {
        "dropout": float(strongest.settings["p"]) if strongest else 0.0,
        "weight_decay": decay,
        "decay_exponent": total,
        "label_smoothing": settings.label_smoothing,
        "training_skill": train,
    }
    strong = [c for c in dropped if float(c.settings["p"]) >= DROPS_STRONGLY]
    at_inputs = next((c for c in strong if not _behind_a_layer(evidence.batch.operations, c)), None)
    kept = float(np.prod([1 - float(c.settings["p"]) for c in strong]))
    if numbers["dropout"] < DROPS and at_inputs is not None:
        strongest = at_inputs
    if strongest is not None and (numbers["dropout"] >= DROPS or at_inputs is not None or kept <= KEEPS):
        share = float(strongest.settings["p"])
        what = "values that come in" if strongest is at_inputs else "units"
        numbers["mild"] = share < DROPS
        yield Finding(
            "regularisation-too-strong",
            (
                evidence.layer_place(strongest.layer, "dropout")
                if strongest.layer and strongest.layer in _kinds(evidence)
                else evidence.call_place(strongest, "dropout")
            ),
            numbers,
            f"Dropout drops {share:.0%} of the {what} at every step"
            f"{f', {len(strong)} times on the way' if len(strong) > 2 else ''}; the training data"
            f" themselves are only learned to a skill of {train:.2f}.",
            ("less-dropout",),
        )
    elif (total >= DECAYS and decay > 0.01) or (coupled and decay >= 0.02):
        yield Finding(
            "regularisation-too-strong",
            evidence.place("weight_decay"),
            {**numbers, "written": evidence.attribute("weight_decay").source},
            f"A weight decay of {decay:g} pulls the weights towards 0 faster than the loss can push them"
            " away.",
            ("no-weight-decay",),
        )
    elif settings.label_smoothing >= SMOOTHS:
        yield Finding(
            "regularisation-too-strong",
            evidence.place("label_smoothing"),
            {**numbers, "written": evidence.attribute("label_smoothing").source},
            f"Label smoothing of {settings.label_smoothing:g} asks for answers that are"
            f" {settings.label_smoothing:.0%} guesswork.",
            ("no-label-smoothing",),
        )


def _behind_a_layer(operations: Operations, call: Operation) -> bool:
    """Whether anything but reshapes stands between the network's inputs and `call`."""
    return any(True for _ in operations.before(call, lambda c: c.shapes_only))


def _kinds(evidence: Evidence) -> dict[str, str]:
    return dict(evidence.network.kinds) if evidence.network else {}


@check(
    "optimizer-misuse",
    needs=Needs.OPTIMIZER,
    confuses="an unusual optimizer whose settings mean something else",
)
def settings_that_do_not_fit_the_optimizer(evidence: Evidence) -> Iterator[Finding]:
    """A setting of the optimizer under which it cannot do its work.

    Looks at momentum, betas, eps and maximize; and at the bound on the gradient's norm against the norms of
    the first batch.
    Threshold: momentum of 0.99 and over, a second beta under 0.9 or a first of 0.99 and over, eps of 0.01 and
    over under an adaptive optimizer, maximize; without an adaptive optimizer, a bound by which the whole
    training moves the weights by less than 1 % of their size.
    Source: Kingma and Ba, Adam (2015), section 2; Goh, Why Momentum Really Works (2017); Pascanu et al.
    (2013).
    """
    assert evidence.optimizer is not None
    optimizer = evidence.optimizer
    given = optimizer.settings
    said, attribute, ideas = "", "", ("optimizer-defaults",)
    momentum = float(given.get("momentum") or 0.0)
    betas = given.get("betas")
    eps = float(given.get("eps") or 0.0)
    numbers = {"momentum": momentum, "betas": betas, "eps": eps, "optimizer": optimizer.kind}
    if given.get("maximize"):
        said, attribute = "maximize=True makes the loss larger at every step.", "maximize"
    elif momentum >= 0.99:
        said, attribute = (
            (
                f"Momentum {momentum:g} adds up the last {_span(momentum)} gradients: the rate is in effect"
                " as many times larger, and old directions are never left."
            ),
            "momentum",
        )
    elif (
        isinstance(betas, (tuple, list))
        and len(betas) == 2
        and (float(betas[1]) < 0.9 or float(betas[0]) >= 0.99)
    ):
        said, attribute = (
            (
                f"betas={tuple(betas)}: the second sets over how many steps gradients' sizes are averaged"
                " (0.999 is usual), the first over how many their directions (0.9)."
            ),
            "betas",
        )
    elif eps >= 1e-2 and optimizer.kind in ADAPTIVE:
        said, attribute = (
            (
                f"eps={eps:g} is far larger than the gradients that {optimizer.kind} divides by it: the rate"
                " is in effect as many times smaller."
            ),
            "eps",
        )
    else:
        clip = _bound(evidence)
        if clip is not None:
            bound, moves = clip
            numbers |= {"clip": bound, "moves": moves}
            said, attribute, ideas = (
                (
                    f"Gradients are cut to a norm of {bound:g}: at this rate the whole training moves the"
                    f" weights by {moves:.2%} of their size."
                ),
                "clip",
                ("no-clipping",),
            )
    if said:
        yield Finding(
            "optimizer-misuse",
            evidence.place(attribute),
            {**numbers, "written": evidence.attribute(attribute).source},
            said,
            ideas,
        )


def _span(momentum: float) -> str:
    return f"{1 / (1 - momentum):,.0f}" if momentum < 1 else "all"


def _bound(evidence: Evidence) -> tuple[float, float] | None:
    """The bound on the gradient's norm, and what share of the weights' size all steps can move under it."""
    recipe, batch, optimizer = evidence.recipe, evidence.batch, evidence.optimizer
    if recipe is None or batch is None or optimizer is None or recipe.settings.clip is None:
        return None
    if optimizer.kind in ADAPTIVE or optimizer.kind == "Rprop":
        return None
    gradient = float(np.sqrt(sum((p.gradient or 0.0) ** 2 for p in batch.parameters)))
    if not gradient > 20 * recipe.settings.clip:
        return None  # it hardly binds: what moves little does so for another reason
    size = float(np.sqrt(sum(p.norm**2 for p in batch.parameters)))
    samples = recipe.training_samples
    steps = -(-len(samples) // recipe.settings.batch_size) * recipe.settings.epochs
    gain = 1 / (1 - min(0.99, float(optimizer.settings.get("momentum") or 0.0)))
    moves = recipe.settings.clip * optimizer.lr * steps * gain / max(size, 1e-12)
    return (recipe.settings.clip, moves) if moves < 0.01 else None


@check(
    "schedule-mismatch",
    needs=Needs.RECIPE,
    confuses="a schedule written for another unit than the share of the training done",
)
def schedule_that_does_not_fit_the_training(evidence: Evidence) -> Iterator[Finding]:
    """A schedule under which most of the training is lost.

    Looks at the schedule's factor of the rate over the share of the training done, at 200 points.
    Threshold: under 2 % of its highest value for over half of the steps, or for the first third; never above
    0.02; a jump up by a factor of 5 after the first tenth; a factor over 10.
    Source: Goyal et al., Accurate, Large Minibatch SGD (2017), section 2.2; Smith, Cyclical Learning Rates
    (2017).
    """
    assert evidence.recipe is not None
    settings = evidence.recipe.settings
    if settings.schedule is None:
        return
    factors = np.array([settings.factor(k / 200) for k in range(200)])
    highest = float(factors.max())
    low = factors < 0.02 * max(highest, 1e-12)
    numbers = {"highest": highest, "share_low": float(low.mean()), "mean": float(factors.mean())}
    rises = factors[21:] / np.maximum(factors[20:-1], 1e-3 * max(highest, 1e-12))
    said = ""
    if not np.isfinite(factors).all() or highest <= 0.02:
        said = f"The schedule's factor never gets above {highest:.2g}: the rate is all but zero throughout."
    elif highest > 10:
        said = f"The schedule multiplies the rate by up to {highest:,.0f}."
    elif low.mean() > 0.5 and low[-1]:
        first = int(np.argmax(low[np.argmax(factors) :])) + int(np.argmax(factors))
        said = (
            f"From {first / 200:.0%} of the training on the rate is (nearly) zero: nothing is learned after"
            " that."
        )
    elif low[:66].all():
        said = "The rate is (nearly) zero for the first third of the training."
    elif float(rises.max()) > 5 and highest > 0.02:
        at = 0.105 + int(np.argmax(rises)) / 200
        said = f"At {at:.0%} of the training the rate jumps up {float(rises.max()):,.0f} times."
    if said:
        yield Finding(
            "schedule-mismatch",
            evidence.place("schedule"),
            {**numbers, "written": evidence.attribute("schedule").source},
            said,
            ("constant-rate", "cosine-schedule"),
        )


@check(
    "low-precision",
    needs=Needs.BATCH,
    probes=("precision",),
    confuses="gradients that are zero in float32 as well, which are not counted",
)
def gradients_lost_to_half_precision(evidence: Evidence) -> Iterator[Finding]:
    """Overflow, or gradients and updates that become zero, in half precision.

    Looks at the gradients of one batch in the recipe's precision (with its loss scaling, and with whatever
    forward or the loss casts by hand) against float32: the share that is exactly 0, and whether all are
    finite. Of weights that are themselves kept in half precision, the share that the optimizer's first step
    leaves as it was.
    Threshold: 20 % more zeros than in float32, any value that is not finite, or half of the updates lost that
    float32 makes.
    Source: Micikevicius et al., Mixed Precision Training (2018), sections 3.1 and 3.2.
    """
    assert evidence.batch is not None
    answer = evidence.probes["precision"]
    calls = evidence.batch.operations.calls
    by_hand = next((c for c in calls if c.name in ("half", "bfloat16") or _to_half(c)), None)
    place = evidence.place("precision")
    if by_hand is not None and evidence.attribute("precision").value in (None, "float32"):
        place = evidence.call_place(by_hand, "precision")
    numbers = {
        "zero": answer.zero,
        "zero_in_float32": answer.zero_in_full,
        "finite": answer.finite,
        "updates_lost": answer.lost,
    }
    if answer.finite_in_full and not answer.finite:
        text = (
            "In half precision the outputs or gradients of the first batch overflow; in float32 they are"
            " finite."
        )
    elif answer.zero - answer.zero_in_full > 0.2:
        text = (
            f"In half precision {answer.zero:.0%} of the gradients are exactly 0 ({answer.zero_in_full:.0%}"
            " in float32)."
        )
    elif answer.lost - answer.lost_in_full > 0.5:
        text = (
            f"The weights are kept in half precision: the first step leaves {answer.lost:.0%} of them as they"
            f" were, though they have a gradient ({answer.lost_in_full:.0%} in float32)."
        )
    else:
        return
    yield Finding("low-precision", place, numbers, text, ("full-precision",))


def _to_half(call: Operation) -> bool:
    return any(call.settings.get("dtype") is half for half in HALVES)


@check(
    "batch-size",
    needs=Needs.RECIPE | Needs.RUN,
    confuses="a rate that is too low or too few epochs, which leave as much unlearned",
)
def batches_too_large_or_too_small(evidence: Evidence) -> Iterator[Finding]:
    """So few updates that the training has hardly begun, or batches so small that noise decides.

    Looks at the number of updates of the whole training, at the batch size against the number of samples, and
    at the run: skill on its own training data, and the noise of the loss from step to step against its level.
    Threshold: at most 30 updates in batches of a quarter of the data or more, or batches of at most 2
    samples, with a skill under 0.9.
    Source: Masters and Luschi, Revisiting Small Batch Training (2018); Keskar et al., On Large-Batch Training
    (2017).
    """
    assert evidence.recipe is not None and evidence.run is not None
    run, skill = evidence.run, evidence.skill("train")
    samples, size = evidence.recipe.training_samples, evidence.recipe.settings.batch_size
    if skill is None or skill >= 0.9 or not samples.shuffles:
        return
    numbers = {"updates": run.steps, "batch_size": size, "samples": len(samples), "training_skill": skill}
    place = evidence.place("batch_size")
    written = evidence.attribute("batch_size").source
    if run.steps <= FEW_UPDATES and size * 4 >= len(samples) >= 150 and not run.diverged:
        yield Finding(
            "batch-size",
            place,
            {**numbers, "written": written, "large": True},
            f"Batches of {min(size, len(samples))} out of {len(samples):,} samples make only {run.steps}"
            f" updates in {run.epochs} epochs.",
            ("batches-for-more-updates",),
        )
    elif size <= 2 and len(samples) > 100:
        yield Finding(
            "batch-size",
            place,
            {**numbers, "written": written, "small": True},
            f"A batch of {size} is a very noisy guess of the gradient: the loss jumps about from step to"
            " step.",
            ("batches-of-sixteen",),
        )
