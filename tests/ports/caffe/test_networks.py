"""Whole networks: written, judged by both referees layer by layer, read back, and trained on."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from netwright.ports.caffe import read, write
from netwright.ports.program import Program
from ports.caffe.networks import NETWORKS, lived_in
from ports.caffe.referees import close, needs_caffe, needs_opencv, opencv

# torch.export warns of the weights of every recurrent layer.
pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes")
REFEREES = [pytest.param("caffe", marks=needs_caffe), pytest.param("opencv", marks=needs_opencv)]


def made(name):
    torch.manual_seed(1)
    build, shapes = NETWORKS[name]
    network = lived_in(build())
    inputs = [torch.randn(shape) for shape in shapes]
    return network, inputs, Program.of(network, tuple(inputs))


@pytest.mark.parametrize("referee", REFEREES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_of_a_written_network_agrees_with_pytorch(name, referee, tmp_path, caffe):
    _, inputs, program = made(name)
    prototxt, caffemodel, blobs = write(program, tmp_path)
    judge = caffe if referee == "caffe" else opencv
    outputs, found = judge(prototxt, caffemodel, [x.numpy() for x in inputs], sorted(set(blobs.values())))
    wanted, layers = program.read(inputs, blobs)
    modules = [layer.name for layer in program.layers if "#" not in layer.name]
    assert set(modules) <= set(blobs)
    for output, expected in zip(outputs, wanted, strict=True):
        close(output, expected.numpy())
    for layer, blob in blobs.items():
        close(found[blob], layers[layer].numpy())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_written_and_read_back_computes_the_same_for_any_batch(name, tmp_path):
    network, inputs, program = made(name)
    again = read(*write(program, tmp_path)[:2])
    wider = [torch.cat([x, x[:1] * 0.5]) for x in inputs]
    results, expected = again(*wider), network(*wider)
    if isinstance(results, torch.Tensor):
        results, expected = [results], [expected]
    for found, wanted in zip(results, expected, strict=True):
        close(found.detach().numpy(), wanted.detach().numpy())


@pytest.mark.parametrize(
    "name", [name for name in NETWORKS if name not in ("U-Net", "two inputs, two outputs")]
)
def test_a_network_read_back_trains_on(name, tmp_path):
    _, inputs, program = made(name)
    again = read(*write(program, tmp_path)[:2]).train()
    optimizer = torch.optim.SGD(again.parameters(), lr=0.01)
    labels = torch.tensor([1, 2])
    losses = []
    for _ in range(4):
        torch.manual_seed(0)  # the same units dropped each time
        loss = F.cross_entropy(again(*inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(parameter.grad is not None for parameter in again.parameters())


def test_modules_that_are_read_are_named_as_caffes_layers(tmp_path):
    _, _, program = made("ResNet")
    again = read(*write(program, tmp_path)[:2])
    assert isinstance(again.get_submodule("layer_0"), torch.nn.Conv2d)
    assert "layer_4_conv2 = self.layer_4_conv2(layer_4_relu)" in again.code
    assert np.isfinite(sum(parameter.sum().item() for parameter in again.parameters()))
