"""Sound recipes of many kinds: no check states anything."""

import pytest
from torch import nn

from conftest import digits_data, mlp
from netwright.diagnosis import examine

from .cases import CHECKS, adam, gather, recipe
from .networks import (
    Convolutional,
    Recurrent,
    Residual,
    Transformer,
    along_time,
    binary_table,
    one_logit,
    rows_of_digits,
    smooth_numbers,
    with_dropout,
)

SHORT = {"epochs": 15, "schedule": "cosine"}
SOUND = {
    "a perceptron under SGD": lambda: recipe(digits_data(900), epochs=20, schedule="cosine", lr=0.05),
    "a convolutional network": lambda: adam(digits_data(900), Convolutional, **SHORT),
    "a recurrent network": lambda: adam(
        rows_of_digits(), Recurrent, lr=1e-2, epochs=15, schedule="one_cycle"
    ),
    "a transformer": lambda: adam(rows_of_digits(), Transformer, epochs=15, schedule="one_cycle"),
    "a residual network": lambda: adam(digits_data(900), Residual, **SHORT),
    "convolutions over time": lambda: adam(rows_of_digits(), along_time, **SHORT),
    "log-probabilities": lambda: recipe(
        digits_data(900), lambda: nn.Sequential(mlp(), nn.LogSoftmax(1)), loss="nll",
        epochs=20, schedule="cosine",
    ),
    "one logit": lambda: adam(binary_table(), one_logit, loss="bce_with_logits", **SHORT),
    "a regression": lambda: adam(
        smooth_numbers(), lambda: nn.Sequential(mlp(6, 1, 64), nn.Flatten(0)), loss="mse", lr=1e-2,
        epochs=40, schedule="cosine",
    ),
    "dropout and batch normalisation": lambda: recipe(
        digits_data(900), with_dropout, weight_decay=1e-4, epochs=20, schedule="cosine"
    ),
}  # fmt: skip


@pytest.mark.parametrize("make", SOUND.values(), ids=SOUND)
def test_a_sound_recipe_is_left_alone_by_every_check(make):
    evidence = gather(make(), list(CHECKS.values()), steps=12)
    assert list(examine(evidence, CHECKS.values())) == []  # neither a finding nor a check that was skipped
