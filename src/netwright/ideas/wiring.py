"""Ideas about what forward shuts off, drops or mixes: the input that does not reach the output."""

from __future__ import annotations

from collections.abc import Iterator

from netwright.catalogue import idea
from netwright.diagnosis.flow import MOVES
from netwright.diagnosis.probing import builds
from netwright.ideas.forward import operations_of, rewrite
from netwright.ideas.situation import Situation
from netwright.recipe import Recipe
from netwright.runs.calls import OVER_AN_AXIS
from netwright.values import Edit

WEAK = 0.1
REDUCING = OVER_AN_AXIS - {"softmax", "log_softmax", "softmin", "cumsum"}
HIDDEN_UNITS = 64


def _runs(recipe: Recipe, *edits: Edit) -> Iterator[Edit]:
    """The edits with which the network can still be run."""
    yield from (edit for edit in edits if builds(recipe, edit))


@idea(attribute="network", addresses=("ignores-input",), prior=0.8)
def nothing_overwritten(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """What forward overwrites with a constant stays as it came.

    Source: PyTorch documentation, Tensor views and in-place assignment by index.
    """
    calls = [c for c in operations_of(situation).on_the_way() if c.name == "setitem" and len(c.reads) == 1]
    if calls and situation.names("ignores-input"):
        yield from _runs(recipe, rewrite(calls, "identity", "network", "nothing overwritten in forward"))


@idea(attribute="network", addresses=("ignores-input", "vanishing-gradient"), prior=0.8)
def gate_open(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """No multiplication by a constant that leaves a tenth of the signal or less.

    Source: He et al., Identity Mappings in Deep Residual Networks (2016), section 3.1, on scaled shortcuts.
    """
    calls = [
        c for c in operations_of(situation).on_the_way() if c.factor is not None and abs(c.factor) <= WEAK
    ]
    if calls and any(situation.names(c) for c in ("ignores-input", "vanishing-gradient")):
        label = f"no factor of {calls[0].factor:g} in forward"
        yield from _runs(recipe, rewrite(calls, "identity", "network", label))


@idea(attribute="network", addresses=("ignores-input",), prior=0.7)
def every_position(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """All positions where forward takes a slice; their mean, their largest or the last where it reads one.

    Source: Cho et al., Learning Phrase Representations (2014), section 2.2 (the last state); Lin et al.,
    Network in Network (2014), section 3.2 (the mean).
    """
    if not situation.names("ignores-input"):
        return
    for call in operations_of(situation).on_the_way():
        picked = call.settings.get("picked") or {}
        if call.name == "getitem" and call.settings.get("sliced"):
            yield from _runs(recipe, rewrite([call], "identity", "network", "all positions, not a slice"))
        if call.name != "getitem" or not picked or 0 in picked or len(call.shape) < 2:
            continue  # along axis 0 are the samples; a part of a state is no position
        instead = {"averaged": "the mean over all positions", "last": "the last position"}
        if set(picked.values()) == {-1}:
            instead = {"averaged": instead["averaged"], "largest": "the largest over all positions"}
        yield from _runs(recipe, *(rewrite([call], to, "network", label) for to, label in instead.items()))


@idea(attribute="pooling", addresses=("collapse", "ignores-input"), prior=0.7)
def features_kept_apart(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """No pooling that leaves a single number of a sample.

    Source: Lin et al., Network in Network (2014), section 3.2: pooling over positions, never over features.
    """
    operations, batch = operations_of(situation), situation.evidence.batch
    if batch is None or not (situation.names("collapse") or situation.names("ignores-input")):
        return
    for call in operations_of(situation).on_the_way():
        one = call.shape[:1] == (batch.size,) and all(n == 1 for n in call.shape[1:])
        if call.name in REDUCING and one and operations.all_through(call):
            label = f"no {call.name} over the features"
            yield from _runs(recipe, rewrite([call], "identity", "pooling", label))


@idea(attribute="network", addresses=("batch-leak",), prior=0.8)
def samples_stay_apart(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """No transposition that moves the samples off axis 0 before a reshape.

    Source: PyTorch documentation, torch.Tensor.view: a reshape keeps the order of the numbers, not the axes.
    """
    if not situation.names("batch-leak"):
        return
    for call in operations_of(situation).on_the_way():
        if call.name in MOVES:
            label = f"no {call.name} of the samples' axis"
            yield from _runs(recipe, rewrite([call], "identity", "network", label))


@idea(attribute="depth", addresses=("capacity-too-small", "missing-nonlinearity"), prior=0.5)
def a_hidden_layer(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """A hidden layer of 64 rectified units, for a network of a single linear layer.

    Source: Hornik et al., Multilayer Feedforward Networks are Universal Approximators (1989).
    """
    weighted = [c for c in operations_of(situation).forward if c.weighted]
    if len(weighted) == 1 and weighted[0].name == "linear" and weighted[0].layer:
        parameters = {"layer": weighted[0].layer, "width": HIDDEN_UNITS}
        label = f"a hidden layer of {HIDDEN_UNITS} units before {weighted[0].layer}"
        yield from _runs(recipe, Edit("hidden-layer", parameters, "depth", label))
