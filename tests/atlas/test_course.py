"""Functions in `forward`, parameters without a layer, loops and shared modules: each has its line, once."""

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netwright.atlas import listing, read
from netwright.values import Finding, Place


class Block(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x):
        return F.relu(self.conv(x) + x)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.blocks(x)
        x = x.transpose(1, 2).reshape(len(x), -1, 4)[:, :5]
        x = torch.cat([x, x.mean(1, keepdim=True)], 1)
        return F.softmax(self.head(F.dropout(x.sum(1), 0.5, self.training)), -1)


def kinds(network, inputs, **options):
    return [line.kind for line in listing(network, inputs, **options)]


def adds_up(network, lines):
    return sum(line.parameters for line in lines) == sum(p.numel() for p in network.parameters())


def test_functions_are_lines_in_execution_order_and_reshaping_is_not():
    assert kinds(Network(), torch.randn(3, 4, 6)) == [
        "Conv1d", "add", "relu", "Conv1d", "add", "relu", "mean", "cat", "sum", "dropout", "Linear",
        "softmax",
    ]  # fmt: skip


def test_a_function_stands_in_the_module_that_calls_it_at_the_users_line():
    lines = listing(Network(), torch.randn(3, 4, 6))
    add = [line for line in lines if line.kind == "add"][1]
    assert (add.name, add.parent, add.parameters, add.trainable) == ("", "blocks.1", 0, None)
    source, first = inspect.getsourcelines(Block.forward)
    assert add.file.endswith("test_course.py") and add.line == first + len(source) - 1
    assert (add.input_shape, add.output_shape) == ((4, 6), (4, 6))


def test_a_function_has_its_behaviour():
    lines = {line.kind: line for line in listing(Network(), torch.randn(3, 4, 6))}
    assert 0.1 < lines["relu"].behaviour["zeros"] < 0.9
    assert lines["softmax"].behaviour["mean"] == pytest.approx(0.5)


def test_the_modules_that_ran_are_told_with_their_shapes():
    modules = {m.name: m for m in read(Network(), torch.randn(3, 4, 6)).modules}
    assert {n: m.kind for n, m in modules.items()} == {
        "": "Network", "blocks": "Sequential", "blocks.0": "Block", "blocks.1": "Block",
    }  # fmt: skip
    assert (modules["blocks.0"].input_shape, modules[""].output_shape) == ((4, 6), (2,))


def test_nothing_inside_a_layer_is_a_line():
    assert kinds(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.randn(3, 5, 8)) == [
        "MultiheadAttention", "Dropout", "add", "LayerNorm", "Linear", "relu", "Dropout", "Linear", "Dropout",
        "add", "LayerNorm",
    ]  # fmt: skip


class Steps(nn.Module):
    """A recurrent layer written by hand."""

    def __init__(self):
        super().__init__()
        self.state, self.inputs = nn.Linear(3, 3), nn.Linear(4, 3)

    def forward(self, x):
        h = x[:, 0, :3]
        for t in range(x.shape[1]):
            h = torch.tanh(self.inputs(x[:, t]) + self.state(h))
        return h


def test_a_loop_over_steps_is_one_line_that_ran_often():
    lines = listing(Steps(), torch.randn(2, 7, 4))
    assert [(x.kind, x.calls) for x in lines] == [("Linear", 7), ("Linear", 7), ("add", 7), ("tanh", 7)]
    assert lines[0].flops == 7 * 2 * 4 * 3
    assert lines[3].bytes == 7 * 3 * 4


