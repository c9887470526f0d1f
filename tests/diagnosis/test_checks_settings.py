"""The settings of the training, its loss and its end: cases in which a check must fire, and near misses."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import netwright as nw
from conftest import diabetes_data, mlp
from netwright.recipe.source import shown

from . import faulty
from .cases import adam, assert_fires, cases, findings, recipe, regression
from .networks import (
    Convolutional,
    Transformer,
    binary_table,
    one_logit,
    rows_of_digits,
    with_dropout,
)


def log_of_softmax(outputs, targets):
    return F.nll_loss(torch.log(torch.softmax(outputs, 1)), targets)  # fault


def divided_by_a_count(outputs, targets):
    positive = (targets == 1).float()
    return (F.cross_entropy(outputs, targets, reduction="none") * positive).sum() / positive.sum()


def own_cross_entropy(outputs, targets):
    return -F.log_softmax(outputs, 1)[torch.arange(len(targets)), targets].mean()


def guarded_log(outputs, targets):
    return F.nll_loss(torch.log(torch.softmax(outputs, 1) + 1e-8), targets)


def squares_in_half(outputs, targets):
    return F.mse_loss(300 * outputs.half(), 300 * targets.half()).float()


def tiny_squares_in_half(outputs, targets):
    return 1e7 * (1e-7 * (outputs - targets).half()).float().square().mean()


def harmless_halves(outputs, targets):
    return F.mse_loss(outputs.half().float(), targets)


class KeptInHalf(nn.Module):
    """Weights in bfloat16, whose steps are mostly too small for it."""

    def __init__(self):
        super().__init__()
        self.body = mlp().to(torch.bfloat16)

    def forward(self, x):
        return self.body(x.to(torch.bfloat16)).float()


def with_dropout_of(p):
    return lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(p), nn.Linear(32, 10))


def positive_diabetes():
    x, y = diabetes_data().train
    return nw.Data.arrays(x, y - y.min() + 0.1)


def steps_around_zero():
    """Targets of either sign, in a few steps as grades have them, none of them 0."""
    x, y = diabetes_data().train
    steps = np.round(2 * (y - y.mean()) / y.std()) + 0.15
    return nw.Data.arrays(x, (steps / steps.std()).astype("float32"))


def relative_error(outputs, targets):
    return ((outputs - targets) / targets).pow(2).mean()


def own_squared_error(outputs, targets):
    return (outputs - targets).pow(2).mean()


def binary(network, loss, **settings):
    return adam(binary_table(), network, loss=loss, **{"epochs": 12, **settings})


def dropping(at_inputs, *behind):
    """Digits by one hidden layer, with dropout on the inputs and some times behind it."""
    layers = [nn.Flatten(), nn.Dropout(at_inputs), nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*layers, *map(nn.Dropout, behind), nn.Linear(64, 10))


MUST_FIRE = {
    "loss-output-mismatch": {
        "softmax as a function": lambda: recipe(network=faulty.SoftmaxAtTheEnd),
        "sigmoid as a function": lambda: binary(faulty.SigmoidAtTheEnd, "bce_with_logits"),
    },
    "unstable-loss": {
        "the logarithm of a softmax": lambda: recipe(loss=log_of_softmax),
        "a count that may be zero": lambda: recipe(loss=divided_by_a_count),
        "an error in parts of targets of either sign": lambda: regression(
            steps_around_zero(), loss=relative_error
        ),
    },
    "wrong-activation": {
        "a rectifier over logits": lambda: recipe(network=faulty.RectifiedLogits),
        "a rectifier under a softmax": lambda: recipe(network=faulty.RectifiedUnderSoftmax, loss="nll"),
        "a rectifier over targets below 0": lambda: regression(network=faulty.RectifiedNumber),
        "a sigmoid over targets above 1": lambda: regression(network=faulty.BoundedNumber),
        "a softmax over one unit": lambda: binary(faulty.SoftmaxOverOneUnit, "bce"),
    },
    "regularisation-too-strong": {
        "dropout of 0.9": lambda: recipe(network=with_dropout_of(0.9), epochs=4),
        "half of the inputs": lambda: recipe(network=lambda: dropping(0.5, 0.0), lr=3e-3, epochs=3),
        "half, three times": lambda: recipe(network=lambda: dropping(0.0, 0.5, 0.5, 0.5), lr=3e-3, epochs=3),
        "weight decay of 1": lambda: recipe(weight_decay=1.0),
        "smoothing of 0.9": lambda: recipe(label_smoothing=0.9, lr=0.01, epochs=3),
    },
    "optimizer-misuse": {
        "momentum of 0.999": lambda: recipe(momentum=0.999),
        "a second beta of 0.1": lambda: adam(options={"betas": (0.9, 0.1)}),
        "eps of 1": lambda: adam(options={"eps": 1.0}),
        "maximize": lambda: recipe(options={"maximize": True}),
        "a bound of 1e-6": lambda: recipe(clip=1e-6),
    },
    "schedule-mismatch": {
        "zero after a tenth": lambda: recipe(schedule=lambda done: float(done < 0.1)),
        "zero for the first half": lambda: recipe(schedule=lambda done: float(done > 0.5)),
        "a thousandth throughout": lambda: recipe(schedule=lambda done: 1e-3),
        "a factor of 100": lambda: recipe(schedule=lambda done: 100.0 * (1 - done)),
        "a jump in the middle": lambda: recipe(schedule=lambda done: 0.05 if done < 0.5 else 1.0),
    },
    "low-precision": {
        "gradients too large for half precision": lambda: recipe(network=Overflows, precision="fp16"),
        "a loss that overflows by hand": lambda: regression(loss=squares_in_half),
        "a loss that vanishes by hand": lambda: regression(loss=tiny_squares_in_half),
        "weights that hardly move": lambda: recipe(network=KeptInHalf, lr=1e-4),
    },
    "batch-size": {
        "all samples in one batch": lambda: recipe(batch_size=600, epochs=6),
        "batches of one": lambda: recipe(batch_size=1, epochs=1, lr=0.1),
    },
}


class Overflows(nn.Module):
    """Its largest value does not fit into sixteen bits."""

    def __init__(self):
        super().__init__()
        self.inward, self.body = nn.Linear(64, 32), mlp(32)

    def forward(self, x):
        return self.body(F.relu(self.inward(x.flatten(1))) * 1e6)


MUST_NOT = {
    "loss-output-mismatch": {
        "a sigmoid before bce": lambda: binary(faulty.SigmoidAtTheEnd, "bce"),
        "one logit": lambda: binary(one_logit, "bce_with_logits"),
        "a regression": lambda: regression(),
        "attention inside": lambda: adam(rows_of_digits(), Transformer, epochs=1),
    },
    "unstable-loss": {
        "a loss by name": lambda: recipe(),
        "log_softmax by hand": lambda: recipe(loss=own_cross_entropy),
        "a logarithm that is kept from 0": lambda: recipe(loss=guarded_log),
        "an error in parts of targets above 0": lambda: regression(positive_diabetes(), loss=relative_error),
        "a squared error by hand": lambda: regression(steps_around_zero(), loss=own_squared_error),
    },
    "wrong-activation": {
        "logits": lambda: recipe(network=Convolutional),
        "a rectifier over targets above 0": lambda: regression(positive_diabetes(), faulty.RectifiedNumber),
        "a sigmoid before bce": lambda: binary(faulty.SigmoidAtTheEnd, "bce"),
        "a softmax inside": lambda: adam(rows_of_digits(), Transformer, epochs=1),
    },
    "regularisation-too-strong": {
        "dropout of 0.2": lambda: recipe(network=with_dropout),
        "a fifth of the inputs": lambda: recipe(network=lambda: dropping(0.2, 0.0), lr=3e-3, epochs=3),
        "a tenth, twenty times": lambda: recipe(network=lambda: dropping(*[0.1] * 20), lr=3e-3, epochs=3),
        "dropout of 0.5 that fits": lambda: recipe(network=with_dropout_of(0.5), epochs=20),
        "a usual weight decay": lambda: recipe(weight_decay=5e-4),
        "adamw's own": lambda: adam(optimizer="adamw", epochs=15),
        "smoothing of 0.1": lambda: recipe(label_smoothing=0.1),
        "nothing, and too low a rate": lambda: recipe(lr=1e-5),
    },
    "optimizer-misuse": {
        "momentum": lambda: recipe(),
        "adam": lambda: adam(),
        "a low second beta of a transformer": lambda: adam(options={"betas": (0.9, 0.95)}),
        "eps of 1e-6": lambda: adam(options={"eps": 1e-6}),
        "a bound of 1": lambda: recipe(clip=1.0),
        "a bound of 0.1 under adam": lambda: adam(clip=0.1),
        "rmsprop": lambda: adam(optimizer="rmsprop", lr=1e-3),
    },
    "schedule-mismatch": {
        name: lambda name=name: recipe(schedule=name)
        for name in ("constant", "linear", "cosine", "step", "warmup", "one_cycle")
    }
    | {"warm restarts": lambda: recipe(schedule=lambda done: 1.0 - 0.8 * ((4 * done) % 1))},
    "low-precision": {
        "float32": lambda: recipe(),
        "bf16": lambda: recipe(precision="bf16"),
        "fp16 within bounds": lambda: recipe(precision="fp16"),
        "a cast that loses nothing": lambda: regression(loss=harmless_halves),
    },
    "batch-size": {
        "batches of 32": lambda: recipe(),
        "all samples in one batch, for long enough": lambda: adam(batch_size=600, epochs=100, lr=1e-2),
        "batches of one that do learn": lambda: recipe(batch_size=1, epochs=4, lr=5e-3),
        "a small rate": lambda: recipe(lr=1e-5),
    },
}


@pytest.mark.parametrize(("check", "make"), cases(MUST_FIRE))
def test_it_fires(check, make):
    assert_fires(check, make())


@pytest.mark.parametrize(("check", "make"), cases(MUST_NOT))
def test_it_leaves_alone(check, make):
    assert findings(check, make()) == []


@pytest.mark.parametrize(
    ("check", "make", "fault"),
    [
        ("loss-output-mismatch", "softmax as a function", faulty.SoftmaxAtTheEnd),
        ("loss-output-mismatch", "sigmoid as a function", faulty.SigmoidAtTheEnd),
        ("unstable-loss", "the logarithm of a softmax", log_of_softmax),
        ("wrong-activation", "a rectifier over logits", faulty.RectifiedLogits),
        ("wrong-activation", "a rectifier under a softmax", faulty.RectifiedUnderSoftmax),
        ("wrong-activation", "a rectifier over targets below 0", faulty.RectifiedNumber),
        ("wrong-activation", "a sigmoid over targets above 1", faulty.BoundedNumber),
        ("wrong-activation", "a softmax over one unit", faulty.SoftmaxOverOneUnit),
    ],
)
def test_the_line_of_the_function_is_named(check, make, fault):
    file, line = faulty.line_of(fault)
    where = findings(check, MUST_FIRE[check][make]())[0].where
    assert (where.file, where.line) == (shown(file), line)


def test_the_line_that_casts_is_named():
    where = findings("low-precision", regression(loss=squares_in_half))[0].where
    assert where.line == squares_in_half.__code__.co_firstlineno + 1


def test_a_target_at_which_the_loss_is_never_finite_is_said_so():
    x, y = diabetes_data().train
    y = (y - y.mean()).copy()
    y[299] = 0.0  # in none of the first batches
    data = nw.Data((x[:300], y[:300]), (x[300:], y[300:]))
    (found,) = findings("unstable-loss", regression(data, loss=relative_error))
    assert "a target of 0, where it is not finite for any error" in found.explanation
