"""Every network of the zoo in every technology that is installed: `make test-ports`."""

from __future__ import annotations

import time

import pytest
import torch
from benchmarks.ports.zoo import ZOO

from netwright.catalogue import Catalogue
from netwright.ports import Original, Settings, port
from netwright.ports.workshop import here
from netwright.values import TargetEnded

pytestmark = [pytest.mark.matrix, pytest.mark.filterwarnings("ignore")]  # converters warn of their own doings
TARGETS = Catalogue.collect().targets
# What has no parity, by network and target: the plan tells of the difference or of the operator.
OTHERWISE = {
    ("googlenet", "ncnn"): "differs",  # average pooling that rounds up
    ("vision-transformer", "mnn"): "differs",  # by 1.1e-4 of 1e-4: its gelu
    **{
        (network, target): "unsupported"
        for target, networks in {
            "litert-micro": (
                "inception", "convnext", "autoencoder", "activations", "lstm", "gru-bidirectional",
                "transformer-encoder", "attention", "vision-transformer", "mlp-mixer",
            ),
            "ncnn": ("activations", "lstm", "gru-bidirectional", "attention", "vision-transformer", "text"),
            "mnn": ("activations", "lstm"),
            "litert": ("autoencoder",),
        }.items()
        for network in networks
    },
}  # fmt: skip
CLOSE = {("vision-transformer", "mnn")}  # so close to the tolerance that another CPU may round it below


@pytest.mark.parametrize("name", ZOO)
def test_a_network_of_the_zoo_has_parity_in_every_technology(name, tmp_path):
    network, inputs = ZOO[name]()[:2]
    targets = [target for target in TARGETS.values() if here(target) is None]
    settings = Settings(runs=0, followed=0)
    original = Original(name, network, tuple(inputs))
    events = port(original, targets, tmp_path, settings, time.perf_counter, TARGETS["onnx"])
    found = {e.port.target: e.port for e in events if isinstance(e, TargetEnded)}
    expected = {id: OTHERWISE.get((name, id), "parity") for id in found}
    if "tensorrt" in found and not torch.cuda.is_available():
        expected["tensorrt"] = "built"
    for _, id in (pair for pair in CLOSE if pair[0] == name and pair[1] in found):
        assert found[id].relative_error < 2 * found[id].tolerance
        expected[id] = found[id].status
    assert {id: one.status for id, one in found.items()} == expected, {
        id: one.reason for id, one in found.items() if one.status != expected[id]
    }
    for (of, id), status in OTHERWISE.items():
        if of == name and id in found and status == "unsupported":
            assert any(limit.kind == "refused" and limit.layer for limit in found[id].limits)
    if (name, "ncnn") in OTHERWISE and name == "googlenet" and "ncnn" in found:
        assert found["ncnn"].first_divergence.layer == "9"
        assert found["ncnn"].first_divergence.difference == "ncnn-average-rounded-up"
