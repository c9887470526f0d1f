"""Loops of a user's own: each bug is told apart from the others, and sound loops are left alone."""

import copy
import inspect
import math

import pytest
import torch
from torch import nn

import netwright as nw

from .buggy_loops import BUGS, SAYS, batches, loss_of, never_zeroed, sgd, small
from .sound_loops import SOUND, fine_tuning, plain


@pytest.mark.parametrize("loop", BUGS, ids=lambda f: f.__name__)
def test_a_bug_of_the_loop_is_named_and_told_apart(loop):
    found = nw.diagnose(loop()[0]).findings
    assert [(f.cause, f.evidence.get("bug")) for f in found] == [("loop-bug", BUGS[loop])]


@pytest.mark.parametrize("loop", SAYS, ids=lambda f: f.__name__)
def test_the_line_to_change_is_said(loop):
    assert SAYS[loop] in nw.diagnose(loop()[0]).findings[0].explanation


def test_the_place_is_the_line_that_notes_the_loss():
    where = nw.diagnose(never_zeroed()[0]).findings[0].where
    lines, first = inspect.getsourcelines(never_zeroed)
    assert where.file.endswith("buggy_loops.py")
    assert "trace.step" in lines[where.line - first]


@pytest.mark.parametrize("loop", SOUND, ids=lambda f: f.__name__)
def test_a_sound_loop_is_left_alone(loop):
    for trace in (kept for kept in loop() if hasattr(kept, "losses")):
        result = nw.diagnose(trace)
        assert [(f.cause, f.explanation) for f in result.findings] == []
        assert [(f.cause, f.explanation) for f in result.considered] == []


def test_all_frozen_is_named_and_some_frozen_is_noted():
    network = small()
    optimizer = sgd(network)
    network.requires_grad_(False)
    trace = nw.watch(network, optimizer)
    for x, y in batches(12):
        trace.step(loss_of(network, x, y))
    assert [f.cause for f in nw.diagnose(trace).findings] == ["untrained-parameters"]
    trace, *_kept = fine_tuning()
    assert "2 of 6 parameters are frozen, which is taken as meant" in nw.diagnose(trace).notes


def test_a_replaced_layer_is_found():
    network = small()
    optimizer = sgd(network)
    network[2] = nn.Linear(16, 3)
    trace = nw.watch(network, optimizer)
    for x, y in batches(20):
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    (finding,) = nw.diagnose(trace).findings
    assert (finding.cause, finding.where.layer) == ("untrained-parameters", "2")


# --- what the losses show ------------------------------------------------------------------------------


def noted(losses, network=None, lr=0.05):
    network = network or small()
    optimizer = sgd(network, lr)
    trace = nw.watch(network, optimizer)
    for value in losses:
        trace.step(value)
    return trace, network, optimizer


def causes(kept):
    return [f.cause for f in nw.diagnose(kept[0]).findings]


def test_a_rate_that_makes_the_loss_explode_is_named():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 1))
    optimizer = sgd(network, 3.0)
    trace = nw.watch(network, optimizer)
    for x, _ in batches(40):
        optimizer.zero_grad()
        loss = (network(x) - x[:, :1]).square().mean()
        loss.backward()
        optimizer.step()
        trace.step(loss)
    found = nw.diagnose(trace).findings
    assert found[0].cause == "lr-too-high"
    assert "since iteration" in found[0].explanation


def test_a_loss_that_is_not_a_number_says_since_when():
    kept = noted([1.0, 0.9, 0.8, 0.7] + [math.nan] * 6)
    found = nw.diagnose(kept[0]).findings[0]
    assert (found.cause, found.evidence["since"]) == ("unstable-arithmetic", 5)
    assert causes(noted([math.nan] * 6)) == ["unstable-loss"]


def test_inputs_that_are_not_finite_are_named():
    network = small()
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(10):
        x[0, 0] = math.nan
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    assert nw.diagnose(trace).findings[0].cause == "bad-values"


@pytest.mark.parametrize(
    "losses",
    [
        [1.0, math.inf, 0.9, 0.8, math.nan, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1],
        [2.3 * 0.9**k for k in range(100)],
        [0.001 + k for k in range(50)],
        [-(1.5**k) for k in range(40)],
        [5.0 + k for k in range(400)],
        [0.5, *(20.0 * (k % 7) for k in range(60))],
        [0.0] * 300,
    ],
    ids=[
        "a-scaler-at-work",
        "falling",
        "from-nearly-zero",
        "negative",
        "growing-tenfold",
        "jumping",
        "nothing",
    ],
)
def test_losses_that_say_nothing_are_left_alone(losses):
    kept = noted(losses)
    assert not {"lr-too-high", "unstable-arithmetic", "vanishing-gradient"} & set(causes(kept))


def test_a_loss_that_grows_and_stays_there_is_named():
    assert causes(noted([2.3, 700.0, *[900.0 + k % 5 for k in range(60)]])) == ["lr-too-high"]


def test_a_rate_of_zero_is_named():
    assert causes(plain(30, optimizer=lambda network: sgd(network, 0.0))) == ["schedule-mismatch"]


def test_a_dead_network_stands_still():
    network = small()
    nn.init.constant_(network[0].bias, -1e4)
    nn.init.zeros_(network[2].weight)
    network[2].bias.requires_grad_(False)
    optimizer = sgd(network)
    trace = nw.watch(network, optimizer)
    for x, y in batches(220):
        optimizer.zero_grad()
        loss = loss_of(network, x, y)
        loss.backward()
        optimizer.step()
        trace.step(loss)
    found = {f.check for f in (*nw.diagnose(trace).findings, *nw.diagnose(trace).considered)}
    assert "loss-stands-still" in found


def test_a_copy_of_a_watched_network_is_not_watched():
    trace, network, _ = plain(3)
    twin = copy.deepcopy(network)
    steps = trace.evidence().loop.iterations
    twin(torch.randn(4, 8)).sum().backward()
    assert trace.evidence().loop.iterations == steps
