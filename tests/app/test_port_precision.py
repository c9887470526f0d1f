"""`netwright port` in 8-bit integers and for a device, as scripts and people use it."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import netwright as nw
from netwright.app import porting
from netwright.app.cli import app
from netwright.app.terminal import renderable
from netwright.catalogue import Catalogue
from netwright.runs import Clocks
from netwright.trials import InlineEngine
from netwright.values import (
    Budgeted,
    DeviceBudget,
    Heavy,
    KeptFloat,
    Port,
    Ports,
    Suffering,
    TargetPort,
)
from netwright.views.port_page import port_html
from ports.networks import digits, needs, reads_digits

ONNX = needs("onnx", "onnxscript", "onnxruntime")
EXAMPLE = Path(__file__).parents[2] / "examples" / "digits_healthy.py"


@pytest.fixture
def cli(capfd, monkeypatch):
    """The command in this process, its trainings too: exit code and document."""
    clocks = Clocks(time.perf_counter, time.process_time)
    monkeypatch.setattr("netwright.app.work.LocalEngine", lambda *_, **__: InlineEngine(clocks))

    def run(*arguments):
        try:
            code = app([*map(str, arguments), "--json"], standalone_mode=False) or 0
        except SystemExit as left:
            code = left.code
        return code, json.loads(capfd.readouterr().out)

    return run


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    shutil.copy(EXAMPLE, folder / "digits.py")
    text = (folder / "digits.py").read_text()
    assert "epochs=20" in text
    (folder / "digits.py").write_text(text.replace("epochs=20", "epochs=2"))
    return folder / "digits.py"


@ONNX
def test_a_recipe_is_quantised_with_training_inputs_and_scored_on_validation_inputs(recipe, cli):
    code, document = cli("port", recipe, "--to", "onnx", "--precision", "int8", "--device-budget", "1kB,60s")
    assert code == 0, document
    made = document["targets"][0]
    assert made["precision"] == "int8" and made["inputs"] == 269
    assert abs(made["metric_before"] - made["metric_after"]) < 0.05
    assert {name for one in made["suffering"] for name in one["layers"]} == {"0", "4"}
    assert made["suffering"][0]["file"].endswith("digits.py") and made["suffering"][0]["line"] > 8
    assert not any("ranges" in note for note in document["notes"])
    assert made["budget"]["fits"] is False and made["budget"]["int8"] is None
    assert made["budget"]["heaviest"][0]["layer"] == "4"


@ONNX
def test_a_bare_network_takes_its_ranges_from_its_inputs_and_says_so(tmp_path):
    x, _ = digits()
    result = nw.port(reads_digits(), x[:64], to="onnx", precision="int8", folder=tmp_path)
    assert result["onnx"].precision == "int8" and result["onnx"].metric_after is None
    assert "the ranges for int8 are taken from the inputs that it is compared on" in result.networks[0].notes
    assert "suffers most: " in str(result)


def test_all_are_the_targets_that_have_the_precision():
    catalogue = Catalogue.collect()
    assert [one.id for one in porting._chosen("all", catalogue, "int8")] == ["onnx", "openvino"]
    assert len(porting._chosen("all", catalogue)) > 2


def test_a_target_that_is_named_and_has_it_not_is_unsupported(tmp_path):
    result = nw.port(nn.Linear(2, 1), torch.zeros(3, 2), to="torchscript", precision="int8", folder=tmp_path)
    assert result["torchscript"].status == "unsupported"
    assert "TorchScript is ported in float32 only, not in int8" in str(result)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--precision", "int4", "--precision int4: say float32 or int8"),
        ("--device-budget", "small", "device budget 'small': 'small' is not a size or a time"),
        ("--device-budget", "2MB,1kB", "'1kB' is not a size or a time, or is the second of its kind"),
    ],
)
def test_what_is_not_known_is_refused_before_anything_is_run(recipe, cli, option, value, said):
    code, document = cli("port", recipe, option, value)
    assert code == 2
    assert said in document["error"]["message"] and "\n" not in document["error"]["message"]


def test_the_worst_layer_is_named_with_what_leaving_it_in_float_gives():
    worst = Suffering(
        ("conv1",), "Conv2d", "digits.py", 12, 0.8, 0.1, 0.02, 0.98, "only it is quantised, 9 inputs"
    )
    port = TargetPort(
        "onnx", "ONNX", "parity", precision="int8", metric_after=0.981, decision_changes=0.02, size=10_000,
        size_before=40_000, suffering=(worst,),
        kept_float=KeptFloat(("conv1",), 0.01, 0.0, 0.988, 13_000, ("a/network.int8.mixed.onnx",)),
    )  # fmt: skip
    said = text(port)
    assert "suffers most: conv1 (80 % of the outputs' error, 2 % of the decisions)" in said
    assert "digits.py:12" in said
    assert "→ keep conv1 in float32: metric 0.981 → 0.988, decisions changed 2.0 % → 0.0 %, +3.0 kB" in said
    assert "the decisions and the metric count" in said
    assert "suffers most: conv1" in port_html(Ports((Port("net", (port,)),)))


def test_a_budget_that_is_not_kept_names_what_must_go_and_where_it_is():
    verdict = Budgeted(
        DeviceBudget(2_000_000, 0.05), False, 4_000_000, False, 0.1, False, 1, 2, 0.5, 0.5, None,
        (Heavy("head", "Linear", "digits.py", 20, 3_000_000, 0.75),),
    )  # fmt: skip
    said = text(TargetPort("onnx", "ONNX", "parity", size=4_000_000, budget=verdict))
    assert "does not fit   2.0 MB, 50.0 ms   4.0 MB, p95 100 ms with 2 threads" in said
    assert "by trimming: 50 % of the parameters must go, and 50 % of the time must go" in said
    assert "most weights are in head 3.0 MB (75 %, digits.py:20)" in said


def text(port: TargetPort) -> str:
    """What the terminal shows of a port, its lines joined."""
    import io

    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=300, no_color=True, highlight=False).print(
        renderable(Ports((Port("net", (port,)),)))
    )
    return out.getvalue()