class Loop(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.weights = nn.ParameterList([torch.randn(4, 4) for _ in range(2)])

    def forward(self, x):
        for layer in self.layers:
            x = F.gelu(layer(x))
        for weight in self.weights:
            x = F.relu(F.linear(x, weight))
        return x


def test_a_loop_over_layers_is_a_line_for_each_of_them():
    lines = listing(Loop(), torch.randn(2, 4))
    assert [x.kind for x in lines] == [*["Linear", "gelu"] * 3, "ParameterList", *["linear", "relu"] * 2]
    assert all(x.calls == 1 for x in lines if x.kind != "ParameterList")
    assert adds_up(Loop(), lines)


class Owner(nn.Module):
    """Parameters of its own beside layers, and a layer whose weight is used without it."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 5, 4))
        self.used = nn.Linear(4, 4, bias=False)
        self.unused = nn.Linear(3, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(F.linear(x + self.position, self.used.weight))


def test_parameters_that_functions_use_have_a_line_before_the_function():
    network = Owner()
    lines = listing(network, torch.randn(3, 5, 4))
    told = [(x.kind, x.name, x.parameters, x.calls) for x in lines]
    assert told == [
        ("Parameter", "position", 20, 0),
        ("add", "", 0, 1),
        ("Linear", "used", 16, 0),
        ("linear", "", 0, 1),
        ("Linear", "head", 10, 1),
        ("Linear", "unused", 12, 0),
    ]
    assert adds_up(network, lines)
    assert lines[3].flops == 5 * 2 * 4 * 4


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(10, 4), nn.Linear(4, 10)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(self.embedding(x).mean(1))


def test_weights_of_two_layers_are_counted_once_and_the_second_says_whose_they_are():
    network = Tied()
    lines = {x.name: x for x in listing(network, torch.randint(10, (3, 5))) if x.name}
    assert (lines["embedding"].parameters, lines["head"].parameters) == (40, 10)
    assert (lines["embedding"].shares, lines["head"].shares) == (None, "embedding")
    assert lines["head"].trainable


class Twins(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()

    def forward(self, x):
        return self.block(x) - self.block(x.flip(0))


def test_a_module_that_runs_twice_has_its_lines_once():
    lines = listing(Twins(), torch.randn(3, 4, 6))
    assert [(x.kind, x.calls) for x in lines] == [("Conv1d", 2), ("add", 2), ("relu", 2), ("sub", 1)]


def test_bytes_are_of_a_samples_outputs_and_state_of_the_parameters():
    network = nn.Sequential(nn.Linear(4, 8), nn.LSTM(8, 3, batch_first=True)).bfloat16()
    linear, lstm = listing(network, torch.randn(2, 5, 4, dtype=torch.bfloat16))
    assert (linear.bytes, linear.state) == (5 * 8 * 2, 40 * 2)
    assert lstm.bytes == (5 * 3 + 3 + 3) * 2  # the states of all steps, and the last of both kinds


def test_a_partly_frozen_layer_tells_how_much_of_it_is_trained():
    network = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    network[0].weight.requires_grad_(False)
    network[1].requires_grad_(False)
    first, second = listing(network, torch.randn(2, 4))
    assert (first.trainable, first.trainable_parameters) == (True, 8)
    assert (second.trainable, second.trainable_parameters) == (False, 0)


def test_the_time_is_what_the_clock_says_that_a_layers_forward_took():
    now = [0.0]

    class Slow(nn.Module):
        def __init__(self, seconds):
            super().__init__()
            self.seconds = seconds

        def forward(self, x):
            now[0] += self.seconds
            return x + 0

    lines = listing(nn.Sequential(Slow(0.01), Slow(0.02)), torch.randn(2, 4), clock=lambda: now[0])
    assert [x.seconds for x in lines] == pytest.approx([0.01, 0.02])


def test_without_a_clock_no_time_is_told():
    assert {x.seconds for x in listing(Network(), torch.randn(3, 4, 6))} == {None}


def test_a_finding_about_a_call_stands_at_its_line():
    source, first = inspect.getsourcelines(Block.forward)
    plain = listing(Network(), torch.randn(3, 4, 6))
    place = Place("blocks.1", plain[1].file, first + len(source) - 1)
    finding = Finding("dead-units", place, {}, "rests")
    lines = listing(Network(), torch.randn(3, 4, 6), findings=[finding])
    assert [x.kind for x in lines if x.findings] == ["add", "relu"]  # of the second block, one line for both
    assert {x.parent for x in lines if x.findings} == {"blocks.1"}
