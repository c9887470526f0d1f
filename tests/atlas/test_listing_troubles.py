"""Networks that are awkward to run: shown, or refused in a sentence, and left as they were in any case."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

import netwright as nw


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, left, right):
        return self.layer(left) + right


X = torch.ones(3, 4)


@pytest.mark.parametrize("inputs", [(X, X), {"right": X, "left": X}], ids=["tuple", "dictionary"])
def test_a_network_of_several_inputs_takes_a_tuple_or_a_dictionary(inputs):
    result = nw.look(Two(), inputs)
    assert [line.kind for line in result.layers] == ["Linear", "add"]
    assert result.inputs == 3


@pytest.mark.parametrize(
    ("inputs", "given"),
    [(X, "one tensor"), ((X, X, X), "3 inputs"), ({"up": X}, "a dictionary of up")],
    ids=["one", "three", "other names"],
)
def test_inputs_that_forward_does_not_take_are_said_in_a_sentence(inputs, given):
    with pytest.raises(nw.UserError, match=rf"forward takes \(left, right\) and was given {given}"):
        nw.look(Two(), inputs)


def test_a_tuple_stays_one_input_where_forward_takes_one():
    class Pair(nn.Module):
        def forward(self, pair):
            return pair[0] + pair[1]

    assert [line.kind for line in nw.look(nn.Sequential(Pair()), (X, X)).layers] == ["Pair"]


def test_a_recurrent_layer_takes_its_state_beside_the_sequence():
    state = (torch.zeros(1, 3, 5), torch.zeros(1, 3, 5))
    [line] = nw.look(nn.LSTM(4, 5, batch_first=True), (torch.randn(3, 7, 4), state)).layers
    assert line.output_shape == (7, 5)


class Packing(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x):
        packed = nn.utils.rnn.pack_padded_sequence(x, [3, 2, 1], batch_first=True)
        return self.head(self.lstm(packed)[1][0][-1])


def test_packed_sequences_are_shown_with_the_work_that_they_are():
    lstm, head = nw.look(Packing(), torch.randn(3, 3, 4)).layers
    assert lstm.flops == round(2 * (3 + 2 + 1) * 20 * (4 + 5) / 3)
    assert head.output_shape == (2,)


def test_a_packed_batch_has_as_many_inputs_as_sequences():
    packed = nn.utils.rnn.pack_padded_sequence(torch.randn(3, 3, 4), [3, 2, 1], batch_first=True)
    assert nw.look(nn.LSTM(4, 5, batch_first=True), packed).inputs == 3


def test_nested_outputs_are_walked_through():
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return {"all": [self.layer(x), (x, {"none": None})], "count": 3}

    result = nw.look(Nested(), X)
    assert [line.kind for line in result.layers] == ["Linear"]
    assert result.modules[0].output_shape == (4,)


class Guarded(nn.Module):
    """Layers without gradients, and writing over what was computed."""

    def __init__(self):
        super().__init__()
        self.body, self.act, self.head = nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)

    def forward(self, x):
        with torch.no_grad():
            x = self.act(self.body(x))
        with torch.inference_mode():
            x = F.relu(x)
        x = x.clone()
        x.mul_(2).relu_()
        x += 1
        return self.head(x)


def test_layers_without_gradients_and_in_place_are_shown():
    kinds = [line.kind for line in nw.look(Guarded(), X).layers]
    assert kinds == ["Linear", "ReLU", "relu", "mul", "relu", "add", "Linear"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.half, torch.float64], ids=str)
def test_other_kinds_of_numbers_are_measured_alike(dtype):
    network = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 2)).to(dtype)
    lines = nw.look(network, X.to(dtype)).layers
    assert all(line.behaviour["std"] is not None and line.behaviour["histogram"] for line in lines)
    assert lines[0].state == 40 * dtype.itemsize


def test_inputs_of_another_kind_than_the_weights_are_the_networks_own_error():
    with pytest.raises(nw.UserCodeError, match="dtype"):
        nw.look(nn.Sequential(nn.Linear(4, 2)).bfloat16(), X)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (lambda: nn.Sequential(nn.LazyLinear(3)), "call it on a batch once first"),
        (lambda: nn.Linear(4, 2, device="meta"), "holds no numbers"),
    ],
    ids=["lazy", "meta"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_network_without_weights_is_refused_in_a_sentence(network, said):
    with pytest.raises(nw.UserError, match=said):
        nw.look(network(), X)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_torchscript_is_refused_in_a_sentence():
    with pytest.raises(nw.UserError, match="TorchScript"):
        nw.look(torch.jit.trace(nn.Sequential(nn.Linear(4, 2)), X), X)


def test_an_empty_batch_is_refused_in_a_sentence():
    with pytest.raises(nw.UserError, match="the batch is empty"):
        nw.look(nn.Linear(4, 2), torch.zeros(0, 4))


def test_arrays_are_taken_as_tensors():
    assert nw.look(nn.Linear(4, 2), X.double().numpy()).inputs == 3


def test_an_encoder_with_padding_is_shown_layer_by_layer():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    mask = torch.tensor([[False, False, False, True, True]] * 3)
    lines = nw.look(encoder, {"src": torch.randn(3, 5, 8), "src_key_padding_mask": mask}).layers
    assert [line.kind for line in lines].count("MultiheadAttention") == 2


def test_a_network_that_catches_its_own_errors_is_followed():
    class Catching(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            try:
                self.layer(x[:, :2])
            except RuntimeError:
                x = x * 2
            return F.relu(self.layer(x))

    lines = nw.look(Catching(), X).layers
    assert [line.kind for line in lines] == ["Linear", "mul", "relu"]


class Counting(nn.Module):
    """It writes into one buffer and replaces another whenever it runs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("last", torch.zeros(4))

    def forward(self, x):
        self.seen += 1
        self.last = x.mean(0)
        return self.layer(x)


def test_buffers_that_a_pass_writes_are_as_before():
    network = Counting()
    nw.look(network, X)
    assert network.seen == 0 and torch.equal(network.last, torch.zeros(4))


class Interrupted(nn.Module):
    """Ctrl-C in the middle of the pass that is counted down to."""

    def __init__(self, at):
        super().__init__()
        self.layer, self.norm, self.at = nn.Linear(4, 4), nn.BatchNorm1d(4), at

    def forward(self, x):
        self.at -= 1
        if not self.at:
            raise KeyboardInterrupt
        return self.norm(self.layer(x)) + x


@pytest.mark.parametrize("at", [1, 3], ids=["while it is listened to", "while it is timed"])
def test_an_interruption_leaves_everything_as_it_was(at):
    network = nn.Sequential(nn.Linear(4, 4), Interrupted(at)).train()
    network[0].weight.grad = torch.ones(4, 4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        nw.look(network, X)
    assert all(module.training for module in network.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert torch.equal(network[0].weight.grad, torch.ones(4, 4))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.is_grad_enabled()
    assert not _get_current_function_mode_stack() and not _get_current_dispatch_mode_stack()
