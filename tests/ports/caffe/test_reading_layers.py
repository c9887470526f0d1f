"""Every layer type that is read computes in PyTorch what a real Caffe computes."""

import numpy as np
import pytest
import torch

from netwright.ports.caffe.read import read
from ports.caffe.referees import (
    close,
    files,
    inputs_text,
    layer_text,
    needs_caffe,
    random_blob,
)

IMAGE = (2, 6, 9, 8)
MATRIX = (3, 10)
STEPS = (5, 2, 4)

# name: (type, settings, shapes of the inputs, shapes of the weights)
LAYERS = {
    "convolution": (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 3 pad: 1 }",
        [IMAGE],
        [(4, 6, 3, 3), (4,)],
    ),
    "a grouped, dilated, strided convolution": (
        "Convolution",
        "convolution_param { num_output: 4 kernel_h: 3 kernel_w: 2 stride: 2 dilation: 2 pad_h: 2 pad_w: 1 "
        "group: 2 bias_term: false }",
        [IMAGE],
        [(4, 3, 3, 2)],
    ),
    "a depthwise convolution": (
        "Convolution",
        "convolution_param { num_output: 6 kernel_size: 3 group: 6 }",
        [IMAGE],
        [(6, 1, 3, 3), (6,)],
    ),
    "a convolution over one axis": (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 3 stride: 2 }",
        [(2, 6, 9)],
        [(4, 6, 3), (4,)],
    ),
    "a convolution over three axes": (
        "Convolution",
        "convolution_param { num_output: 2 kernel_size: 2 kernel_size: 3 kernel_size: 2 }",
        [(1, 3, 4, 5, 4)],
        [(2, 3, 2, 3, 2), (2,)],
    ),
    "deconvolution": (
        "Deconvolution",
        "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 }",
        [IMAGE],
        [(6, 4, 4, 4), (4,)],
    ),
    "a grouped, dilated deconvolution": (
        "Deconvolution",
        "convolution_param { num_output: 4 kernel_size: 3 stride: 2 dilation: 2 group: 2 bias_term: false }",
        [IMAGE],
        [(6, 2, 3, 3)],
    ),
    "inner product of images": (
        "InnerProduct",
        "inner_product_param { num_output: 5 }",
        [IMAGE],
        [(5, 432), (5,)],
    ),
    "inner product of vectors": (
        "InnerProduct",
        "inner_product_param { num_output: 5 }",
        [MATRIX],
        [(5, 10), (5,)],
    ),
    "inner product from a later axis": (
        "InnerProduct",
        "inner_product_param { num_output: 5 axis: -1 }",
        [IMAGE],
        [(5, 8), (5,)],
    ),
    "a transposed inner product": (
        "InnerProduct",
        "inner_product_param { num_output: 5 transpose: true bias_term: false }",
        [IMAGE],
        [(432, 5)],
    ),
    "max pooling": ("Pooling", "pooling_param { pool: MAX kernel_size: 3 stride: 2 }", [IMAGE], []),
    "max pooling with padding": (
        "Pooling",
        "pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 }",
        [IMAGE],
        [],
    ),
    "average pooling with padding": (
        "Pooling",
        "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }",
        [(2, 6, 9, 10)],
        [],
    ),
    "average pooling with different sides": (
        "Pooling",
        "pooling_param { pool: AVE kernel_h: 4 kernel_w: 3 stride_h: 3 stride_w: 2 pad_h: 2 pad_w: 1 }",
        [(2, 6, 9, 10)],
        [],
    ),
    "average pooling with wide padding": (
        "Pooling",
        "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 2 }",
        [(2, 6, 9, 10)],
        [],
    ),
    "max pooling with wide padding": (
        "Pooling",
        "pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 2 }",
        [(2, 6, 9, 10)],
        [],
    ),
    "max pooling that rounds down": (
        "Pooling",
        "pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR }",
        [(2, 6, 10, 8)],
        [],
    ),
    "global average pooling": ("Pooling", "pooling_param { pool: AVE global_pooling: true }", [IMAGE], []),
    "global max pooling": ("Pooling", "pooling_param { pool: MAX global_pooling: true }", [IMAGE], []),
    "LRN across channels": ("LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 k: 2 }", [IMAGE], []),
    "LRN within a channel": (
        "LRN",
        "lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 norm_region: WITHIN_CHANNEL }",
        [IMAGE],
        [],
    ),
    "batch normalisation": ("BatchNorm", "batch_norm_param { eps: 0.01 }", [IMAGE], [(6,), (6,), (1,)]),
    "batch normalisation of vectors": ("BatchNorm", "", [MATRIX], [(10,), (10,), (1,)]),
    "scale and bias": ("Scale", "scale_param { bias_term: true }", [IMAGE], [(6,), (6,)]),
    "scale along two later axes": ("Scale", "scale_param { axis: 2 num_axes: 2 }", [IMAGE], [(9, 8)]),
    "scale along all axes": ("Scale", "scale_param { axis: 1 num_axes: -1 }", [IMAGE], [(6, 9, 8)]),
    "scale by another blob": ("Scale", "scale_param { axis: 0 }", [IMAGE, (2, 6)], []),
    "scale by another blob, with bias": (
        "Scale",
        "scale_param { axis: 0 bias_term: true }",
        [IMAGE, (2, 6)],
        [(2, 6)],
    ),
    "bias": ("Bias", "", [IMAGE], [(6,)]),
    "bias by another blob": ("Bias", "bias_param { axis: 0 }", [IMAGE, (2, 6)], []),
    "mean and variance": ("MVN", "", [IMAGE], []),
    "mean across channels": (
        "MVN",
        "mvn_param { across_channels: true normalize_variance: false }",
        [IMAGE],
        [],
    ),
    "sum": ("Eltwise", "", [IMAGE, IMAGE, IMAGE], []),
    "sum with coefficients": (
        "Eltwise",
        "eltwise_param { operation: SUM coeff: 2 coeff: -0.5 }",
        [IMAGE, IMAGE],
        [],
    ),
    "product": ("Eltwise", "eltwise_param { operation: PROD }", [IMAGE, IMAGE, IMAGE], []),
    "maximum": ("Eltwise", "eltwise_param { operation: MAX }", [IMAGE, IMAGE, IMAGE], []),
    "concatenation": ("Concat", "", [IMAGE, (2, 3, 9, 8)], []),
    "concatenation along an axis": ("Concat", "concat_param { axis: -1 }", [IMAGE, (2, 6, 9, 3)], []),
    "reshape": ("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 12 } }", [IMAGE], []),
    "reshape of some axes": (
        "Reshape",
        "reshape_param { shape { dim: 3 dim: -1 } axis: 1 num_axes: 1 }",
        [IMAGE],
        [],
    ),
    "flatten": ("Flatten", "", [IMAGE], []),
    "flatten of some axes": ("Flatten", "flatten_param { axis: 1 end_axis: 2 }", [IMAGE], []),
    "permute": ("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }", [IMAGE], []),
    "crop": ("Crop", "crop_param { axis: 2 offset: 1 offset: 3 }", [IMAGE, (2, 6, 4, 5)], []),
    "crop from axis one": ("Crop", "crop_param { axis: 1 offset: 2 }", [IMAGE, (2, 3, 4, 5)], []),
    "tile": ("Tile", "tile_param { axis: 2 tiles: 3 }", [IMAGE], []),
    "softmax": ("Softmax", "", [IMAGE], []),
    "softmax along an axis": ("Softmax", "softmax_param { axis: -1 }", [IMAGE], []),
    "dropout": ("Dropout", "dropout_param { dropout_ratio: 0.7 }", [IMAGE], []),
    "ReLU": ("ReLU", "", [IMAGE], []),
    "leaky ReLU": ("ReLU", "relu_param { negative_slope: 0.1 }", [IMAGE], []),
    "PReLU": ("PReLU", "", [IMAGE], [(6,)]),
    "shared PReLU": ("PReLU", "prelu_param { channel_shared: true }", [IMAGE], [()]),
    "ELU": ("ELU", "elu_param { alpha: 0.7 }", [IMAGE], []),
    "sigmoid": ("Sigmoid", "", [IMAGE], []),
    "tanh": ("TanH", "", [IMAGE], []),
    "absolute value": ("AbsVal", "", [IMAGE], []),
    "power": ("Power", "power_param { power: 2 scale: 0.5 shift: -1 }", [IMAGE], []),
    "exponential": ("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }", [IMAGE], []),
    "natural exponential": ("Exp", "", [IMAGE], []),
    "logarithm": ("Log", "log_param { base: 10 scale: 0.1 shift: 6 }", [IMAGE], []),
    "BNLL": ("BNLL", "", [IMAGE], []),
    "threshold": ("Threshold", "threshold_param { threshold: 0.4 }", [IMAGE], []),
    "swish": ("Swish", "swish_param { beta: 1.5 }", [IMAGE], []),
    "reduction to a mean": ("Reduction", "reduction_param { operation: MEAN axis: 1 coeff: 2 }", [IMAGE], []),
    "reduction to squares": ("Reduction", "reduction_param { operation: SUMSQ axis: -2 }", [IMAGE], []),
    "reduction to absolutes": ("Reduction", "reduction_param { operation: ASUM axis: 2 }", [IMAGE], []),
    "argmax": ("ArgMax", "argmax_param { top_k: 2 }", [IMAGE], []),
    "argmax with values": ("ArgMax", "argmax_param { top_k: 2 out_max_val: true }", [IMAGE], []),
    "argmax along an axis": ("ArgMax", "argmax_param { axis: 1 }", [IMAGE], []),
    "LSTM": ("LSTM", "recurrent_param { num_output: 3 }", [STEPS, (5, 2)], [(12, 4), (12,), (12, 3)]),
    "RNN": (
        "RNN",
        "recurrent_param { num_output: 3 }",
        [STEPS, (5, 2)],
        [(3, 4), (3,), (3, 3), (3, 3), (3,)],
    ),
}


