from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from netwright.catalogue import Catalogue
from netwright.ports.original import Original
from netwright.ports.program import Program
from netwright.ports.proof import Proof
from netwright.ports.yard import Settings, Yard
from ports.networks import images, needs, small

TARGETS = Catalogue.collect().targets


class Stand:
    """A workshop whose port is a network of PyTorch; under the names in `fused` it holds other layers."""

    def __init__(self, program: Program, target: str, fused: dict[str, str] | None = None) -> None:
        self.program, self.target, self.fused = program, TARGETS[target], fused or {}
        self.runs = 0
        self.taps: tuple[str, ...] = ()

    def open(self, files: tuple[Path, ...], about: Program) -> tuple[str, ...]:
        return self.taps

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str] = ()) -> Any:
        self.runs += 1
        meant = {name: self.fused.get(name, name) for name in taps}
        outputs, read = self.program.read([torch.from_numpy(i) for i in inputs], set(meant.values()))
        return [o.numpy() for o in outputs], {n: read[m].numpy() for n, m in meant.items()}


def proof(yard: Yard, stand: Any, taps: tuple[str, ...]) -> Proof:
    stand.taps = taps
    return Proof(yard, stand, ())


def test_a_tap_that_holds_what_a_fused_layer_gives_is_that_layers(tmp_path: Path):
    with Yard(Original("small", small(), (images(),)), tmp_path, Settings(), None, time.perf_counter) as yard:
        stand = Stand(yard.whole, "torchscript", {"block.conv": "block.norm"})
        found = proof(yard, stand, ("stem", "block.conv", "head")).layers(False)
    assert [(layer.layer, layer.within) for layer in found["layers"]] == [
        ("stem", True), ("block.norm", True), ("head", True),
    ]  # fmt: skip
    assert stand.runs == 1


def altered() -> nn.Module:
    network = small()
    with torch.no_grad():
        network.block.conv.weight.mul_(1.5)
    return network


@pytest.mark.parametrize("followed", [16, 0])
def test_a_layer_whose_weights_are_others_is_not_taken_for_a_fused_one(followed: int, tmp_path: Path):
    settings = Settings(followed=followed)
    with Yard(Original("small", small(), (images(),)), tmp_path, settings, None, time.perf_counter) as yard:
        stand = Stand(Program.of(altered(), (images(),)), "torchscript")
        taps = tuple(layer.name for layer in yard.whole.layers)
        found = proof(yard, stand, taps).layers(True)
    assert found["first_divergence"].layer == "block.conv"
    assert found["first_divergence"].runs == 1


def test_the_first_layer_is_found_by_reading_one_a_run(tmp_path: Path):
    with Yard(Original("small", small(), (images(),)), tmp_path, Settings(), None, time.perf_counter) as yard:
        stand = Stand(Program.of(altered(), (images(),)), "torchscript")
        taps = tuple(layer.name for layer in yard.whole.layers)
        found = proof(yard, stand, taps).layers(True, at_once=False)
    assert found["first_divergence"].layer == "block.conv"
    assert found["first_divergence"].runs == stand.runs <= 2 * np.ceil(np.log2(10)) + 2


def test_layers_of_a_rewritten_network_are_compared_with_the_networks_own(tmp_path: Path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 6, 3), nn.LocalResponseNorm(5, alpha=0.1), nn.ReLU()).eval()
    with Yard(Original("norm", network, (images(),)), tmp_path, Settings(), None, time.perf_counter) as yard:
        tapped = yard.program(TARGETS["executorch"]).tapped(["1"])
        found = proof(yard, Stand(tapped, "executorch"), ())._read((), tapped.taps)
    assert found["1"].within


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.second = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


@needs("onnx", "onnxscript", "onnxruntime")
@pytest.mark.slow
def test_values_in_onnx_have_the_names_of_the_layers_they_come_from(tmp_path: Path):
    torch.manual_seed(0)
    original = Original("attending", Attending().eval(), (torch.randn(3, 5, 8),))
    target = TARGETS["onnx"]
    with (
        Yard(original, tmp_path, Settings(), target, time.perf_counter) as yard,
        yard.workshop(target) as workshop,
    ):
        program = yard.program(target)
        files = yard.build(workshop, program, tmp_path / "onnx")
        found = Proof(yard, workshop, files).layers(False)
    assert len(found["layers"]) > 50
    assert [layer.layer for layer in found["layers"] if not layer.within] == []


@pytest.mark.parametrize(("large", "told"), [(1e4, True), (1.0, False)])
def test_a_network_that_rounding_alone_changes_is_said_to_be_one(large, told, tmp_path):
    class Cancelling(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + large) - large

    original = Original("net", Cancelling(), (images(),))
    with Yard(original, tmp_path, Settings(), None, time.perf_counter) as yard:
        found = proof(yard, Stand(yard.whole, "torchscript"), ()).layers(True)
    assert [note[:14] for note in found["notes"]] == (["rounding alone"] if told else [])


def test_a_network_that_is_of_32_bits_only_is_not_compared_with_itself_in_64(tmp_path):
    class Narrow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.dtype == torch.float32
            return x + 1

    with Yard(Original("net", Narrow(), (images(),)), tmp_path, Settings(), None, time.perf_counter) as yard:
        assert proof(yard, Stand(yard.whole, "torchscript"), ())._of_rounding() == ()


def test_layers_that_only_many_inputs_have_do_not_shift_the_names_of_others(tmp_path):
    class Slicing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            every = x if x.shape[0] == 1 else x * 3 / 3
            return every * 2 + 1

    network = Slicing()
    with Yard(Original("net", network, (images(),)), tmp_path, Settings(), None, time.perf_counter) as yard:
        one = yard.program(TARGETS["mnn"])
        assert yard.whole.any_batch and len(one.layers) < len(yard.whole.layers)
        taps = tuple(layer.name for layer in one.layers)
        found = proof(yard, Stand(one, "mnn"), taps)._read(taps, {})
    assert set(found) == set(taps) and all(agreement.within for agreement in found.values())
