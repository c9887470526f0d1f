"""What the recorder of calls sees in a forward pass, and that it changes nothing."""

import inspect
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from diagnosis.networks import Convolutional, Recurrent, Residual, Transformer, along_time, with_dropout
from netwright.runs import Recorder
from netwright.values import Edit

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
SERIES = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(1))
NETWORKS = {
    "convolutional": (Convolutional, IMAGES),
    "recurrent": (Recurrent, SERIES),
    "lstm": (lambda: Recurrent(nn.LSTM), SERIES),
    "transformer": (Transformer, SERIES),
    "residual": (Residual, IMAGES),
    "over time": (along_time, SERIES),
    "dropout": (with_dropout, IMAGES),
}


def recorded(network, *inputs, loss=None):
    with Recorder(network) as recorder:
        outputs = network(*inputs)
        if loss is not None:
            loss(outputs)
    return recorder.operations()


def names(operations):
    return [call.name for call in operations.calls]


class Written(nn.Module):
    """A network whose forward is given as a function of its two layers and the input."""

    def __init__(self, forward):
        super().__init__()
        self.body, self.head, self.written = nn.Linear(4, 5), nn.Linear(5, 3), forward

    def forward(self, x):
        return self.written(self, x)


def of(forward, loss=None):
    torch.manual_seed(0)
    return recorded(Written(forward), torch.randn(6, 4), loss=loss)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_gradients_and_random_states_are_those_without_it(name):
    make, inputs = NETWORKS[name]

    def passed(record):
        torch.manual_seed(0)
        network = make()
        random.seed(0)
        np.random.seed(0)
        if record:
            with Recorder(network):
                outputs = network(inputs)
        else:
            outputs = network(inputs)
        outputs.square().sum().backward()
        gradients = [p.grad for p in network.parameters()]
        buffers = list(network.buffers())
        return [outputs, *gradients, *buffers, torch.get_rng_state()], random.random(), np.random.rand()

    with_it, without = passed(True), passed(False)
    assert all(torch.equal(a, b) for a, b in zip(with_it[0], without[0], strict=True))
    assert with_it[1:] == without[1:]


def test_no_hook_is_left_behind():
    network = Convolutional()
    recorded(network, IMAGES)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_no_hook_is_left_behind_by_a_pass_that_fails():
    network = Convolutional()
    with pytest.raises(RuntimeError):
        recorded(network, SERIES[:, 0])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_layers_and_functions_are_seen_in_order():
    operations = of(lambda self, x: F.softmax(self.head(self.body(x).relu()), dim=1))
    assert names(operations) == ["linear", "relu", "linear", "softmax"]
    assert [call.layer for call in operations.calls] == ["body", "", "head", ""]


@pytest.mark.parametrize("relu", [F.relu, torch.relu, torch.relu_, lambda x: x.relu(), nn.ReLU()])
def test_a_function_has_one_name_however_it_is_written(relu):
    assert "relu" in names(of(lambda self, x: self.head(relu(self.body(x)))))


@pytest.mark.parametrize(("kind", "name"), [(nn.LSTM, "lstm"), (nn.GRU, "gru"), (nn.RNN, "rnn_tanh")])
def test_a_recurrent_layer_is_one_call(kind, name):
    operations = recorded(Recurrent(kind), SERIES)
    assert len({(c.name, c.nth) for c in operations.calls if c.layer == "body"}) == 1
    assert operations.calls[0].name == name


def test_attention_is_one_call():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    operations = recorded(attention, SERIES, SERIES, SERIES)
    assert len({(c.name, c.nth) for c in operations.calls if c.name == "attention"}) == 1
    assert not {"softmax", "linear", "bmm"} & set(names(operations))


def test_the_line_of_the_users_source_is_found():
    def forward(self, x):
        x = self.body(x)
        x = torch.tanh(x)
        return self.head(x)

    first = inspect.getsourcelines(forward)[1]
    calls = {call.name: call for call in of(forward).calls}
    assert calls["tanh"].place.line == first + 2
    assert calls["tanh"].place.file == __file__


def test_the_line_of_a_layer_is_the_one_that_calls_it():
    def forward(self, x):
        return self.head(
            self.body(x),
        )

    first = inspect.getsourcelines(forward)[1]
    assert [call.place.line for call in of(forward).calls] == [first + 2, first + 1]


def test_the_end_is_looked_for_past_what_only_reshapes():
    operations = of(lambda self, x: self.head(self.body(x).relu()).sigmoid().flatten(1)[:, :2].contiguous())
    assert operations.ends_in.name == "sigmoid"


