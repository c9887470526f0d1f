"""Each known difference between the technologies is shown by a test of its name; those of Caffe and of the
runtimes for phones have files of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from netwright.ports import Program
from netwright.ports.differences import GENERAL, differences, met_by
from netwright.ports.running import Unsupported
from ports.making import TARGETS, error, made, not_shown, refused, same, traced
from ports.networks import images, needs, small

pytestmark = pytest.mark.filterwarnings("ignore")  # converters warn of their own doings


def test_every_difference_is_shown_by_a_test_of_its_name():
    assert not_shown(GENERAL, globals()) == set()


def test_ids_are_used_once_and_every_difference_has_a_remedy_and_a_source():
    ids = [difference.id for difference in differences()]
    assert len(ids) == len(set(ids))
    assert all(d.what and d.remedy and d.source and set(d.targets) <= set(TARGETS) for d in differences())


@needs("openvino", "onnx", "onnxscript")
def test_openvino_half_weights_differ_and_the_ports_do_not(tmp_path):
    import openvino

    network, x = small(), images()
    running, _ = made("openvino", network, x, tmp_path)
    assert error(running.run([x.numpy()], [])[0][0], network(x)) < 1e-5
    model = openvino.Core().read_model(tmp_path / "network.xml")
    openvino.save_model(model, tmp_path / "half.xml")  # as OpenVINO does unless told otherwise
    half = openvino.Core().compile_model(tmp_path / "half.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert error(half([x.numpy()])[0], network(x)) > 1e-4


@needs("MNN", "onnx", "onnxscript")
def test_half_precision_is_refused_and_told_before(tmp_path):

    network, x = small().half(), images().half()
    running, program = made("mnn", network, x, tmp_path)
    with pytest.raises(Unsupported, match="float16"):
        running.run([x[:1].numpy()], [])
    assert "half-precision" in [limit.difference for limit in met_by(program, "mnn")]
    assert "half-precision" not in [
        limit.difference for limit in met_by(Program.of(small(), (images(),)), "mnn")
    ]


@needs("executorch")
def test_one_input_at_a_time_is_what_a_file_of_fixed_shapes_takes(tmp_path):
    running, _ = made("executorch", small(), images(), tmp_path)
    with pytest.raises(RuntimeError):
        running.run([images(3).numpy()], [])


@needs("executorch")
def test_local_response_norm_is_refused_unless_it_is_rewritten(tmp_path):
    network = nn.Sequential(nn.LocalResponseNorm(5))
    with pytest.raises(RuntimeError):
        made("executorch", network, torch.rand(2, 6, 4, 4), tmp_path)


@needs("litert_torch", "ai_edge_litert")
def test_adaptive_max_pooling_is_refused_unless_it_is_rewritten(tmp_path):
    network, x = nn.Sequential(nn.AdaptiveMaxPool2d(2)), torch.randn(2, 3, 6, 8)
    refused("litert", network, x, tmp_path, "adaptive_max_pool2d")
    same("litert", network, x, tmp_path)


@needs("onnx", "onnxscript", "onnxruntime")
def test_onnx_small_numbers_are_kept(tmp_path):
    class Loud(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.log(x * 1.000009 + 1e-10)

    running, _ = made("onnx", Loud(), torch.zeros(2, 3), tmp_path)
    assert error(running.run([np.zeros((2, 3), np.float32)], [])[0][0], Loud()(torch.zeros(2, 3))) < 1e-6
    ones = torch.full((2, 3), 1e4)
    exactly = ones.double() * 1.000009
    assert np.allclose(np.exp(running.run([ones.numpy()], [])[0][0]), exactly.numpy(), rtol=4e-6, atol=0)


def test_torchscript_numbers_of_python_are_constants_of_a_plain_trace(tmp_path):
    network, x = nn.Sequential(nn.LocalResponseNorm(3)), torch.rand(4, 5, 4, 4)
    running, _ = made("torchscript", network, x, tmp_path)
    assert error(running.run([x[:3].numpy()], [])[0][0], network(x[:3])) < 1e-6

    class Named(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(len(x), 80)

    plain = traced(Named(), x)
    with pytest.raises(RuntimeError):
        plain(x[:3])


@needs("tensorrt_rtx_bindings", "tensorrt_rtx_libs")
def test_tensorrt_tf32_is_what_the_builder_does_unless_told_otherwise():
    from netwright.ports import tensorrt_verify as verify

    trt = verify.runtime()
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    assert builder.create_builder_config().get_flag(trt.BuilderFlag.TF32)
    assert "clear_flag(trt.BuilderFlag.TF32)" in Path(verify.__file__).read_text()
