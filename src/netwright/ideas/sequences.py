"""Ideas about how a network reads sequences."""

from __future__ import annotations

from collections.abc import Iterator

from netwright.catalogue import idea
from netwright.diagnosis.probing import builds
from netwright.diagnosis.sequences import last_states, padding
from netwright.ideas.forward import operations_of
from netwright.ideas.situation import Situation
from netwright.recipe import Recipe
from netwright.values import Edit


@idea(attribute="network", addresses=("ignores-input", "vanishing-gradient"), prior=0.9)
def the_state_before_the_padding(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """Recurrent layers that stop at the last real step of each sequence.

    Source: PyTorch documentation, torch.nn.utils.rnn.pack_padded_sequence.
    """
    finding = situation.finding("ignores-input")
    found, calls = padding(situation.evidence), last_states(situation.evidence)
    if finding is None or not finding.evidence.get("padded") or found is None or not calls:
        return
    # Those below it as well: what they hand on behind the padding is read by those above.
    layers = list(
        dict.fromkeys(c.layer for c in operations_of(situation).forward if c.name == calls[-1].name)
    )
    edit = Edit(
        "stop-at-the-padding",
        {"layers": [layer for layer in layers if layer], "value": found[0]},
        "network",
        "the state at the last step before the padding",
    )
    if builds(recipe, edit):
        yield edit


@idea(attribute="network", addresses=("ignores-input",), prior=0.8)
def mark_the_positions(recipe: Recipe, situation: Situation) -> Iterator[Edit]:
    """The sinusoidal encoding of its place on each step, before the first attention.

    Source: Vaswani et al., Attention Is All You Need (2017), section 3.5.
    """
    finding, batch = situation.finding("ignores-input"), situation.evidence.batch
    if finding is None or not finding.evidence.get("order") or batch is None:
        return
    first = next((c for c in operations_of(situation).forward if c.layer and len(c.shape) == 3), None)
    if first is None or first.name not in ("embedding", "linear"):
        return
    axis = 1 if first.shape[0] == batch.size else 0
    label = f"sinusoidal positions added after {first.layer}"
    edit = Edit("add-positions", {"layer": first.layer, "axis": axis}, "network", label)
    if builds(recipe, edit):
        yield edit
