"""The atlas through the verb and the command: every example, every way of showing it, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import netwright as nw
from conftest import digits_data, mlp, training
from netwright.runs import Clocks, train


def dropped():
    """A network that draws random numbers in training."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10))


EXAMPLES = sorted(
    p for p in (Path(__file__).parents[2] / "examples").glob("*.py") if "recipe" in p.read_text()
)


@pytest.fixture(scope="module")
def looked():
    return nw.look(nw.Recipe(digits_data(300), mlp, training()), "val", before=True)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_every_example_is_shown_in_the_terminal_the_notebook_and_the_report(path, tmp_path):
    result = nw.look(str(path), "val", count=60, journal=tmp_path)
    assert result.atlas is not None and len(result.atlas.rows) >= 2
    shown = str(result)
    assert all(row.kind in shown or row.title in shown for row in result.atlas.rows[:5])
    assert 'data-view="atlas"' in result.html() and "srcdoc" in result._repr_html_()
    assert str(result.pick(input=0)) and str(result.pick(layer=result.atlas.rows[1].title))
    json.dumps(result.to_json(), allow_nan=False)


def test_before_and_after_stand_beside_each_other(looked):
    assert [m.label for m in looked.atlas.moments] == ["untrained, seed 0", "untrained, seed 0"]


def test_a_statistic_is_a_labelled_array(looked):
    norms = looked["norm"]
    assert np.asarray(norms).shape == norms.shape == (4, len(looked.atlas.inputs))
    assert norms.sel(layer="1", input=3) == pytest.approx(float(norms.values[1, 3]))
    assert norms.sel(input=looked.atlas.inputs.ids[3])[1] == norms.values[1, 3]
    table = norms.to_dataframe()
    assert list(table.index) == ["0", "1", "2", "3"]
    with pytest.raises(nw.UserError, match="no layer 'head'"):
        norms.sel(layer="head")
    with pytest.raises(nw.UserError, match="no statistic 'sparkle'"):
        looked["sparkle"]


def test_the_table_has_a_line_for_every_layer_and_input(looked):
    table = looked.to_dataframe()
    assert len(table) == 4 * len(looked.atlas.inputs)
    assert {"layer", "input", "label", "prediction", "loss", "norm", "zeros", "belief"} <= set(table.columns)


def test_a_bare_network_has_its_statistics_and_no_beliefs():
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    result = nw.look(network, torch.randn(9, 4))
    assert [g.name for g in result.atlas.now.grids] == ["norm", "mean", "spread", "zeros"]
    assert result.atlas.depths is None
    known = nw.look(network, torch.randn(40, 4), targets=torch.arange(40) % 3, also=("beliefs",))
    assert known.atlas.now.grid("belief") is not None and known.atlas.now.grid("gradient") is None


def test_outputs_that_were_asked_for_are_kept():
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    inputs = torch.randn(9, 4)
    result = nw.look(network, inputs, raw=("1",))
    np.testing.assert_allclose(result.outputs("1"), network(inputs).detach(), atol=1e-6)
    with pytest.raises(nw.UserError, match="name it in raw"):
        result.outputs("0")


def test_a_batch_is_pinned_through_a_whole_training():
    recipe = nw.Recipe(digits_data(300), mlp, training(epochs=4))
    result = nw.look(recipe, "val", epochs=True, count=40)
    assert [m.label for m in result.atlas.moments] == [
        "untrained, seed 0",
        *(f"epoch {n}" for n in (1, 2, 3, 4)),
    ]
    first, last = (np.frombuffer(result.atlas.moments[n].grid("support").values.data, "<f4") for n in (0, -1))
    assert last.reshape(4, -1)[-1].mean() > first.reshape(4, -1)[-1].mean()


def test_looking_at_every_epoch_does_not_touch_the_training():
    recipe = nw.Recipe(digits_data(300), dropped, training(epochs=3))
    looked = nw.look(recipe, "val", epochs=True, count=20, raw=("4",))
    events = train(recipe, 0, clocks=Clocks(lambda: 0.0, lambda: 0.0), keep_weights=True, tapped=False)
    with pytest.raises(StopIteration) as ended:
        while True:
            next(events)
    network = recipe.build(0)
    network.load_state_dict({k: torch.as_tensor(v) for k, v in ended.value.value.weights.items()})
    rows = [int(i.split(":")[1]) for i in looked.atlas.inputs.ids]
    val = recipe.data.parts.val
    inputs = val.inputs[[list(val.index).index(row) for row in rows]]
    with torch.no_grad():
        np.testing.assert_array_equal(looked.outputs("4"), network.eval()(inputs))


def test_a_saved_atlas_is_looked_at_without_the_model(run, looked, tmp_path):
    path = tmp_path / "digits.atlas"
    looked.save(path)
    again = nw.look(str(path))
    assert again.atlas == looked.atlas and again.name == looked.name
    answer = run("look", path, "--input", 3, "--json")
    assert answer.code == 0
    assert json.loads(answer.out)["input"]["index"] == 3


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--input", "3"], "predicted"),
        (["--input", "3", "--versus", "5"], "part at"),
        (["--layer", "2"], "units"),
        (["--layer", "2", "--unit", "1"], "unit 1"),
        (["--value", "zeros"], "zeros"),
        (["--inputs"], "patterns"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_every_view_is_text_a_document_and_a_picture(run, looked, tmp_path, asked, words):
    path = tmp_path / "digits.atlas"
    looked.save(path)
    shown = run("look", path, *asked)
    assert shown.code == 0 and words in shown.out
    document = run("look", path, *asked, "--json", "--png", tmp_path / "shown.png")
    assert document.code == 0
    json.loads(document.out)
    assert (tmp_path / "shown.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["--input", "9999"], "no input '9999'"),
        (["--layer", "head"], "no layer 'head'"),
        (["--value", "sparkle"], "no statistic 'sparkle'"),
        (["--unit", "1"], "say --layer too"),
        (["--versus", "1"], "say --input too"),
        (["--layer", "2", "--unit", "999"], "no unit 999"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_what_is_not_in_the_atlas_is_refused_in_a_sentence(run, looked, tmp_path, asked, sentence):
    path = tmp_path / "digits.atlas"
    looked.save(path)
    answer = run("look", path, *asked)
    assert answer.code == 2
    assert sentence in answer.err


def test_test_inputs_stay_sealed(digits_recipe):
    with pytest.raises(nw.UserError, match="sealed"):
        nw.look(digits_recipe, "test")
    with pytest.raises(nw.UserError, match="val or train"):
        nw.look(digits_recipe, "validation")


@pytest.mark.parametrize(
    ("inputs", "targets", "sentence"),
    [
        (torch.randn(3, 4), torch.zeros(2), "3 inputs and 2 targets"),
        (torch.randn(0, 4), None, "empty"),
    ],
)
def test_inputs_that_cannot_be_looked_at_are_refused(inputs, targets, sentence):
    with pytest.raises(nw.UserError, match=sentence):
        nw.look(nn.Linear(4, 2), inputs, targets=targets)


def test_a_network_that_breaks_off_at_some_input_is_told_with_its_own_words_and_left_as_it_was():
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x):
            if len(x) and bool((x[:, 0] > 5).any()):
                raise ValueError("too large for me")
            return self.layer(x)

    network, inputs = Picky().train(), torch.zeros(600, 4)
    inputs[599, 0] = 9
    with pytest.raises(nw.UserCodeError, match="too large for me"):
        nw.look(network, inputs)
    assert network.training and not network.layer._forward_hooks
