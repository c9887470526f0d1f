from __future__ import annotations

import time
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from torch import nn

from netwright.catalogue import Catalogue
from netwright.ports import Original, Program, Settings, port
from netwright.ports.onnx.quantise import layer_by_node
from netwright.ports.quantising import GROUPS, _in_groups
from netwright.ports.running import Quantising
from netwright.values import TargetEnded, TargetPort, TargetStarted, from_json, to_json
from ports.networks import digits, images, needs, reads_digits, small, with_wild_weights

TARGETS = Catalogue.collect().targets
ID = [
    pytest.param("onnx", marks=needs("onnx", "onnxscript", "onnxruntime")),
    pytest.param("openvino", marks=needs("onnx", "onnxscript", "onnxruntime", "openvino", "nncf")),
]


def reading(network: nn.Module) -> Original:
    """A network that reads digits, compared on those it was not trained on."""
    x, y = digits()
    return Original(
        "digits",
        network,
        (x[1000:1200],),
        decide=lambda answers: answers.argmax(1),
        score=lambda answers: float((answers.argmax(1) == y[1000 : 1000 + len(answers)]).double().mean()),
        metric="accuracy",
        training=((x[:1000],), {}),
    )


def quantised(id: str, source: Original, folder: Path, **settings) -> TargetPort:
    settings = Settings(**{"runs": 3, "precision": "int8", **settings})
    events = port(source, [TARGETS[id]], folder, settings, time.perf_counter, TARGETS["onnx"])
    return next(event.port for event in events if isinstance(event, TargetEnded))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ports")


@pytest.fixture(scope="module")
def sound(folder):
    made: dict[str, TargetPort] = {}
    source = reading(reads_digits())

    def of(id: str) -> TargetPort:
        if id not in made:
            made[id] = quantised(id, source, folder / "sound")
        return made[id]

    return of


@pytest.fixture(scope="module")
def wild(folder):
    made: dict[str, TargetPort] = {}
    source = reading(with_wild_weights(reads_digits(), 2))

    def of(id: str) -> TargetPort:
        if id not in made:
            made[id] = quantised(id, source, folder / "wild")
        return made[id]

    return of


@pytest.mark.parametrize("id", ID)
def test_a_network_is_quantised_and_reads_digits_as_well_as_before(id, sound):
    found = sound(id)
    assert (found.precision, found.tolerance) == ("int8", 0.2)
    assert found.status == "parity", found.reason
    assert found.decision_changes <= 0.02
    assert found.metric_before > 0.85
    assert found.metric_after == pytest.approx(found.metric_before, abs=0.02)


@pytest.mark.parametrize("id", ID)
def test_layers_are_read_as_what_their_integers_stand_for(id, sound):
    layers = sound(id).layers
    assert {layer.layer for layer in layers} >= {"1", "3", "4"}
    assert all(layer.cosine > 0.99 for layer in layers)


@pytest.mark.parametrize("id", ID)
def test_its_files_stand_beside_those_in_32_bits_and_are_smaller(id, sound):
    found = sound(id)
    made = [Path(file) for file in found.files]
    assert made[0].name == {"onnx": "network.int8.onnx", "openvino": "network.int8.xml"}[id]
    assert made[0].with_name(made[0].name.replace(".int8", "")).exists()
    assert found.size == sum(file.stat().st_size for file in made) < found.size_before


@pytest.mark.parametrize("id", ID)
def test_the_layer_with_wild_weights_suffers_most(id, wild):
    first = wild(id).suffering[0]
    assert first.layers == ("2",)
    assert first.share > 0.5 and first.file is None
    assert first.measured == "only it is quantised, 200 inputs"


@pytest.mark.parametrize("id", ID)
def test_every_layer_with_weights_has_its_share_of_the_harm(id, wild):
    suffering = wild(id).suffering
    assert {name for one in suffering for name in one.layers} >= {"0", "2", "4"}
    assert sum(one.share for one in suffering) == pytest.approx(1)
    assert [one.error for one in suffering] == sorted((one.error for one in suffering), reverse=True)


@pytest.mark.parametrize("id", ID)
def test_the_port_with_that_layer_left_in_float_is_there_and_decides_as_before(id, wild):
    found = wild(id)
    kept = found.kept_float
    assert kept is not None and "2" in kept.layers
    assert kept.decision_changes < found.decision_changes
    assert kept.metric > found.metric_after
    assert kept.size == sum(Path(file).stat().st_size for file in kept.files) < found.size_before


