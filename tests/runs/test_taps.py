"""Statistics of layers against numbers worked out by hand."""

import pytest
import torch
from torch import nn

from netwright.runs import Tap


def tapped(network, inputs, loss=lambda out: out.sum()):
    with Tap(network) as tap:
        loss(network(inputs)).backward()
    return {state.name: state for state in tap.states()}


def test_mean_spread_zeros_and_dead_units_of_a_rectifier():
    network = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
    states = tapped(network, torch.tensor([[1.0, 2.0], [3.0, -4.0]]))
    # outputs: (1, 2, 0) and (3, 0, 1): the middle unit rests once, no unit rests for both
    assert states["1"].zeros == pytest.approx(2 / 6)
    assert states["1"].dead == 0.0
    assert states["1"].mean == pytest.approx(7 / 6)
    states = tapped(network, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert states["1"].dead == pytest.approx(1 / 3)


def test_a_channel_is_the_unit_of_an_image():
    network = nn.Sequential(nn.ReLU())
    images = torch.ones(2, 3, 4, 4)
    images[:, 1] = -1
    images.requires_grad_()
    assert tapped(network, images)["0"].dead == pytest.approx(1 / 3)


def test_saturation_counts_the_flat_ends():
    network = nn.Sequential(nn.Sigmoid())
    values = torch.tensor([[-10.0, 0.0, 10.0, 0.1]], requires_grad=True)
    assert tapped(network, values)["0"].saturated == pytest.approx(0.5)


def test_the_gradient_is_that_of_the_output_times_the_batch():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    states = tapped(network, torch.randn(8, 4), loss=lambda out: out.mean())
    assert states["1"].gradient == pytest.approx(8 / 32)


def test_no_hook_is_left_behind_even_when_forward_raises():
    network = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(RuntimeError), Tap(network):
        network(torch.randn(2, 5))
    assert all(not m._forward_hooks for m in network.modules())


def test_recurrent_layers_and_dictionaries_of_outputs_are_seen():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(3, 5, batch_first=True)
            self.head = nn.Linear(5, 2)

        def forward(self, x):
            states, _ = self.gru(x)
            return self.head(states[:, -1])

    states = tapped(Reader(), torch.randn(2, 7, 3))
    assert states["gru"].output_shape == (2, 7, 5)
    assert states["head"].gradient is not None
