"""Every check: cases in which it must fire, and near misses in which it must not."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn

import netwright as nw
from conftest import diabetes_data, digits_data, mlp, table_data, table_mlp, training
from netwright.diagnosis import examine

from .cases import CHECKS, OF_LOOPS, assert_fires, cases, findings, recipe, regression


def with_end(*layers):
    return lambda: nn.Sequential(mlp(), *layers)


def weights_as(change, outputs=10):
    def build():
        network = mlp(outputs=outputs)
        with torch.no_grad():
            change(network)
        return network

    return build


def deep(activation, norm=False):
    def build():
        layers = [nn.Flatten()]
        for width_in, width_out in [(64, 32)] + [(32, 32)] * 6:
            layers += [
                nn.Linear(width_in, width_out),
                *([nn.BatchNorm1d(width_out)] if norm else []),
                activation(),
            ]
        return nn.Sequential(*layers, nn.Linear(32, 10))

    return build


class Frozen(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        self[1].requires_grad_(False)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.spare = mlp(), nn.Linear(3, 3)

    def forward(self, x):
        return self.body(x)


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Flatten(), nn.Linear(64, 32)), nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.body(x).detach().relu())


class ScalesItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp()

    def forward(self, x):
        return self.body(x / 4000)


def few_of_class_one(share=0.02):
    x, y = table_data().train
    rare = np.flatnonzero(y == 1)[: int(len(y) * share)]
    rows = np.sort(np.concatenate([np.flatnonzero(y == 0), rare]))
    return x[rows], y[rows]


def hidden_few():
    """Classes that cannot be told apart, so that the rare one is given up."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(600, 5)).astype("float32"), (np.arange(600) % 25 == 0).astype(int)


def easy_few():
    generator = np.random.default_rng(0)
    y = (np.arange(600) % 25 == 0).astype(int)
    return (generator.normal(size=(600, 5)) + 6 * y[:, None]).astype("float32"), y


def sorted_digits():
    x, y = digits_data().train
    order = np.argsort(y, kind="stable")
    return nw.Data.arrays(x[order], y[order])


def with_bad(value, where="inputs"):
    x, y = diabetes_data().train
    x, y = x.copy(), y.copy()
    (x[5:9] if where == "inputs" else y[5:9, None])[..., 0] = value
    return nw.Data.arrays(x, y)


def constant_hidden(network):
    network[1].weight.fill_(0.1)


def tiny_hidden(network):
    network[1].weight.mul_(1e-3)


def zero_head(network):
    network[3].weight.zero_()
    network[3].bias.zero_()


def dead_hidden(network):
    network[1].bias.fill_(-50)


def saturated():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    with torch.no_grad():
        network[1].weight.mul_(60)
    return network


def broad_table():
    x, y = table_data(standardised=False).train
    return nw.Data.arrays(x, y)


def one_hot_table():
    generator = np.random.default_rng(1)
    x = (generator.random((500, 6)) < np.array([0.5, 0.4, 0.3, 0.2, 0.02, 0.01])).astype("float32")
    return nw.Data.arrays(x, (x[:, 0] > 0).astype(int))


def one_hot_digits():
    x, y = digits_data().train
    return nw.Data.arrays(x, np.eye(10, dtype="float32")[y])


def flat_digits():
    x, y = digits_data(1500).train
    return nw.Data.arrays(x.reshape(len(x), -1), y)


def flowers():
    return nw.Data.arrays(*load_iris(return_X_y=True))


