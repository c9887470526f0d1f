"""Two lines in a loop that the user already has."""

import pytest
import torch
from torch import nn

import netwright as nw


def loop(network, steps=5, before_backward=True, freeze=None, every=2):
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    trace = nw.watch(network, optimizer, every=every)
    for _ in range(steps):
        x, y = torch.randn(16, 8), torch.randint(3, (16,))
        loss = nn.functional.cross_entropy(network(x), y)
        if before_backward:
            trace.step(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not before_backward:
            trace.step(loss)
    return trace, optimizer, network


def small():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


@pytest.mark.parametrize("before_backward", [True, False])
def test_step_may_stand_anywhere_after_the_loss(before_backward):
    trace, *_kept = loop(small(), before_backward=before_backward)
    assert trace.steps == 5
    evidence = trace.evidence()
    assert all(p.gradient is not None for p in evidence.batch.parameters)
    assert [s.kind for s in evidence.batch.layers] == ["Linear", "ReLU", "Linear"]
    assert nw.diagnose(trace).findings == ()


def test_a_frozen_layer_is_found():
    network = small()
    network[0].requires_grad_(False)
    trace, *_kept = loop(network)
    result = nw.diagnose(trace)
    assert [f.cause for f in result.findings] == ["untrained-parameters"]
    assert result.findings[0].where.layer == "0"
    assert result.outcome == "findings" and not result.healthy


def test_a_watched_loop_trains_to_the_same_bits():
    def weights(watched):
        torch.manual_seed(0)
        network = small()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        trace = nw.watch(network, optimizer) if watched else None
        for _ in range(4):
            loss = nn.functional.cross_entropy(network(torch.randn(16, 8)), torch.randint(3, (16,)))
            if trace:
                trace.step(loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return network[0].weight

    assert torch.equal(weights(True), weights(False))


def test_closing_leaves_no_hook():
    trace, _, network = loop(small())
    trace.close()
    assert all(not m._forward_hooks for m in network.modules())


def test_a_loss_of_several_values_is_refused():
    network = small()
    trace = nw.watch(network, torch.optim.SGD(network.parameters(), lr=0.1))
    with pytest.raises(nw.UserError, match="the loss has 4 values"):
        trace.step(torch.zeros(4))
