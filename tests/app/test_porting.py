from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

import netwright as nw
from netwright.app.porting import ORDER
from netwright.catalogue import Catalogue
from ports.networks import images, needs, small

RECIPE = """
import netwright as nw
from sklearn.datasets import load_digits
from torch import nn

def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10),
    )

x, y = load_digits(return_X_y=True)
recipe = nw.Recipe(
    data=nw.Data.arrays(x[:300].reshape(-1, 1, 8, 8) / 16, y[:300], split=(0.7, 0.3, 0.0)),
    network=network,
    training=nw.Training(loss="cross_entropy", optimizer="adam", lr=0.01, batch_size=32, epochs=2),
)
"""
PYTORCH = "torch-export,torchscript"


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "digits.py"
    file.write_text(RECIPE)
    return file


def test_a_recipe_is_trained_once_and_ported_with_its_metric(recipe, run):
    first = json.loads(run("port", recipe, "--to", PYTORCH, "--json").out)
    assert first["network"] == "digits" and first["run"].startswith("trained for this, seed 0")
    assert [target["status"] for target in first["targets"]] == ["parity", "parity"]
    one = first["targets"][0]
    assert one["metric_before"] == one["metric_after"] > 0.1 and one["inputs"] == 90
    again = json.loads(run("port", recipe, "--to", "torch-export", "--json").out)
    assert again["run"].startswith("run ") and again["targets"][0]["metric_after"] == one["metric_after"]


def test_the_document_holds_what_the_interface_promises(recipe, run):
    document = json.loads(run("port", recipe, "--to", "torch-export", "--json").out)
    assert {"network", "targets"} <= set(document)
    assert {
        "target", "status", "max_error", "decision_changes", "metric_before", "metric_after",
        "first_divergence", "size", "latency", "limits",
    } <= set(document["targets"][0])  # fmt: skip
    assert {"median", "p95"} <= set(document["targets"][0]["latency"])


def test_the_table_names_every_target_with_its_status(recipe, run):
    shown = run("port", recipe, "--to", PYTORCH)
    assert shown.code == 0
    assert "torch-export" in shown.out and "● parity" in shown.out and "accuracy" in shown.out


def test_several_recipes_are_a_matrix(recipe, tmp_path, run):
    other = tmp_path / "other.py"
    other.write_text(RECIPE.replace("nn.Conv2d(1, 4, 3)", "nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)"))
    document = json.loads(run("port", recipe, other, "--to", "torch-export", "--json").out)
    assert [network["network"] for network in document["networks"]] == ["digits", "other"]
    shown = run("port", recipe, other, "--to", "torch-export").out
    assert "network  torch-export" in shown


def test_two_recipes_of_one_file_have_a_folder_each(recipe, tmp_path, run):
    recipe.write_text(RECIPE + "\nother = recipe\n")
    to = ("--to", "torch-export", "--out", tmp_path / "made")
    run("port", f"{recipe}:recipe", f"{recipe}:other", *to)
    made = sorted(path.relative_to(tmp_path / "made").parts[0] for path in tmp_path.glob("made/*/*/*.pt2"))
    assert made == ["digits-other", "digits-recipe"]


def test_a_plan_trains_nothing_and_makes_no_files(recipe, tmp_path, run):
    shown = run("port", recipe, "--to", PYTORCH, "--plan")
    assert shown.code == 0 and "nothing that does not fit" in shown.out
    assert not (tmp_path / ".netwright" / "ports").exists()


def test_the_page_is_one_file_that_reaches_nothing(recipe, tmp_path, run):
    run("port", recipe, "--to", "torch-export", "--html", tmp_path / "ports.html")
    page = (tmp_path / "ports.html").read_text()
    assert "default-src 'none'" in page and "torch-export" in page and "Conv2d" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "onxx"), "no target 'onxx'; there are torch-export"),
        (("--batch", "1,x"), "--batch 1,x: say sizes with commas between"),
        (("--fail-on", "error"), "--fail-on error: say differs, unsupported or never"),
        (("--inputs", "0"), "port: 0 inputs: say 1 or more"),
        (("--threads", "0"), "port: 0 threads: say 1 or more"),
        (("--on", "x.npz"), "a recipe is compared on its own validation inputs; leave out --on"),
    ],
)
def test_a_wrong_option_is_one_sentence(recipe, arguments, message, run):
    shown = run("port", recipe, *arguments, "--json")
    assert shown.code == 2
    assert message in json.loads(shown.out)["error"]["message"]
    assert "trained" not in shown.err