MUST_FIRE = {
    "loss-output-mismatch": {
        "softmax before cross-entropy": lambda: recipe(network=with_end(nn.Softmax(1))),
        "softmax inside forward": lambda: recipe(network=lambda: _Squashed()),
        "sigmoid before bce_with_logits": lambda: nw.Recipe(
            table_data(),
            lambda: nn.Sequential(mlp(30, 1), nn.Sigmoid(), nn.Flatten(0)),
            training(loss="bce_with_logits"),
        ),
        "logits into nll": lambda: recipe(loss="nll"),
        "logits into bce": lambda: nw.Recipe(
            nw.Data.arrays(*_binary_floats()),
            lambda: nn.Sequential(mlp(30, 1), nn.Flatten(0)),
            training(loss="bce"),
        ),
        "binary cross-entropy on measured numbers": lambda: nw.Recipe(
            diabetes_data(), lambda: mlp(10, 1), training(loss="bce_with_logits", lr=1e-4)
        ),
        "binary cross-entropy on ten classes": lambda: recipe(
            network=lambda: nn.Sequential(mlp(outputs=1), nn.Flatten(0)), loss="bce_with_logits", lr=1e-4
        ),
        "squared error on class numbers": lambda: recipe(
            network=lambda: nn.Sequential(mlp(outputs=1), nn.Flatten(0)), loss="mse"
        ),
    },
    "output-width": {
        "labels that start at 1": lambda: recipe(
            nw.Data.arrays(digits_data().train[0], digits_data().train[1] + 1)
        ),
        "fewer outputs than classes": lambda: recipe(network=lambda: mlp(outputs=7)),
        "one output for all classes": lambda: recipe(network=lambda: mlp(outputs=1)),
        "one probability under a loss of one's own": lambda: recipe(
            network=lambda: nn.Sequential(mlp(outputs=1), nn.Sigmoid(), nn.Flatten(0)),
            loss=lambda outputs, targets: -(targets * outputs.clamp(1e-6).log()).mean(),
        ),
    },
    "target-shape": {"a column against a row": lambda: regression(network=lambda: mlp(10, 1))},
    "untrained-parameters": {
        "a frozen layer": lambda: recipe(network=Frozen),
        "a layer that is not used": lambda: recipe(network=Unused),
        "a graph that is cut": lambda: recipe(network=Detached),
    },
    "input-scale": {
        "pixels from 0 to 255": lambda: recipe(digits_data(scale=1 / 16)),
        "features in other units": lambda: recipe(broad_table(), table_mlp),
    },
    "target-scale": {
        "targets in the thousands": lambda: regression(
            nw.Data.arrays(diabetes_data().train[0], diabetes_data().train[1] * 5000 + 20000)
        )
    },
    "bad-values": {
        "NaN in inputs": lambda: regression(with_bad(np.nan)),
        "infinity in inputs": lambda: regression(with_bad(np.inf)),
        "NaN in targets": lambda: regression(with_bad(np.nan, "targets")),
        "a code for missing": lambda: regression(with_bad(-999.0)),
    },
    "class-imbalance": {
        "a rare class given up": lambda: recipe(nw.Data.arrays(*hidden_few()), lambda: mlp(5, 2), epochs=4)
    },
    "unshuffled": {
        "sorted by class": lambda: recipe(sorted_digits(), shuffle=False),
        "sorted by value": lambda: regression(_sorted_diabetes(), shuffle=False),
    },
    "initialisation": {
        "all the same": lambda: recipe(network=weights_as(constant_hidden)),
        "far too small": lambda: recipe(network=weights_as(tiny_hidden)),
    },
    "vanishing-gradient": {"deep sigmoids": lambda: recipe(network=deep(nn.Sigmoid))},
    "dead-units": {"a bias of -50": lambda: recipe(network=weights_as(dead_hidden))},
    "saturation": {"weights that drive tanh to its ends": lambda: recipe(network=saturated)},
    "lr-too-high": {"sgd at 100": lambda: recipe(lr=100.0)},
    "better-at-a-lower-rate": {"sgd at a rate that jumps about": lambda: recipe(lr=0.5, epochs=8)},
    "lr-too-low": {"sgd at 1e-5": lambda: recipe(lr=1e-5)},
    "too-few-epochs": {"stopped while rising": lambda: recipe(lr=3e-3, epochs=5)},
    "very-short-training": {"a single epoch": lambda: recipe(lr=0.03, epochs=1)},
    "overfit-duration": {
        "a large network for 150 epochs": lambda: regression(
            network=lambda: nn.Sequential(mlp(10, 1, 256), nn.Flatten(0)),
            optimizer="adam",
            lr=1e-2,
            momentum=None,
            epochs=120,
        )
    },
}


class _Squashed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp()

    def forward(self, x):
        return self.body(x).softmax(-1)


def _binary_floats():
    x, y = table_data().train
    return x, y.astype("float32")


def _sorted_diabetes():
    x, y = diabetes_data().train
    order = np.argsort(y)
    return nw.Data.arrays(x[order], y[order])