def test_what_the_network_returns_as_it_came_has_no_end():
    assert of(lambda self, x: x).ends_in is None


def test_the_source_of_a_value_is_the_call_that_gave_it_its_numbers():
    operations = of(lambda self, x: self.head(self.body(x).relu().view(6, 5)))
    last = operations.calls[-1]
    assert operations.source_of(last.reads[0]).name == "relu"


def test_the_loss_is_told_from_the_network():
    operations = of(
        lambda self, x: self.head(self.body(x)), lambda out: F.cross_entropy(out, torch.zeros(6).long())
    )
    assert operations.loss_call.name == "cross_entropy"
    assert operations.loss_call not in operations.forward


def test_a_loss_inside_forward_is_not_the_loss():
    operations = of(lambda self, x: F.mse_loss(self.body(x), torch.zeros(6, 5)))
    assert operations.loss_call is None


@pytest.mark.parametrize("cut", [lambda x: x.detach(), lambda x: x.data, lambda x: torch.tensor(x.tolist())])
def test_what_cuts_the_gradient_is_marked(cut):
    operations = of(lambda self, x: self.head(cut(self.body(x))))
    assert [c.name for c in operations.calls if c.cuts] in (["detach"], ["data"], ["tolist"])


def test_nothing_is_cut_in_a_sound_pass():
    assert not any(call.cuts for call in recorded(Transformer(), SERIES).calls)


def test_comparisons_and_labels_are_no_cuts():
    operations = of(lambda self, x: self.head(self.body(x) * (self.body(x) > 0)))
    assert [c.name for c in operations.calls if c.cuts and c.name != "gt"] == []


def test_a_weight_that_the_network_does_not_list_is_hidden():
    apart = nn.Linear(5, 5)
    operations = of(lambda self, x: self.head(apart(self.body(x))))
    assert [call.hidden for call in operations.calls] == [False, True, False]


@pytest.mark.parametrize(
    "call",
    [lambda x: x.mean(0), lambda x: x.mean(dim=0), lambda x: torch.mean(x, 0), lambda x: x.mean(axis=0)],
)
def test_the_axis_is_known_however_it_is_given(call):
    operations = of(lambda self, x: self.head(self.body(x) - call(self.body(x))))
    assert next(operations.named("mean")).settings["dim"] == 0


def test_calls_of_one_name_are_counted_within_a_pass():
    operations = of(lambda self, x: self.head(self.body(x).relu()).relu())
    assert [call.nth for call in operations.named("relu")] == [0, 1]


def test_calls_are_counted_anew_in_each_pass():
    torch.manual_seed(0)
    network = Written(lambda self, x: self.head(self.body(x).relu()).relu())
    with Recorder(network) as recorder:
        network(torch.randn(6, 4))
        network(torch.randn(6, 4))
    assert [call.nth for call in recorder.operations().named("relu")] == [0, 1, 0, 1]


def test_a_call_keeps_its_number_behind_one_that_an_edit_removed():
    network = Written(lambda self, x: self.head(self.body(x).relu()).relu())
    edited = _edited(network, [["relu", 0]], "identity")
    assert [call.nth for call in recorded(edited, torch.randn(6, 4)).named("relu")] == [1]


def test_a_call_that_an_edit_put_in_has_no_number():
    network = Written(lambda self, x: self.head(self.body(x)).relu())
    edited = _edited(network, [["linear", 0]], "then relu")
    assert [call.nth for call in recorded(edited, torch.randn(6, 4)).named("relu")] == [-1, 0]


def _edited(network, calls, to):
    from netwright.catalogue import Catalogue

    edit = Edit("rewrite-calls", {"calls": calls, "to": to})
    return Catalogue.collect().edits[edit.kind].function(network, **edit.parameters)


def test_units_that_rest_and_values_at_the_flat_ends_are_counted():
    operations = of(lambda self, x: self.head((self.body(x) - 100).relu() + (self.body(x) * 100).tanh()))
    assert next(operations.named("relu")).dead == 1.0
    assert next(operations.named("tanh")).saturated > 0.8


def test_a_pass_that_fails_is_known_up_to_there():
    network = Written(lambda self, x: self.head(self.body(x).relu()[:, :3]))
    recorder = Recorder(network)
    with pytest.raises(RuntimeError), recorder:
        network(torch.randn(6, 4))
    assert names(recorder.operations())[:2] == ["linear", "relu"]
