"""Edits change one part of a recipe, leave everything else as it was, and look through one another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import netwright as nw
from netwright.recipe.edits import core, leaves
from netwright.values import Edit, UserError

from .conftest import FLOWERS, KINDS, network

SCALE = Edit("standardise-inputs", {"mean": [5.0, 3.0, 4.0, 1.0], "std": [1.0, 2.0, 2.0, 1.0]})
FILL = Edit("fill-inputs", {"fill": [5.0, 3.0, 4.0, 1.0]})
INPUTS = torch.tensor([[5.1, 3.5, 1.4, 0.2], [7.0, 3.2, 4.7, 1.4]])


def outputs(network: nn.Module, inputs: torch.Tensor = INPUTS) -> torch.Tensor:
    with torch.no_grad():
        return network.eval()(inputs)


def test_a_field_of_the_training_is_set(recipe):
    edited = recipe.with_edits(Edit.set("training.lr", 0.5), Edit.set("training.nesterov", True))
    assert (edited.settings.lr, edited.settings.options) == (0.5, {"nesterov": True})
    assert recipe.settings.lr == 0.1


def test_a_value_that_makes_no_sense_is_refused_when_it_is_set(recipe):
    with pytest.raises(UserError, match="lr=-1"):
        recipe.with_edits(Edit.set("training.lr", -1)).settings  # noqa: B018


def test_another_optimizer_leaves_the_settings_of_the_old_one_behind(recipe):
    edit = Edit("swap-optimizer", {"optimizer": "adamw", "lr": 0.01})
    start = recipe.with_edits(Edit.set("training.momentum", 0.9), Edit.set("training.nesterov", True))
    settings = start.with_edits(edit).settings
    assert (settings.optimizer, settings.lr, settings.momentum, settings.options) == ("adamw", 0.01, None, {})


def test_no_edits_give_the_same_recipe(recipe):
    assert recipe.with_edits() is recipe


def test_edits_add_up_and_the_unedited_recipe_stays_known(recipe):
    edited = recipe.with_edits(Edit.set("training.lr", 0.5)).with_edits(Edit.set("training.epochs", 7))
    assert (edited.settings.lr, edited.settings.epochs) == (0.5, 7)
    assert edited.base is recipe
    assert edited.made_at == recipe.made_at


@pytest.mark.parametrize(
    "edit",
    [
        SCALE,
        FILL,
        Edit("insert-after", {"layers": ["0"], "what": "batch_norm"}),
        Edit("insert-after", {"layers": ["0"], "what": "layer_norm"}),
        Edit("insert-after", {"layers": ["1"], "what": "dropout", "p": 0.5}),
        Edit("replace-activation", {"layers": ["1"], "to": "gelu"}),
        Edit("remove-layer", {"layer": "1"}),
        Edit("rescale-outputs", {"mean": [1.0], "std": [2.0]}),
        Edit("log-outputs"),
    ],
    ids=lambda edit: edit.kind,
)
def test_an_edit_of_the_network_leaves_the_weights_that_were_there(recipe, edit):
    before = [p for _, m in leaves(recipe.build(3)) for p in m.parameters() if isinstance(m, nn.Linear)]
    after = [
        p
        for _, m in leaves(recipe.with_edits(edit).build(3))
        for p in m.parameters()
        if isinstance(m, nn.Linear)
    ]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_standardised_inputs_are_what_the_network_sees(recipe):
    edited, plain = recipe.with_edits(SCALE).build(0), recipe.build(0)
    mean, std = (torch.tensor(SCALE.parameters[k]) for k in ("mean", "std"))
    assert torch.equal(outputs(edited), outputs(plain, (INPUTS - mean) / std))


def test_values_that_are_not_finite_are_filled(recipe):
    broken = INPUTS.clone()
    broken[0, 1] = float("nan")
    broken[1, 2] = float("inf")
    mended = INPUTS.clone()
    mended[0, 1], mended[1, 2] = 3.0, 4.0
    assert torch.equal(outputs(recipe.with_edits(FILL).build(0), broken), outputs(recipe.build(0), mended))


def test_layers_keep_their_names_under_what_is_put_around_the_network(recipe):
    wrapped = recipe.with_edits(SCALE, FILL, Edit("log-outputs")).build(0)
    assert [name for name, _ in leaves(wrapped)] == ["0", "1", "2"]
    assert type(core(wrapped)) is nn.Sequential


def test_layers_are_found_under_what_an_earlier_edit_put_around_the_network(recipe):
    network = recipe.with_edits(SCALE, Edit("replace-activation", {"layers": ["1"], "to": "tanh"})).build(0)
    assert isinstance(core(network)[1], nn.Tanh)


def test_a_network_of_one_layer_can_be_extended(recipe):
    single = nw.Recipe(recipe.data, lambda: nn.Linear(4, 3), recipe.training)
    edited = single.with_edits(SCALE, Edit("insert-after", {"layers": [""], "what": "layer_norm"})).build(0)
    assert [type(m) for _, m in leaves(edited)] == [nn.Linear, nn.LayerNorm]
    assert outputs(edited).shape == (2, 3)


def test_convolutions_get_the_normalisation_and_the_dropout_of_images(recipe):
    conv = nw.Recipe(recipe.data, lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), recipe.training)
    for what, kind in (("batch_norm", nn.BatchNorm2d), ("dropout", nn.Dropout2d)):
        network = conv.with_edits(Edit("insert-after", {"layers": ["0"], "what": what})).build(0)
        assert isinstance(network[0][1], kind)


def test_a_new_output_layer_has_its_own_stream_of_weights(recipe):
    edit = Edit("replace-output", {"layer": "2", "width": 5})
    first, again, other = (recipe.with_edits(edit).build(seed) for seed in (0, 0, 1))
    assert outputs(first).shape == (2, 5)
    assert torch.equal(first[2].weight, again[2].weight)
    assert not torch.equal(first[2].weight, other[2].weight)
    assert torch.equal(first[0].weight, recipe.build(0)[0].weight)


@pytest.mark.parametrize("scheme", ["kaiming", "xavier", "orthogonal", "default"])
def test_new_initial_weights_are_those_of_the_seed(recipe, scheme):
    edit = Edit("reinitialise", {"layers": ["0"], "scheme": scheme})
    first, again, other = (recipe.with_edits(edit).build(seed) for seed in (0, 0, 1))
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)
    assert not torch.equal(first[0].weight, recipe.build(0)[0].weight)
    assert torch.equal(first[2].weight, recipe.build(0)[2].weight)
    assert not first[0].bias.any()


def test_what_was_frozen_learns_again(recipe):
    def frozen():
        network = nn.Sequential(nn.Linear(4, 3))
        return network.requires_grad_(False)

    patient = nw.Recipe(recipe.data, frozen, recipe.training)
    network = patient.with_edits(Edit("unfreeze", {"parameters": ["0.weight"]})).build(0)
    assert [n for n, p in network.named_parameters() if p.requires_grad] == ["0.weight"]


def test_outputs_take_the_shape_of_the_targets(recipe):
    column = nw.Recipe(recipe.data, lambda: nn.Linear(4, 1), recipe.training)
    flat = column.with_edits(Edit("reshape-outputs", {"column": False}))
    assert outputs(flat.build(0)).shape == (2,)
    assert outputs(flat.with_edits(Edit("reshape-outputs", {"column": True})).build(0)).shape == (2, 1)


def test_targets_of_unit_scale_change_the_network_and_the_loss_together(recipe):
    edited = recipe.with_edits(Edit("standardise-targets", {"mean": [100.0], "std": [10.0]}))
    assert edited.settings.target_scaling == ((100.0,), (10.0,))
    assert torch.allclose(outputs(edited.build(0)), outputs(recipe.build(0)) * 10 + 100)


def test_another_task_changes_the_loss_and_the_width_together(recipe):
    edited = recipe.with_edits(Edit("change-task", {"layer": "2", "width": 7, "loss": "mse"}))
    assert edited.settings.loss == "mse"
    assert outputs(edited.build(0)).shape == (2, 7)


@given(st.sets(st.integers(0, 104), max_size=60))
def test_dropped_samples_are_gone_and_the_others_stay(rows):
    data = nw.Data.arrays(FLOWERS, KINDS)
    recipe = nw.Recipe(data, network, nw.Training(loss="cross_entropy"))
    edited = recipe.with_edits(Edit("drop-samples", {"rows": sorted(rows)}))
    kept = np.delete(data.parts.train.index, sorted(rows))
    assert np.array_equal(edited.training_samples.index, kept)
    assert len(edited.data.parts.val) == len(data.parts.val)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (Edit("sprinkle"), "no kind of edit 'sprinkle'"),
        (Edit("remove-layer", {"layer": "7"}), "no layer '7'"),
        (Edit("replace-output", {"layer": "1", "width": 3}), "is a ReLU, not a Linear"),
        (Edit("insert-after", {"layers": ["1"], "what": "batch_norm"}), "cannot follow a ReLU"),
        (Edit("insert-after", {"layers": ["0"], "what": "glitter"}), "glitter cannot follow"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused_in_a_sentence(recipe, edit, words):
    with pytest.raises(UserError, match=words):
        recipe.with_edits(edit).build(0)


def test_samples_of_a_loader_cannot_be_dropped(recipe):
    batch = [(torch.zeros(4, 2), torch.zeros(4))]
    data = nw.Data.loaders(lambda: batch, lambda: batch)
    patient = nw.Recipe(data, recipe.network, recipe.training)
    with pytest.raises(UserError, match="drop them in the loader's data set"):
        patient.with_edits(Edit("drop-samples", {"rows": [0]})).training_samples  # noqa: B018


def test_a_layer_keeps_its_name_after_something_was_put_behind_it():
    from netwright.recipe.edits import Followed

    recipe = nw.Recipe(
        nw.Data((torch.randn(40, 4), torch.arange(40) % 2)),
        lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)),
        nw.Training("cross_entropy"),
    )
    norm = Edit("insert-after", {"layers": ["0"], "what": "batch_norm"})
    orthogonal = Edit("reinitialise", {"layers": ["0"], "scheme": "orthogonal"})
    both = recipe.with_edits(norm, orthogonal).build(0)
    alone = recipe.with_edits(norm).build(0)
    assert isinstance(both[0], Followed)
    assert not torch.equal(both[0][0].weight, alone[0][0].weight)
    dropout = Edit("insert-after", {"layers": ["0"], "what": "dropout", "p": 0.1})
    again = recipe.with_edits(norm, dropout).build(0)
    assert [type(m).__name__ for m in again[0]] == ["Linear", "Dropout", "BatchNorm1d"]
