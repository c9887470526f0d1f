"""Causes visible in a watched loop: it calls things in the wrong order, or its losses show where it goes."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from netwright.catalogue import Needs, check
from netwright.runs import Evidence
from netwright.runs.loop import Iteration, LoopEvidence, Update
from netwright.values import Finding

ASKED = 3  # sampled iterations or updates that must all say the same
PATIENCE = 8  # iterations without a step of the optimizer, where gradients are zeroed in each
LONGEST_ACCUMULATION = 128
ENDED = 5  # losses in a row that are not finite
GROWN, GROWN_FAR, AT_ONCE = 100.0, 1000.0, 20
LONG_ENOUGH = 200


def _loop(evidence: Evidence) -> LoopEvidence:
    assert evidence.loop is not None
    return evidence.loop


def _finding(loop: LoopEvidence, bug: str, text: str, **numbers: object) -> Finding:
    return Finding("loop-bug", attrs.evolve(loop.place, attribute=bug), {"bug": bug, **numbers}, text)


def _by_optimizer(loop: LoopEvidence) -> Iterator[tuple[str, list[Update]]]:
    """The sampled updates of each optimizer, with its name where there are several."""
    for k, kind in enumerate(loop.optimizers):
        name = f" ({kind}, the {k + 1}. of {len(loop.optimizers)})" if len(loop.optimizers) > 1 else ""
        yield name, [u for u in loop.updates if u.optimizer == k]


def _finds_nothing(update: Update) -> bool:
    """Gradients arrived before this update, and it found none of them, or only zeros."""
    return update.arrived > 0 and not update.used and not update.closure


@check(
    "gradients-never-zeroed",
    needs=Needs.LOOP,
    confuses="a running sum of all gradients that is meant",
)
def gradients_that_pile_up(evidence: Evidence) -> Iterator[Finding]:
    """A loop that adds every gradient to those of all steps before.

    Looks at the gradient that each update leaves behind, and at what the next backward pass finds in its
    place: the same one, not written to since. Accumulation over several backward passes is not counted, since
    its gradients are zeroed after the update.
    Threshold: three updates, and none between which gradients were zeroed.
    Source: PyTorch documentation of torch.optim.Optimizer.zero_grad.
    """
    loop = _loop(evidence)
    for name, updates in _by_optimizer(loop):
        known = [u.zeroed for u in updates if u.zeroed is not None]
        if len(known) >= ASKED and not any(known):
            yield _finding(
                loop,
                "never zeroed",
                f"Gradients are never zeroed{name}: at {len(known)} of {len(known)} updates looked at, the"
                " next backward() found the previous gradient still there and added to it. Call"
                " optimizer.zero_grad() once in every iteration, before loss.backward().",
                updates=len(known),
            )
            return


@check(
    "gradients-zeroed-too-early",
    needs=Needs.LOOP,
    confuses="gradients that are meant to be thrown away",
)
def gradients_zeroed_before_the_step(evidence: Evidence) -> Iterator[Finding]:
    """Gradients that are zeroed after the backward pass and before the update, which then does nothing.

    Looks at the norm of the gradients that arrive at a few parameters, and of those that the next update
    finds there.
    Threshold: at every update looked at, at least three, gradients other than zero had arrived and it found
    none, or exactly zero.
    Source: PyTorch documentation, Optimization tutorial: zero_grad, backward, step, in this order.
    """
    loop = _loop(evidence)
    for name, updates in _by_optimizer(loop):
        asked = [u for u in updates if u.arrived > 0 and not u.closure]
        if len(asked) >= ASKED and all(_finds_nothing(u) and not u.behind for u in asked):
            yield _finding(
                loop,
                "zeroed before the step",
                f"Gradients are zeroed between backward() and step(){name}: gradients arrived before"
                f" {len(asked)} of {len(asked)} updates looked at, and each found none left. Move"
                " optimizer.zero_grad() to before loss.backward(), or to after optimizer.step().",
                updates=len(asked),
                arrived=asked[-1].arrived,
                used=asked[-1].used,
            )
            return


@check(
    "step-before-backward", needs=Needs.LOOP, confuses="a pass that is made ahead of the update on purpose"
)
def steps_before_the_gradients_come(evidence: Evidence) -> Iterator[Finding]:
    """An optimizer that steps between the forward pass and its backward pass.

    Looks at the order of forward passes, arriving gradients and updates.
    Threshold: at every update looked at, at least three, the gradients of the forward pass before it came
    only after it.
    Source: PyTorch documentation, Optimization tutorial: zero_grad, backward, step, in this order.
    """
    loop = _loop(evidence)
    for name, updates in _by_optimizer(loop):
        asked = [u for u in updates if u.behind is not None and not u.closure]
        if len(asked) >= ASKED and all(u.behind for u in asked):
            empty = sum(_finds_nothing(u) for u in asked)
            effect = (
                "nothing is learned, because what backward() leaves is zeroed before it is used"
                if empty == len(asked)
                else "each update uses the gradients of the batch before"
            )
            yield _finding(
                loop,
                "step before backward",
                f"optimizer.step() is called before loss.backward(){name}, at {len(asked)} of {len(asked)}"
                f" updates looked at: {effect}. Move optimizer.step() to the line after loss.backward().",
                updates=len(asked),
                without_gradient=empty,
            )
            return


@check("step-never-called", needs=Needs.LOOP, confuses="parameters that are changed by hand")
def optimizer_that_never_steps(evidence: Evidence) -> Iterator[Finding]:
    """A loop that computes gradients and never updates anything.

    Looks at how often `step` was called in all, at whether a parameter has moved, and at whether gradients
    are zeroed in between, which tells it from an accumulation that has not come to its first update.
    Threshold: no call in 8 iterations where every one looked at zeroes its gradients, in 128 otherwise; not
    where gradients are not finite, since a scaler leaves such updates out.
    Source: PyTorch documentation, Optimization tutorial.
    """
    loop = _loop(evidence)
    seen = [i for i in loop.iterations if i.gradients]
    if any(loop.calls) or loop.moved is not False or loop.skipping or len(seen) < ASKED:
        return
    count = len(loop.losses)
    if count >= (PATIENCE if all(i.zeroed for i in seen) else LONGEST_ACCUMULATION):
        yield _finding(
            loop,
            "no step",
            f"optimizer.step() was not called once in {count} iterations: gradients are computed and nothing"
            " is changed by them. Call optimizer.step() after loss.backward().",
            iterations=count,
        )


@check(
    "evaluation-mode",
    needs=Needs.LOOP,
    confuses="fine-tuning with batch statistics held fixed on purpose",
)
def training_in_evaluation_mode(evidence: Evidence) -> Iterator[Finding]:
    """A network that trains in evaluation mode: dropout is off, batch normalisation uses old statistics.

    Looks at the mode of the network in every forward pass that gradients flow back from.
    Threshold: all of the last three iterations looked at; only networks with layers for which it matters, and
    only the mode of the whole network, so that single layers may be held fixed.
    Source: PyTorch documentation, Autograd mechanics, 'Evaluation Mode (nn.Module.eval())'.
    """
    loop = _loop(evidence)
    seen = [i for i in loop.iterations if i.passes and i.gradients]
    last = seen[-ASKED:]
    if not loop.modal or len(last) < ASKED or not all(i.evaluating for i in last):
        return
    trained = [i.number for i in seen if not i.evaluating]
    since = (
        f" since iteration {min(i.number for i in seen if i.number > trained[-1])} or before"
        if trained
        else ""
    )
    again = " again after each validation" if trained else ""
    layers = f"{', '.join(loop.modal[:3])}{f' and {len(loop.modal) - 3} more' if len(loop.modal) > 3 else ''}"
    yield _finding(
        loop,
        "evaluation mode",
        f"The network trains in evaluation mode{since}: {layers} {'does' if len(loop.modal) == 1 else 'do'}"
        f" not work as in training. Call model.train(){again} before the training iterations.",
        layers=list(loop.modal),
        iterations=[i.number for i in last],
    )


def _without_gradient(loop: LoopEvidence) -> list[Iteration] | None:
    """The iterations looked at, where no gradient came to the network in any of them though the loop went
    on; `None` otherwise."""
    seen = list(loop.iterations)
    quiet = not loop.reached and loop.trainable and loop.moved is False and not any(i.gradients for i in seen)
    return seen if quiet and len(seen) >= ASKED else None


@check(
    "no-graph", needs=Needs.LOOP, confuses="parameters that are changed without a backward pass on purpose"
)
def losses_without_a_graph(evidence: Evidence) -> Iterator[Finding]:
    """A loss from which no gradient can flow back to the network, or that nobody calls `backward` on.

    Looks at whether a gradient came to any parameter, whether forward passes were made with gradients
    enabled, and where the graph behind the noted loss ends.
    Threshold: no gradient at any parameter that can learn, in no iteration looked at, at least three, and no
    parameter moved.
    Source: PyTorch documentation of torch.Tensor.detach and torch.no_grad.
    """
    loop = _loop(evidence)
    seen = _without_gradient(loop)
    if seen is None or not loop.holds_network:
        return
    count = len(seen)
    graphs = {i.graph for i in seen}
    passes, blind = all(i.passes for i in seen), all(i.blind and not i.passes for i in seen)
    if blind:
        text = (
            "The network runs with gradients switched off (torch.no_grad() or inference_mode()) in all"
            f" {count} iterations looked at, so nothing can be learned. Take the training forward pass out of"
            " that block."
        )
    elif passes and graphs == {"none"}:
        text = (
            f"The loss is cut off from the network in all {count} iterations looked at: outputs are"
            " differentiable and the loss made of them is not. Take the .detach(), .item(), .numpy(), .data"
            " or torch.tensor(...) out between the output and the loss."
        )
    elif graphs == {"network"}:
        text = (
            f"loss.backward() was never called: the loss depends on the network in all {count} iterations"
            " looked at, and no gradient came to any parameter. Call loss.backward() before optimizer.step()."
        )
    elif passes and graphs == {"number"} and sum(loop.calls) >= ASKED:
        text = (
            f"No gradient came to any parameter in {count} iterations looked at, while the optimizer stepped:"
            " the loss is cut off from the network, or backward() is not called. Call loss.backward() on a"
            " loss made of the outputs themselves, without .detach() or .item() between them."
        )
    else:
        return
    yield _finding(loop, "no graph", text, iterations=count, graph=sorted(graphs), blind=blind)


@check(
    "optimizer-of-another-network", needs=Needs.LOOP, confuses="copies of the weights in another precision"
)
def optimizer_with_other_parameters(evidence: Evidence) -> Iterator[Finding]:
    """An optimizer that holds no parameter of the network that is trained.

    Looks at the parameters that the optimizers hold, by identity; at whether gradients come to the network;
    and at whether an update finds any.
    Threshold: nothing held is the network's, gradients come to the network, and at least three updates found
    none at all.
    Source: PyTorch documentation of torch.optim, 'Constructing it'.
    """
    loop = _loop(evidence)
    updates = loop.updates
    if loop.holds_network or not loop.reached or loop.moved is not False or len(updates) < ASKED:
        return
    if all(u.arrived == 0 and not u.used for u in updates):
        yield _finding(
            loop,
            "another network",
            "The optimizer holds parameters of another network: gradients come to this one, and none of"
            f" {len(updates)} updates looked at found any. The network was probably made again after the"
            " optimizer; make the optimizer after it: optimizer ="
            f" {loop.optimizers[0] if loop.optimizers else 'SGD'}(model.parameters(), ...).",
            updates=len(updates),
        )


@check("network-made-again", needs=Needs.LOOP, confuses="phases of a training in which the network rests")
def network_that_was_made_again(evidence: Evidence) -> Iterator[Finding]:
    """A network that is made again while the loop runs: what was learned is thrown away.

    Looks at whether the watched network is still called, still exists, and still gets gradients, while its
    optimizer goes on and losses depend on other parameters.
    Threshold: the last three iterations looked at, with an update in them; or eight losses after the network
    was deleted.
    Source: PyTorch documentation of torch.optim, 'Constructing it'.
    """
    loop = _loop(evidence)
    last = loop.iterations[-ASKED:]
    idle = len(last) == ASKED and all(
        not i.passes and not i.gradients and i.graph == "elsewhere" for i in last
    )
    steps_on = idle and any(u.iteration >= last[0].number and not u.used for u in loop.updates)
    if not steps_on and loop.gone_for < PATIENCE:
        return
    ran = [i.number for i in loop.iterations if i.passes or i.gradients]
    when = f"after iteration {ran[-1]} " if ran else ""
    yield _finding(
        loop,
        "made again",
        f"The network was made again {when}and the optimizer still holds the parameters of the old one: what"
        " is trained now never changes. Make the network once, before the loop, and the optimizer after it.",
        last_called=ran[-1] if ran else None,
        deleted=loop.gone_for > 0,
    )


@check("rate-of-zero", needs=Needs.LOOP, confuses="a warm-up longer than what was watched")
def updates_of_size_zero(evidence: Evidence) -> Iterator[Finding]:
    """A learning rate that is exactly zero, so that updates change nothing.

    Looks at the rate at every update looked at, the size of the gradients, and whether a parameter has moved.
    Threshold: 20 updates, all looked at with a rate of 0 and gradients other than 0, and nothing moved.
    Source: PyTorch documentation of torch.optim.lr_scheduler.
    """
    loop = _loop(evidence)
    rates = [u.lr for u in loop.updates]
    if loop.moved is not False or sum(loop.calls) < AT_ONCE or len(rates) < ASKED:
        return
    if all(rate == 0 for rate in rates) and any(u.used for u in loop.updates):
        yield Finding(
            "schedule-mismatch",
            attrs.evolve(loop.place, attribute="lr"),
            {"lr": 0.0, "updates": sum(loop.calls)},
            f"The learning rate was 0 at all {len(rates)} updates looked at, so {sum(loop.calls)} updates"
            " changed nothing. Look at where the schedule is stepped and at what it starts from.",
        )


@check(
    "loss-not-finite", needs=Needs.LOOP, confuses="single batches that a scaler skips, which are left alone"
)
def losses_that_stop_being_numbers(evidence: Evidence) -> Iterator[Finding]:
    """A loss that is NaN or infinite, and stays so.

    Looks at the noted losses, (steps,), and at the inputs of the first pass.
    Threshold: at least the last five of them. Where the loss had grown a hundredfold before, the rate is
    named; where it is so from the first iteration, the inputs if they are not finite, else the loss;
    otherwise the arithmetic.
    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 8.2.4.
    """
    loop = _loop(evidence)
    bad = ~np.isfinite(loop.losses)
    if len(bad) < ENDED or not bad[-ENDED:].all():
        return
    since = int(np.flatnonzero(~bad)[-1]) + 1 if not bad.all() else 0
    before = loop.losses[:since][np.isfinite(loop.losses[:since])]
    numbers = {"since": since + 1, "at_start": since == 0}
    start = f"The loss is not finite since iteration {since + 1} of {len(bad)}"
    if len(before) and _size(before[-3:]) > GROWN * max(_size(before[:3]), 1e-3):
        grown = f"it had grown from {before[0]:.3g} to {before[-1]:.3g} by then"
        text = f"{start}; {grown}. Lower the learning rate."
        yield Finding("lr-too-high", attrs.evolve(loop.place, attribute="lr"), numbers, text)
    elif since:
        text = (
            f"{start}, without having grown before ({before[-1]:.3g} in the last finite one). One update"
            " made it so: a batch with bad values, or a gradient that is not finite, such as that of a square"
            " root or a logarithm at 0."
        )
        yield Finding("unstable-arithmetic", loop.place, numbers, text)
    elif loop.bad_inputs:
        text = f"{start}, and so are the inputs of the first batch."
        yield Finding("bad-values", loop.place, numbers, text)
    else:
        text = f"{start}, though the inputs of the first batch are: the loss, or the network, makes it so."
        yield Finding("unstable-loss", loop.place, numbers, text)


@check(
    "loss-grows",
    needs=Needs.LOOP,
    confuses="a loss whose scale changes on purpose, as with returns that grow",
)
def losses_that_grow(evidence: Evidence) -> Iterator[Finding]:
    """A loss that grows by orders of magnitude and stays there.

    Looks at the noted losses, (steps,): the median of the last quarter against the largest of the first
    three.
    Threshold: a factor of 1,000, or of 100 where the loss got there within 20 iterations; only losses that
    start above 0.01, and all positive, since others have no scale.
    Source: Smith, Cyclical Learning Rates (2017), section 3.3.
    """
    loop = _loop(evidence)
    losses = loop.losses
    if len(losses) < 2 * ENDED or not np.isfinite(losses[-ENDED:]).all() or not np.isfinite(losses[:3]).all():
        return
    first, last = float(losses[:3].max()), float(np.nanmedian(losses[-max(ENDED, len(losses) // 4) :]))
    first = min(first, 2 * float(losses[0]))  # the first update may already have made it explode
    if float(np.nanmin(losses)) < 0 or first < 0.01:
        return
    factor = last / first
    early = float(np.nanmax(losses[:AT_ONCE])) > GROWN * first
    if factor > GROWN_FAR or (factor > GROWN and early):
        yield Finding(
            "lr-too-high",
            attrs.evolve(loop.place, attribute="lr"),
            {"factor": factor, "first": first, "last": last},
            f"The loss went from {losses[0]:.3g} to {last:.3g} and stays there: updates are too large. Lower"
            " the learning rate.",
        )


@check("loss-stands-still", needs=Needs.LOOP, confuses="data that are learned already")
def losses_that_stand_still(evidence: Evidence) -> Iterator[Finding]:
    """A loss that does not fall because no gradient is other than zero.

    Looks at the gradients that arrive at the watched parameters and at the noted losses, (steps,).
    Threshold: exactly 0 at every update looked at, at least four; 200 iterations, of which the two halves
    differ by less than their own noise; and a loss that is not 0 itself.
    Source: Lu et al., Dying ReLU and Initialization (2019).
    """
    loop = _loop(evidence)
    losses = loop.losses
    asked = [u for u in loop.updates if u.used is not None and not u.closure]
    if len(losses) < LONG_ENOUGH or not np.isfinite(losses).all() or len(asked) <= ASKED:
        return
    gradients = any(i.gradients for i in loop.iterations)
    if gradients and all(u.used == 0 and u.arrived == 0 for u in asked) and np.abs(losses).mean() > 1e-3:
        half = len(losses) // 2
        apart = abs(float(losses[:half].mean() - losses[half:].mean()))
        if apart <= 3 * float(losses.std()) / np.sqrt(half) + 1e-9:
            yield Finding(
                "vanishing-gradient",
                loop.place,
                {"iterations": len(losses), "loss": float(losses.mean()), "ratio": 0.0},
                f"The loss stands at {losses.mean():.3g} for {len(losses)} iterations: gradients arrive and"
                " all are exactly 0, so units before the output are dead or saturated for every input.",
            )


def _size(values: NDArray[np.float64]) -> float:
    return float(np.abs(values).max())
