from __future__ import annotations

import time

import pytest
import torch

from netwright.catalogue import Catalogue, Target, entries_of
from netwright.ports import Original, Settings, port
from netwright.ports.porting import joined
from netwright.ports.retraining import changed
from netwright.values import Limit, TargetEnded, TargetPort, TargetStarted, from_json, to_json
from ports import odd_targets
from ports.networks import images, needs, small

ODD = {entry.id: entry for entry in entries_of(odd_targets) if isinstance(entry, Target)}
TARGETS = Catalogue.collect().targets
NEEDED = {
    id: tuple(dict.fromkeys(name.split(".")[0] for name in target.needs)) for id, target in TARGETS.items()
}


def original(network=None, inputs=None) -> Original:
    inputs = images() if inputs is None else inputs
    return Original("net", network or small(), (inputs,), decide=lambda answers: answers.argmax(1))


def ported(target: Target, tmp_path, source: Original | None = None, **settings) -> TargetPort:
    settings = Settings(**{"runs": 3, **settings})
    events = port(source or original(), [target], tmp_path, settings, time.perf_counter, TARGETS["onnx"])
    ended = [event.port for event in events if isinstance(event, TargetEnded)]
    return ended[0]


@pytest.mark.parametrize(
    "id", [pytest.param(id, marks=needs(*NEEDED[id])) for id in TARGETS if id != "tensorrt"]
)
def test_a_small_network_has_parity_in_every_technology(id, tmp_path):
    found = ported(TARGETS[id], tmp_path)
    assert found.status == "parity", found.reason
    assert found.relative_error < 1e-5 and found.decision_changes == 0
    assert found.first_divergence is None and found.inputs == 6
    assert found.size > 1000 and found.latency.median > 0
    assert len(found.layers) >= 5 and all(layer.within for layer in found.layers)


@needs(*NEEDED["tensorrt"])
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here, so it is run")
def test_tensorrt_is_built_into_a_bundle_that_is_to_be_run_on_a_gpu(tmp_path):
    found = ported(TARGETS["tensorrt"], tmp_path)
    assert found.status == "built" and "GPU" in found.reason
    made = {file.name for file in (tmp_path / "tensorrt").iterdir()}
    assert made >= {
        "network.engine", "network.onnx", "build.sh", "verify.py", "calibration.npz", "expected.npz",
    }  # fmt: skip


def test_a_fault_is_named_by_its_layer_in_one_run_where_layers_can_be_read(tmp_path):
    found = ported(ODD["scales"], tmp_path)
    assert found.status == "differs"
    assert (found.first_divergence.layer, found.first_divergence.runs) == ("block.conv", 1)


def test_a_fault_in_a_closed_runtime_is_named_by_a_port_that_returns_every_layer(tmp_path):
    found = ported(ODD["scales-closed"], tmp_path)
    assert found.first_divergence.layer == "block.conv"


def test_a_fault_where_one_layer_at_a_time_can_be_read_is_bisected(tmp_path):
    found = ported(ODD["scales-single"], tmp_path)
    assert found.first_divergence.layer == "block.conv"
    assert 1 < found.first_divergence.runs <= 10


def test_a_divergence_comes_with_the_pictures_of_both_results(tmp_path):
    first = ported(ODD["scales"], tmp_path).first_divergence
    assert [picture.title for picture in first.pictures] == ["original", "port", "difference"]
    assert first.file is not None and first.line is not None


def test_an_operator_that_is_refused_is_named_with_its_line(tmp_path):
    found = ported(ODD["refuses-relu"], tmp_path)
    assert found.status == "unsupported"
    limit = found.limits[-1]
    assert (limit.layer, limit.kind) == ("block.act", "refused")
    assert limit.file.endswith("networks.py") and limit.line


def test_a_converter_that_dies_is_a_port_that_is_not_supported(tmp_path):
    found = ported(ODD["dies"], tmp_path)
    assert found.status == "unsupported" and "SIGABRT" in found.reason


def test_a_technology_that_is_not_installed_is_absent_with_what_installs_it(tmp_path):
    found = ported(ODD["absent"], tmp_path)
    assert found.status == "absent"
    assert found.reason == "no_such_runtime is not installed; pip install 'netwright[ports]' brings it"


def test_a_plan_makes_nothing_and_names_what_is_refused(tmp_path):
    events = port(original(), [ODD["refuses-relu"]], tmp_path, Settings(), time.perf_counter, only_plan=True)
    found = next(event.port for event in events if isinstance(event, TargetEnded))
    assert [limit.layer for limit in found.limits] == ["block.act", "block.relu#1"]
    assert not list(tmp_path.iterdir())


