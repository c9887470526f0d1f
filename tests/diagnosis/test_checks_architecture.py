"""How the network is put together: cases in which a check must fire, and near misses."""

import numpy as np
import pytest
import torch
from torch import nn

import netwright as nw
from conftest import digits_data, mlp, table_data, table_mlp
from netwright.recipe.source import shown

from . import faulty
from .cases import adam, assert_fires, cases, findings, recipe
from .networks import Convolutional, Recurrent, Residual, Transformer, rows_of_digits, with_dropout

NORMS = [
    nn.Flatten,
    lambda: nn.Linear(64, 32),
    lambda: nn.BatchNorm1d(32),
    nn.ReLU,
    lambda: nn.Linear(32, 10),
]


def one_unit_normalised():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 1), nn.LayerNorm(1), nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 10)
    )


def normalised():
    return nn.Sequential(*(make() for make in NORMS))


def slow_statistics():
    network = normalised()
    network[2].momentum = 1e-3
    return network


def drops_before_norm(p=0.6):
    return lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(p), nn.BatchNorm1d(64), nn.Linear(64, 10)
    )


def frozen_norm(still=False):
    def build():
        network = normalised()
        network[1].requires_grad_(False)
        network[2].requires_grad_(False)
        if still:
            network[2].register_forward_pre_hook(lambda module, given: module.eval() and None)
        return network

    return build


@pytest.fixture
def pretrained(tmp_path):
    torch.save(normalised().state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def many(epochs=12, **settings):
    return recipe(digits_data(900), epochs=epochs, schedule="cosine", **settings)


def quarters():
    """Opposite quarters of a plane are of one class: no line parts them."""
    x = np.random.default_rng(0).normal(size=(600, 2)).astype("float32")
    return nw.Data.arrays(x, (x[:, 0] * x[:, 1] > 0).astype(int))


def pooled_to_one():
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 10)
    )


