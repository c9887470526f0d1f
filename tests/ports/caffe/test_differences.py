"""Where PyTorch and Caffe mean different things by one word; each test shows the difference, and that the
port minds it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netwright.ports.caffe import read, write
from netwright.ports.caffe.differences import DIFFERENCES
from netwright.ports.caffe.layers_of_statistics import MVN
from netwright.ports.program import Program
from ports.caffe.referees import (
    close,
    files,
    inputs_text,
    layer_text,
    needs_caffe,
    needs_opencv,
    opencv,
    random_blob,
)

IMAGE = (2, 6, 10, 8)


def one_layer(folder, kind, settings, shapes, weights=()):
    """A network of one Caffe layer, as it stands."""
    bottoms = [f"x{index}" for index in range(len(shapes))]
    text = inputs_text(*shapes) + layer_text(kind, settings, bottoms)
    return files(folder, text, {"y": list(weights)} if len(weights) else {})


def ported(network, folder, *inputs):
    return write(Program.of(network.eval(), inputs), folder)


@needs_caffe
@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_caffe_rounds_the_size_of_a_pooled_image_up_where_pytorch_rounds_down(method, tmp_path, caffe):
    """pooling-rounding"""
    x = random_blob(IMAGE)
    plain = one_layer(
        tmp_path, "Pooling", f"pooling_param {{ pool: {method} kernel_size: 3 stride: 2 }}", [IMAGE]
    )
    network = (nn.MaxPool2d if method == "MAX" else nn.AvgPool2d)(3, 2)
    assert caffe(*plain, [x])[0][0].shape == (2, 6, 5, 4)
    assert network(torch.from_numpy(x)).shape == (2, 6, 4, 3)
    prototxt, caffemodel, _ = ported(network, tmp_path / "port", torch.from_numpy(x))
    assert 'type: "Slice"' in prototxt.read_text()
    close(caffe(prototxt, caffemodel, [x])[0][0], network(torch.from_numpy(x)).numpy())


@needs_caffe
@needs_opencv
def test_round_mode_is_known_to_caffe_but_not_to_opencv(tmp_path, caffe):
    """pooling-round-mode"""
    from netwright.values import UserError

    settings = "pooling_param { pool: MAX kernel_size: 3 stride: 2 round_mode: FLOOR }"
    plain = one_layer(tmp_path, "Pooling", settings, [IMAGE])
    assert caffe(*plain, [random_blob(IMAGE)])[0][0].shape == (2, 6, 4, 3)
    with pytest.raises(UserError, match="OpenCV cannot run it"):
        opencv(*plain, [random_blob(IMAGE)])


@needs_caffe
def test_caffe_counts_padding_in_an_average_as_pytorch_does_unless_told_not_to(tmp_path, caffe):
    """pooling-average-divisor"""
    ones = np.ones(IMAGE, np.float32)
    plain = one_layer(tmp_path, "Pooling", "pooling_param { pool: AVE kernel_size: 3 pad: 1 }", [IMAGE])
    corner = caffe(*plain, [ones])[0][0][0, 0, 0, 0]
    x = torch.from_numpy(ones)
    assert corner == pytest.approx(4 / 9) == F.avg_pool2d(x, 3, 1, 1)[0, 0, 0, 0].item()
    network = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    prototxt, caffemodel, _ = ported(network, tmp_path / "port", x)
    assert np.allclose(caffe(prototxt, caffemodel, [ones])[0][0], 1)


@needs_caffe
def test_caffe_drops_a_window_that_would_start_in_the_padding_behind_the_image(tmp_path, caffe):
    """pooling-last-window"""
    settings = "pooling_param { pool: MAX kernel_size: 2 stride: 2 pad: 1 }"
    plain = one_layer(tmp_path, "Pooling", settings, [(1, 1, 3, 3)])
    x = random_blob((1, 1, 3, 3))
    found = caffe(*plain, [x])[0][0]
    assert found.shape == (1, 1, 2, 2)
    close(read(*plain)(torch.from_numpy(x)).numpy(), found)


@needs_caffe
def test_a_batch_norm_of_caffe_keeps_sums_and_the_factor_to_divide_them_by(tmp_path, caffe):
    """batch-norm-factor"""
    mean, variance = random_blob((6,)), np.abs(random_blob((6,))) + 0.5
    weights = [mean * 999, variance * 999, np.array([999.0])]
    plain = one_layer(tmp_path, "BatchNorm", "batch_norm_param { eps: 0.001 }", [IMAGE], weights)
    x = random_blob(IMAGE)
    network = nn.BatchNorm2d(6, eps=0.001, affine=False).eval()
    network.running_mean, network.running_var = torch.from_numpy(mean), torch.from_numpy(variance)
    wanted = network(torch.from_numpy(x)).numpy()
    close(caffe(*plain, [x])[0][0], wanted)
    close(read(*plain)(torch.from_numpy(x)).numpy(), wanted)


def test_a_batch_norm_with_weights_becomes_two_layers_with_its_own_eps(tmp_path):
    """batch-norm-scale, batch-norm-eps"""
    network = nn.BatchNorm2d(6, eps=0.25)
    text = ported(network, tmp_path, torch.randn(IMAGE))[0].read_text()
    assert text.count('type: "BatchNorm"') == text.count('type: "Scale"') == 1
    assert "eps: 0.25" in text
    assert "use_global_stats: true" in text


@needs_caffe
def test_caffe_and_pytorch_both_divide_the_alpha_of_a_response_norm_by_its_size(tmp_path, caffe):
    """lrn-alpha"""
    settings = "lrn_param { local_size: 5 alpha: 0.5 beta: 0.75 k: 1 }"
    x = random_blob(IMAGE)
    found = caffe(*one_layer(tmp_path, "LRN", settings, [IMAGE]), [x])[0][0]
    close(found, F.local_response_norm(torch.from_numpy(x), 5, 0.5, 0.75, 1.0).numpy())


@needs_caffe
@needs_opencv
def test_opencv_takes_the_k_of_a_response_norm_for_one(tmp_path, caffe):
    """lrn-k"""
    settings = "lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 k: 2 }"
    x = random_blob(IMAGE)
    plain = one_layer(tmp_path, "LRN", settings, [IMAGE])
    assert not np.allclose(opencv(*plain, [x])[0][0], caffe(*plain, [x])[0][0], rtol=1e-2)
    network = nn.LocalResponseNorm(3, 0.5, 0.75, 2.0)
    prototxt, caffemodel, _ = ported(network, tmp_path / "port", torch.from_numpy(x))
    wanted = network(torch.from_numpy(x)).numpy()
    close(opencv(prototxt, caffemodel, [x])[0][0], wanted)
    close(caffe(prototxt, caffemodel, [x])[0][0], wanted)


def test_a_response_norm_of_an_even_size_is_written_out_as_caffe_takes_odd_sizes_only(tmp_path):
    """lrn-even-size"""
    text = ported(nn.LocalResponseNorm(4), tmp_path, torch.randn(IMAGE))[0].read_text()
    assert 'type: "LRN"' not in text


@needs_caffe
def test_a_softmax_of_caffe_runs_along_axis_one_unless_told_otherwise(tmp_path, caffe):
    """softmax-axis"""
    x = random_blob((2, 5, 8))
    plain = one_layer(tmp_path, "Softmax", "", [(2, 5, 8)])
    close(caffe(*plain, [x])[0][0], torch.from_numpy(x).softmax(1).numpy())
    assert "axis: 2" in ported(nn.Softmax(-1), tmp_path / "port", torch.from_numpy(x))[0].read_text()


@needs_caffe
def test_dropout_passes_its_input_through_at_test_in_both_and_scales_in_training_in_both(tmp_path, caffe):
    """dropout-scaling"""
    x = np.ones(IMAGE, np.float32)
    plain = one_layer(tmp_path, "Dropout", "dropout_param { dropout_ratio: 0.75 }", [IMAGE])
    assert np.array_equal(caffe(*plain, [x])[0][0], x)
    trained = read(*plain).train()(torch.from_numpy(x))
    assert set(trained.unique().tolist()) == {0.0, 4.0}


@needs_caffe
def test_mean_and_variance_of_caffe_add_eps_behind_the_root_where_pytorch_adds_it_inside(tmp_path, caffe):
    """mvn-eps"""
    x = random_blob(IMAGE) * 0.1
    plain = one_layer(tmp_path, "MVN", "mvn_param { eps: 0.1 }", [IMAGE])
    found = caffe(*plain, [x])[0][0]
    network = nn.InstanceNorm2d(6, eps=0.1)
    wanted = network(torch.from_numpy(x)).numpy()
    assert not np.allclose(found, wanted, rtol=1e-2)
    close(found, MVN(eps=0.1)(torch.from_numpy(x)).numpy())
    prototxt, caffemodel, _ = ported(network, tmp_path / "port", torch.from_numpy(x))
    close(caffe(prototxt, caffemodel, [x])[0][0], wanted)


@needs_caffe
@needs_opencv
def test_opencv_does_not_dilate_a_deconvolution(tmp_path, caffe):
    """deconvolution-dilation"""
    settings = "convolution_param { num_output: 4 kernel_size: 3 dilation: 2 bias_term: false }"
    plain = one_layer(tmp_path, "Deconvolution", settings, [IMAGE], [random_blob((6, 4, 3, 3))])
    x = random_blob(IMAGE)
    assert caffe(*plain, [x])[0][0].shape == (2, 4, 14, 12)
    assert opencv(*plain, [x])[0][0].shape == (2, 4, 12, 10)


@needs_caffe
def test_caffe_has_no_layer_that_multiplies_two_activations_as_matrices(tmp_path, caffe):
    """products: the layer that multiplies by a matrix takes one blob; its matrix is a weight."""
    from netwright.values import UserError

    class Product(nn.Module):
        def forward(self, x):
            return x @ x.transpose(1, 2)

    x = random_blob((2, 5, 5))
    plain = one_layer(
        tmp_path, "InnerProduct", "inner_product_param { num_output: 5 axis: 2 }", [x.shape] * 2
    )
    with pytest.raises(UserError, match="takes 1 bottom"):
        caffe(*plain, [x, x])
    prototxt, caffemodel, _ = ported(Product(), tmp_path / "port", torch.from_numpy(x))
    close(caffe(prototxt, caffemodel, [x])[0][0], x @ x.transpose(0, 2, 1))


@needs_caffe
def test_caffe_gives_weights_once_where_pytorch_expands_them_over_the_batch(tmp_path, caffe):
    """weights-as-activations"""
    from netwright.values import UserError

    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(1, 4))

        def forward(self, x):
            return torch.cat([self.w.expand(x.shape[0], -1), x], 1)

    x, network = random_blob((3, 5)), Joined()
    text = layer_text("Parameter", "parameter_param { shape { dim: 1 dim: 4 } }", (), ("w",), "w")
    text = inputs_text(x.shape) + text + layer_text("Concat", "", ("w", "x0"))
    with pytest.raises(UserError, match="concat_layer"):
        caffe(*files(tmp_path, text, {"w": [random_blob((1, 4))]}), [x])
    prototxt, caffemodel, _ = ported(network, tmp_path / "port", torch.from_numpy(x))
    close(caffe(prototxt, caffemodel, [x])[0][0], network(torch.from_numpy(x)).detach().numpy())


@needs_caffe
def test_caffe_compares_by_a_threshold_alone(tmp_path, caffe):
    """comparisons"""

    class Marked(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = nn.Embedding(4, 1)

        def forward(self, tokens):
            return self.rows(tokens)[..., 0] * (tokens == 2)

    x, network = np.array([[0, 1, 2, 3]], np.float32), Marked()
    plain = one_layer(tmp_path, "Threshold", "threshold_param { threshold: 2 }", [x.shape])
    assert caffe(*plain, [x])[0][0].tolist() == [[0, 0, 0, 1]]
    prototxt, caffemodel, _ = ported(network, tmp_path / "port", torch.from_numpy(x).long())
    wanted = network(torch.from_numpy(x).long()).detach().numpy()
    close(caffe(prototxt, caffemodel, [x])[0][0], wanted)


@needs_opencv
@pytest.mark.parametrize("kind", ["Bias", "Tile", "Threshold", "Reduction", "Embed", "ArgMax"])
def test_layers_of_caffe_that_opencv_lacks_are_not_what_the_port_is_made_of(kind, tmp_path):
    """opencv-missing-layers"""
    from netwright.values import UserError

    settings = "tile_param { axis: 1 tiles: 2 }" if kind == "Tile" else ""
    weights = [random_blob((6,))] if kind == "Bias" else []
    with pytest.raises(UserError):
        opencv(*one_layer(tmp_path, kind, settings, [IMAGE], weights), [random_blob(IMAGE)])


def test_the_gates_of_an_lstm_come_in_another_order(tmp_path):
    """lstm-gates: PyTorch's i, f, g, o are Caffe's i, f, o, g; there are marks where a sequence goes on."""
    shape, hidden = (4, 2, 3), 5
    weights = [random_blob(size, seed) for seed, size in enumerate([(20, 3), (20,), (20, 5)])]
    caffes = read(
        *one_layer(
            tmp_path, "LSTM", f"recurrent_param {{ num_output: {hidden} }}", [shape, shape[:2]], weights
        )
    )
    network = nn.LSTM(3, hidden)
    order = [0, 1, 3, 2]
    parts = [torch.from_numpy(w).unflatten(0, (4, hidden))[order].flatten(0, 1) for w in weights]
    with torch.no_grad():
        network.weight_ih_l0.copy_(parts[0])
        network.bias_ih_l0.copy_(parts[1])
        network.weight_hh_l0.copy_(parts[2])
        network.bias_hh_l0.zero_()
    x, goes_on = torch.randn(shape), torch.ones(shape[:2])
    close(caffes(x, goes_on).detach().numpy(), network(x)[0].detach().numpy())


@needs_caffe
def test_bilinear_enlargement_has_no_layer_that_every_caffe_knows(tmp_path, caffe):
    """interpolation: a deconvolution with a bilinear kernel darkens the border, where PyTorch repeats it."""
    x = np.ones((1, 1, 4, 4), np.float32)
    kernel = np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25]).reshape(1, 1, 4, 4)
    settings = "convolution_param { num_output: 1 kernel_size: 4 stride: 2 pad: 1 bias_term: false }"
    plain = one_layer(tmp_path, "Deconvolution", settings, [x.shape], [kernel])
    assert caffe(*plain, [x])[0][0][0, 0, 0, 0] < 0.6
    network = nn.Upsample(scale_factor=2, mode="bilinear")
    prototxt, caffemodel, _ = ported(network, tmp_path / "port", torch.from_numpy(x))
    assert np.allclose(caffe(prototxt, caffemodel, [x])[0][0], 1)


def test_an_uneven_padding_is_written_as_more_on_both_sides_and_a_cut(tmp_path):
    """padding-uneven: Caffe pads both sides of an axis alike."""
    network = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(6, 4, 3, 2))
    text = ported(network, tmp_path, torch.randn(IMAGE))[0].read_text()
    assert text.count('type: "Slice"') == 2


@needs_caffe
def test_an_output_that_other_layers_take_is_passed_on_once_more(tmp_path, caffe):
    """outputs: Caffe's outputs are the blobs that no layer takes."""

    class Both(nn.Module):
        def forward(self, x):
            y = x.relu()
            return y.exp(), y

    x = random_blob((2, 3))
    prototxt, caffemodel, _ = ported(Both(), tmp_path, torch.from_numpy(x))
    exponential, rectified = caffe(prototxt, caffemodel, [x])[0]
    close(rectified, np.maximum(x, 0))
    close(exponential, np.exp(np.maximum(x, 0)))


def test_a_softmax_whose_logarithm_is_taken_has_no_smallest_value(tmp_path):
    """softmax-logarithm"""
    x = torch.tensor([[0.0, 300.0]])
    prototxt, caffemodel, _ = ported(nn.LogSoftmax(1), tmp_path, x)
    assert read(prototxt, caffemodel)(x).tolist() == [[-300.0, 0.0]]


def test_every_known_difference_is_shown_by_a_test():
    source = Path(__file__).read_text(encoding="utf-8")
    shown = {
        name
        for line in re.findall(r'^    """([a-z-]+(?:, [a-z-]+)*)', source, re.MULTILINE)
        for name in line.split(", ")
    }
    assert {f"caffe-{name}" for name in shown} == {difference.id for difference in DIFFERENCES}
