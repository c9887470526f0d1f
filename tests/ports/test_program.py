from __future__ import annotations

import inspect
import warnings

import pytest
import torch
from torch import nn

from netwright.ports import Program
from netwright.values import UserError
from ports import networks
from ports.networks import Residual, images, small


def program(network: nn.Module | None = None, *arguments: torch.Tensor) -> Program:
    return Program.of(network or small(), arguments or (images(),))


def test_layers_are_named_by_module_and_functions_by_their_module_and_number():
    assert [layer.name for layer in program().layers] == [
        "stem", "pool", "block.act", "block.conv", "block.norm", "block.add#1", "block.relu#1", "flatten#1",
        "drop", "head",
    ]  # fmt: skip


def test_a_layer_called_twice_is_named_twice():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(self.linear(x))

    assert [n.name for n in program(Twice(), torch.randn(3, 4)).layers] == ["linear", "linear#2"]


def test_a_layer_knows_the_line_of_the_users_file_that_calls_it():
    place = program().layer("block.add#1").place
    lines = inspect.getsource(networks).splitlines()
    assert place.file is not None and place.file.endswith("networks.py")
    assert place.line is not None and "x + self.norm" in lines[place.line - 1]


def test_the_batch_is_free_unless_it_is_fixed():
    assert program().any_batch
    assert not Program.of(small(), (images(1),), free_batch=False).any_batch


def test_reading_gives_what_the_network_gives():
    network, x = small(), images()
    outputs, read = program(network).read([x], ["stem", "block.relu#1"])
    assert torch.equal(outputs[0], network(x))
    assert torch.equal(read["stem"], network.stem(x))


def test_what_a_layer_depends_on_is_upstream_of_it():
    upstream = program().upstream()
    assert upstream["block.add#1"] >= {"pool", "block.norm", "block.conv", "stem"}
    assert upstream["stem"] == frozenset()


def test_a_tapped_program_also_returns_the_layers_that_were_named():
    network, x = small(), images()
    tapped = program(network).tapped(["stem", "head"])
    outputs, _ = tapped.read([x], [])
    assert torch.equal(outputs[tapped.taps["stem"]], network.stem(x))
    assert tapped.taps["head"] == 0, "the output is the layer already"


def test_a_program_that_ends_at_a_layer_has_nothing_after_it():
    part = program().tapped(["pool"], only=True)
    called = [node.name for node in part.exported.graph.nodes if node.op == "call_function"]
    assert called == ["conv2d", "max_pool2d"]
    assert torch.equal(part.read([images()], [])[0][0], small().pool(small().stem(images())))


def test_a_program_survives_its_file(tmp_path):
    whole = program()
    whole.save(tmp_path / "program.pt2")
    again = whole.about().loaded(tmp_path / "program.pt2")
    assert torch.equal(again.read([images()], [])[0][0], whole.read([images()], [])[0][0])


def test_the_plain_module_gives_the_same_at_another_batch_size_and_can_be_traced():
    network = small()
    module = program(network).module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of its tracer
        traced = torch.jit.trace(module, (images(4),), check_trace=False)
    assert torch.equal(traced(images(3, seed=5))[0], network(images(3, seed=5)))


def test_the_larger_and_the_smaller_of_sizes_are_followed_by_a_tracer():
    class Sizes(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            count = x.shape[0]
            turns = torch.arange(count).remainder(torch.sym_max(count - 2, 1))
            return x + turns[:, None] + torch.sym_min(count, 3)

    program = Program.of(Sizes(), (torch.rand(4, 3),))
    assert program.any_batch
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of its tracer
        traced = torch.jit.trace(program.module(), (torch.rand(4, 3),), check_trace=False)
    x = torch.rand(7, 3)
    assert torch.equal(traced(x)[0], Sizes()(x))


def test_every_operator_stands_by_itself_with_what_it_is_given():
    parts = {layers[0].name: part for layers, part, _ in program().alone([images()])}
    assert set(parts) == {
        "stem", "pool", "block.act", "block.conv", "block.norm", "block.add#1", "flatten#1", "head"
    }  # fmt: skip


def test_an_operator_by_itself_gives_what_it_gives_in_the_network():
    whole = program()
    _, read = whole.read([images()], [layer.name for layer in whole.layers])
    for layers, part, values in whole.alone([images()]):
        assert torch.equal(part.read(values, [])[0][0], read[layers[0].name]), layers[0].name


def test_a_recurrent_layer_is_one_layer_with_its_sequence_as_result():
    class Series(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.lstm(x)[0][:, -1])

    found = program(Series(), torch.randn(4, 7, 3))
    assert found.layer("lstm").shape == (None, 7, 5)


def test_several_inputs_and_outputs_keep_their_order():
    class Two(nn.Module):
        def forward(self, one: torch.Tensor, other: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"sum": one + other, "logits": one * 2}

    found = program(Two(), torch.ones(3, 2), torch.zeros(3, 2))
    assert len(found.inputs) == 2 and found.answer == 1
    outputs, _ = found.read([torch.ones(3, 2), torch.zeros(3, 2)], [])
    assert torch.equal(outputs[found.answer], torch.full((3, 2), 2.0))


def test_the_network_keeps_its_mode_and_its_hooks():
    network = small().train()
    program(network)
    assert network.training and network.block.training
    assert not network.block._forward_hooks and not network.block._forward_pre_hooks


class Undecided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gate(x)


class Gate(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:  # decides by a value
            return x
        return -x


def test_a_network_that_decides_by_values_is_refused_by_layer_and_line():
    with pytest.raises(UserError, match=r"layer 'gate' \(Gate\) decides by the values") as raised:
        program(Undecided(), torch.randn(3, 4))
    assert raised.value.file is not None and raised.value.file.endswith("test_program.py")


def test_an_autograd_function_of_the_users_is_followed_through_its_forward():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 2

    class Own(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return Double.apply(x)

    outputs, _ = program(Own(), torch.ones(2, 3)).read([torch.ones(2, 3)], [])
    assert torch.equal(outputs[0], torch.full((2, 3), 2.0))


def test_a_change_of_type_is_a_layer_of_its_own_and_dropout_is_none():
    class Typed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.drop(x.to(torch.float64)) * 2

    found = {layer.operator: layer.passes_on for layer in program(Typed(), torch.randn(2, 3)).layers}
    assert found["dropout"] and not found["to"] and not found["mul"]


@pytest.mark.parametrize("layer", [nn.RReLU(), nn.RReLU(0.2), nn.RReLU(0.2, 0.4)])
def test_a_randomised_leaky_relu_is_the_leaky_one_that_it_is_outside_training(layer):
    x = torch.randn(3, 5)
    program = Program.of(nn.Sequential(layer), (x,))
    assert [(one.name, one.operator) for one in program.layers] == [("0", "leaky_relu")]
    assert torch.equal(program.read([x], ())[0][0], layer.eval()(x))


def test_weights_in_half_precision_are_followed():
    half = Residual(4).half().eval()
    found = program(half, torch.randn(2, 4, 5, 5).half())
    assert found.read([torch.ones(2, 4, 5, 5).half()], [])[0][0].dtype == torch.float16