class WithoutLastNorm(Transformer):
    """Its last feed-forward layer adds to what goes past it, and the head reads the sum."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


class ThroughTheMean(nn.Module):
    """Every feature becomes the mean of all; with `beside`, the features themselves go on as well."""

    def __init__(self, beside=False):
        super().__init__()
        self.beside, self.first, self.head = beside, nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x):
        hidden = torch.relu(self.first(x.flatten(1)))
        mean = hidden.mean(1, keepdim=True)
        return self.head(hidden - mean if self.beside else mean.expand_as(hidden))


def narrow_norm():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 1), nn.LayerNorm(1), nn.ReLU(), nn.Linear(1, 1), nn.Linear(1, 10)
    )


def probability():
    return nn.Sequential(table_mlp()[:-1], nn.Linear(32, 1), nn.Sigmoid(), nn.Flatten(0))


MUST_FIRE = {
    "missing-nonlinearity": {
        "linear after linear": lambda: recipe(network=faulty.NothingBetween),
        "convolutions with a batch norm between": lambda: recipe(network=faulty.ConvolutionsAlone),
        "linear layers alone": lambda: recipe(
            network=lambda: nn.Sequential(
                nn.Flatten(), nn.Linear(64, 32), nn.Linear(32, 32), nn.Linear(32, 10)
            )
        ),
    },
    "untrained-parameters": {
        "detach": lambda: recipe(network=faulty.Detached),
        "data": lambda: recipe(network=faulty.ThroughData),
        "numpy": lambda: recipe(network=faulty.ThroughNumPy),
        "no_grad": lambda: recipe(network=faulty.WithoutGradient),
        "a plain list": lambda: recipe(network=faulty.PlainList),
        "a layer made in forward": lambda: recipe(network=faulty.MadeInForward),
    },
    "normalisation-misuse": {
        "batches of two": lambda: recipe(network=normalised, batch_size=2, epochs=1),
        "a batch of one": lambda: recipe(network=normalised, batch_size=1, epochs=1),
        "a softmax over the samples": lambda: recipe(network=faulty.SoftmaxOverSamples),
        "a layer normalisation of one unit": lambda: recipe(network=one_unit_normalised),
    },
    "wrong-backward": {"half a derivative": lambda: recipe(network=faulty.WrongBackward)},
    "linear-network": {
        "quarters of a plane": lambda: adam(quarters(), lambda: nn.Sequential(nn.Linear(2, 2)), epochs=10),
    },
    "less-than-simple": {
        "features pooled to one number": lambda: adam(digits_data(900), faulty.PooledToOne, epochs=8),
        "one number of an image": lambda: adam(network=pooled_to_one, epochs=10),
        "the mean in place of the features": lambda: adam(network=ThroughTheMean, epochs=10),
    },
    "capacity-too-small": {
        "two hidden units": lambda: adam(digits_data(900), lambda: mlp(hidden=2), epochs=40, lr=1e-2)
    },
    "collapse": {
        "every answer the same": lambda: recipe(lr=300.0, epochs=3),
    },
    "train-eval-gap": {
        "dropout that stays on": lambda: recipe(network=faulty.DropoutStaysOn),
        "noise that stays on": lambda: recipe(network=faulty.NoiseStaysOn),
        "statistics that lag behind": lambda: recipe(network=slow_statistics, lr=0.3, epochs=3),
    },
}

MUST_NOT = {
    "missing-nonlinearity": {
        "rectifiers in forward": lambda: recipe(network=Convolutional),
        "a bottleneck": lambda: recipe(network=faulty.factored),
        "a depthwise and a pointwise convolution": lambda: recipe(network=faulty.separable),
        "a transformer": lambda: recipe(rows_of_digits(), Transformer),
        "a residual network": lambda: recipe(network=Residual),
        "a head on what residual connections add up": lambda: adam(
            rows_of_digits(), WithoutLastNorm, epochs=1
        ),
        "a recurrent layer before a linear one": lambda: recipe(rows_of_digits(), Recurrent),
        "a linear model": lambda: recipe(network=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))),
    },
    "untrained-parameters": {
        "a transformer": lambda: recipe(rows_of_digits(), Transformer),
        "tied weights": lambda: recipe(network=Tied),
        "a detached number that is only looked at": lambda: recipe(network=Looks),
    },
    "normalisation-misuse": {
        "batches of 32": lambda: recipe(network=normalised),
        "a softmax over the units": lambda: recipe(network=lambda: nn.Sequential(mlp(), nn.Softmax(1))),
        "small batches of images": lambda: recipe(network=Convolutional, batch_size=4, epochs=1),
        "layer normalisation in small batches": lambda: recipe(network=Residual, batch_size=2, epochs=1),
        "a little dropout before a norm": lambda: many(network=drops_before_norm(0.1)),
    },
    "wrong-backward": {
        "the derivative by hand": lambda: recipe(network=faulty.RightBackward),
        "none by hand": lambda: recipe(network=Convolutional),
    },
    "frozen-but-moving": {
        "frozen without given weights": lambda: recipe(network=frozen_norm()),
        "nothing frozen": lambda: recipe(network=normalised),
    },
    "linear-network": {
        "a layer more": lambda: adam(quarters(), lambda: mlp(2, 2), epochs=20, lr=1e-2),
        "a line": lambda: recipe(table_data(), lambda: nn.Sequential(nn.Linear(30, 2)), epochs=10),
    },
    "less-than-simple": {
        "a network that learns": lambda: many(),
        "a table": lambda: recipe(table_data(), table_mlp),
        "the mean beside the features": lambda: adam(network=lambda: ThroughTheMean(True), epochs=1),
    },
    "capacity-too-small": {
        "a network that fits": lambda: many(),
        "a rate that is too low": lambda: recipe(lr=1e-5),
    },
    "collapse": {
        "all classes": lambda: many(),
        "a rare class": lambda: recipe(lr=1e-3, epochs=2),
        "probabilities of two classes": lambda: adam(table_data(), probability, loss="bce"),
    },
    "initialisation": {"a layer of a single weight": lambda: recipe(network=narrow_norm, epochs=1)},
    "train-eval-gap": {
        "sound statistics": lambda: many(network=normalised),
        "dropout": lambda: many(network=with_dropout),
        "a recurrent network": lambda: recipe(rows_of_digits(), Recurrent),
    },
}


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.inward, self.back = nn.Linear(64, 32), nn.Linear(32, 32, bias=False)
        self.again, self.head = nn.Linear(32, 32, bias=False), nn.Linear(32, 10)
        self.again.weight = self.back.weight

    def forward(self, x):
        x = self.back(self.inward(x.flatten(1)).relu()).relu()
        return self.head(self.again(x).relu())


class Looks(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.size = mlp(), 0.0

    def forward(self, x):
        x = self.body(x)
        self.size = x.detach().abs().mean()
        return x


@pytest.mark.parametrize(("check", "make"), cases(MUST_FIRE))
def test_it_fires(check, make):
    assert_fires(check, make())


@pytest.mark.parametrize(("check", "make"), cases(MUST_NOT))
def test_it_leaves_alone(check, make):
    assert findings(check, make()) == []


def test_a_frozen_norm_of_a_pretrained_network_moves(pretrained):
    finding = assert_fires("frozen-but-moving", recipe(network=frozen_norm(), start=pretrained))
    assert finding.where.layer == "2"


def test_a_frozen_norm_that_is_kept_still_is_left_alone(pretrained):
    assert findings("frozen-but-moving", recipe(network=frozen_norm(still=True), start=pretrained)) == []


@pytest.mark.parametrize(
    ("check", "network"),
    [
        ("untrained-parameters", faulty.Detached),
        ("untrained-parameters", faulty.ThroughData),
        ("untrained-parameters", faulty.ThroughNumPy),
        ("untrained-parameters", faulty.WithoutGradient),
        ("untrained-parameters", faulty.PlainList),
        ("untrained-parameters", faulty.MadeInForward),
        ("normalisation-misuse", faulty.SoftmaxOverSamples),
        ("train-eval-gap", faulty.DropoutStaysOn),
        ("train-eval-gap", faulty.NoiseStaysOn),
    ],
)
def test_the_line_of_forward_is_named(check, network):
    file, line = faulty.line_of(network)
    where = findings(check, recipe(network=network))[0].where
    assert (where.file, where.line) == (shown(file), line)


@pytest.mark.parametrize("network", [faulty.NothingBetween, faulty.ConvolutionsAlone])
def test_layers_with_nothing_between_them_are_named_where_they_are_made(network):
    file, line = faulty.line_of(network)
    where = findings("missing-nonlinearity", recipe(network=network))[0].where
    assert (where.layer, where.file, where.line) == ("second", shown(file), line)


def test_what_is_only_looked_at_is_not_taken_for_the_cut():
    class LooksAndCuts(faulty.Detached):
        def forward(self, x):
            self.size = float(self.body(x.flatten(1)).detach().abs().mean())
            return super().forward(x)

    where = findings("untrained-parameters", recipe(network=LooksAndCuts))[0].where
    assert where.line == faulty.line_of(faulty.Detached)[1]
