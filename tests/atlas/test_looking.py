"""The atlas as a whole: gradients, units, single inputs, attention, attribution, moments, and files."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import netwright as nw
from netwright.atlas import METHODS, Material, Wanted, glance, look_at, reopen, save, with_earlier
from netwright.atlas.arrays import array
from netwright.atlas.attribution import attribution
from netwright.atlas.details import details
from netwright.atlas.units import effective_rank
from netwright.recipe import Task, TensorSamples
from netwright.runs.forward import outputs_of
from netwright.values import to_json


def material(network, inputs, targets=None, **more):
    targets = torch.arange(len(inputs)) % 2 if targets is None else targets
    return Material(network, TensorSamples(inputs, targets, "input"), task=Task("classification", 2), **more)


def own_losses(outputs, targets):
    return F.cross_entropy(outputs_of(outputs), targets, reduction="sum")


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 2))


def grid(atlas, name, moment=-1):
    return array(atlas.moments[moment].grid(name).values)


def test_gradients_are_those_of_each_inputs_own_loss():
    network, inputs = convolutional(), torch.randn(7, 1, 8, 8)
    targets = torch.arange(7) % 2
    looked = look_at(
        material(network, inputs, targets, goal=own_losses), Wanted(gradients=True, details=(), batch_size=3)
    )
    for n in range(7):
        hidden = network[:3](inputs[n : n + 1]).detach().requires_grad_()
        F.cross_entropy(network[3:](hidden), targets[n : n + 1]).backward()
        assert grid(looked.atlas, "gradient")[2, n] == pytest.approx(float(hidden.grad.norm()), rel=1e-4)
        mass = float((hidden.grad * hidden.detach()).abs().sum())
        assert grid(looked.atlas, "mass")[2, n] == pytest.approx(mass, rel=1e-4)


def test_gradients_reach_layers_through_what_overwrites_them():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))
    looked = look_at(
        material(network, torch.randn(6, 4), goal=own_losses), Wanted(gradients=True, details=())
    )
    assert np.isfinite(grid(looked.atlas, "gradient")).all()


def test_a_network_that_writes_into_its_inputs_has_gradients_too():
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x):
            x -= 1
            return self.layer(x)

    inputs = torch.randn(6, 4)
    looked = look_at(material(Writes(), inputs, goal=own_losses), Wanted(gradients=True, details=()))
    assert np.isfinite(grid(looked.atlas, "gradient")).all()


def test_frozen_networks_have_gradients_at_their_layers():
    network = convolutional().requires_grad_(False)
    looked = look_at(material(network, torch.randn(4, 1, 8, 8), goal=own_losses), Wanted(gradients=True))
    assert np.isfinite(grid(looked.atlas, "gradient")).all()
    assert not any(p.requires_grad or p.grad is not None for p in network.parameters())


def test_units_are_listed_with_what_excites_them_most():
    network = nn.Sequential(nn.Linear(3, 5, bias=False), nn.ReLU())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([
            [1.0, 0, 0], [2.0, 0, 0], [0, 1.0, 0], [-1.0, -1, -1], [0, 0, 1.0],
        ]))  # fmt: skip
    inputs = torch.rand(40, 3, generator=torch.Generator().manual_seed(0))
    inputs[7] = torch.tensor([5.0, 0.1, 0.1])
    looked = look_at(material(network, inputs), Wanted(units=True, details=(), batch_size=16))
    units = looked.atlas.units_of(1)
    assert units.of == units.shown == 5
    assert units.dead == (3,)
    assert [(a, b) for a, b, _ in units.duplicates] == [(0, 1)]
    assert units.top[0].inputs[0] == 7 and units.top[0].values[0] == pytest.approx(5.0)
    expected = torch.topk(inputs[:, 1], 8).indices.tolist()
    assert list(units.top[2].inputs) == expected
    assert 1 < units.effective_rank < 3.1


def test_the_effective_rank_counts_directions():
    assert effective_rank(np.eye(4)) == pytest.approx(4.0)
    assert effective_rank(np.diag([1.0, 0, 0])) == pytest.approx(1.0)
    assert effective_rank(np.zeros((3, 3))) is None


def test_one_input_shows_maps_of_convolutions_and_states_of_recurrent_layers():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.gru = nn.Conv2d(1, 20, 3, padding=1), nn.GRU(64, 5, batch_first=True)

        def forward(self, x):
            maps = self.conv(x).relu()
            return self.gru(maps.flatten(2))[0][:, -1]

    network = Both()
    found = {d.row: d for d in details(network, torch.randn(1, 1, 8, 8), {("conv", 1): 0, ("gru", 1): 1})[0]}
    assert (found[0].kind, found[0].values.shape, found[0].of) == ("maps", (16, 8, 8), 20)
    assert len(found[0].names) == 16
    assert (found[1].kind, found[1].values.shape) == ("states", (20, 5))


def test_attention_is_shown_as_the_layer_itself_would_give_it():
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, batch_first=True)

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.attend = layer

        def forward(self, x):
            return self.attend(x, x, x, need_weights=False)[0].mean(1)

    inputs = torch.randn(1, 5, 8)
    found = details(Reader(), inputs, {("attend", 1): 0})[0]
    weights = next(d for d in found if d.kind == "attention")
    expected = layer(inputs, inputs, inputs, average_attn_weights=False)[1][0]
    np.testing.assert_allclose(array(weights.values), expected.detach(), atol=1e-5)


def test_attention_written_with_the_function_is_shown_too():
    class Causal(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Linear(8, 24)

        def forward(self, x):
            q, k, v = self.mix(x).reshape(len(x), 5, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind()
            return F.scaled_dot_product_attention(q, k, v, is_causal=True).mean((1, 2))

    rows = {("mix", 1): 0, ("scaled_dot_product_attention#1", 1): 1}
    weights = next(d for d in details(Causal(), torch.randn(1, 5, 8), rows)[0] if d.kind == "attention")
    values = array(weights.values)
    assert values.shape == (2, 5, 5)
    np.testing.assert_allclose(values.sum(-1), 1, atol=1e-5)
    assert np.triu(values[0], 1).max() == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_linear_network_is_attributed_to_its_weights(method):
    network = nn.Linear(4, 2, bias=False)
    inputs = torch.tensor([[1.0, -2.0, 3.0, 0.5]])
    found = attribution(network, inputs, method, target=1)
    np.testing.assert_allclose(array(found.values), (network.weight[1] * inputs[0]).detach(), atol=1e-5)
    assert 0 <= found.randomised <= 1


def test_an_attribution_that_ignores_the_weights_is_alike_for_a_random_network():
    class Ignores(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def forward(self, x):
            return torch.stack([x.square().sum(1), x.sum(1)], 1) + 0 * self.layer(x)

    inputs = torch.rand(1, 6, generator=torch.Generator().manual_seed(0))
    assert attribution(Ignores(), inputs, "gradient-times-input", 0).randomised > 0.99


def test_words_are_attributed_at_their_embedding():
    torch.manual_seed(0)

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(10, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.embed(x).mean(1))

    for method in METHODS:
        assert array(attribution(Reader(), torch.tensor([[1, 4, 2]]), method).values).shape == (3,)


def test_an_unknown_attribution_names_those_there_are():
    with pytest.raises(nw.UserError, match="occlusion"):
        attribution(nn.Linear(2, 2), torch.randn(1, 2), "tea-leaves")


def test_before_and_after_are_two_moments_of_the_same_rows():
    before, after = convolutional(), convolutional()
    with torch.no_grad():
        after[0].weight.mul_(2)
        after[0].bias.mul_(2)
    given = material(after, torch.randn(5, 1, 8, 8))
    wanted = Wanted(details=())
    atlas = with_earlier(look_at(given, wanted).atlas, [glance(given, wanted, before, "before")])
    assert [m.label for m in atlas.moments] == ["before", "now"]
    np.testing.assert_allclose(grid(atlas, "norm", 1)[0], 2 * grid(atlas, "norm", 0)[0], rtol=1e-4)


def test_a_saved_atlas_is_the_same_without_the_model(tmp_path):
    looked = look_at(
        material(convolutional(), torch.randn(9, 1, 8, 8), kind="image", goal=own_losses),
        Wanted(beliefs=True, gradients=True, units=True, details=(1,), attribution="occlusion"),
    )
    save(looked.atlas, tmp_path / "mine.atlas", {"name": "mine"})
    atlas, about = reopen(tmp_path / "mine.atlas")
    assert atlas == looked.atlas
    assert about == {"name": "mine"}


@pytest.mark.parametrize("content", [b"", b"not an atlas", b"PK\x03\x04 broken"])
def test_a_file_that_is_no_atlas_is_refused_in_a_sentence(tmp_path, content):
    path = tmp_path / "other.atlas"
    path.write_bytes(content)
    with pytest.raises(nw.UserError, match="is no atlas"):
        reopen(path)


def test_a_pickle_inside_is_never_opened(tmp_path):
    path = tmp_path / "evil.atlas"
    with path.open("wb") as file:
        np.savez(file, header=np.array([{"run": "me"}], dtype=object))
    with pytest.raises(nw.UserError, match="is no atlas"):
        reopen(path)


def test_outputs_are_kept_whole_only_where_they_were_asked_for():
    network, inputs = convolutional(), torch.randn(5, 1, 8, 8)
    looked = look_at(material(network, inputs), Wanted(raw=("4",), details=(), batch_size=2))
    np.testing.assert_allclose(array(looked.raw["4"]), network(inputs).detach(), atol=1e-5)
    with pytest.raises(nw.UserError, match="no row 'head'"):
        look_at(material(network, inputs), Wanted(raw=("head",)))


def test_the_document_of_an_atlas_says_null_where_nothing_was_measured():
    inputs = torch.randn(4, 3)
    inputs[1] = float("nan")
    atlas = look_at(material(nn.Linear(3, 2), inputs), Wanted(details=())).atlas
    document = to_json(atlas)
    json.dumps(document, allow_nan=False)
    norms = document["moments"][0]["grids"][0]["values"]
    assert norms[0][1] is None and norms[0][0] > 0
