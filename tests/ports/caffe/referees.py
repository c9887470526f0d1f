"""Small Caffe networks with random weights, and the two that judge what they compute."""

import importlib.util

import numpy as np
import pytest

from netwright.ports.caffe.caffemodel import blob_of, write_caffemodel
from netwright.ports.caffe.prototxt import Message
from netwright.ports.caffe.run import OpenCVNet, caffe_interpreter

needs_caffe = pytest.mark.skipif(caffe_interpreter() is None, reason="no real Caffe (NETWRIGHT_CAFFE_PYTHON)")
needs_opencv = pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV is not installed")


def inputs_text(*shapes):
    """Input layers x0, x1, ... of these shapes."""
    return "".join(
        f'layer {{ name: "x{index}" type: "Input" top: "x{index}" input_param {{ shape {{ '
        + " ".join(f"dim: {size}" for size in shape)
        + " } } }\n"
        for index, shape in enumerate(shapes)
    )


def layer_text(kind, settings="", bottoms=("x0",), tops=("y",), name="y"):
    bottoms = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
    tops = " ".join(f'top: "{top}"' for top in tops)
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} {tops} {settings} }}\n'


def random_blob(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def files(folder, text, weights):
    """The prototxt and the caffemodel of `weights`, layer -> arrays, in a folder."""
    prototxt, caffemodel = folder / "net.prototxt", folder / "net.caffemodel"
    prototxt.write_text(text)
    layers = [
        Message({"name": [name], "blobs": [blob_of(array) for array in arrays]})
        for name, arrays in weights.items()
    ]
    write_caffemodel(Message({"layer": layers}), caffemodel)
    return prototxt, caffemodel


def opencv(prototxt, caffemodel, inputs, taps=()):
    return OpenCVNet(prototxt, caffemodel).run(inputs, taps)


def close(found, wanted, tolerance=1e-4):
    """Equal in shape, and in values within `tolerance` of the largest."""
    assert found.shape == wanted.shape
    assert np.isfinite(wanted).all()
    assert np.abs(found - wanted).max() <= tolerance * max(1e-3, np.abs(wanted).max())
