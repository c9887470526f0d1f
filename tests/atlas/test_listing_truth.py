"""The numbers of the listing against hand-computed ones, and against torchinfo and fvcore where they are
installed.

Both count a multiply and an add as one, the listing as two. What they do not count or count otherwise is left
out: fvcore has normalisations and neither attention's products nor recurrent layers, torchinfo adds the
biases and takes a linear layer over many steps for one over a single step.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netwright.atlas import listing


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        return F.relu(x + self.conv2(F.relu(self.norm(self.conv1(x)))))


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 16, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, groups=4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def residual():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Residual(), nn.Flatten(), nn.Linear(8 * 36, 4))


def encoder():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)


NETWORKS = {
    "mlp": (mlp, (1, 8, 8)),
    "cnn": (cnn, (1, 8, 8)),
    "residual": (residual, (3, 6, 6)),
    "transformer encoder": (encoder, (5, 16)),
    "lstm": (Reader, (6, 8)),
}
ATTENTION = (
    2 * 5 * 16 * (3 * 16)  # queries, keys and values of 5 steps
    + 2 * (2 * 2 * 5 * 5 * 8)  # of 2 heads of width 8: weights of 5 by 5 steps, and the values under them
    + 2 * 5 * 16 * 16  # the output's projection
)
EXPECTED = {  # name: shape out, parameters, FLOPs of one sample
    "mlp": {
        "1": ((32,), 64 * 32 + 32, 2 * 64 * 32),
        "2": ((32,), 0, None),
        "3": ((10,), 32 * 10 + 10, 2 * 32 * 10),
    },
    "cnn": {
        "0": ((8, 8, 8), 8 * 9 + 8, 2 * 8 * 64 * 9),
        "1": ((8, 8, 8), 16, None),
        "3": ((8, 4, 4), 0, None),
        "4": ((16, 2, 2), 16 * 2 * 9 + 16, 2 * 16 * 4 * (2 * 9)),
        "7": ((10,), 650, 2 * 64 * 10),
    },
    "residual": {
        "0": ((8, 6, 6), 8 * 27 + 8, 2 * 8 * 36 * 27),
        "1.conv1": ((8, 6, 6), 8 * 72, 2 * 8 * 36 * 72),
        "1.norm": ((8, 6, 6), 16, None),
        "1.conv2": ((8, 6, 6), 8 * 72 + 8, 2 * 8 * 36 * 72),
        "3": ((4,), 288 * 4 + 4, 2 * 288 * 4),
    },
    "transformer encoder": {
        "layers.1.self_attn": ((5, 16), 4 * (16 * 16 + 16), ATTENTION),
        "layers.1.linear1": ((5, 32), 16 * 32 + 32, 2 * 5 * 16 * 32),
        "layers.1.linear2": ((5, 16), 32 * 16 + 16, 2 * 5 * 16 * 32),
        "layers.1.norm1": ((5, 16), 32, None),
    },
    "lstm": {
        # four gates; two directions; the second layer reads both directions of the first
        "lstm": (
            (6, 32),
            2 * 4 * 16 * (8 + 16 + 2) + 2 * 4 * 16 * (32 + 16 + 2),
            2 * 6 * (2 * 4 * 16 * (8 + 16) + 2 * 4 * 16 * (32 + 16)),
        ),
        "head": ((3,), 99, 2 * 32 * 3),
    },
}


def lines_of(name, batch=3):
    build, shape = NETWORKS[name]
    return listing(build(), torch.randn(batch, *shape))


CASES = [(name, layer) for name, layers in EXPECTED.items() for layer in layers]


@pytest.mark.parametrize(("name", "layer"), CASES)
def test_shape_parameters_and_flops_are_those_worked_out_by_hand(name, layer):
    line = next(line for line in lines_of(name) if line.name == layer)
    assert (line.output_shape, line.parameters, line.flops) == EXPECTED[name][layer]


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_numbers_do_not_depend_on_the_size_of_the_batch(name, batch):
    def numbers(size):
        found = lines_of(name, size)
        return [(x.kind, x.input_shape, x.output_shape, x.parameters, x.flops, x.bytes) for x in found]

    assert numbers(batch) == numbers(2)


def test_a_product_of_activations_written_as_a_function_is_counted():
    class Scores(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x) @ x.transpose(1, 2)

    lines = listing(nn.Sequential(Scores()), torch.randn(3, 5, 8))
    assert [line.flops for line in lines] == [2 * (2 * 5 * 5 * 8) + 2 * 5 * 5 * 8]


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_shapes_are_those_of_torchinfo(name):
    torchinfo = pytest.importorskip("torchinfo")
    build, shape = NETWORKS[name]
    network, inputs = build(), torch.randn(3, *shape)
    lines = {line.name: line for line in listing(network, inputs) if line.name}
    names = {id(module): n for n, module in network.named_modules()}
    found = torchinfo.summary(network, input_data=inputs, depth=9, verbose=0)
    layers = [x for x in found.summary_list if names[id(x.module)] in lines]
    assert {names[id(x.module)] for x in layers} == set(lines)
    for layer in layers:
        line = lines[names[id(layer.module)]]
        assert line.parameters == layer.num_params
        assert line.output_shape == tuple(layer.output_size[1:])
    assert sum(line.parameters for line in lines.values()) == found.total_params


@pytest.mark.parametrize("name", NETWORKS)
def test_flops_of_linear_and_convolutional_layers_are_twice_fvcores_count(name):
    fvcore = pytest.importorskip("fvcore.nn")
    build, shape = NETWORKS[name]
    network = build().eval()
    inputs = torch.randn(1, *shape)
    counted = fvcore.FlopCountAnalysis(network, inputs)
    counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    by_module = counted.by_module()
    compared = [x for x in listing(network, inputs) if x.kind in ("Linear", "Conv2d")]
    assert compared
    assert {x.name: x.flops for x in compared} == {x.name: 2 * by_module[x.name] for x in compared}
