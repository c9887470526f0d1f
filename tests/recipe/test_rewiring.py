"""Edits that reach into forward and into layers' settings: each does what it says, also in copies."""

from __future__ import annotations

import copy
import time
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import netwright as nw
from conftest import digits_data, mlp, training
from diagnosis import faulty
from diagnosis.networks import Convolutional, Recurrent, Residual, Transformer, rows_of_digits
from netwright.catalogue import Catalogue
from netwright.recipe.rewiring import picked_places
from netwright.runs import Clocks, Recorder, Tap
from netwright.trials import Failure, InlineEngine, Job, LocalEngine
from netwright.values import Edit, UserError, from_json, to_json

KINDS = Catalogue.collect().edits
IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
SERIES = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(1))


class Written(nn.Module):
    """A network whose forward is given as a function of its layers and the input."""

    def __init__(self, forward):
        super().__init__()
        self.body, self.head, self.written = nn.Linear(4, 5), nn.Linear(5, 3), forward

    def forward(self, x):
        return self.written(self, x)


ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(2))


def edited(network, kind, **parameters):
    return KINDS[kind].function(network, **parameters)


def rewritten(forward, calls, to, value=None):
    """(network as it is, the same with its calls rewritten)."""
    torch.manual_seed(0)
    network = Written(forward)
    return network, edited(copy.deepcopy(network), "rewrite-calls", calls=calls, to=to, value=value)


def apart(network):
    """The layers one by one, for what is expected."""
    return network.body(ROWS), network.head


# --- rewrite-calls


@pytest.mark.parametrize(
    ("index", "places"),
    [
        ((slice(None), -1), {1: -1}),
        (0, {0: 0}),
        ((..., 2), {2: 2}),
        ((slice(None), 1, 3), {1: 1, 2: 3}),
        ((slice(None), slice(0, 2)), {}),
        ((slice(None), torch.tensor([0, 1])), {}),
        (torch.tensor([True, False]), {}),
        ((slice(None), None), {}),
        (np.array([0, 1]), {}),
    ],
)
def test_an_index_tells_which_single_places_it_takes(index, places):
    assert picked_places(index, 3) == places


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("averaged", lambda x: x.mean(1)),
        ("largest", lambda x: x.amax(1)),
        ("last", lambda x: x[:, -1]),
        ("identity", lambda x: x),
    ],
)
def test_a_place_that_is_read_gives_way_to_others(to, expected):
    network = Written(lambda self, x: x[:, 0])
    changed = edited(network, "rewrite-calls", calls=[["getitem", 0]], to=to)
    assert torch.equal(changed(SERIES), expected(SERIES))


def test_what_is_overwritten_stays():
    def forward(self, x):
        x = x.clone()
        x[:, 1:] = 0.0
        return x

    assert torch.equal(
        edited(Written(forward), "rewrite-calls", calls=[["setitem", 0]], to="identity")(ROWS), ROWS
    )


def test_a_call_is_left_out():
    network, changed = rewritten(
        lambda self, x: F.softmax(self.head(self.body(x)), 1), [["softmax", 0]], "identity"
    )
    body, head = apart(network)
    assert torch.equal(changed(ROWS), head(body))


def test_the_chosen_one_of_several_calls_is_meant():
    network, changed = rewritten(
        lambda self, x: torch.tanh(self.head(torch.tanh(self.body(x)))), [["tanh", 1]], "identity"
    )
    body, head = apart(network)
    assert torch.equal(changed(ROWS), head(torch.tanh(body)))


def test_a_call_becomes_another():
    network, changed = rewritten(lambda self, x: self.head(self.body(x).sigmoid()), [["sigmoid", 0]], "relu")
    body, head = apart(network)
    assert torch.equal(changed(ROWS), head(body.relu()))


def test_a_call_is_followed_by_another():
    network, changed = rewritten(lambda self, x: self.head(self.body(x)), [["linear", 0]], "then relu")
    body, head = apart(network)
    assert torch.equal(changed(ROWS), head(body.relu()))


@pytest.mark.parametrize(
    "softmax", [lambda x: F.softmax(x, dim=0), lambda x: x.softmax(0), lambda x: torch.softmax(x, 0)]
)
def test_a_call_goes_over_another_axis(softmax):
    network, changed = rewritten(
        lambda self, x: self.head(softmax(self.body(x))), [["softmax", 0]], "dim", -1
    )
    body, head = apart(network)
    assert torch.equal(changed(ROWS), head(body.softmax(-1)))


