"""Networks of every age and phase are read; what cannot be read is named with its layer and line."""

import numpy as np
import pytest
import torch
from torch import nn

from netwright.ports.caffe import read
from netwright.ports.caffe.caffemodel import blob_of, encode, write_caffemodel
from netwright.ports.caffe.network import read_network
from netwright.ports.caffe.prototxt import Message, Word, message
from netwright.values import UserError
from ports.caffe.referees import close, files, inputs_text, layer_text, needs_caffe, random_blob

OLD = """
name: "old"
input: "data" input_dim: 2 input_dim: 3 input_dim: 9 input_dim: 9
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 weight_decay: 0
  convolution_param { num_output: 4 kernel_size: 3 } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "pool" type: POOLING bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
layers { name: "prob" type: SOFTMAX bottom: "fc" top: "prob" }
"""


def old_blob(array):
    """A blob as Caffe wrote it before blobs had shapes: four numbers."""
    sizes = (1,) * (4 - array.ndim) + array.shape
    named = dict(zip(("num", "channels", "height", "width"), sizes, strict=True))
    return Message({name: [size] for name, size in named.items()} | {"data": [array.reshape(-1)]})


def old_files(folder):
    weights = {"conv": [(4, 3, 3, 3), (4,)], "fc": [(5, 64), (5,)]}
    layers = [
        message(
            name=name,
            type=Word("CONVOLUTION" if name == "conv" else "INNER_PRODUCT"),
            blobs=[old_blob(random_blob(shape, seed)) for seed, shape in enumerate(shapes)],
        )
        for name, shapes in weights.items()
    ]
    prototxt, caffemodel = folder / "old.prototxt", folder / "old.caffemodel"
    prototxt.write_text(OLD)
    write_caffemodel(message(name="old", layers=layers), caffemodel)
    return prototxt, caffemodel


@needs_caffe
def test_a_network_of_the_first_years_computes_what_caffe_makes_of_it(tmp_path, caffe):
    prototxt, caffemodel = old_files(tmp_path)
    x = random_blob((2, 3, 9, 9))
    wanted, _ = caffe(prototxt, caffemodel, [x])
    close(read(prototxt, caffemodel)(torch.from_numpy(x)).detach().numpy(), wanted[0])


@pytest.mark.parametrize(
    "declared",
    [
        'input: "x" input_shape { dim: 1 dim: 3 dim: 4 dim: 4 }',
        'input: "x" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 4',
        'layer { name: "x" type: "Input" top: "x" input_param { shape: { dim: [1, 3, 4, 4] } } }',
    ],
)
def test_inputs_of_every_age_are_declared(declared, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(declared + "\n" + layer_text("ReLU", bottoms=("x",)))
    assert dict(read_network(path).inputs) == {"x": (1, 3, 4, 4)}


TRAINING = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 9 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 9 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "only" type: "Power" bottom: "conv" top: "conv" power_param { scale: 9 }
  exclude { phase: TEST } }
