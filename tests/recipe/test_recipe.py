"""A recipe is frozen, builds the same network under the same seed, and refuses what is no recipe."""

from __future__ import annotations

import inspect
import random

import attrs
import numpy as np
import pytest
import torch
from torch import nn

import netwright as nw
from netwright.recipe import example_inputs, seeded, stream
from netwright.values import UserError

from .conftest import network


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": 3}, "data= is a int; give nw.Data"),
        ({"network": nn.Linear(4, 3)}, "give the function that builds it"),
        ({"network": "linear"}, "network= is a str"),
        ({"training": None}, "training= is a NoneType"),
        ({"task": "divination"}, "task='divination' is not known"),
    ],
)
def test_an_argument_of_another_kind_is_refused(recipe, change, words):
    with pytest.raises(UserError, match=words):
        attrs.evolve(recipe, **change)


def test_a_recipe_cannot_be_changed_in_place(recipe):
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        recipe.task = "regression"


def test_the_same_seed_builds_the_same_network(recipe):
    first, again, other = (recipe.build(seed)[0].weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_building_leaves_the_random_state_as_it_was(recipe):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    recipe.build(0)
    assert torch.equal(torch.rand(1), expected)


def test_a_function_that_returns_no_network_is_named(recipe):
    with pytest.raises(UserError, match="returned a str"):
        attrs.evolve(recipe, network=lambda: "network").build(0)


def test_the_line_of_every_layer_is_known(recipe):
    _, places = recipe.build_with_places(0)
    line = inspect.getsourcelines(network)[1] + 1
    assert {name: place.line for name, place in places.items() if name} == {"0": line, "1": line, "2": line}
    assert places["0"].file == inspect.getsourcefile(network)


def test_the_width_of_the_outputs_is_none_where_the_network_does_not_run(recipe):
    assert recipe.output_width == 3
    assert attrs.evolve(recipe, network=lambda: nn.Linear(99, 1)).output_width is None


def test_a_named_task_is_taken_as_said(recipe):
    said = attrs.evolve(recipe, task="regression", metric=None)
    assert (said.yardstick.task.name, said.yardstick.metric.name) == ("regression", "r2")


def test_probabilities_are_judged_as_such_when_an_edit_made_them_logits(recipe):
    data = nw.Data.arrays([[0.0], [1.0]] * 20, [0.0, 1.0] * 20)
    single = nw.Recipe(data, lambda: nn.Sequential(nn.Linear(1, 1), nn.Sigmoid()), nw.Training(loss="bce"))
    logits = torch.tensor([[-2.0], [0.3]])
    edited = single.with_edits(nw.Edit.set("training.loss", "bce_with_logits"))
    assert torch.equal(edited.judged(logits), logits.sigmoid())
    assert torch.equal(single.judged(logits), logits)


def test_example_inputs_are_the_first_a_network_can_be_run_on(recipe):
    assert example_inputs(recipe, 3).shape == (3, 4)


def test_the_name_that_is_shown_is_the_files(recipe):
    assert recipe.display_name == "conftest"


def test_streams_of_different_purpose_do_not_meet():
    seeds = {
        stream(seed, *purpose)
        for seed in (0, 1)
        for purpose in (("order", 1), ("order", 2), ("dropout", 1), ("order1",))
    }
    assert len(seeds) == 8
    assert all(0 <= seed < 1 << 63 for seed in seeds)


def test_a_seeded_block_is_repeatable_and_leaves_no_trace():
    def draw():
        return (float(torch.rand(1)), float(np.random.rand()), random.random())

    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    outside = draw()
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    with seeded(0, "block"):
        first = draw()
    with seeded(0, "block"):
        assert draw() == first
    assert draw() == outside


@pytest.mark.parametrize("loss", ["bce", nn.BCELoss(), nn.functional.binary_cross_entropy])
def test_probabilities_are_decided_at_a_half_however_their_loss_was_given(loss):
    def probability():
        return nn.Sequential(nn.Linear(4, 1), nn.Sigmoid(), nn.Flatten(0))

    x = torch.randn(60, 4)
    training = nw.Training(loss=loss, optimizer="sgd", lr=0.1, batch_size=8, epochs=1)
    recipe = nw.Recipe(nw.Data.arrays(x, (x[:, 0] > 0).float()), probability, training)
    low = torch.full((60,), 0.1)
    assert recipe.yardstick.metric.score(recipe.judged(low), torch.zeros(60)) == 1