def test_dropout_follows_the_mode():
    network, changed = rewritten(
        lambda self, x: self.head(F.dropout(self.body(x), 0.5)), [["dropout", 0]], "dropout"
    )
    body, head = apart(network)
    assert torch.equal(changed.eval()(ROWS), head(body))
    assert not torch.equal(changed.train()(ROWS), head(body))


def test_dropout_gets_another_share():
    _, changed = rewritten(
        lambda self, x: F.dropout(self.body(x).exp(), 0.5, self.training), [["dropout", 0]], "dropout", 0.0
    )
    assert bool((changed.train()(ROWS) > 0).all())


@pytest.mark.parametrize(
    "call",
    [
        ("sqrt", lambda x: (x * 0).sqrt() * x),
        ("log", lambda x: (x * 0).log() * x),
        ("rsqrt", lambda x: (x * 0).rsqrt() * x),
        ("div", lambda x: x / (x * 0)),
        ("norm", lambda x: x * torch.norm(x * 0, dim=1, keepdim=True)),
    ],
    ids=lambda call: call[0],
)
def test_what_is_guarded_has_a_finite_gradient(call):
    name, function = call
    calls = [[name, 0], ["truediv", 0]] if name == "div" else [[name, 0], ["linalg_vector_norm", 0]]
    _, changed = rewritten(lambda self, x: self.head(function(self.body(x))), calls, "guarded")
    outputs = changed(ROWS)
    outputs.sum().backward()
    assert bool(torch.isfinite(outputs).all())
    assert all(bool(torch.isfinite(p.grad).all()) for p in changed.parameters())


def test_what_it_does_not_know_is_refused():
    _, changed = rewritten(lambda self, x: self.body(x).relu(), [["relu", 0]], "something")
    with pytest.raises(UserError, match="'something'"):
        changed(ROWS)


def test_the_gradient_goes_through_where_it_was_cut():
    network = edited(faulty.Detached(), "rewrite-calls", calls=[["detach", 0]], to="identity")
    network(IMAGES).sum().backward()
    assert network.body.weight.grad is not None


def test_gradients_stay_on_in_forward_and_off_where_the_caller_turned_them_off():
    network = edited(faulty.NoGrad(), "gradients-on")
    network(IMAGES).sum().backward()
    assert network.network.body.weight.grad is not None
    with torch.no_grad():
        assert not network(IMAGES).requires_grad
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("made_when", ["in forward", "when built"])
def test_a_gradient_written_by_hand_gives_way_to_autograd_s_and_stands_again_after(made_when):
    class Halved(nn.Module):
        def __init__(self):
            super().__init__()
            self.square = faulty._Doubled.apply

        def forward(self, x):
            return faulty._Doubled.apply(x) if made_when == "in forward" else self.square(x)

    def slope(network):
        x = torch.tensor([3.0], requires_grad=True)
        network(x).backward()
        return float(x.grad)

    changed = edited(Halved(), "autograd-backward", functions=["_Doubled"])
    assert (slope(Halved()), slope(changed), slope(Halved())) == (3.0, 6.0, 3.0)


def test_another_edit_of_the_same_network_leaves_the_first():
    network, changed = rewritten(
        lambda self, x: self.head(self.body(x).sigmoid()).tanh(), [["sigmoid", 0]], "relu"
    )
    changed = edited(changed, "rewrite-calls", calls=[["tanh", 0]], to="identity")
    body, head = apart(network)
    assert torch.equal(changed(ROWS), head(body.relu()))


def test_calls_outside_the_network_are_left_alone():
    _, changed = rewritten(lambda self, x: self.body(x).relu(), [["relu", 0]], "identity")
    changed(ROWS)
    assert torch.equal(torch.relu(ROWS), ROWS.clamp(min=0))


def test_a_pass_that_fails_leaves_nothing_open():
    _, changed = rewritten(lambda self, x: self.body(x).relu(), [["relu", 0]], "identity")
    with pytest.raises(RuntimeError):
        changed(torch.zeros(2, 7))
    assert torch.equal(torch.relu(ROWS), ROWS.clamp(min=0))
    assert float(changed(ROWS).detach().min()) < 0


