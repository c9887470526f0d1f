"""The two referees run what they are given, and end in a sentence where they cannot."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from netwright.ports.caffe.run import SETTING, CaffeNet, CaffeProcess, caffe_interpreter
from netwright.values import UserError
from ports.caffe.referees import (
    files,
    inputs_text,
    layer_text,
    needs_caffe,
    needs_opencv,
    opencv,
    random_blob,
)

POWER = "power_param { scale: 2 }"


def two_layers(folder):
    text = inputs_text((1, 3, 4, 4)) + layer_text("Power", POWER, tops=("p",), name="p")
    return files(folder, text + layer_text("ReLU", bottoms=("p",)), {})


@needs_caffe
def test_a_process_of_caffe_runs_again_and_again_with_batches_of_any_size(tmp_path):
    with CaffeNet(*two_layers(tmp_path)) as net:
        assert net.taps == ("p", "y")
        for size in (1, 3, 2):
            x = random_blob((size, 3, 4, 4), size)
            outputs, blobs = net.run([x], ["p"])
            assert np.allclose(blobs["p"], 2 * x)
            assert np.allclose(outputs[0], np.maximum(2 * x, 0))


@needs_caffe
def test_what_caffe_stumbles_over_is_one_sentence(tmp_path):
    text = inputs_text((1, 3, 4, 4)) + layer_text("NoSuchLayer")
    with pytest.raises(UserError, match=r"Caffe cannot run it: .*NoSuchLayer"):
        CaffeNet(*files(tmp_path, text, {}))


@needs_caffe
def test_a_process_that_ended_says_so(tmp_path):
    process = CaffeProcess()
    net = CaffeNet(*two_layers(tmp_path), process)
    folder = process.folder
    net.close()
    net.close()
    assert not process.alive
    assert not folder.exists()
    with pytest.raises(UserError, match="Caffe cannot run it"):
        net.run([random_blob((1, 3, 4, 4))], [])


@needs_opencv
def test_what_opencv_stumbles_over_is_one_sentence(tmp_path):
    text = inputs_text((1, 3, 4, 4)) + layer_text("Threshold")
    with pytest.raises(UserError, match=r"OpenCV cannot run it: .*Threshold"):
        opencv(*files(tmp_path, text, {}), [random_blob((1, 3, 4, 4))])


@needs_opencv
def test_pieces_of_a_slice_are_read_before_opencv_writes_over_them(tmp_path):
    text = inputs_text((1, 2, 9, 8)) + layer_text("ReLU", tops=("r",), name="r")
    text += layer_text(
        "Slice", "slice_param { axis: 2 slice_point: 3 }", bottoms=("r",), tops=("a", "b"), name="s"
    )
    text += layer_text("Power", POWER, bottoms=("b",), tops=("c",), name="c") + layer_text(
        "Power", POWER, ("c",)
    )
    x = random_blob((1, 2, 9, 8))
    outputs, blobs = opencv(*files(tmp_path, text, {}), [x], ["a", "b", "c"])
    kept = np.maximum(x, 0)
    assert [
        np.array_equal(blobs[name], wanted) for name, wanted in zip("ab", np.split(kept, [3], 2), strict=True)
    ] == [
        True,
        True,
    ]
    assert np.allclose(outputs[1], 4 * kept[:, :, 3:])


@needs_opencv
def test_a_wrong_number_of_inputs_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"takes 1 inputs \(x0\), not 2"):
        opencv(*two_layers(tmp_path), [random_blob((1, 3, 4, 4))] * 2)


def test_without_a_real_caffe_the_way_to_one_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv(SETTING, raising=False)
    monkeypatch.setattr(Path, "expanduser", lambda self: tmp_path / "none")
    assert caffe_interpreter() is None
    with pytest.raises(UserError, match="make setup-ports"):
        CaffeProcess()


def test_an_interpreter_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv(SETTING, "/nowhere/python")
    with pytest.raises(
        UserError, match="NETWRIGHT_CAFFE_PYTHON=/nowhere/python: there is no such interpreter"
    ):
        caffe_interpreter()


def test_a_python_without_caffe_is_one_sentence(tmp_path):
    prototxt, caffemodel = two_layers(tmp_path)
    with pytest.raises(UserError, match="No module named 'caffe'"):
        CaffeNet(prototxt, caffemodel, CaffeProcess(Path(sys.executable)))


@needs_caffe
def test_passes_are_timed_in_caffes_own_process(tmp_path):
    with CaffeNet(*two_layers(tmp_path)) as net:
        x = random_blob((1, 3, 4, 4), 0)
        began = time.perf_counter()
        seconds = net.time([x], 20)
        assert len(seconds) == 20 and 0 < sum(seconds) < time.perf_counter() - began
        assert np.allclose(net.run([x], [])[0][0], np.maximum(2 * x, 0)), "it still runs"
