"""Edits of how sequences are read: up to their end, and with their places."""

import copy
import inspect
import math

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import netwright as nw
from netwright.recipe.changes import changes_of
from netwright.recipe.sequences import padded_steps
from netwright.values import Edit, UserError

LENGTHS = torch.tensor([3, 7, 1, 5])
STEPS = 7


class Reader(nn.Module):
    """(N, T) to the outputs and the state of one recurrent layer, put side by side as (N, H + H)."""

    def __init__(self, kind=nn.LSTM, batch_first=True):
        super().__init__()
        self.words, self.first = nn.Embedding(9, 4), batch_first
        self.body = kind(4, 6, batch_first=batch_first)
        self.width = self.body.hidden_size

    def forward(self, x):
        embedded = self.words(x if self.first else x.T)
        outputs, state = self.body(embedded)
        state = state[0] if isinstance(state, tuple) else state
        return torch.cat([outputs[:, -1] if self.first else outputs[-1], state[-1]], 1)


class Same(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x):
        return self.layer(x)


def padded():
    x = torch.randint(1, 9, (len(LENGTHS), STEPS), generator=torch.Generator().manual_seed(0))
    return x.where(torch.arange(STEPS) < LENGTHS[:, None], 0)


def edited(network, kind, **parameters):
    """The network that the edit makes of `network`, with its weights."""
    recipe = nw.Recipe(
        nw.Data.arrays(padded(), torch.arange(len(LENGTHS)), split=(0.5, 0.5, 0)),
        lambda: copy.deepcopy(network),
        nw.Training(loss="cross_entropy", optimizer="sgd", lr=0.1, batch_size=2, epochs=1),
    )
    changed = recipe.with_edits(Edit(kind, parameters, "network", "")).build(0)
    original = dict(network.named_parameters())
    with torch.no_grad():
        for name, parameter in changed.named_parameters():
            parameter.copy_(original[name.removeprefix("network.").replace("body.layer.", "body.")])
    return changed


def test_padding_is_what_is_empty_at_the_end_alone():
    x = torch.tensor([[1, 0, 2, 0, 0], [0, 0, 0, 0, 0], [1, 2, 3, 4, 5]])
    assert padded_steps(x, 0).tolist() == [2, 5, 0]
    assert padded_steps(torch.stack([x, torch.zeros_like(x)], 2), 0).tolist() == [2, 5, 0]


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("batch_first", [True, False])
def test_the_state_is_that_at_the_last_real_step_as_packing_gives_it(kind, batch_first):
    network, x = Reader(kind, batch_first), padded()
    answers = edited(network, "stop-at-the-padding", layers=["body"], value=0)(x)
    embedded = network.words(x if batch_first else x.T)
    packed = pack_padded_sequence(embedded, LENGTHS, batch_first=batch_first, enforce_sorted=False)
    state = network.body(packed)[1]
    expected = (state[0] if isinstance(state, tuple) else state)[-1]
    torch.testing.assert_close(answers, torch.cat([expected, expected], 1))


def test_what_stands_behind_the_last_real_step_has_no_influence():
    network = edited(Reader(), "stop-at-the-padding", layers=["body"], value=0)
    longer = torch.cat([padded(), torch.zeros(len(LENGTHS), 5, dtype=torch.long)], 1)
    torch.testing.assert_close(network(longer), network(padded()))


def test_the_layer_still_answers_for_its_settings():
    network = edited(Reader(), "stop-at-the-padding", layers=["body"], value=0)
    assert network.network.body.hidden_size == 6
    with pytest.raises(AttributeError):
        network.network.body.nothing_of_the_kind  # noqa: B018


@pytest.mark.parametrize("axis", [0, 1])
def test_each_step_gets_the_encoding_of_its_own_place(axis):
    network = edited(Same(), "add-positions", layer="layer", axis=axis)
    shape = (2, 5, 6) if axis == 1 else (5, 2, 6)
    added = network(torch.zeros(shape)).movedim(axis, 0)
    torch.testing.assert_close(added[:, 0], added[:, 1])  # the same for every sample
    assert added[0, 0].tolist() == [0, 1, 0, 1, 0, 1]
    assert added[3, 0, :2].tolist() == pytest.approx([math.sin(3), math.cos(3)], abs=1e-6)
    assert len({tuple(place.tolist()) for place in added[:, 0]}) == 5


def test_the_lines_of_the_layers_are_named():
    recipe = nw.Recipe(
        nw.Data.arrays(padded(), torch.arange(len(LENGTHS)), split=(0.5, 0.5, 0)),
        Reader,
        nw.Training(loss="cross_entropy", optimizer="sgd", lr=0.1, batch_size=2, epochs=1),
    )
    source, first = inspect.getsourcelines(Reader)
    made = {
        name: first + next(k for k, line in enumerate(source) if f"self.{name}" in line)
        for name in ("words", "body")
    }
    places = Edit("add-positions", {"layer": "words", "axis": 1}, "network", "")
    ends = Edit("stop-at-the-padding", {"layers": ["body"], "value": 0}, "network", "")
    changes = changes_of(recipe, (places, ends))
    assert [change.line for change in changes] == [made["words"], made["body"]]
    assert "pack_padded_sequence" in changes[1].new


def test_a_layer_that_reads_no_sequences_is_refused():
    with pytest.raises(UserError, match="words is a Embedding"):
        edited(Reader(), "stop-at-the-padding", layers=["words"], value=0)