@pytest.mark.parametrize("listener", [partial(Tap, histograms=True), Recorder], ids=["tap", "recorder"])
@pytest.mark.parametrize("network", [Convolutional, Residual, faulty.SoftmaxOverSamples])
def test_the_same_call_is_meant_while_somebody_listens(network, listener):
    torch.manual_seed(0)
    made = network().eval()
    calls = [["relu", 0], ["gelu", 1], ["flatten", 1], ["mul", 0], ["abs", 0], ["float", 0], ["std", 0]]
    changed = edited(made, "rewrite-calls", calls=calls, to="identity")
    alone = changed(IMAGES)
    with listener(changed):
        heard = changed(IMAGES)
    assert torch.equal(alone, heard)


# --- layers


def test_a_setting_of_a_layer_is_changed():
    network = edited(
        nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.9)), "set-layer", layers=["1"], name="p", value=0.1
    )
    assert network[1].p == 0.1


def test_a_setting_that_a_layer_has_not_is_refused():
    with pytest.raises(UserError, match="Linear, has no 'p'"):
        edited(mlp(), "set-layer", layers=["1"], name="p", value=0.1)


def test_quiet_statistics_do_not_move():
    network = edited(Convolutional(), "quiet-statistics", layers=["norm"]).train()
    before = network.norm.running_mean.clone()
    network(IMAGES)
    assert torch.equal(network.norm.running_mean, before)


@pytest.mark.parametrize(("make", "layer", "inputs"), [(Convolutional, "norm", IMAGES)])
def test_batch_normalisation_becomes_one_within_each_sample(make, layer, inputs):
    network = edited(make(), "replace-normalisation", layers=[layer]).train()
    assert torch.allclose(network(inputs)[:1], network(inputs[:1]), atol=1e-6)


@pytest.mark.parametrize("container", [list, tuple, lambda layers: dict(enumerate(layers))])
@pytest.mark.parametrize("name", ["layers", "_layers"])
def test_layers_in_plain_containers_are_adopted(container, name):
    class Holds(nn.Module):
        def __init__(self):
            super().__init__()
            setattr(self, name, container([nn.Linear(4, 4), nn.Linear(4, 4)]))

    assert len(list(edited(Holds(), "adopt-layers").parameters())) == 4


def test_layers_in_lists_of_lists_are_adopted():
    class Holds(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = [[nn.Linear(4, 4), nn.ReLU()], [nn.Linear(4, 4), nn.ReLU()]]

    assert len(list(edited(Holds(), "adopt-layers").parameters())) == 4


def test_adopted_layers_are_the_ones_that_forward_uses():
    network = edited(faulty.PlainList(), "adopt-layers")
    network(IMAGES).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert len(list(network.parameters())) == 8


def test_blanked_inputs_do_not_matter():
    network = edited(mlp(), "blank-inputs", index=[0, 5], fill=[0.25, 0.5])
    other = IMAGES.clone()
    other[:, 0, 0, 0], other[:, 0, 0, 5] = 9.0, -9.0
    assert torch.equal(network(other), network(IMAGES))


def test_edits_together_are_applied_one_after_the_other():
    both = Edit(
        "together",
        {
            "edits": [
                {"kind": "set", "parameters": {"name": "epochs", "value": 3}},
                {"kind": "drop-samples", "parameters": {"rows": [0, 1, 2]}},
            ]
        },
    )
    plain = nw.Recipe(digits_data(), mlp, training())
    changed = plain.with_edits(both)
    assert changed.settings.epochs == 3
    assert len(changed.training_samples) == len(plain.training_samples) - 3


def strided():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 16, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )  # fmt: skip


@pytest.mark.parametrize("factor", [4.0, 0.25])
@pytest.mark.parametrize(
    ("make", "first", "last", "inputs", "widths"),
    [
        (mlp, ["1"], ["3"], IMAGES, [32]),
        (strided, ["0"], ["8"], IMAGES, [8, 8, 16]),
        (Recurrent, ["body"], ["head"], SERIES, [32]),
        (Convolutional, ["first"], ["head"], IMAGES, [12, 16]),
        (
            Residual, ["inward"], ["head"], IMAGES, [32, 48, 48, 32, 32],
        ),
    ],
)  # fmt: skip
def test_hidden_layers_are_made_wider_or_narrower(make, first, last, inputs, widths, factor):
    network = edited(make(), "scale-width", factor=factor, first=first, last=last)
    assert network(inputs).shape == (6, 10)
    found = [
        m.hidden_size if isinstance(m, nn.GRU) else m.weight.shape[0]
        for n, m in network.named_modules()
        if isinstance(m, (nn.Linear, nn.Conv2d, nn.GRU)) and n not in last
    ]
    assert sorted(found) == sorted(round(w * factor) for w in widths)