def test_a_recipe_that_cannot_be_trained_says_the_cause_and_exits_2(recipe, run):
    recipe.write_text(RECIPE.replace("y[:300]", "y[:300] + 7"))
    shown = run("port", recipe, "--to", "torch-export", "--json")
    assert shown.code == 2
    message = json.loads(shown.out)["error"]["message"]
    assert re.search(r"digits: cannot be trained \(cause [a-z-]+\), so there are no weights", message)


def test_a_network_in_python_is_ported_with_its_inputs(tmp_path):
    result = nw.port(small(), images(), to="torch-export", folder=tmp_path)
    assert result["torch-export"].status == "parity" and result.networks[0].network == "Small"
    assert "parity" in str(result) and "default-src 'none'" in result._repr_html_() + result.html()


def test_targets_of_ones_own_serve_networks_too(tmp_path):
    odd = tmp_path / "odd.py"
    odd.write_text(
        "import netwright as nw\n\n\n@nw.target('own', 'One of mine', extra='')\ndef own(source):\n"
        "    '''Mine.'''\n    file = source.folder / 'x'\n    file.write_text('x')\n    return file\n"
    )
    result = nw.port(small(), images(), to="own", folder=tmp_path, extensions=(str(odd),))
    assert result["own"].status == "built"


def test_arguments_go_as_a_tuple_and_names_as_a_dictionary(tmp_path):
    class Two(torch.nn.Module):
        def forward(self, one, other=None):
            return one + other

    x = torch.ones(3, 2)
    for inputs in ((x, x), {"one": x, "other": x}):
        result = nw.port(Two(), inputs, to="torch-export", folder=tmp_path)
        assert result["torch-export"].status == "parity"


def test_a_network_without_inputs_is_refused():
    with pytest.raises(nw.UserError, match=r"nw\.port\(network, inputs\)"):
        nw.port(small())


def test_fail_on_exits_1_where_a_port_is_that_bad(recipe, tmp_path, run):
    odd = tmp_path / "odd.py"
    odd.write_text(
        "import netwright as nw\n\n\n@nw.target('refuses', 'A refusal', extra='')\ndef refuses(source):\n"
        "    '''Refuses.'''\n    raise ValueError('no')\n"
    )
    shown = run("port", recipe, "--to", "refuses", "--with", odd, "--fail-on", "unsupported")
    assert shown.code == 1 and "ValueError: no" in shown.out
    assert run("port", recipe, "--to", "refuses", "--with", odd).code == 0


@needs("onnx", "onnxscript", "onnxruntime")
def test_an_onnx_file_is_read_and_ported_and_its_reading_is_judged(tmp_path, run):
    nw.port(small(), images(), to="onnx", folder=tmp_path)
    file = tmp_path / "onnx" / "network.onnx"
    document = json.loads(run("port", file, "--to", "torch-export", "--json").out)
    assert document["targets"][0]["status"] == "parity"
    assert any("differs from ONNX Runtime by" in note for note in document["notes"])
    np.savez(tmp_path / "inputs.npz", x=images().numpy())
    given = json.loads(
        run("port", file, "--to", "torch-export", "--on", tmp_path / "inputs.npz", "--json").out
    )
    assert given["targets"][0]["inputs"] == 6 and not any("noise" in note for note in given["notes"])
    network = nw.read_network(file)
    assert torch.allclose(network(images()), small()(images()), atol=1e-5)
    assert any(parameter.requires_grad for parameter in network.parameters())


@needs("cv2", "onnx", "onnxscript")
def test_a_prototxt_goes_to_any_technology(tmp_path, run):
    nw.port(small(), images(), to="caffe", folder=tmp_path)
    file = tmp_path / "caffe" / "network.prototxt"
    document = json.loads(run("port", file, "--to", "onnx", "--json").out)
    assert document["targets"][0]["status"] == "parity"


@pytest.mark.parametrize("name", ["missing.onnx", "missing.prototxt"])
def test_a_file_that_is_not_there_is_one_sentence(tmp_path, name, run):
    shown = run("port", tmp_path / name, "--json")
    assert shown.code == 2 and name in json.loads(shown.out)["error"]["message"]


def test_the_order_of_the_targets_names_every_one_of_ours():
    assert set(ORDER) == set(Catalogue.collect().targets)
