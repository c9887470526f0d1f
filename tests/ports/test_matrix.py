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


@pytest.mark.parametrize("name", ZOO)
def test_a_network_of_the_zoo_has_parity_in_every_technology(name, tmp_path):
    network, inputs = ZOO[name]()[:2]
    targets = [target for target in TARGETS.values() if here(target) is None]
    settings = Settings(runs=0, followed=0)
    original = Original(name, network, tuple(inputs))
    events = port(original, targets, tmp_path, settings, time.perf_counter, TARGETS["onnx"])
    found = {e.port.target: e.port for e in events if isinstance(e, TargetEnded)}
    expected = dict.fromkeys(found, "parity")
    if "tensorrt" in found and not torch.cuda.is_available():
        expected["tensorrt"] = "built"
    assert {id: one.status for id, one in found.items()} == expected, {
        id: one.reason for id, one in found.items() if one.status != expected[id]
    }