@needs_caffe
@pytest.mark.parametrize("case", LAYERS)
def test_a_layer_that_is_read_computes_what_caffe_computes(case, tmp_path, caffe):
    kind, settings, shapes, weights = LAYERS[case]
    bottoms = [f"x{index}" for index in range(len(shapes))]
    text = inputs_text(*shapes) + layer_text(kind, settings, bottoms)
    blobs = [random_blob(shape, seed) for seed, shape in enumerate(weights, 1)]
    if kind == "BatchNorm":
        blobs = [blobs[0], np.abs(blobs[1]), np.full(1, 3.0, np.float32)]
    inputs = [random_blob(shape, 10 + seed) for seed, shape in enumerate(shapes)]
    if kind in ("LSTM", "RNN"):
        inputs[1] = np.array([[0, 0], [1, 1], [1, 0], [1, 1], [0, 1]], np.float32)
    prototxt, caffemodel = files(tmp_path, text, {"y": blobs} if blobs else {})
    wanted = caffe(prototxt, caffemodel, inputs)[0]
    found = read(prototxt, caffemodel)(*map(torch.from_numpy, inputs))
    close(found.detach().numpy(), wanted[0])


@needs_caffe
def test_rows_are_looked_up_as_caffe_does(tmp_path, caffe):
    text = inputs_text((2, 3)) + layer_text("Embed", "embed_param { num_output: 4 input_dim: 7 }")
    prototxt, caffemodel = files(tmp_path, text, {"y": [random_blob((7, 4)), random_blob((4,))]})
    numbers = np.array([[0, 3, 6], [1, 1, 2]], np.float32)
    found = read(prototxt, caffemodel)(torch.from_numpy(numbers))
    close(found.detach().numpy(), caffe(prototxt, caffemodel, [numbers])[0][0])


