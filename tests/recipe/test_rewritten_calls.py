"""Calls of forward that are answered otherwise: each as it says, and nothing else."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from diagnosis import faulty
from diagnosis.networks import Convolutional, Residual
from netwright.catalogue import Catalogue
from netwright.recipe.rewiring import picked_places
from netwright.runs import Recorder, Tap
from netwright.values import UserError

KINDS = Catalogue.collect().edits
IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
SERIES = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(1))


class Written(nn.Module):
    """A network whose forward is given as a function of its layers and the input."""

    def __init__(self, forward):
        super().__init__()
        self.body, self.head, self.written = nn.Linear(4, 5), nn.Linear(5, 3), forward

    def forward(self, x):
        return self.written(self, x)


ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(2))


def edited(network, kind, **parameters):
    return KINDS[kind].function(network, **parameters)


def rewritten(forward, calls, to, value=None):
    """(network as it is, the same with its calls rewritten)."""
    torch.manual_seed(0)
    network = Written(forward)
    return network, edited(copy.deepcopy(network), "rewrite-calls", calls=calls, to=to, value=value)


def apart(network):
    """The layers one by one, for what is expected."""
    return network.body(ROWS), network.head


@pytest.mark.parametrize(
    ("index", "places"),
    [
        ((slice(None), -1), {1: -1}),
        (0, {0: 0}),
        ((..., 2), {2: 2}),
        ((slice(None), 1, 3), {1: 1, 2: 3}),
        ((slice(None), slice(0, 2)), {}),
        ((slice(None), torch.tensor([0, 1])), {}),
        (torch.tensor([True, False]), {}),
        ((slice(None), None), {}),
        (np.array([0, 1]), {}),
    ],
)
def test_an_index_tells_which_single_places_it_takes(index, places):
    assert picked_places(index, 3) == places


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("averaged", lambda x: x.mean(1)),
        ("largest", lambda x: x.amax(1)),
        ("last", lambda x: x[:, -1]),
        ("identity", lambda x: x),
    ],
)
def test_a_place_that_is_read_gives_way_to_others(to, expected):
    network = Written(lambda self, x: x[:, 0])
    changed = edited(network, "rewrite-calls", calls=[["getitem", 0]], to=to)
    assert torch.equal(changed(SERIES), expected(SERIES))


def test_what_is_overwritten_stays():
    def forward(self, x):
        x = x.clone()
        x[:, 1:] = 0.0
        return x

    assert torch.equal(
        edited(Written(forward), "rewrite-calls", calls=[["setitem", 0]], to="identity")(ROWS), ROWS
    )


def test_a_call_is_left_out():
    network, changed = rewritten(
        lambda self, x: F.softmax(self.head(self.body(x)), 1), [["softmax", 0]], "identity"
    )
    body, head = apart(network)
    assert torch.equal(changed(ROWS), head(body))


def test_the_chosen_one_of_several_calls_is_meant():
    network, changed = rewritten(
        lambda self, x: torch.tanh(self.head(torch.tanh(self.body(x)))), [["tanh", 1]], "identity"
    )
    body, head = apart(network)
    assert torch.equal(changed(ROWS), head(torch.tanh(body)))


def test_a_call_becomes_another():
    network, changed = rewritten(lambda self, x: self.head(self.body(x).sigmoid()), [["sigmoid", 0]], "relu")
    body, head = apart(network)
    assert torch.equal(changed(ROWS), head(body.relu()))


def test_a_call_is_followed_by_another():
    network, changed = rewritten(lambda self, x: self.head(self.body(x)), [["linear", 0]], "then relu")
    body, head = apart(network)
    assert torch.equal(changed(ROWS), head(body.relu()))


@pytest.mark.parametrize(
    "softmax", [lambda x: F.softmax(x, dim=0), lambda x: x.softmax(0), lambda x: torch.softmax(x, 0)]
)
def test_a_call_goes_over_another_axis(softmax):
    network, changed = rewritten(
        lambda self, x: self.head(softmax(self.body(x))), [["softmax", 0]], "dim", -1
    )
    body, head = apart(network)
    assert torch.equal(changed(ROWS), head(body.softmax(-1)))


def test_dropout_follows_the_mode():
    network, changed = rewritten(
        lambda self, x: self.head(F.dropout(self.body(x), 0.5)), [["dropout", 0]], "dropout"
    )
    body, head = apart(network)
    assert torch.equal(changed.eval()(ROWS), head(body))
    assert not torch.equal(changed.train()(ROWS), head(body))


def test_dropout_gets_another_share():
    _, changed = rewritten(
        lambda self, x: F.dropout(self.body(x).exp(), 0.5, self.training), [["dropout", 0]], "dropout", 0.0
    )
    assert bool((changed.train()(ROWS) > 0).all())


@pytest.mark.parametrize(
    "call",
    [
        ("sqrt", lambda x: (x * 0).sqrt() * x),
        ("log", lambda x: (x * 0).log() * x),
        ("rsqrt", lambda x: (x * 0).rsqrt() * x),
        ("div", lambda x: x / (x * 0)),
        ("norm", lambda x: x * torch.norm(x * 0, dim=1, keepdim=True)),
    ],
    ids=lambda call: call[0],
)
def test_what_is_guarded_has_a_finite_gradient(call):
    name, function = call
    calls = [[name, 0], ["truediv", 0]] if name == "div" else [[name, 0], ["linalg_vector_norm", 0]]
    _, changed = rewritten(lambda self, x: self.head(function(self.body(x))), calls, "guarded")
    outputs = changed(ROWS)
    outputs.sum().backward()
    assert bool(torch.isfinite(outputs).all())
    assert all(bool(torch.isfinite(p.grad).all()) for p in changed.parameters())


def test_what_it_does_not_know_is_refused():
    _, changed = rewritten(lambda self, x: self.body(x).relu(), [["relu", 0]], "something")
    with pytest.raises(UserError, match="'something'"):
        changed(ROWS)


def test_the_gradient_goes_through_where_it_was_cut():
    network = edited(faulty.Detached(), "rewrite-calls", calls=[["detach", 0]], to="identity")
    network(IMAGES).sum().backward()
    assert network.body.weight.grad is not None


def test_gradients_stay_on_in_forward_and_off_where_the_caller_turned_them_off():
    network = edited(faulty.NoGrad(), "gradients-on")
    network(IMAGES).sum().backward()
    assert network.network.body.weight.grad is not None
    with torch.no_grad():
        assert not network(IMAGES).requires_grad
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("made_when", ["in forward", "when built"])
def test_a_gradient_written_by_hand_gives_way_to_autograd_s_and_stands_again_after(made_when):
    class Halved(nn.Module):
        def __init__(self):
            super().__init__()
            self.square = faulty._Doubled.apply

        def forward(self, x):
            return faulty._Doubled.apply(x) if made_when == "in forward" else self.square(x)

    def slope(network):
        x = torch.tensor([3.0], requires_grad=True)
        network(x).backward()
        return float(x.grad)

    changed = edited(Halved(), "autograd-backward", functions=["_Doubled"])
    assert (slope(Halved()), slope(changed), slope(Halved())) == (3.0, 6.0, 3.0)


def test_another_edit_of_the_same_network_leaves_the_first():
    network, changed = rewritten(
        lambda self, x: self.head(self.body(x).sigmoid()).tanh(), [["sigmoid", 0]], "relu"
    )
    changed = edited(changed, "rewrite-calls", calls=[["tanh", 0]], to="identity")
    body, head = apart(network)
    assert torch.equal(changed(ROWS), head(body.relu()))


def test_calls_outside_the_network_are_left_alone():
    _, changed = rewritten(lambda self, x: self.body(x).relu(), [["relu", 0]], "identity")
    changed(ROWS)
    assert torch.equal(torch.relu(ROWS), ROWS.clamp(min=0))


def test_a_pass_that_fails_leaves_nothing_open():
    _, changed = rewritten(lambda self, x: self.body(x).relu(), [["relu", 0]], "identity")
    with pytest.raises(RuntimeError):
        changed(torch.zeros(2, 7))
    assert torch.equal(torch.relu(ROWS), ROWS.clamp(min=0))
    assert float(changed(ROWS).detach().min()) < 0


@pytest.mark.parametrize("listener", [partial(Tap, histograms=True), Recorder], ids=["tap", "recorder"])
@pytest.mark.parametrize("network", [Convolutional, Residual, faulty.SoftmaxOverSamples])
def test_the_same_call_is_meant_while_somebody_listens(network, listener):
    torch.manual_seed(0)
    made = network().eval()
    calls = [["relu", 0], ["gelu", 1], ["flatten", 1], ["mul", 0], ["abs", 0], ["float", 0], ["std", 0]]
    changed = edited(made, "rewrite-calls", calls=calls, to="identity")
    alone = changed(IMAGES)
    with listener(changed):
        heard = changed(IMAGES)
    assert torch.equal(alone, heard)
