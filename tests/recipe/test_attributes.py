"""Every attribute is listed with its value now and with the line of the user's file where it is set."""

from __future__ import annotations

import pytest
from torch import nn

import netwright as nw
from netwright.recipe.changes import changes_of
from netwright.values import Edit

FILE = """\
import numpy as np
import netwright as nw
from torch import nn

LR = 0.25
RATE: float = 0.5
CONFIG = {{"lr": 0.75, "momentum": 0.5}}


def network():
    return nn.Sequential(
        nn.Linear(3, 4),
        nn.{activation}(),
        nn.BatchNorm1d(4),
        nn.Dropout(0.25),
        nn.Linear(4, 2),
    )


recipe = nw.Recipe(
    data=nw.Data.arrays(np.arange(90.0).reshape(30, 3), np.arange(30) % 2, split_seed=3),
    network=network,
    training={training},
)
"""


@pytest.fixture
def written(file):
    def write(training: str = 'nw.Training(loss="mse")', activation: str = "ReLU") -> nw.Recipe:
        text = FILE.format(training=training, activation=activation)
        return nw.load(str(file(text)))

    return write


def test_a_literal_is_named_with_its_line(written):
    lr = written(
        'nw.Training(\n        loss="mse",\n        optimizer="sgd",\n        lr=0.1,\n    )'
    ).attribute("lr")
    assert (lr.value, lr.place.line, lr.is_set, lr.literal, lr.source) == (0.1, 26, True, True, "lr=0.1")


@pytest.mark.parametrize(
    ("name", "value", "line", "source"), [("LR", 0.25, 5, "LR = 0.25"), ("RATE", 0.5, 6, "RATE: float = 0.5")]
)
def test_a_constant_is_named_where_it_is_assigned(written, name, value, line, source):
    lr = written(f'nw.Training(loss="mse", lr={name})').attribute("lr")
    assert (lr.value, lr.place.line, lr.literal, lr.source) == (value, line, True, source)


def test_a_constant_that_is_changed_afterwards_is_no_literal(file):
    text = FILE.format(training='nw.Training(loss="mse", lr=LR)', activation="ReLU")
    recipe = nw.load(str(file(text.replace("RATE: float", "LR *= 2\nRATE: float"))))
    assert recipe.attribute("lr").value == 0.5
    assert not recipe.attribute("lr").literal


@pytest.mark.parametrize("expression", ["CONFIG['lr']", "3 * LR"])
def test_a_value_of_a_configuration_is_reported_as_its_key(written, expression):
    lr = written(f'nw.Training(loss="mse", lr={expression})').attribute("lr")
    assert (lr.value, lr.is_set, lr.literal, lr.source) == (0.75, True, False, expression)


def test_settings_that_are_spread_are_reported_by_their_key(written):
    recipe = written('nw.Training(loss="mse", optimizer="sgd", **CONFIG)')
    momentum = recipe.attribute("momentum")
    assert (momentum.value, momentum.literal, momentum.source) == (0.5, False, "CONFIG['momentum']")


def test_a_setting_given_by_its_position_is_found(written):
    recipe = written('nw.Training("mse", "sgd", 0.1)')
    lr = recipe.attribute("lr")
    assert (lr.value, lr.is_set, lr.literal, lr.source, lr.place.line) == (0.1, True, True, "0.1", 23)
    assert recipe.attribute("loss").source == "'mse'"


def test_a_setting_given_by_its_position_is_replaced_there(written):
    recipe = written('nw.Training("mse", "sgd", 0.1, 0.9)')
    changes = changes_of(recipe, [Edit.set("training.lr", 0.01)])
    assert [(c.line, c.old, c.new) for c in changes] == [(23, "0.1", "0.01")]


def test_a_setting_that_is_not_given_has_the_line_of_the_call_and_torchs_default(written):
    recipe = written('nw.Training(loss="mse", optimizer="adamw")')
    decay = recipe.attribute("weight_decay")
    assert (decay.value, decay.is_set, decay.place.line) == (0.01, False, 23)


def test_options_of_the_optimizer_are_listed_by_their_own_names(written):
    recipe = written('nw.Training(loss="mse", optimizer="sgd", lr=0.1, options={"nesterov": True})')
    assert recipe.attribute("nesterov").value is True


def test_attributes_of_the_data_have_their_line(written):
    recipe = written()
    seed = recipe.attribute("split_seed")
    assert (seed.value, seed.place.line, seed.literal) == (3, 21, True)
    assert recipe.attribute("input_scaling").value == "as given"
    assert recipe.attribute("groups").value is None


def test_attributes_of_the_network_have_the_line_of_the_layer(written):
    recipe = written(activation="Tanh")
    found = {a.name: (a.value, a.place.line) for a in recipe.attributes()}
    assert found["activation"] == ("Tanh ×1", 13)
    assert found["normalisation"] == ("BatchNorm1d ×1", 14)
    assert found["dropout"] == ("0.25", 15)
    assert found["depth"] == (2, 12)
    assert found["width"] == ([4, 2], 12)
    assert found["output_layer"] == ("Linear ×1", 16)


def test_edits_show_in_the_values_and_not_in_the_places(written):
    recipe = written('nw.Training(loss="mse", optimizer="sgd", lr=0.1)')
    edited = recipe.with_edits(
        Edit.set("training.lr", 0.5),
        Edit("standardise-inputs", {"mean": [0.0, 0, 0], "std": [1.0, 1, 1]}),
        Edit("replace-activation", {"layers": ["1"], "to": "gelu"}),
        Edit("reinitialise", {"layers": ["0"], "scheme": "xavier"}),
    )
    assert edited.attribute("lr").value == 0.5
    assert edited.attribute("lr").place == recipe.attribute("lr").place
    assert edited.attribute("input_scaling").value == "standardised"
    assert edited.attribute("activation").value == "GELU ×1"
    assert edited.attribute("initialisation").value == "xavier"


def test_frozen_layers_are_named(recipe):
    def frozen():
        network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
        network[0].requires_grad_(False)
        return network

    patient = nw.Recipe(recipe.data, frozen, recipe.training)
    assert patient.attribute("frozen_layers").value == ["0.weight", "0.bias"]
    assert recipe.attribute("frozen_layers").value is None


def test_a_network_that_cannot_be_built_leaves_the_other_attributes(recipe):
    def broken():
        raise RuntimeError("no network today")

    names = {a.name for a in nw.Recipe(recipe.data, broken, recipe.training).attributes()}
    assert {"lr", "split"} <= names
    assert "activation" not in names


def test_every_name_is_listed_once(recipe):
    names = [a.name for a in recipe.attributes()]
    assert len(names) == len(set(names))


def test_an_attribute_that_does_not_exist_has_no_value(recipe):
    assert recipe.attribute("sparkle").value is None
