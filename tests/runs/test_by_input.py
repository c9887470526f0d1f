"""What a pass makes of every input: numbers against NumPy, every kind of network, and networks left alone."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from netwright.runs import by_input
from netwright.runs.by_input import Saturation, Statistics, read_all


def seen(network, inputs, size=4):
    def parts():
        for start in range(0, len(inputs), size):
            yield inputs[start : start + size], None, None

    found = read_all(network, parts(), [Statistics(), Saturation()])
    return found, {(s.name if s.call == 1 else f"{s.name}@{s.call}"): n for n, s in enumerate(found.spots)}


def by_hand(values):
    """(4, N) norm, mean, spread, zeros of (N, ...)."""
    flat = values.detach().double().reshape(len(values), -1).numpy()
    return np.stack([np.linalg.norm(flat, axis=1), flat.mean(1), flat.std(1), (flat == 0).mean(1)])


def numbers(found, row):
    return np.stack([found.numbers[name][row] for name in ("norm", "mean", "spread", "zeros")])


def test_norm_mean_spread_and_zeros_of_every_layer_are_those_of_numpy():
    network = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(20, 3))
    inputs = torch.randn(10, 2, 7, 7)
    found, rows = seen(network, inputs)
    values = inputs
    for name, layer in network.named_children():
        values = layer(values)
        for n, (got, expected) in enumerate(
            zip(numbers(found, rows[name]), by_hand(values[:, :]), strict=True)
        ):
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6, err_msg=f"{name} {n}")


def test_a_large_mean_costs_the_spread_no_digits():
    network = nn.Identity()
    inputs = torch.randn(6, 500, generator=torch.Generator().manual_seed(0)) + 3000
    found, _ = seen(network, inputs)
    np.testing.assert_allclose(found.numbers["spread"][0], by_hand(inputs)[2], rtol=1e-3)


def test_outputs_larger_than_the_buffer_are_read_in_pieces(monkeypatch):
    monkeypatch.setattr(by_input, "SCRATCH", 4 * 64 * 3)
    inputs = torch.randn(10, 64)
    found, _ = seen(nn.ReLU(), inputs, size=10)
    np.testing.assert_allclose(numbers(found, 0), by_hand(inputs.relu()), rtol=1e-4, atol=1e-6)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        hidden = F.relu(self.one(x))
        x = x + self.other(hidden)
        return torch.cat([F.relu(x), x.tanh()], 1)


def test_functions_called_in_forward_are_rows_in_execution_order():
    found, _ = seen(Residual(), torch.randn(8, 6))
    names = [spot.name for spot in found.spots]
    assert names == ["one", "relu#1", "other", "add#1", "relu#2", "tanh#1", "cat#1"]
    assert found.spots[1].kind == "relu" and found.spots[1].module is None


def test_functions_go_by_the_name_that_torch_gives_them():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Identity()

        def forward(self, x):
            x = F.instance_norm(F.interpolate(self.layer(x), scale_factor=2))
            x += x.clone()
            return x

    found, _ = seen(Named(), torch.randn(4, 2, 3, 3))
    assert [spot.kind for spot in found.spots] == ["Identity", "interpolate", "instance_norm", "add"]


def test_what_layers_do_inside_themselves_is_no_row_of_its_own():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    found, _ = seen(nn.Sequential(layer), torch.randn(5, 3, 8))
    names = [spot.name for spot in found.spots]
    assert names.count("0.self_attn") == 1
    assert "0.add#1" in names and "0.relu#1" in names
    assert not any("linear#" in name or "softmax" in name for name in names)


def test_a_layer_that_runs_twice_has_two_rows():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(self.layer(x) * 2)

    found, rows = seen(Twice(), torch.randn(6, 4))
    assert set(rows) == {"layer", "layer@2"}
    assert not np.allclose(found.numbers["norm"][0], found.numbers["norm"][1])


def test_sequences_with_the_batch_in_the_middle_are_laid_out_by_input():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(3, 5)

        def forward(self, x):
            return self.gru(x.transpose(0, 1))[0][-1]

    network, inputs = Reader().eval(), torch.randn(6, 4, 3)
    found, rows = seen(network, inputs, size=6)
    outputs = network.gru(inputs.transpose(0, 1))[0].transpose(0, 1)
    np.testing.assert_allclose(numbers(found, rows["gru"]), by_hand(outputs), rtol=1e-4, atol=1e-6)


def test_padding_of_packed_sequences_is_not_counted():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 4, batch_first=True)

        def forward(self, x):
            lengths = (x.abs().sum(2) > 0).sum(1)
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            return pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0][:, 0]

    torch.manual_seed(0)
    inputs = torch.randn(4, 6, 3)
    lengths = [2, 6, 3, 5]
    for row, length in enumerate(lengths):
        inputs[row, length:] = 0
    network = Packed().eval()
    found, rows = seen(network, inputs)
    for n, length in enumerate(lengths):
        alone = network.lstm(inputs[n : n + 1, :length])[0]
        np.testing.assert_allclose(numbers(found, rows["lstm"])[:, n], by_hand(alone)[:, 0], rtol=1e-4)


def test_windows_merged_into_the_batch_go_to_their_input():
    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x):
            return self.layer(x.reshape(-1, 4)).reshape(len(x), -1)

    network, inputs = Windows(), torch.randn(6, 12)
    found, rows = seen(network, inputs, size=6)
    np.testing.assert_allclose(numbers(found, rows["layer"]), by_hand(network(inputs)), rtol=1e-4, atol=1e-6)


def test_dictionaries_and_nested_outputs_are_read():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Pair()

        def forward(self, left, right):
            (logits, _), extra = self.inner(left)
            return {"logits": logits + right, "extra": [extra]}

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return (self.layer(x), None), x

    found = read_all(
        Named(), [({"right": torch.ones(5, 3), "left": torch.ones(5, 3)}, None, None)], [Statistics()]
    )
    assert [spot.name for spot in found.spots] == ["inner.layer", "add#1"]
    assert found.count == 5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_in_single(dtype):
    network = nn.Linear(8, 8).to(dtype)
    inputs = torch.randn(4, 8).to(dtype)
    found, _ = seen(network, inputs)
    np.testing.assert_allclose(numbers(found, 0), by_hand(network(inputs).float()), rtol=1e-2, atol=1e-3)


def test_a_network_under_autocast_is_read_as_it_runs():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return self.layer(x)

    network, inputs = Half(), torch.randn(4, 8)
    found, _ = seen(network, inputs)
    np.testing.assert_allclose(numbers(found, 0), by_hand(network(inputs)), rtol=1e-2, atol=1e-3)


def test_a_layer_overwritten_by_the_next_is_read_before_it_is():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    inputs = torch.randn(6, 4)
    found, rows = seen(network, inputs)
    np.testing.assert_allclose(numbers(found, rows["0"]), by_hand(network[0](inputs)), rtol=1e-4, atol=1e-6)
    assert found.numbers["zeros"][rows["1"]].max() > 0


def test_a_dropout_at_rest_has_the_numbers_of_what_comes_before_it():
    network = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Flatten())
    found, rows = seen(network.train(), torch.randn(6, 4))
    for name in ("1", "2"):
        np.testing.assert_array_equal(numbers(found, rows[name]), numbers(found, rows["0"]))


def test_saturation_is_said_of_bounded_activations_alone():
    network = nn.Sequential(nn.Identity(), nn.Sigmoid())
    found, _ = seen(network, torch.tensor([[-10.0, 0.0, 10.0, 0.1]]))
    saturated = found.numbers["saturated"][:, 0]
    assert np.isnan(saturated[0]) and saturated[1] == pytest.approx(0.5)


def test_values_that_are_not_finite_are_missing_for_their_input_alone():
    inputs = torch.ones(4, 3)
    inputs[2, 1] = float("nan")
    found, _ = seen(nn.Linear(3, 3), inputs)
    assert np.isnan(found.numbers["norm"][0]).tolist() == [False, False, True, False]


class Stateful(nn.Module):
    """Remembers what it saw, in an attribute, a list and a buffer."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)
        self.state, self.history = torch.zeros(3), []
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.state = self.state + x.mean(0).detach()
        self.history.append(len(x))
        self.count += 1
        self.last = x
        return self.norm(self.layer(x))


def test_a_network_that_holds_state_between_calls_is_left_as_it_was():
    network = Stateful().train()
    seen(network, torch.randn(8, 3))
    assert torch.equal(network.state, torch.zeros(3)) and network.history == [] and network.count == 0
    assert not hasattr(network, "last")
    assert network.training and network.norm.training


@pytest.mark.parametrize("wrong", [ValueError, KeyboardInterrupt])
def test_a_pass_that_is_broken_off_leaves_no_hook_and_no_mode(wrong):
    class Breaks(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls == 2:
                raise wrong("the lake is closed")
            return self.inner(x)

    network, inputs = Breaks().train(), torch.randn(8, 3)
    state = torch.get_rng_state()
    with pytest.raises(wrong, match="the lake is closed"):
        seen(network, inputs)
    assert network.training and network.inner.training and network.calls == 0
    for module in network.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
    assert torch.equal(torch.get_rng_state(), state)
    assert type(torch.relu(torch.ones(1))) is torch.Tensor  # and nothing listens any more
