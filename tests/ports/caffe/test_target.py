"""Caffe as a technology of the catalogue."""

import pytest
import torch
from torch import nn

from netwright.ports.caffe.run import SETTING
from netwright.ports.caffe.target import Net, caffe, limits
from netwright.ports.program import Program
from netwright.ports.running import Source
from ports.caffe.networks import lived_in, resnet
from ports.caffe.referees import close, needs_caffe, needs_opencv

REFEREES = [pytest.param("caffe", marks=needs_caffe), pytest.param("opencv", marks=needs_opencv)]


@pytest.mark.parametrize("referee", REFEREES)
def test_a_port_is_read_by_the_names_of_its_layers(referee, tmp_path, monkeypatch):
    if referee == "opencv":
        monkeypatch.delenv(SETTING, raising=False)
        monkeypatch.setattr("netwright.ports.caffe.run._USUAL", tmp_path / "none")
    x = torch.randn(2, 3, 32, 32)
    network = nn.Sequential(lived_in(resnet()), nn.Linear(10, 1), nn.Flatten(0))
    program = Program.of(network, (x,))
    port = Net(caffe(Source(program, tmp_path)), program.about())
    names = [layer.name for layer in program.layers]
    assert set(port.taps) == set(names)
    outputs, found = port.run([x.numpy()], names)
    wanted, layers = program.read([x], names)
    close(outputs[0], wanted[0].numpy())
    for name in names:
        close(found[name], layers[name].numpy())


def test_what_caffe_lacks_is_told_before(tmp_path):
    program = Program.of(nn.MaxPool2d(3, 1, dilation=2), (torch.randn(2, 5, 8, 8),))
    assert "dilation" in limits(Source(program, tmp_path))[0].limit