def test_a_plan_names_what_only_fails_in_the_whole_network(tmp_path):
    events = port(
        original(), [ODD["refuses-two-convolutions"]], tmp_path, Settings(), time.perf_counter, only_plan=True
    )
    found = next(event.port for event in events if isinstance(event, TargetEnded))
    assert found.status == "unsupported"
    assert [limit.layer for limit in found.limits] == ["block.conv"]


def test_what_is_known_and_what_was_found_of_a_layer_is_told_once():
    known = Limit("a", None, None, "no operator", "use another", "refused", "d")
    tried = Limit("a", None, None, "does not take it: error 7", "replace it", "refused")
    assert joined((known,), (tried,)) == (known,)
    vague = Limit("b", None, None, "counts otherwise", "pad", "changes meaning", "e")
    measured = Limit("b", None, None, "differs by 0.5: counts otherwise", "pad", "changes meaning", "e")
    assert joined((vague,), (measured,)) == (measured,)
    assert joined((vague,), (tried,)) == (vague, tried)


def test_a_plan_of_what_fits_says_so(tmp_path):
    events = port(
        original(), [TARGETS["torch-export"]], tmp_path, Settings(), time.perf_counter, only_plan=True
    )
    assert next(e.port for e in events if isinstance(e, TargetEnded)).status == "planned"


def test_the_metric_is_scored_before_and_after(tmp_path):
    targets = torch.tensor([0, 1, 2, 3, 4, 5])

    def score(answers: torch.Tensor) -> float:
        return float((answers.argmax(1) == targets).double().mean())

    source = Original("net", small(), (images(),), score=score, metric="accuracy")
    found = ported(TARGETS["torch-export"], tmp_path, source)
    assert found.metric_before == found.metric_after == score(small()(images()))


def test_events_name_the_stages_and_go_to_json_and_back(tmp_path):
    events = list(port(original(), [ODD["scales"]], tmp_path, Settings(runs=3), time.perf_counter))
    assert [e.stage for e in events if isinstance(e, TargetStarted)] == ["build", "outputs", "layers", "time"]
    ended = events[-1]
    assert from_json(to_json(ended), TargetEnded) == ended


def test_a_network_whose_batch_is_fixed_is_compared_on_every_input(tmp_path):
    class Fixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(4, 64) * 2

    found = ported(TARGETS["torchscript"], tmp_path, original(Fixed(), images(10)))
    assert found.status == "parity" and found.inputs == 10


def test_the_network_is_left_as_it_was(tmp_path):
    network = small().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    ported(TARGETS["torch-export"], tmp_path, original(network))
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@needs(*NEEDED["executorch"])
def test_local_response_norm_is_rewritten_where_a_runtime_lacks_it(tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 6, 3), torch.nn.LocalResponseNorm(5)).eval()
    found = ported(TARGETS["executorch"], tmp_path, original(network))
    assert found.status == "parity", found.reason
    assert [(limit.layer, limit.kind) for limit in found.limits] == [("1", "rewritten")]


@needs(*NEEDED["litert-micro"])
def test_a_layer_that_does_not_fit_comes_with_what_to_retrain_with(tmp_path):
    early = [torch.nn.Softplus(1.0, 4) for _ in range(2)]  # the identity from 4 on, which is not rewritten
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4), early[0], early[1]).eval()
    source, micro = original(network), TARGETS["litert-micro"]
    events = port(source, [micro], tmp_path, Settings(), time.perf_counter, only_plan=True)
    found = next(event.port for event in events if isinstance(event, TargetEnded))
    assert found.status == "unsupported"
    assert [(limit.layer, [edit.label for edit in limit.retrain]) for limit in found.limits] == [
        ("2", ["2: Softplus → ReLU"]), ("3", ["3: Softplus → ReLU"]),
    ]  # fmt: skip
    edits = [edit for limit in found.limits for edit in limit.retrain]
    fitting = ported(micro, tmp_path, original(changed(network, edits)))
    assert fitting.status == "parity" and not fitting.limits


@needs(*NEEDED["executorch"])
def test_a_prelu_of_what_is_no_image_is_taken_by_executorch(tmp_path):
    dense = [torch.nn.Flatten(), torch.nn.Linear(64, 5), torch.nn.PReLU(5)]
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.PReLU(), *dense).eval()
    found = ported(TARGETS["executorch"], tmp_path, original(network))
    assert found.status == "parity", found.reason


@needs(*NEEDED["litert-micro"])
def test_an_operator_that_the_interpreter_for_microcontrollers_lacks_is_named_at_its_layer(tmp_path):
    class Sign(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sign(x)

    network = torch.nn.Sequential(torch.nn.Linear(8, 8), Sign(), torch.nn.Linear(8, 2)).eval()
    found = ported(TARGETS["litert-micro"], tmp_path, original(network))
    assert found.status == "unsupported" and found.reason == "its interpreter has no operator SIGN"
    assert [limit.layer for limit in found.limits if limit.kind == "refused"] == ["1"]