@pytest.mark.parametrize("id", ID)
def test_a_network_that_keeps_its_decisions_needs_no_layer_in_float(id, tmp_path):
    source = reading(reads_digits())
    one = attrs.evolve(source, arguments=(source.arguments[0][:1],), score=None)
    found = quantised(id, one, tmp_path)
    assert found.decision_changes == 0 and found.suffering
    assert found.kept_float is None and not (tmp_path / id / f"network.int8.mixed{_ending(id)}").exists()


def _ending(id: str) -> str:
    return {"onnx": ".onnx", "openvino": ".xml"}[id]


@pytest.mark.parametrize("id", ID)
def test_what_is_said_of_it_survives_json(id, wild):
    found = wild(id)
    assert from_json(to_json(found), TargetPort) == found


@pytest.mark.parametrize("id", ID)
def test_a_network_whose_batch_is_fixed_is_quantised_at_that_batch(id, tmp_path):
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 10)

        def forward(self, x):
            return self.head(x.reshape(4, 64))

    torch.manual_seed(0)
    source = Original("fixed", Fixed(), (images(10),), decide=lambda answers: answers.argmax(1))
    found = quantised(id, source, tmp_path)
    assert found.status == "parity", found.reason
    assert found.latency.batch == 4


@pytest.mark.parametrize("id", ID)
def test_a_convolution_folded_with_its_normalisation_keeps_its_name(id, tmp_path):
    source = Original("small", small(), (images(32),), decide=lambda answers: answers.argmax(1))
    found = quantised(id, source, tmp_path)
    named = {name for one in found.suffering for name in one.layers}
    assert named >= {"stem", "block.conv", "head"}


def test_a_technology_without_int8_says_so(tmp_path):
    found = quantised("torchscript", reading(reads_digits()), tmp_path)
    assert (found.status, found.precision) == ("unsupported", "int8")
    assert found.reason == "TorchScript is ported in float32 only, not in int8"


@needs("onnx", "onnxscript", "onnxruntime")
def test_the_stages_of_quantising_are_told(tmp_path):
    settings = Settings(runs=1, precision="int8")
    source = reading(reads_digits())
    events = port(source, [TARGETS["onnx"]], tmp_path, settings, time.perf_counter, TARGETS["onnx"])
    stages = [event.stage for event in events if isinstance(event, TargetStarted)]
    assert stages == ["build", "quantise", "outputs", "layers", "time", "suffering"]


def test_ranges_are_taken_from_training_inputs_where_there_are_some():
    x = torch.arange(12.0).reshape(6, 2)
    source = Original("net", nn.Linear(2, 1), (x[:3],), training=((x[3:],), {}))
    assert np.array_equal(source.calibration(2)[0], x[3:5].numpy())
    bare = attrs.evolve(source, training=None)
    assert np.array_equal(bare.calibration(2)[0], x[:2].numpy())


def asked(tmp_path, count: int, batch: int | None) -> Quantising:
    np.savez(tmp_path / "calibration.npz", np.arange(count)[:, None])
    about = Program.of(nn.Linear(1, 1), (torch.zeros(2, 1),)).about()
    return Quantising((), about, tmp_path, tmp_path, tmp_path / "calibration.npz", batch)


@pytest.mark.parametrize(
    ("count", "batch", "sizes"), [(5, None, [2, 2, 1]), (10, 4, [4, 4]), (3, 4, [4]), (4, 4, [4])]
)
def test_calibration_inputs_come_in_batches_that_the_files_take(tmp_path, count, batch, sizes):
    assert [len(arrays[0]) for arrays in asked(tmp_path, count, batch).batches(2)] == sizes


@pytest.mark.parametrize("count", [1, 5, 24, 25, 100])
def test_layers_are_grouped_in_their_order_and_none_is_lost(count):
    layers = [str(i) for i in range(count)]
    groups = _in_groups(layers, GROUPS)
    assert [name for group in groups for name in group] == layers
    assert len(groups) == min(count, GROUPS)


@attrs.frozen
class Node:
    name: str
    input: list[str]
    output: list[str]


def test_a_node_belongs_to_the_layer_whose_weights_it_has_or_whose_result_it_makes():
    nodes = [
        Node("conv", ["x", "conv.weight"], ["norm"]),
        Node("product", ["norm", "val_3"], ["inner"]),
        Node("sum", ["inner", "val_4"], ["head"]),
        Node("last", ["head"], ["unnamed"]),
    ]
    found = layer_by_node(nodes, ["conv", "norm", "head"])
    assert found == {"conv": "conv", "product": "head", "sum": "head", "last": None}