@needs_caffe
@pytest.mark.parametrize("points", ["slice_point: 1 slice_point: 4", ""])
def test_slices_are_cut_where_caffe_cuts(points, tmp_path, caffe):
    text = inputs_text(IMAGE) + layer_text(
        "Slice", f"slice_param {{ axis: 1 {points} }}", tops=("a", "b", "c")
    )
    prototxt, caffemodel = files(tmp_path, text, {})
    x = random_blob(IMAGE)
    wanted, _ = caffe(prototxt, caffemodel, [x])
    for found, piece in zip(read(prototxt)(torch.from_numpy(x)), wanted, strict=True):
        close(found.numpy(), piece)


@needs_caffe
def test_layers_in_place_and_split_follow_the_order_of_the_file(tmp_path, caffe):
    text = (
        inputs_text(IMAGE)
        + layer_text("Split", tops=("a", "b"), name="s")
        + layer_text("Power", "power_param { scale: 2 }", bottoms=("a",), tops=("c",), name="q")
        + layer_text("ReLU", bottoms=("c",), tops=("c",), name="r")
        + layer_text("Power", "power_param { shift: 2 }", bottoms=("c",), tops=("c",), name="p")
        + layer_text("Eltwise", bottoms=("c", "b"))
    )
    prototxt, caffemodel = files(tmp_path, text, {})
    x = random_blob(IMAGE)
    wanted, _ = caffe(prototxt, caffemodel, [x])
    close(read(prototxt)(torch.from_numpy(x)).numpy(), wanted[0])


def test_a_batch_norm_without_global_statistics_normalises_by_the_batch(tmp_path):
    text = inputs_text(IMAGE) + layer_text("BatchNorm", "batch_norm_param { use_global_stats: false }")
    weights = [random_blob((6,)), np.abs(random_blob((6,))), np.ones(1, np.float32)]
    prototxt, caffemodel = files(tmp_path, text, {"y": weights})
    x = random_blob(IMAGE)
    axes = (0, 2, 3)
    wanted = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    close(read(prototxt, caffemodel)(torch.from_numpy(x)).numpy(), wanted)
