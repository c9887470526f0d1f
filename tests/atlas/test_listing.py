"""The listing against numbers worked out by hand, and a network left as it was."""

import pytest
import torch
from torch import nn

import netwright as nw
from conftest import digits_data, mlp, training
from netwright.atlas import listing
from netwright.values import Edit


def network():
    return nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 10))


def test_shapes_parameters_and_flops_of_a_sample():
    lines = {line.name: line for line in listing(network(), torch.randn(5, 1, 8, 8))}
    conv, linear = lines["0"], lines["3"]
    assert (conv.input_shape, conv.output_shape, conv.parameters) == ((1, 8, 8), (16, 6, 6), 160)
    assert (
        conv.flops == 2 * 16 * 6 * 6 * 9
    )  # a multiply and an add for each of 9 weights at each output value
    assert (linear.output_shape, linear.parameters, linear.flops) == ((10,), 5770, 2 * 576 * 10)
    assert lines["2"].parameters == 0 and lines["2"].trainable is None
    assert 0.3 < lines["1"].behaviour["zeros"] < 0.7
    assert lines["0"].behaviour["zeros"] is None
    assert sum(lines["0"].behaviour["histogram"]) == 5 * 16 * 36


def test_looking_changes_nothing():
    looked = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2)).train()
    looked[0].weight.grad = torch.ones(8, 4)
    before = {k: v.clone() for k, v in looked.state_dict().items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    nw.look(looked, torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(v, before[k]) for k, v in looked.state_dict().items())
    assert all(m.training for m in looked.modules())
    assert torch.equal(looked[0].weight.grad, torch.ones(8, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(m._forward_hooks for m in looked.modules())


def test_edits_are_looked_through():
    recipe = nw.Recipe(digits_data(), mlp, training()).with_edits(
        Edit("standardise-inputs", {"mean": [5.0], "std": [6.0]})
    )
    lines = listing(recipe.build(0), torch.randn(3, 1, 8, 8))
    assert [line.name for line in lines] == ["0", "1", "2", "3"]
    assert lines[1].flops == 2 * 64 * 32


def test_a_recurrent_layer_has_its_line():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.head = nn.GRU(8, 16, batch_first=True), nn.Linear(16, 3)

        def forward(self, x):
            return self.head(self.gru(x)[0][:, -1])

    lines = {line.name: line for line in listing(Reader(), torch.randn(4, 7, 8))}
    assert lines["gru"].output_shape == (7, 16)
    assert lines["head"].output_shape == (3,)


def test_gradients_are_shown_for_a_recipe_and_not_for_a_bare_network():
    recipe = nw.Recipe(digits_data(), mlp, training())
    assert all(line.behaviour["gradient"] > 0 for line in nw.look(recipe).layers if line.parameters)
    assert all(line.behaviour["gradient"] is None for line in nw.look(mlp(), torch.randn(4, 1, 8, 8)).layers)


def test_a_network_needs_inputs():
    with pytest.raises(nw.UserError, match=r"nw\.look\(network, batch\)"):
        nw.look(mlp())


def test_the_lines_name_the_users_source():
    result = nw.look(nw.Recipe(digits_data(), network, training()))
    assert {line.file and line.file.endswith("test_listing.py") for line in result.layers} == {True}
    assert result.run == "untrained, seed 0"
