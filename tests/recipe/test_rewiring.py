"""Edits that reach into forward and into layers' settings: each does what it says, also in copies."""

from __future__ import annotations

import copy
import time

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
from netwright.runs import Clocks
from netwright.trials import Failure, InlineEngine, Job, LocalEngine
from netwright.values import Edit, UserError, from_json, to_json

KINDS = Catalogue.collect().edits
IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
SERIES = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(1))


def edited(network, kind, **parameters):
    return KINDS[kind].function(network, **parameters)


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
