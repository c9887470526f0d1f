"""The zoo that ports are measured on is made of networks that export and tell their inputs apart."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
from benchmarks.ports.zoo import BATCH, ZOO, resnet50
from torch import Tensor, nn


def outputs_of(network: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad():
        outputs = network(*inputs)
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


@pytest.mark.parametrize("name", ZOO)
def test_every_network_exports(name: str) -> None:
    network, inputs = ZOO[name]()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*_flat_weights")  # recurrent layers, in every export
        exported = torch.export.export(network, inputs, strict=False).module()
    for ours, theirs in zip(outputs_of(network, inputs), outputs_of(exported, inputs), strict=True):
        torch.testing.assert_close(theirs, ours)


@pytest.mark.parametrize("name", ZOO)
def test_every_network_is_small_and_tells_its_inputs_apart(name: str) -> None:
    network, inputs = ZOO[name]()
    assert not network.training
    assert 1_000 < sum(parameter.numel() for parameter in network.parameters()) < 500_000
    assert all(len(tensor) == BATCH for tensor in inputs)
    for output in outputs_of(network, inputs):
        assert output.isfinite().all()
        assert 1e-3 < output.std(0).mean() < 1e2


def test_a_network_is_the_same_each_time() -> None:
    first, second = ZOO["resnet"](), ZOO["resnet"]()
    assert torch.equal(first[1][0], second[1][0])
    for name, tensor in first[0].state_dict().items():
        assert torch.equal(tensor, second[0].state_dict()[name])


def test_batch_norm_statistics_are_of_the_inputs() -> None:
    network, _ = ZOO["resnet"]()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    for norm in norms:
        assert norm.running_var is not None and norm.running_mean is not None
        assert (norm.running_var - 1).abs().max() > 0.1
        assert norm.running_mean.abs().max() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_every_network_is_the_same_in_onnx_runtime(name: str) -> None:
    pytest.importorskip("onnxscript", reason="torch.onnx.export needs onnxscript")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    network, inputs = ZOO[name]()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(network, inputs, dynamo=True, verbose=False)
    assert program is not None
    program.save(file)
    session = runtime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    feed = {slot.name: tensor.numpy() for slot, tensor in zip(session.get_inputs(), inputs, strict=True)}
    for ours, theirs in zip(outputs_of(network, inputs), session.run(None, feed), strict=True):
        torch.testing.assert_close(torch.from_numpy(theirs), ours, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_resnet50_has_the_size_of_the_real_one() -> None:
    network, inputs = resnet50()
    assert sum(parameter.numel() for parameter in network.parameters()) == 25_557_032
    assert outputs_of(network, inputs)[0].shape == (BATCH, 1000)