layer { name: "staged" type: "Power" bottom: "conv" top: "conv" include { stage: "deploy" } }
layer { name: "accuracy" type: "Accuracy" bottom: "conv" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" loss_weight: 1 }
"""


def test_a_file_to_train_by_is_read_as_what_it_predicts(tmp_path):
    """Data gives an input of the size it crops to, a loss its prediction, and TRAIN's layers are left out."""
    prototxt, caffemodel = files(tmp_path, TRAINING, {"conv": [random_blob((4, 1, 3, 3)), random_blob((4,))]})
    network = read(prototxt, caffemodel)
    assert [type(module) for module in network.children()] == [nn.Conv2d, nn.Softmax]
    assert network(torch.zeros(2, 1, 9, 9)).sum(1).allclose(torch.ones(2, 7, 7))


def test_layers_get_names_that_python_can_say(tmp_path):
    text = inputs_text((1, 3, 4, 4))
    for index, name in enumerate(("conv2/3x3_s1", "1", "class", "forward", "conv2.3x3_s1")):
        text += layer_text(
            "ReLU", bottoms=(f"b{index}" if index else "x0",), tops=(f"b{index + 1}",), name=name
        )
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    network = read(path)
    assert [name for name, _ in network.named_children()] == [
        "conv2_3x3_s1",
        "layer_1",
        "layer_class",
        "forward_1",
        "conv2_3x3_s1_1",
    ]


def test_without_a_caffemodel_the_network_starts_afresh(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(OLD)
    network = read(path)
    assert network(torch.randn(2, 3, 9, 9)).shape == (2, 5)
    assert network.conv.weight.std() > 0


def test_averages_of_a_batch_norm_are_divided_by_their_factor(tmp_path):
    text = inputs_text((1, 2, 3, 3)) + layer_text("BatchNorm")
    weights = [np.array([2, 4]), np.array([6, 8]), np.array([2])]
    network = read(*files(tmp_path, text, {"y": weights}))
    assert network.y.running_mean.tolist() == [1, 2]
    assert network.y.running_var.tolist() == [3, 4]


WRONG = {
    "a type that is not known": (
        layer_text("PriorBox"),
        "layer 'y' (PriorBox): type PriorBox is not supported",
    ),
    "a blob that nobody makes": (
        layer_text("ReLU", bottoms=("z",)),
        "takes blob 'z', which no layer before it makes",
    ),
    "weights that are missing": (
        layer_text("Convolution", "convolution_param { num_output: 2 kernel_size: 3 }"),
        "layer 'y' (Convolution): has no weights in the caffemodel",
    ),
    "a kernel that is missing": (
        layer_text("Convolution", "convolution_param { num_output: 2 }"),
        "kernel_size is [], for 2 axes",
    ),
    "a group that does not divide": (
        layer_text("Convolution", "convolution_param { num_output: 2 kernel_size: 3 group: 5 }"),
        "num_output 2 and group 5 do not divide 3 channels",
    ),
    "a number that is a text": (
        layer_text("Convolution", "convolution_param { num_output: 'two' kernel_size: 3 }"),
        "num_output is 'two', which is not a number",
    ),
    "a kernel larger than the image": (
        layer_text("Pooling", "pooling_param { kernel_size: 9 }"),
        "cannot take 1×3×4×4",
    ),
    "padding larger than the kernel": (
        layer_text("Pooling", "pooling_param { kernel_size: 2 pad: 2 }"),
        "pad [2, 2] is not smaller than the kernel",
    ),
    "a window outside of the image": (
        layer_text("Pooling", "pooling_param { kernel_size: 1 stride: 4 }").replace("x0", "odd")
        + layer_text("ReLU", bottoms=("x0",), tops=("unused",), name="r"),
        "its last window lies outside the image",
    ),
    "a slice beyond the end": (
        layer_text("Slice", "slice_param { slice_point: 7 }", tops=("a", "b")),
        "slice points [7] do not cut 3",
    ),
    "a pooling that is none": (
        layer_text("Pooling", "pooling_param { pool: MEAN kernel_size: 2 }"),
        "pool is 'MEAN', not one of MAX, AVE, STOCHASTIC",
    ),
    "blobs of two shapes": (
        layer_text("Flatten", name="f", tops=("flat",)) + layer_text("Eltwise", bottoms=("x0", "flat")),
        "takes blobs of one shape",
    ),
    "a reshape that does not fit": (
        layer_text("Reshape", "reshape_param { shape { dim: 5 dim: 7 } }"),
        "layer 'y' (Reshape): cannot take",
    ),
    "an even response norm": (layer_text("LRN", "lrn_param { local_size: 4 }"), "local_size is 4"),
    "rules of both kinds": (
        layer_text("ReLU", "include { phase: TEST } exclude { phase: TRAIN }"),
        "has both include and exclude rules",
    ),
    "a layer of the very first format": (
        'layers { bottom: "x0" top: "y" layer { name: "y" type: "relu" } }',
        "first format (V0)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_one_sentence_with_file_and_line(case, tmp_path):
    text, what = WRONG[case]
    shapes = [(1, 3, 4, 4)]
    if "odd" in text:
        text = text.replace("odd", "x1")
        shapes.append((1, 3, 7, 7))
    if text.startswith("layers"):
        text = 'input: "x0" input_dim: [1, 3, 4, 4]\n' + text
    else:
        text = inputs_text(*shapes) + text
    prototxt, caffemodel = files(tmp_path, text, {})
    with pytest.raises(UserError) as raised:
        read(prototxt, caffemodel)
    assert what in raised.value.message
    assert raised.value.file == "net.prototxt"
    line = raised.value.line
    assert line is not None
    assert "layer" in text.splitlines()[line - 1]


def test_weights_of_another_network_are_named(tmp_path):
    text = inputs_text((1, 3, 4, 4)) + layer_text(
        "Convolution", "convolution_param { num_output: 2 kernel_size: 3 }"
    )
    prototxt, caffemodel = files(tmp_path, text, {"y": [random_blob((2, 4, 3, 3)), random_blob((2,))]})
    with pytest.raises(UserError, match="weight is 2×3×3×3 but the caffemodel has 2×4×3×3"):
        read(prototxt, caffemodel)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read(tmp_path / "none.prototxt")


def test_a_caffemodel_alone_holds_the_settings_too(tmp_path):
    """What is written on the wire has more than weights, so that other tools can read it without the text."""
    convolution = message(num_output=4, kernel_size=[3, 2])
    one = message(name="c", type="Convolution", blobs=[blob_of(np.ones(2))], convolution_param=convolution)
    assert b"".join(encode(message(layer=one))).count(b"Convolution") == 1