def test_a_layer_whose_width_cannot_be_told_is_refused():
    with pytest.raises(UserError, match="the width of layer"):
        edited(Transformer(), "scale-width", factor=2.0, first=["inward"], last=["head"])


# --- copies, weights and workers

EDITS = {
    "rewrite-calls": (Convolutional, {"calls": [["relu", 0]], "to": "identity"}),
    "set-layer": (Convolutional, {"layers": ["norm"], "name": "momentum", "value": 0.5}),
    "quiet-statistics": (Convolutional, {"layers": ["norm"]}),
    "replace-normalisation": (Convolutional, {"layers": ["norm"]}),
    "adopt-layers": (faulty.PlainList, {}),
    "blank-inputs": (mlp, {"index": [0, 9], "fill": [0.5, 0.5]}),
    "scale-width": (mlp, {"factor": 2.0, "first": ["1"], "last": ["3"]}),
}


def with_edit(kind):
    make, parameters = EDITS[kind]
    return nw.Recipe(digits_data(200), make, training(epochs=1)).with_edits(Edit(kind, parameters))


@pytest.mark.parametrize("kind", EDITS)
def test_a_copy_of_an_edited_network_gives_the_same(kind):
    network = with_edit(kind).build(0).eval()
    assert torch.equal(copy.deepcopy(network)(IMAGES), network(IMAGES))


def test_a_copy_listens_to_its_own_calls():
    network = with_edit("rewrite-calls").build(0).eval()
    twin = copy.deepcopy(network)
    twin._netwright_rewriting.table.clear()
    assert not torch.equal(twin(IMAGES), network(IMAGES))


@pytest.mark.parametrize("kind", EDITS)
def test_weights_of_an_edited_network_fit_another_built_alike(kind):
    recipe = with_edit(kind)
    network, other = recipe.build(0), recipe.build(1)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.eval()(IMAGES), network.eval()(IMAGES))


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_travels(kind):
    edit = Edit(kind, EDITS[kind][1])
    assert from_json(to_json(edit), Edit) == edit


@pytest.fixture(scope="module")
def workers():
    engine = LocalEngine(1)
    yield engine
    engine.close()


def test_edited_recipes_train_in_a_worker_as_they_do_here(workers):
    from netwright.diagnosis.probing import trained_run

    inline = InlineEngine(Clocks(time.perf_counter, time.process_time))
    jobs = [Job(with_edit(kind), 0, None, kind) for kind in EDITS]
    ended = {}
    for item in workers.run(jobs):
        if isinstance(item, tuple):
            ended[item[0].purpose] = item[1]
    assert not [run for run in ended.values() if isinstance(run, Failure)]
    for kind, run in ended.items():
        here = trained_run(with_edit(kind), 0, "cpu", inline)
        assert np.array_equal(run.epoch_loss, here.epoch_loss), kind


def test_a_recurrent_layer_takes_axis_0_for_the_samples():
    recipe = nw.Recipe(rows_of_digits(100), faulty.TakesSamplesForTime, training())
    network = recipe.with_edits(
        Edit("set-layer", {"layers": ["body"], "name": "batch_first", "value": True})
    ).build(0)
    assert torch.allclose(network(SERIES)[:1], network(SERIES[:1]), atol=1e-6)


def test_full_precision_answers_the_users_casts_and_leaves_torchs_losses_alone():
    def in_half(outputs, targets):
        return F.mse_loss(300 * outputs.half(), 300 * targets.half()).float()

    x, edited = torch.randn(40, 3), Edit("full-precision-loss", {})
    for loss in (in_half, nn.MSELoss()):
        how = training(loss=loss, batch_size=8, epochs=1)
        recipe = nw.Recipe(nw.Data.arrays(x, 5 * x), lambda: nn.Linear(3, 3), how).with_edits(edited)
        assert torch.isfinite(recipe.settings.make_loss()(torch.zeros(4, 3), torch.ones(4, 3)))
        assert recipe.settings.loss_name == how.loss_name
