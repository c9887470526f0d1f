"""Rewriting keeps the function, whatever the settings, and the names of the layers."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from benchmarks.ports.zoo import ZOO
from torch import nn
from torch.nn import functional as F

import netwright as nw
from conftest import digits_data, training
from netwright.ports import Program
from netwright.ports.rewrites import REWRITES
from netwright.ports.rewriting import rewritten
from netwright.values import Edit, UserError

IMAGES = (2, 6, 9, 7)


class Calls(nn.Module):
    """One function of the input."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Recurrent(nn.Module):
    def __init__(self, layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        output, ends = self.layer(x)
        return output, *(ends if isinstance(ends, tuple) else (ends,))


class States(nn.Module):
    """A function of what a recurrent layer gives and of its last states h."""

    def __init__(self, layer, function) -> None:
        super().__init__()
        self.layer, self.function = layer, function

    def forward(self, x):
        output, ends = self.layer(x)
        return self.function(output, ends[0] if isinstance(ends, tuple) else ends)


def attention(x):
    q, k, v = x.view(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
    parts = x.view(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
    return q @ k.mT @ v, parts[0] - parts[-1], x.view(2, 5, 2, 3, 4).permute(3, 0, 2, 1, 4)[1]


def many(axis, x):
    return torch.cat([x[:, n : n + 1] + n for n in range(19)], axis)


def pooled(**settings):
    return nn.Sequential(nn.AvgPool2d(**settings)), IMAGES


def transposed(**settings):
    return nn.Sequential(nn.ConvTranspose2d(6, 4, 3, **settings)), IMAGES


CASES = {
    "local-response-norm-by-convolution": [
        (nn.Sequential(nn.LocalResponseNorm(size, alpha=0.3, beta=0.6, k=1.5)), shape)
        for size, shape in ((3, IMAGES), (4, IMAGES), (5, IMAGES), (4, (2, 6, 9)))
    ],
    "gelu-by-exponential": [
        (nn.Sequential(nn.GELU()), (3, 400)),
        (Calls(lambda x: F.gelu(x, approximate="tanh")), (3, 400)),
    ],
    "elu-by-exponential": [
        (nn.Sequential(layer), (3, 400)) for layer in (nn.ELU(0.7), nn.SELU(), nn.CELU(0.4))
    ],
    "mish-by-exponential": [(nn.Sequential(nn.Mish()), (3, 400))],
    "softplus-by-exponential": [
        (nn.Sequential(layer), (3, 400)) for layer in (nn.Softplus(), nn.Softplus(3.0), nn.LogSigmoid())
    ],
    "softsign-by-reciprocal": [(nn.Sequential(nn.Softsign()), (3, 400))],
    "average-pooling-by-count": [
        pooled(kernel_size=3, stride=2, padding=1, count_include_pad=False),
        pooled(kernel_size=3, stride=2, ceil_mode=True),
        pooled(kernel_size=(2, 3), stride=(3, 2), padding=(1, 0), ceil_mode=True, count_include_pad=False),
        pooled(kernel_size=4, stride=3, padding=2, ceil_mode=True),
        pooled(kernel_size=2, divisor_override=3),
    ],
    "adaptive-pooling-by-windows": [
        (nn.Sequential(nn.AdaptiveMaxPool2d(1)), IMAGES),
        (nn.Sequential(nn.AdaptiveMaxPool2d((3, 7))), IMAGES),
        (nn.Sequential(nn.AdaptiveMaxPool1d(2)), (2, 3, 8)),
    ],
    "lstm-step-by-step": [
        (Recurrent(nn.LSTM(4, 5, 2, bidirectional=True, batch_first=True)), (3, 11, 4)),
        (Recurrent(nn.LSTM(4, 5, bias=False)), (11, 3, 4)),
    ],
    "gru-step-by-step": [
        (Recurrent(nn.GRU(4, 5, 2, bidirectional=True)), (11, 3, 4)),
        (Recurrent(nn.GRU(4, 5, bias=False, batch_first=True)), (1, 11, 4)),
    ],
    "last-state-from-output": [
        (States(nn.LSTM(4, 5, 2, batch_first=True), lambda o, h: h[-1]), (3, 11, 4)),
        (States(nn.GRU(4, 5, bidirectional=True), lambda o, h: h[0] * h[1] + o[0, :, 5:]), (11, 3, 4)),
        (States(nn.LSTM(4, 5), lambda o, h: h.squeeze(0)), (11, 3, 4)),
    ],
    "recurrence-as-layer": [(Recurrent(nn.LSTM(4, 5, 2, bidirectional=True, bias=False)), (11, 3, 4))],
    "concatenation-in-portions": [(Calls(partial(many, axis)), (2, 19, 3)) for axis in (0, 1, -1)],
    "circular-padding-by-joining": [
        (Calls(partial(F.pad, pad=(2, 1, 0, 3), mode="circular")), IMAGES),
        (nn.Sequential(nn.Conv1d(6, 2, 3, padding=2, padding_mode="circular")), (2, 6, 9)),
    ],
    "parts-before-shaping": [(Calls(attention), (2, 5, 24))],
    "transposed-convolution-cropped": [
        transposed(padding=1),
        transposed(stride=2, padding=1, output_padding=1, groups=2),
        transposed(stride=(2, 3), padding=(0, 2), output_padding=(1, 2), dilation=(2, 1), bias=False),
        (nn.Sequential(nn.ConvTranspose1d(6, 4, 4, 2, 1)), (2, 6, 9)),
        (nn.Sequential(nn.ConvTranspose3d(2, 4, 3, 2, 1, dilation=2)), (2, 2, 4, 3, 5)),
    ],
}


@pytest.mark.parametrize(
    ("id", "number"), [(id, number) for id, cases in CASES.items() for number in range(len(cases))]
)
def test_the_rewritten_network_computes_the_same(id, number):
    torch.manual_seed(number)
    network, shape = CASES[id][number]
    x = 4 * torch.randn(shape)
    program = Program.of(network, (x,), free_batch=False)
    changed, done = rewritten(program, (id,), [x])
    assert set(done.values()) == {id}
    for wanted, given in zip(program.read([x], ())[0], changed.read([x], ())[0], strict=True):
        assert given.shape == wanted.shape
        assert (given - wanted).abs().max() < 2e-6 * max(1, float(wanted.abs().max()))


@pytest.mark.parametrize("number", ["==", "!=", ">", ">=", "<", "<="])
def test_comparisons_of_tokens_are_looked_up_where_the_tokens_are_embedded(number):
    compare = {"==": torch.eq, "!=": torch.ne, ">": torch.gt, ">=": torch.ge, "<": torch.lt, "<=": torch.le}

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(9, 4)

        def forward(self, tokens):
            there = compare[number](tokens, 3)
            return self.words(tokens) * there.unsqueeze(-1).float(), there.float()

    tokens = torch.arange(9).reshape(1, 9)
    program = Program.of(Tokens(), (tokens,), free_batch=False)
    changed, done = rewritten(program, ("comparison-by-lookup",), [tokens])
    assert len(done) == 2
    for wanted, given in zip(program.read([tokens], ())[0], changed.read([tokens], ())[0], strict=True):
        assert torch.equal(given, wanted)


@pytest.mark.parametrize("name", ["googlenet", "gru-bidirectional", "attention", "activations"])
def test_layers_keep_their_names_and_what_they_give(name):
    network, inputs = ZOO[name]()[:2]
    one = [each[:1] for each in inputs]
    program = Program.of(network, tuple(one), free_batch=False)
    changed, done = rewritten(program, REWRITES, one)
    names = [layer.name for layer in changed.layers]
    assert done and set(names) <= {layer.name for layer in program.layers}
    assert {name for name in done if "#" not in name} <= set(names)
    _, wanted = program.read(one, names)
    _, given = changed.read(one, names)
    assert set(given) == set(names)
    assert all(torch.allclose(given[name], wanted[name], atol=1e-5) for name in names)


def test_a_network_without_such_calls_is_left_as_it_is():
    program = Program.of(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (torch.randn(2, 3),))
    assert rewritten(program, REWRITES, [torch.randn(2, 3)]) == (program, {})


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("layer", [nn.LSTM(3, 4, proj_size=2), nn.GRU(3, 4)])
def test_a_recurrent_layer_that_is_given_a_state_or_projects_it_stays(layer):
    class Given(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x, h):
            return self.layer(x)[0] if isinstance(self.layer, nn.LSTM) else self.layer(x, h)[0]

    arguments = (torch.randn(5, 1, 3), torch.randn(1, 1, 4))
    program = Program.of(Given(), arguments, free_batch=False)
    assert rewritten(program, REWRITES, list(arguments))[1] == {}


def test_more_steps_than_a_converter_takes_are_not_written_out():
    x = torch.randn(1, 65, 3)
    network = Recurrent(nn.GRU(3, 2, 2, batch_first=True, bidirectional=True))
    assert rewritten(Program.of(network, (x,), free_batch=False), ("gru-step-by-step",), [x])[1] == {}
    assert rewritten(Program.of(network, (x[:, :64],), free_batch=False), ("gru-step-by-step",), [x])[1]


@pytest.mark.parametrize("layer", [nn.AdaptiveMaxPool2d(2), nn.AdaptiveMaxPool2d(3, return_indices=True)])
def test_adaptive_pooling_that_parts_unevenly_or_is_asked_for_places_stays(layer):
    x = torch.randn(1, 2, 9, 9)
    assert rewritten(Program.of(layer, (x,), free_batch=False), REWRITES, [x])[1] == {}


def test_a_softplus_that_is_cut_off_early_stays():
    x = torch.randn(2, 3)
    assert rewritten(Program.of(nn.Softplus(1.0, 4), (x,)), REWRITES, [x])[1] == {}


def classifier():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.LocalResponseNorm(3, alpha=0.1), nn.GELU(), nn.ELU(), nn.Mish(), nn.Softplus(),
        nn.Softsign(), nn.Flatten(1, 2), nn.LSTM(6, 7, batch_first=True), Output(), nn.GRU(7, 7), Output(),
        nn.Flatten(), nn.Linear(252, 10),
    )  # fmt: skip


class Output(nn.Module):
    def forward(self, x):
        return x[0]


def test_as_an_edit_a_recipe_trains_on_with_the_rewritten_layers():
    recipe = nw.Recipe(digits_data(100), classifier, training(epochs=1))
    layers = {
        "1": "local-response-norm-by-convolution", "2": "gelu-by-exponential", "3": "elu-by-exponential",
        "4": "mish-by-exponential", "5": "softplus-by-exponential", "6": "softsign-by-reciprocal",
        "8": "lstm-step-by-step", "10": "gru-step-by-step",
    }  # fmt: skip
    edited = recipe.with_edits(Edit("rewrite-layers", {"layers": layers}))
    before, after = recipe.build(0).eval(), edited.build(0).eval()
    x = torch.randn(4, 1, 8, 8)
    assert torch.allclose(before(x), after(x), atol=1e-5)
    assert sum(p.numel() for p in before.parameters()) == sum(p.numel() for p in after.parameters())
    after(x).sum().backward()
    assert all(p.grad is not None for p in after.parameters())


def test_a_rewrite_that_is_not_known_is_said():
    x = torch.randn(2, 3)
    with pytest.raises(UserError, match="there is no rewrite 'gelu'; those known are adaptive-pooling"):
        rewritten(Program.of(nn.ReLU(), (x,)), ("gelu",), [x])


def test_an_edit_of_a_layer_without_that_rewrite_is_said():
    recipe = nw.Recipe(digits_data(100), classifier, training(epochs=1))
    edit = Edit("rewrite-layers", {"layers": {"0": "gelu-by-exponential"}})
    with pytest.raises(UserError, match="layer '0', a Conv2d, has no rewrite 'gelu-by-exponential'"):
        recipe.with_edits(edit).build(0)
