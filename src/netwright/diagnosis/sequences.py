"""Causes in how a network reads sequences: where they end, and in which order their steps stand."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from netwright.catalogue import Needs, check
from netwright.recipe.edits import core
from netwright.recipe.sequences import padded_steps
from netwright.runs import Evidence, Operation
from netwright.runs.calls import RECURRENT
from netwright.values import Finding

MOSTLY, STEPS = 0.4, 10
UNMOVED, WELL = 1e-3, 0.8
READS_PLACES = (*RECURRENT, "conv1d", "conv2d", "conv3d")


def last_states(evidence: Evidence) -> list[Operation]:
    """The recurrent calls of forward, of one direction, of which only the last state is read: of the outputs
    (N, T, H) the place -1, or the state itself."""
    if evidence.batch is None or evidence.subject is None:
        return []
    operations = evidence.batch.operations
    way = operations.on_the_way()
    modules = dict(core(evidence.subject.network).named_modules())
    found, seen = [], set[str]()
    for call in operations.forward:
        module = modules.get(call.layer or "")
        if call.name not in RECURRENT or not isinstance(module, nn.RNNBase) or module.bidirectional:
            continue
        if call.layer in seen:  # its state, after its outputs
            read = any(call.makes in other.reads for other in way)
        else:
            picked = [c.settings.get("picked") or {} for c in way if call.makes in c.reads]
            read = bool(picked) and all(set(p.values()) == {-1} for p in picked)
            seen.add(call.layer or "")
        if read:
            found.append(call)
    return found


def padding(evidence: Evidence) -> tuple[float, float] | None:
    """The value that most training sequences, (N, T) or (N, T, F), end in, and which share of all steps is
    nothing but that at the end; `None` where they do not end in one value, or all at one place."""
    inputs = evidence.data.train.inputs if evidence.data is not None else torch.empty(0)
    if inputs.ndim not in (2, 3) or len(inputs) < 2 or inputs.shape[1] < STEPS:
        return None
    value = float(inputs[:, -1].reshape(-1).mode().values)
    padded = padded_steps(inputs, value).float()
    if float((padded > 0).float().mean()) < 0.5 or float(padded.std()) == 0:
        return None
    return value, float(padded.mean()) / inputs.shape[1]


@check(
    "padding-before-the-state",
    needs=Needs.DATA | Needs.BATCH | Needs.RUN,
    when=lambda evidence: evidence.learns_little,
    confuses="sequences that really end in silence",
)
def states_read_after_the_padding(evidence: Evidence) -> Iterator[Finding]:
    """The last state of a recurrent layer is read behind the padding of short sequences, which wipes out what
    they said.

    Looks at the steps at the end of the training sequences, (N, T) or (N, T, F), that hold nothing but one
    value, and at which state of each recurrent layer of one direction the network goes on with.
    Threshold: 40 % of all steps are padding at the end, of differing length, in at least ten steps; the last
    state alone is read; a training skill under 0.5.
    Source: PyTorch documentation, torch.nn.utils.rnn.pack_padded_sequence; Dwarampudi and Reddy, Effects of
    padding on LSTMs and CNNs (2019).
    """
    found, calls = padding(evidence), last_states(evidence)
    if found is None or not calls or found[1] < MOSTLY:
        return
    value, share = found
    assert evidence.data is not None
    steps = evidence.data.train.inputs.shape[1]
    yield Finding(
        "ignores-input",
        evidence.call_place(calls[-1], "network"),
        {"padding": value, "padded_share": share, "steps": steps, "padded": True},
        f"Of {steps} steps {share * steps:.0f} are padding at the end ({value:g}), and {calls[-1].layer}"
        " is read behind it: what came before is forgotten by then.",
        ("the-state-before-the-padding", "every-position"),
        also=("vanishing-gradient",),
    )


def _attends(evidence: Evidence) -> bool:
    names = {c.name for c in evidence.batch.operations.forward} if evidence.batch is not None else set[str]()
    attends = bool(names & {"attention", "scaled_dot_product_attention"})
    return attends and not names & set(READS_PLACES)


@check(
    "order-unseen",
    needs=Needs.BATCH,
    probes=("order-seen",),
    when=_attends,
    confuses="a question in which the order of the steps plays no part",
)
def order_that_attention_cannot_see(evidence: Evidence) -> Iterator[Finding]:
    """Attention over steps that carry no mark of their place: the output is the same in whatever order they
    come.

    Looks at the outputs of 16 sequences, (B, T) or (B, T, F), against those with all steps but the last, or
    all but the first, in another order; in networks with attention and without convolution or recurrence.
    Threshold: outputs that move by under a thousandth of their spread, with a validation skill under 0.8.
    Source: Vaswani et al., Attention Is All You Need (2017), section 3.5.
    """
    assert evidence.batch is not None
    skill = evidence.skill("val")
    if evidence.probes["order-seen"].change > UNMOVED or skill is None or skill >= WELL:
        return  # before a training nobody knows whether the order matters
    first = next((c for c in evidence.batch.operations.forward if "attention" in c.name), None)
    yield Finding(
        "ignores-input",
        evidence.call_place(first, "network") if first else evidence.place("network"),
        {"order": True, "change": evidence.probes["order-seen"].change},
        "The output is the same in whatever order the steps come: nothing tells attention their places.",
        ("mark-the-positions",),
    )
