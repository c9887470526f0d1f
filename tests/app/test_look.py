"""Looking at networks of every shape: nothing is left out of the listing, and nothing invented in it."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import netwright as nw
from conftest import digits_data, mlp, training
from netwright.values import LookResult, from_json, to_json


def lines(network, inputs):
    return {line.name: line for line in nw.look(network, inputs).layers}


def flops(network, *shape):
    return next(iter(lines(network, torch.randn(*shape)).values())).flops


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Linear(4, 3), (5, 4), 2 * 4 * 3),
        (nn.Linear(4, 3), (5, 7, 4), 7 * 2 * 4 * 3),
        (nn.Conv1d(2, 6, 3), (5, 2, 10), 2 * 6 * 8 * (2 * 3)),
        (nn.Conv2d(4, 8, 3, stride=2, padding=1), (3, 4, 9, 9), 2 * 8 * 25 * (4 * 9)),
        (nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), (3, 4, 9, 9), 2 * 8 * 25 * (2 * 9)),
        (nn.ConvTranspose2d(4, 8, 2, stride=2), (3, 4, 5, 5), 2 * 4 * 25 * (8 * 4)),
    ],
    ids=lambda value: str(value) if isinstance(value, nn.Module) else "",
)
def test_flops_are_of_one_sample_with_a_multiply_and_an_add_for_each_weight(layer, shape, expected):
    assert flops(layer, *shape) == expected


def test_a_network_that_is_one_layer_has_one_line():
    assert [line.kind for line in nw.look(nn.Linear(4, 3), torch.randn(5, 4)).layers] == ["Linear"]


class Twice(nn.Module):
    """The same layer at two places of the pass."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(self.layer(x).relu())


def test_a_layer_that_runs_twice_has_one_line_with_its_weights_once_and_its_work_twice():
    line = lines(Twice(), torch.randn(5, 4))["layer"]
    assert (line.parameters, line.flops) == (20, 2 * 2 * 4 * 4)


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.randn(5, 3, 8)),
        (nn.Sequential(spectral_norm(nn.Linear(4, 6)), nn.ReLU(), nn.Linear(6, 2)), torch.randn(5, 4)),
        (nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2)), torch.randint(10, (5, 3))),
        (nn.Sequential(nn.LSTM(4, 3, num_layers=2)), torch.randn(5, 2, 4)),
    ],
    ids=["attention", "a weight made of another", "embedding", "recurrent"],
)
def test_the_parameters_of_the_lines_add_up_to_those_of_the_network(network, inputs):
    listed = sum(line.parameters for line in nw.look(network, inputs).layers)
    assert listed == sum(p.numel() for p in network.parameters())


def test_a_dictionary_of_inputs_goes_by_name():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, left, right):
            return {"logits": self.layer(left) + right}

    result = nw.look(Named(), {"right": torch.randn(5, 4), "left": torch.randn(5, 4)})
    assert (result.inputs, result.layers[0].output_shape) == (5, (4,))


def test_whole_numbers_are_looked_up_and_not_averaged():
    line = lines(nn.Sequential(nn.Embedding(10, 4)), torch.randint(10, (5, 3)))["0"]
    assert line.output_shape == (3, 4)
    assert line.flops is None


def test_values_that_are_not_numbers_are_not_drawn_as_zeros():
    network = nn.Sequential(nn.Linear(4, 3))
    with torch.no_grad():
        network[0].weight[0, 0] = float("nan")  # one output of three
    line = lines(network, torch.ones(5, 4))["0"]
    assert sum(line.behaviour["histogram"] or ()) == 10
    document = nw.look(network, torch.ones(5, 4)).to_json()["layers"][0]
    assert document["behaviour"]["mean"] is None


def test_a_layer_without_a_single_number_has_no_histogram():
    line = lines(nn.Linear(4, 3), torch.full((5, 4), float("nan")))[""]
    assert line.behaviour["histogram"] is None


def test_looking_leaves_what_follows_the_weights_alone():
    network = nn.Sequential(spectral_norm(nn.Linear(4, 4)), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    network[1].eval()  # some layers frozen in another mode
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    inputs = torch.randn(5, 4, requires_grad=True)
    nw.look(network, inputs)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert inputs.grad is None


def test_a_network_that_raises_is_left_as_it_was():
    def refuse(module, inputs):
        raise ValueError("the lake is closed")

    network = mlp().train()
    network[3].register_forward_pre_hook(refuse)
    with pytest.raises(nw.UserCodeError, match="the lake is closed"):
        nw.look(network, torch.randn(4, 1, 8, 8))
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())


