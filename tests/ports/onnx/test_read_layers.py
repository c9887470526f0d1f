"""Layers and operators one by one, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from netwright.ports.onnx.read import read
from netwright.ports.program import Program
from netwright.values import UserError
from ports.onnx.models import assert_same, by_runtime, floats, layers_of, model, one, outputs_of


def shape_of(content: bytes) -> list[int]:
    slot = onnx.load_model_from_string(content).graph.input[0]
    return [dimension.dim_value for dimension in slot.type.tensor_type.shape.dim]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (one("Conv", ["x", "w", "b"], w=floats(4, 3, 5), b=floats(4), shape=(2, 3, 9)), nn.Conv1d),
        (
            one("Conv", ["x", "w"], w=floats(6, 1, 3, 3), group=3, pads=[1, 1, 1, 1], shape=(2, 3, 9, 9)),
            nn.Conv2d,
        ),
        (one("Conv", ["x", "w"], w=floats(4, 3, 2, 2, 2), shape=(2, 3, 4, 4, 4)), nn.Conv3d),
        (one("Conv", ["x", "w"], w=floats(4, 3, 3, 3), pads=[0, 1, 2, 0], shape=(2, 3, 9, 9)), nn.Conv2d),
        (
            one(
                "Conv",
                ["x", "w"],
                w=floats(4, 3, 3, 3),
                auto_pad="SAME_LOWER",
                strides=[2, 2],
                shape=(2, 3, 8, 9),
            ),
            nn.Conv2d,
        ),
        (
            one(
                "ConvTranspose",
                ["x", "w"],
                w=floats(3, 2, 3, 3),
                strides=[2, 2],
                output_padding=[1, 1],
                shape=(2, 3, 5, 5),
            ),
            nn.ConvTranspose2d,
        ),
        (
            one("ConvTranspose", ["x", "w"], w=floats(3, 2, 3, 3), pads=[0, 1, 1, 1], shape=(2, 3, 5, 5)),
            nn.ConvTranspose2d,
        ),
        (
            one("Gemm", ["x", "w", "b"], w=floats(3, 5), b=floats(5), alpha=0.5, beta=2.0, shape=(2, 3)),
            nn.Linear,
        ),
        (one("Gemm", ["x", "w", "b"], w=floats(5, 3), b=floats(1), transB=1, shape=(2, 3)), nn.Linear),
        (one("MatMul", ["x", "w"], w=floats(4, 5)), nn.Linear),
        (
            one(
                "BatchNormalization",
                ["x", "s", "b", "m", "v"],
                s=floats(3),
                b=floats(3),
                m=floats(3),
                v=abs(floats(3)),
            ),
            nn.BatchNorm1d,
        ),
        (one("LayerNormalization", ["x", "s", "b"], s=floats(4), b=floats(4), epsilon=1e-3), nn.LayerNorm),
        (one("LayerNormalization", ["x", "s"], s=floats(3, 4), axis=1), nn.LayerNorm),
        (
            one("InstanceNormalization", ["x", "s", "b"], s=floats(3), b=floats(3), shape=(2, 3, 4, 4)),
            nn.InstanceNorm2d,
        ),
        (one("PRelu", ["x", "s"], s=floats(3, 1)), nn.PReLU),
        (one("LRN", ["x"], size=3, alpha=0.5, beta=0.6, bias=2.0, shape=(2, 7, 4, 4)), nn.LocalResponseNorm),
        (
            one("MaxPool", ["x"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, shape=(2, 3, 8, 9)),
            nn.MaxPool2d,
        ),
        (
            one("MaxPool", ["x"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1], shape=(2, 3, 8, 8)),
            None,
        ),
        (
            one(
                "AveragePool",
                ["x"],
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
                count_include_pad=1,
                shape=(2, 3, 8, 9),
            ),
            nn.AvgPool2d,
        ),
        (one("AveragePool", ["x"], kernel_shape=[2, 3], auto_pad="SAME_UPPER", shape=(2, 3, 8, 9)), None),
        (one("GlobalAveragePool", ["x"], shape=(2, 3, 8, 9)), nn.AdaptiveAvgPool2d),
        (one("Dropout", ["x"], opset=11, ratio=0.3), nn.Dropout),
    ],
)
def test_a_layer_of_onnx_is_a_layer_of_torch(content: bytes, kind: type[nn.Module] | None) -> None:
    shape = shape_of(content)
    network = read(content)
    x = torch.from_numpy(floats(*shape))
    assert_same(outputs_of(network, x), by_runtime(content, x))
    assert [type(layer) for layer in layers_of(network).values()] == ([kind] if kind else [])


@pytest.mark.parametrize(
    "content",
    [
        one("Softmax", ["x"], opset=11, axis=1),
        one("Softmax", ["x"], opset=13, axis=1),
        one("LogSoftmax", ["x"], opset=9),
        one("Slice", ["x"], opset=9, starts=[0, 1], ends=[2, 1000], axes=[0, 2]),
        one(
            "Slice",
            ["x", "s", "e", "a", "p"],
            s=np.array([-1]),
            e=np.array([-9]),
            a=np.array([-1]),
            p=np.array([-2]),
        ),
        one("Clip", ["x"], opset=7, min=-0.5, max=0.25),
        one("Clip", ["x", "", "high"], high=np.array(0.25, np.float32)),
        one("Squeeze", ["x"], opset=11, axes=[1], shape=(2, 1, 3)),
        one("Unsqueeze", ["x"], opset=11, axes=[0, 4]),
        one("ReduceSum", ["x"], opset=11, axes=[-1], keepdims=0),
        one("ReduceMean", ["x", "a"], opset=18, a=np.array([0, 2])),
        one(
            "Upsample",
            ["x", "s"],
            opset=9,
            s=np.array([1, 1, 2, 3], np.float32),
            mode="linear",
            shape=(1, 2, 3, 3),
        ),
        one("Upsample", ["x"], opset=7, scales=[1.0, 1.0, 2.0, 2.0], shape=(1, 2, 3, 3)),
        one("Resize", ["x", "s"], opset=10, s=np.array([1, 1, 0.6, 2.5], np.float32), shape=(1, 2, 5, 4)),
        one("Pad", ["x"], opset=10, pads=[0, 1, 2, 0, 0, 1], mode="reflect"),
        one("Pad", ["x", "p"], p=np.array([0, 1, 2, 0, -1, 1]), mode="edge"),
        one("Pad", ["x", "p"], p=np.array([0, 2, 0, 0, 1, 0]), mode="reflect"),
        one("Split", ["x"], opset=11, axis=2, split=[4]),
        one("TopK", ["x", "k"], opset=10, k=np.array([2]), axis=1),
        one(
            "BatchNormalization",
            ["x", "s", "b", "m", "v"],
            opset=8,
            s=floats(3),
            b=floats(3),
            m=floats(3),
            v=abs(floats(3)),
        ),
        one("Flatten", ["x"], axis=2),
        one("Gather", ["x", "i"], i=np.array([[-1, 0]]), axis=2),
        one("CumSum", ["x", "a"], a=np.array(1), exclusive=1, reverse=1),
    ],
)
def test_what_changed_between_opsets_is_read_as_each_has_it(content: bytes) -> None:
    parsed = onnx.load_model_from_string(content)
    if parsed.graph.node[0].op_type == "TopK":
        parsed.graph.node[0].output.append("places")
    content = parsed.SerializeToString()
    x = torch.from_numpy(floats(*[d.dim_value for d in parsed.graph.input[0].type.tensor_type.shape.dim]))
    assert_same(outputs_of(read(content), x)[:1], by_runtime(content, x)[:1])


def test_the_largest_of_all_places_is_no_adaptive_pooling_which_runtimes_lack() -> None:
    content = one("GlobalMaxPool", ["x"], shape=(2, 3, 4, 5))
    program = Program.of(read(content), (torch.rand(2, 3, 4, 5),))
    assert [layer.operator for layer in program.layers] == ["amax"]


def test_a_reflection_on_an_inner_axis_is_the_operator_that_ports_know_and_leaves_the_batch_free() -> None:
    content = one("Pad", ["x", "p"], p=np.array([0, 2, 0, 0, 1, 0]), mode="reflect", shape=(2, 5, 3))
    program = Program.of(read(content), (torch.rand(2, 5, 3),))
    assert program.any_batch
    assert [layer.operator for layer in program.layers] == ["transpose", "pad", "transpose"]


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    "coordinates", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]
)
@pytest.mark.parametrize("sizes", [(7, 5), (2, 11), (6, 8), (1, 4)])
def test_resizing_follows_each_coordinate_mode(mode: str, coordinates: str, sizes: tuple[int, int]) -> None:
    content = one(
        "Resize",
        ["x", "", "", "s"],
        opset=19,
        s=np.array([1, 2, *sizes]),
        mode=mode,
        coordinate_transformation_mode=coordinates,
        shape=(1, 2, 3, 4),
    )
    x = torch.from_numpy(floats(1, 2, 3, 4))
    assert_same(outputs_of(read(content), x), by_runtime(content, x))


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("lengths", [None, (5, 3, 4)])
@pytest.mark.parametrize("reset_first", [False, True])
def test_recurrent_layers_run_in_every_direction(
    kind: str, direction: str, lengths: tuple[int, ...] | None, reset_first: bool
) -> None:
    if reset_first and (kind != "GRU" or lengths):
        pytest.skip("only a GRU may reset before its product; then of one length")
    gates, d = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], 2 if direction == "bidirectional" else 1
    constants = {"w": floats(d, gates * 6, 4), "r": floats(d, gates * 6, 6), "b": floats(d, 2 * gates * 6)}
    constants["h"] = floats(d, 3, 6)
    if lengths:
        constants["n"] = np.array(lengths, np.int32)
    inputs = ["x", "w", "r", "b", "n" if lengths else "", "h"]
    if kind == "LSTM":
        constants["c"] = floats(d, 3, 6) * 0.5
        inputs.append("c")
    more = {"linear_before_reset": 0 if reset_first else 1} if kind == "GRU" else {}
    outputs = ["y", "last", "cell"] if kind == "LSTM" else ["y", "last"]
    node = helper.make_node(kind, inputs, outputs, name="it", hidden_size=6, direction=direction, **more)
    content = model([node], {"x": (5, 3, 4)}, outputs, constants)
    x = torch.from_numpy(floats(5, 3, 4))
    network = read(content)
    assert_same(outputs_of(network, x), by_runtime(content, x))
    assert {n for n, _ in network.named_parameters()} and all(n != "h" for n, _ in network.named_parameters())


def test_an_even_local_response_norm_reaches_one_channel_further_behind() -> None:
    content = one("LRN", ["x"], size=4, alpha=0.5, shape=(2, 7, 4, 4))
    x = floats(2, 7, 4, 4)
    squares = np.pad(x**2, ((0, 0), (1, 2), (0, 0), (0, 0)))
    total = sum(squares[:, k : k + 7] for k in range(4))
    expected = x / (1 + 0.5 / 4 * total) ** 0.75
    assert_same(outputs_of(read(content), torch.from_numpy(x)), [torch.from_numpy(expected)])


def test_a_convolution_whose_groups_do_not_fit_is_named() -> None:
    content = one("Conv", ["x", "w"], w=floats(4, 1, 3, 3), group=3, shape=(2, 3, 9, 9))
    with pytest.raises(UserError, match=r"node 'it' \(Conv\)"):
        read(content)