MUST_NOT = {
    "loss-output-mismatch": {
        "logits": lambda: recipe(),
        "log-softmax into nll": lambda: recipe(network=with_end(nn.LogSoftmax(1)), loss="nll"),
        "squared error on one-hot rows": lambda: recipe(one_hot_digits(), loss="mse"),
    },
    "output-width": {
        "as many outputs as classes": lambda: recipe(),
        "one-hot rows": lambda: recipe(one_hot_digits()),
    },
    "target-shape": {"the same shape": lambda: regression(), "class numbers": lambda: recipe()},
    "untrained-parameters": {
        "all learn": lambda: recipe(),
        "a zero-initialised last layer": lambda: recipe(network=weights_as(zero_head)),
    },
    "input-scale": {
        "pixels from 0 to 1": lambda: recipe(),
        "pixels from 0 to 16": lambda: recipe(digits_data(scale=1.0)),
        "a network that scales its inputs": lambda: recipe(digits_data(scale=1 / 250), ScalesItself),
        "a network that normalises first": lambda: recipe(
            broad_table(), lambda: nn.Sequential(nn.BatchNorm1d(30), mlp(30, 2))
        ),
        "rare zeros and ones": lambda: recipe(one_hot_table(), lambda: mlp(6, 2)),
        "pixels in a row, some hardly ever other than 0": lambda: recipe(flat_digits()),
        "centimetres of flowers that are told apart": lambda: recipe(
            flowers(), lambda: mlp(4, 3), optimizer="adam", lr=0.01, momentum=None, epochs=40
        ),
    },
    "target-scale": {"standardised": lambda: regression(), "classes": lambda: recipe()},
    "bad-values": {"finite": lambda: regression(), "classes": lambda: recipe()},
    "class-imbalance": {
        "even classes": lambda: recipe(),
        "a rare class that is recalled": lambda: recipe(
            nw.Data.arrays(*easy_few()), lambda: mlp(5, 2), epochs=15
        ),
    },
    "unshuffled": {
        "shuffled by the training": lambda: recipe(sorted_digits()),
        "in no order": lambda: recipe(shuffle=False),
    },
    "initialisation": {
        "torch's default": lambda: recipe(),
        "a zero-initialised last layer": lambda: recipe(network=weights_as(zero_head)),
        "orthogonal": lambda: recipe(network=weights_as(lambda n: nn.init.orthogonal_(n[1].weight))),
    },
    "vanishing-gradient": {
        "deep rectifiers with batch norm": lambda: recipe(network=deep(nn.ReLU, norm=True)),
        "shallow": lambda: recipe(),
    },
    "dead-units": {
        "a sound rectifier": lambda: recipe(),
        "no rectifier": lambda: recipe(network=deep(nn.Tanh)),
    },
    "saturation": {
        "a sound tanh": lambda: recipe(network=deep(nn.Tanh)),
        "a sigmoid as the output": lambda: nw.Recipe(
            nw.Data.arrays(*_binary_floats()),
            lambda: nn.Sequential(mlp(30, 1), nn.Sigmoid(), nn.Flatten(0)),
            training(loss="bce"),
        ),
    },
    "lr-too-high": {"0.1": lambda: recipe(), "low": lambda: recipe(lr=1e-4)},
    "better-at-a-lower-rate": {
        "0.1": lambda: recipe(),
        "low": lambda: recipe(lr=1e-3),
        "a table": lambda: recipe(table_data(), table_mlp, epochs=4),
    },
    "lr-too-low": {"0.1": lambda: recipe(), "high": lambda: recipe(lr=100.0)},
    "too-few-epochs": {"converged": lambda: recipe(epochs=25, schedule="cosine")},
    "very-short-training": {"enough in four": lambda: recipe(table_data(), table_mlp, epochs=4)},
    "overfit-duration": {"converged": lambda: recipe(epochs=25, schedule="cosine")},
}


@pytest.mark.parametrize(("check", "make"), cases(MUST_FIRE))
def test_it_fires(check, make):
    assert_fires(check, make())


@pytest.mark.parametrize(("check", "make"), cases(MUST_NOT))
def test_it_leaves_alone(check, make):
    assert findings(check, make()) == []


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda c: c.id)
def test_every_check_writes_down_its_threshold_its_source_and_what_it_confuses(check):
    assert "Threshold:" in check.function.__doc__
    assert "Source:" in check.function.__doc__
    assert check.confuses


def test_frozen_layers_of_a_pretrained_network_are_meant(tmp_path):
    torch.save(Frozen().state_dict(), tmp_path / "w.pt")
    assert findings("untrained-parameters", recipe(network=Frozen, start=tmp_path / "w.pt")) == []


@pytest.mark.parametrize(
    ("check", "make", "layer"),
    [
        ("untrained-parameters", lambda: recipe(network=Frozen), "1"),
        ("dead-units", lambda: recipe(network=weights_as(dead_hidden)), "1"),
        ("initialisation", lambda: recipe(network=weights_as(tiny_hidden)), "1"),
        ("loss-output-mismatch", lambda: recipe(network=with_end(nn.Softmax(1))), "1"),
    ],
)
def test_the_layer_is_named(check, make, layer):
    assert findings(check, make())[0].where.layer == layer


def test_a_missing_need_is_said_and_not_guessed():
    from netwright.runs import Evidence
    from netwright.values import CheckSkipped

    asked = [check for check in CHECKS.values() if check.id not in OF_LOOPS]
    items = list(examine([Evidence()], CHECKS.values()))
    assert [item.check for item in items] == [check.id for check in asked]
    assert all(isinstance(item, CheckSkipped) and item.reason.startswith("needs ") for item in items)
