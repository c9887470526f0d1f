"""What flows through the network before its first step: cases in which a check must fire, and near misses."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import netwright as nw
from netwright.recipe.source import shown

from . import faulty
from .cases import adam, assert_fires, cases, findings, recipe
from .networks import (
    Convolutional,
    Recurrent,
    Residual,
    Transformer,
    along_time,
    rows_of_digits,
    with_dropout,
)


def tokens(count=300, length=8):
    """Sequences of words, and the same a place on: (N, T) and (N, T)."""
    words = np.random.default_rng(0).integers(1, 12, (count, length + 1))
    words[:, 1:] = np.where(np.arange(length) % 2 == 0, words[:, :-1] % 11 + 1, words[:, 1:])
    return nw.Data.arrays(words[:, :-1], words[:, 1:])


class NextWord(nn.Module):
    """(N, T) to (N, 12, T), by attention with or without a causal mask."""

    def __init__(self, causal=True):
        super().__init__()
        self.words, self.causal = nn.Embedding(12, 16), causal
        self.attention, self.head = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, 12)

    def forward(self, words):
        x = self.words(words)
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if self.causal else None
        x = x + self.attention(x, x, x, attn_mask=mask, need_weights=False)[0]
        return self.head(x).transpose(1, 2)


class TwoInputs(nn.Module):
    """{"image": (N, 1, 8, 8), "side": (N, 4)} to (N, 10)."""

    def __init__(self, reads_both=True):
        super().__init__()
        self.body, self.side, self.reads_both = nn.Linear(64, 10), nn.Linear(4, 10), reads_both

    def forward(self, image, side):
        logits = self.body(image.flatten(1))
        return logits + self.side(side) if self.reads_both else logits + 0 * self.side.weight.sum()


def pairs():
    x, y = recipe().data.train
    side = np.random.default_rng(0).normal(size=(len(x), 4)).astype("float32")
    return nw.Data.arrays({"image": x.astype("float32"), "side": side}, y)


def of_tokens(network):
    return adam(tokens(), network, epochs=1)


class Cropped(nn.Module):
    def __init__(self, margin=1):
        super().__init__()
        self.margin, self.body = margin, nn.LazyLinear(10)
        self(torch.zeros(1, 1, 8, 8))

    def forward(self, x):
        return self.body(x[..., self.margin : 8 - self.margin].flatten(1))


class EveryOther(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(32, 10)

    def forward(self, x):
        return self.body(x[..., ::2].flatten(1))


MUST_FIRE = {
    "exploding-gradient": {
        "weights twelve times too large": lambda: recipe(network=faulty.Growing, epochs=1),
        "an exponential that overflows": lambda: recipe(network=faulty.Overflowing, epochs=1),
    },
    "growing-recurrence": {
        "states four times larger at each step": lambda: adam(
            rows_of_digits(), faulty.GrowingStates, epochs=1
        ),
    },
    "unstable-arithmetic": {
        "the root of a rectifier": lambda: recipe(network=faulty.RootOfZero, epochs=1),
        "the distance of equal points": lambda: recipe(network=faulty.DistanceOfZero, epochs=1),
    },
    "batch-leak": {
        "a recurrent layer that takes samples for time": lambda: adam(
            rows_of_digits(), faulty.TakesSamplesForTime, epochs=1
        ),
        "a mean over the samples": lambda: recipe(network=faulty.MeanOverSamples),
        "a reshape that mixes": lambda: recipe(network=faulty.MixedByReshape),
        "a softmax over the samples": lambda: recipe(network=faulty.SoftmaxOverSamples),
        "attention to the future": lambda: of_tokens(lambda: NextWord(causal=False)),
    },
    "ignores-input": {
        "one row of eight": lambda: recipe(network=faulty.OneRowOnly),
        "one step of eight": lambda: adam(rows_of_digits(), faulty.OneStepOnly, epochs=1),
        "nothing": lambda: recipe(network=faulty.Blind),
        "next to nothing of a recurrent layer": lambda: adam(rows_of_digits(), faulty.ShutStates, epochs=1),
        "a factor of a thousandth": lambda: recipe(network=faulty.NearlyShut),
        "a division by a thousand": lambda: recipe(network=faulty.DividedAway),
        "what is overwritten": lambda: recipe(network=faulty.Overwrites),
        "the first state": lambda: adam(rows_of_digits(), faulty.ReadsOneStep, epochs=1),
        "the last three of eight columns": lambda: recipe(network=faulty.LeavesOutColumns),
        "one of two inputs": lambda: adam(pairs(), lambda: TwoInputs(reads_both=False), epochs=1),
    },
}

SOUND = {
    "a convolutional network": lambda: recipe(network=Convolutional),
    "a recurrent network": lambda: adam(rows_of_digits(), Recurrent, epochs=1),
    "a transformer": lambda: adam(rows_of_digits(), Transformer, epochs=1),
    "a residual network": lambda: recipe(network=Residual),
    "convolutions over time": lambda: adam(rows_of_digits(), along_time, epochs=1),
    "dropout and batch normalisation": lambda: recipe(network=with_dropout),
    "causal attention": lambda: of_tokens(NextWord),
    "two inputs": lambda: adam(pairs(), TwoInputs, epochs=1),
}
MUST_NOT = {check: dict(SOUND) for check in MUST_FIRE}
MUST_NOT["exploding-gradient"]["weights a little large"] = lambda: recipe(network=lambda: faulty.Growing(2.0))
MUST_NOT["growing-recurrence"]["states that stay as large"] = lambda: adam(
    rows_of_digits(), lambda: faulty.GrowingStates(1.0), epochs=1
)
MUST_NOT["unstable-arithmetic"]["a root that is kept from 0"] = lambda: recipe(network=faulty.GuardedRoot)
MUST_NOT["ignores-input"]["inputs brought to 0 to 1"] = lambda: recipe(network=faulty.ScalesItsInputs)
MUST_NOT["ignores-input"]["every other column"] = lambda: recipe(network=EveryOther)
MUST_NOT["ignores-input"]["a margin of one pixel"] = lambda: recipe(network=Cropped)


@pytest.mark.parametrize(("check", "make"), cases(MUST_FIRE))
def test_it_fires(check, make):
    assert_fires(check, make())


@pytest.mark.parametrize(("check", "make"), cases(MUST_NOT))
def test_it_leaves_alone(check, make):
    assert findings(check, make()) == []


@pytest.mark.parametrize(
    ("check", "make", "fault"),
    [
        ("unstable-arithmetic", "the root of a rectifier", faulty.RootOfZero),
        ("unstable-arithmetic", "the distance of equal points", faulty.DistanceOfZero),
        ("batch-leak", "a mean over the samples", faulty.MeanOverSamples),
        ("batch-leak", "a softmax over the samples", faulty.SoftmaxOverSamples),
        ("batch-leak", "a reshape that mixes", faulty.MixedByReshape),
        ("ignores-input", "one row of eight", faulty.OneRowOnly),
        ("ignores-input", "one step of eight", faulty.OneStepOnly),
        ("ignores-input", "nothing", faulty.Blind),
        ("ignores-input", "a factor of a thousandth", faulty.NearlyShut),
        ("ignores-input", "what is overwritten", faulty.Overwrites),
        ("ignores-input", "the first state", faulty.ReadsOneStep),
        ("ignores-input", "the last three of eight columns", faulty.LeavesOutColumns),
    ],
)
def test_the_line_of_forward_is_named(check, make, fault):
    file, line = faulty.line_of(fault)
    where = findings(check, MUST_FIRE[check][make]())[0].where
    assert (where.file, where.line) == (shown(file), line)


def test_a_recurrent_layer_that_takes_samples_for_time_is_named():
    found = findings("batch-leak", adam(rows_of_digits(), faulty.TakesSamplesForTime, epochs=1))[0]
    assert found.where.layer == "body"


def test_an_input_that_nothing_reads_is_named():
    found = findings("ignores-input", adam(pairs(), lambda: TwoInputs(reads_both=False), epochs=1))[0]
    assert found.evidence["unused"] == ("side",)


def test_gradients_that_grow_over_time_are_found_after_the_run():
    def recurrent():
        network = Recurrent(partial(nn.RNN, nonlinearity="relu"))
        with torch.no_grad():
            network.body.weight_hh_l0.copy_(torch.eye(32) * 2.2)
        return network

    assert_fires("exploding-gradient", recipe(rows_of_digits(), recurrent, lr=100.0, epochs=2))
