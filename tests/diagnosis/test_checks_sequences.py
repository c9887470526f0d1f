"""How sequences are read: cases in which a check must fire, and near misses."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import netwright as nw

from . import faulty
from .cases import adam, assert_fires, cases, findings
from .networks import Recurrent, Transformer, rows_of_digits

WORDS, LENGTH = 40, 40


def reviews(count=400, padded_to=LENGTH, at_the_end=True):
    """Some words of one mood or the other, (N, T), padded with 0 to one length."""
    generator = np.random.default_rng(0)
    x, y = np.zeros((count, padded_to), dtype=np.int64), generator.integers(0, 2, count)
    for row, mood in zip(x, y, strict=True):
        words = generator.integers(1, WORDS // 2, generator.integers(4, 10)) + mood * WORDS // 2
        row[: len(words)] = words
        if not at_the_end:
            row[:] = np.roll(row, padded_to - len(words))
    return nw.Data.arrays(x, y)


def which_half(count=900, length=12):
    """Where among others the word 0 stands: in the first or the second half, (N, T)."""
    generator = np.random.default_rng(0)
    x, y = generator.integers(1, WORDS, (count, length)), generator.integers(0, 2, count)
    x[np.arange(count), y * length // 2 + generator.integers(0, length // 2, count)] = 0
    return nw.Data.arrays(x, y)


class Reads(nn.Module):
    """(N, T) to (N, 2): by the state itself, by the last output, or by the mean over all."""

    def __init__(self, kind=nn.LSTM, by="state", bidirectional=False):
        super().__init__()
        self.words, self.by = nn.Embedding(WORDS, 8), by
        self.body = kind(8, 8, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(16 if bidirectional and by != "state" else 8, 2)

    def forward(self, x):
        outputs, state = self.body(self.words(x))
        state = state[0] if isinstance(state, tuple) else state
        read = {"state": state[-1], "last": outputs[:, -1], "mean": outputs.mean(1)}[self.by]
        return self.head(read)


class Attends(nn.Module):
    """(N, T) to (N, 2) by attention, with or without a mark of each word's place."""

    def __init__(self, marked=False):
        super().__init__()
        self.words = nn.Embedding(WORDS, 16)
        self.body = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
        self.places = nn.Parameter(torch.randn(12, 16)) if marked else 0.0
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.body(self.words(x) + self.places).mean(1))


MUST_FIRE = {
    "padding-before-the-state": {
        "the state itself": lambda: adam(reviews(), Reads, epochs=2),
        "the last output": lambda: adam(reviews(), partial(Reads, nn.GRU, "last"), epochs=2),
    },
    "order-unseen": {"words without a place": lambda: adam(which_half(), Attends, epochs=2)},
    "gradient-cut-inside": {
        "a state detached at each step": lambda: adam(
            rows_of_digits(200), faulty.DetachesTheState, lr=1e-4, epochs=1
        ),
    },
}

MUST_NOT = {
    "padding-before-the-state": {
        "the mean over all steps": lambda: adam(reviews(), partial(Reads, by="mean"), epochs=2),
        "both directions": lambda: adam(reviews(), partial(Reads, bidirectional=True), epochs=2),
        "padding in front": lambda: adam(reviews(at_the_end=False), Reads, epochs=2),
        "hardly any padding": lambda: adam(reviews(padded_to=10), Reads, epochs=2),
        "rows of digits": lambda: adam(rows_of_digits(), Recurrent, epochs=1),
    },
    "order-unseen": {
        "words with their places": lambda: adam(which_half(), partial(Attends, True), epochs=2),
        "recurrence": lambda: adam(which_half(), Reads, epochs=2),
        "an order that does not matter": lambda: adam(reviews(padded_to=12), Attends, epochs=12),
        "a transformer": lambda: adam(rows_of_digits(), Transformer, epochs=1),
    },
    "gradient-cut-inside": {
        "a state that is kept": lambda: adam(rows_of_digits(200), Recurrent, lr=1e-4, epochs=1),
        "a copy that is only looked at": lambda: adam(network=faulty.KeepsACopy, lr=1e-5, epochs=1),
        "no gradient at all, told elsewhere": lambda: adam(network=faulty.Detached, lr=1e-4, epochs=1),
    },
}


@pytest.mark.parametrize(("check", "make"), cases(MUST_FIRE))
def test_it_fires(check, make):
    assert_fires(check, make())


@pytest.mark.parametrize(("check", "make"), cases(MUST_NOT))
def test_it_leaves_alone(check, make):
    assert findings(check, make()) == []


def test_how_much_is_padding_and_what_is_read_behind_it_is_said():
    finding = assert_fires("padding-before-the-state", adam(reviews(), Reads, epochs=2))
    assert finding.evidence["padding"] == 0
    assert 0.75 < finding.evidence["padded_share"] < 0.9
    assert "body" in finding.explanation