def test_looking_at_a_recipe_gives_the_same_twice(digits_recipe):
    def document():
        found = nw.look(digits_recipe).to_json()
        for measured in (found["total"], *found["layers"]):
            assert measured.pop("seconds") >= 0.0  # the one number that differs from time to time
        return found

    assert document() == document()


def test_another_seed_shows_other_weights(digits_recipe):
    one, other = nw.look(digits_recipe), nw.look(digits_recipe, seed=3)
    assert other.run == "untrained, seed 3"
    assert one.layers[1].behaviour["mean"] != other.layers[1].behaviour["mean"]


def test_a_finding_stands_at_its_layer():
    def build():
        network = mlp()
        nn.init.constant_(network[1].bias, -50.0)
        return network

    result = nw.look(nw.Recipe(digits_data(), build, training()))
    at = {line.name: line.findings for line in result.layers}
    assert at["1"] == tuple(f.id for f in result.findings if f.where.layer == "1")
    assert at["1"] and not at["3"]


def test_weights_are_named_as_what_is_shown(tmp_path, digits_recipe):
    network = mlp()
    nn.init.zeros_(network[1].weight)
    nn.init.zeros_(network[1].bias)
    torch.save(network.state_dict(), tmp_path / "mine.pt")
    result = nw.look(digits_recipe, weights=tmp_path / "mine.pt")
    assert result.run == f"{tmp_path / 'mine.pt'}, 4 tensors"
    assert result.layers[1].behaviour["std"] == 0.0


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv1d(2, 3, 3), nn.Linear(3, 2)
        self.head.requires_grad_(False)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean(-1))


def test_only_the_lines_that_were_asked_for_are_listed_and_the_total_stays():
    network, inputs = Mixed(), torch.randn(4, 2, 9)
    result = nw.look(network, inputs, where="frozen or conv")
    assert [line.name for line in result.layers] == ["conv", "head"]
    assert (result.hidden, result.where) == (2, "frozen or conv")
    assert (result.total.layers, result.total.parameters, result.total.trainable) == (4, 29, 21)
    assert "2 of 4 lines hidden" in str(result)


def test_the_lines_are_sorted_by_what_was_asked_for():
    result = nw.look(Mixed(), torch.randn(4, 2, 9), sort="flops")
    assert [line.kind for line in result.layers] == ["Conv1d", "Linear", "relu", "mean"]
    assert result.to_json()["sort"] == "flops"


def test_time_is_measured_for_every_layer_and_function():
    result = nw.look(Mixed(), torch.randn(4, 2, 9))
    assert all(line.seconds > 0 for line in result.layers)
    assert result.total.seconds == pytest.approx(sum(line.seconds for line in result.layers))


def test_a_recipe_beside_another_shares_its_batch(digits_recipe):
    other = nw.Recipe(digits_recipe.data, lambda: mlp(hidden=48), training())
    result = nw.look(digits_recipe, against=other)
    document = result.to_json()["against"]
    assert document["pairs"][0]["changed"] == []
    assert "output_shape" in document["pairs"][1]["changed"]
    assert document["total"]["parameters"] == 64 * 48 + 48 + 48 * 10 + 10
    assert "against" in str(result) and "<iframe" in result._repr_html_()


def test_a_network_beside_another_takes_the_same_inputs():
    result = nw.look(mlp(), torch.randn(4, 1, 8, 8), against=mlp(hidden=8), where="linear")
    pairs = result.against.pairs
    assert [(p.left, p.right) for p in pairs] == [(1, 1), (3, 3)]
    assert result.hidden == 2


def test_a_network_stands_beside_a_recipe(digits_recipe):
    assert len(nw.look(digits_recipe, against=mlp(hidden=8)).against.layers) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"where": "conv and"}, "'conv and'"),
        ({"sort": "colour"}, "say one of parameters"),
        ({"depth": 0}, "say 1 or more"),
        ({"against": mlp(), "sort": "flops"}, "leave out --sort and --depth"),
    ],
    ids=["where", "sort", "depth", "both"],
)
def test_a_wrong_wish_is_said_before_anything_runs(options, said):
    network = mlp()
    network.register_forward_pre_hook(lambda *_: pytest.fail("it ran"))
    with pytest.raises(nw.UserError, match=said):
        nw.look(network, torch.randn(4, 1, 8, 8), **options)


def test_a_document_of_a_comparison_becomes_the_same_result_again():
    document = nw.look(mlp(), torch.randn(4, 1, 8, 8), against=mlp(hidden=8)).to_json()
    assert to_json(from_json(document, LookResult)) == document
