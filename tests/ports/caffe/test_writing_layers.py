"""Every operator that is written means the same to both referees, and to our own reader."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netwright.ports.caffe import read, write
from netwright.ports.program import Program
from ports.caffe.networks import lived_in
from ports.caffe.referees import close, needs_caffe, needs_opencv, opencv

# torch.export warns of the weights of every recurrent layer, PyTorch of even kernels that pad 'same'.
pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes", "ignore:Using padding='same'")
REFEREES = [pytest.param("caffe", marks=needs_caffe), pytest.param("opencv", marks=needs_opencv)]

IMAGE, ODD, SERIES, ROWS = (2, 6, 10, 8), (2, 6, 9, 7), (2, 6, 11), (2, 5, 8)


class Of(nn.Module):
    """A function of the inputs, with weights of its own under their names."""

    def __init__(self, function, **weights):
        super().__init__()
        self.function = function
        for name, value in weights.items():
            setattr(self, name, nn.Parameter(value) if isinstance(value, torch.Tensor) else value)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def weights(*shape):
    return torch.from_numpy(np.random.default_rng(5).normal(size=shape).astype(np.float32))


# name: (network, shapes of its inputs)
OPERATORS = {
    "convolution": (lambda: nn.Conv2d(6, 4, 3, 2, 1), IMAGE),
    "a grouped, dilated convolution": (
        lambda: nn.Conv2d(6, 4, (3, 2), (2, 1), (2, 0), (1, 2), 2, bias=False),
        IMAGE,
    ),
    "a convolution that pads 'same'": (lambda: nn.Conv2d(6, 4, 5, padding="same"), IMAGE),
    "a convolution that pads 'same' unevenly": (lambda: nn.Conv2d(6, 4, 4, padding="same"), IMAGE),
    "a convolution of a series": (lambda: nn.Conv1d(6, 4, 3, 2, 1, 2), SERIES),
    "a convolution of a volume": (lambda: nn.Conv3d(2, 4, 3, 1, 1), (2, 2, 5, 6, 7)),
    "deconvolution": (lambda: nn.ConvTranspose2d(6, 4, 4, 2, 1), IMAGE),
    "a deconvolution with output padding": (lambda: nn.ConvTranspose2d(6, 4, 3, 2, 1, 1), IMAGE),
    "a grouped, dilated deconvolution": (
        lambda: nn.ConvTranspose2d(6, 4, 3, 2, 1, groups=2, dilation=2, bias=False),
        IMAGE,
    ),
    "a deconvolution of a series": (lambda: nn.ConvTranspose1d(6, 4, 3, 2, 1, 1), SERIES),
    "inner product": (lambda: nn.Linear(8, 4), (3, 8)),
    "inner product of rows": (lambda: nn.Linear(8, 4, bias=False), ROWS),
    "a product with weights": (lambda: Of(lambda s, x: x @ s.w, w=weights(8, 3)), ROWS),
    "an average to one pixel": (lambda: nn.AdaptiveAvgPool2d(1), IMAGE),
    "an average to a size that divides": (lambda: nn.AdaptiveAvgPool2d((5, 4)), IMAGE),
    "an average to a size that does not divide": (lambda: nn.AdaptiveAvgPool2d((4, 3)), IMAGE),
    "an average to the size that is there": (lambda: nn.AdaptiveAvgPool2d((10, 8)), IMAGE),
    "an average of a series": (lambda: nn.AdaptiveAvgPool1d(1), SERIES),
    "an average of a series to a size that does not divide": (lambda: nn.AdaptiveAvgPool1d(4), SERIES),
    "a maximum to one pixel": (lambda: nn.AdaptiveMaxPool2d(1), IMAGE),
    "an average that does not count padding": (
        lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        IMAGE,
    ),
    "an average that rounds up": (
        lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        IMAGE,
    ),
    "an average with a divisor": (lambda: nn.AvgPool2d(3, 2, 1, divisor_override=5), IMAGE),
    "pooling of a series": (lambda: nn.MaxPool1d(3, 2, 1), (2, 6, 10)),
    "averages of a series": (lambda: nn.AvgPool1d(3, 2, 1), (2, 6, 10)),
    "PReLU": (lambda: nn.PReLU(6), IMAGE),
    "a shared PReLU": (lambda: nn.PReLU(), IMAGE),
    "ReLU in place": (
        lambda: Of(lambda s, x: s.relu(s.conv(x)) + x, conv=nn.Conv2d(6, 6, 1), relu=nn.ReLU(True)),
        IMAGE,
    ),
    "a value that is changed in place after it was named": (
        lambda: Of(
            lambda s, x: (lambda y: s.relu(y) + y)(s.conv(x)), conv=nn.Conv2d(6, 6, 1), relu=nn.ReLU(True)
        ),
        IMAGE,
    ),
    "gelu by tanh": (lambda: nn.GELU("tanh"), IMAGE),
    "softplus with beta": (lambda: nn.Softplus(3), IMAGE),
    "softmax": (lambda: nn.Softmax(-1), ROWS),
    "log of softmax": (lambda: nn.LogSoftmax(1), (3, 5)),
    "log of softmax of rows": (lambda: nn.LogSoftmax(-1), ROWS),
    "log of softmax of numbers far apart": (lambda: Of(lambda s, x: (100 * x).log_softmax(1)), IMAGE),
    "batch norm": (lambda: nn.BatchNorm2d(6, eps=1e-2), IMAGE),
    "batch norm of vectors": (lambda: nn.BatchNorm1d(6), (3, 6)),
    "batch norm of a series without weights": (lambda: nn.BatchNorm1d(6, affine=False), SERIES),
    "layer norm": (lambda: nn.LayerNorm(8), ROWS),
    "layer norm of vectors": (lambda: nn.LayerNorm(8), (3, 8)),
    "layer norm over two axes": (lambda: nn.LayerNorm((10, 8)), IMAGE),
    "group norm": (lambda: nn.GroupNorm(3, 6), IMAGE),
    "instance norm": (lambda: nn.InstanceNorm2d(6, affine=True), IMAGE),
    "instance norm with statistics": (lambda: nn.InstanceNorm2d(6, track_running_stats=True), IMAGE),
    "response norm": (lambda: nn.LocalResponseNorm(3, 0.5, 0.6, 2.0), IMAGE),
    "response norm of an even size": (lambda: nn.LocalResponseNorm(4, 0.5, 0.6, 2.0), IMAGE),
    "response norm of a series": (lambda: nn.LocalResponseNorm(3, 0.5), SERIES),
    "sums and products": (
        lambda: Of(lambda s, x, y: (x + y, x * y, x - y, x / (y.abs() + 1), torch.add(x, y, alpha=3))),
        IMAGE,
        IMAGE,
    ),
    "sums and products with numbers": (
        lambda: Of(lambda s, x: (2 - x, 3 / (x.abs() + 1), x * 0.5 + 1, x - 3, 1 + x)),
        IMAGE,
    ),
    "sums and products with weights": (
        lambda: Of(
            lambda s, x: (x + s.a, x * s.b, x - s.c, s.a / (x.abs() + 1), x * s.d),
            a=weights(6, 1, 1),
            b=weights(10, 8),
            c=weights(1, 6, 1, 8),
            d=weights(1),
        ),
        IMAGE,
    ),
    "positions added to rows": (lambda: Of(lambda s, x: x + s.a, a=weights(1, 5, 8)), ROWS),
    "factors for each channel": (lambda: Of(lambda s, x: x * x.mean((2, 3), keepdim=True)), IMAGE),
    "terms for each channel": (lambda: Of(lambda s, x: x + x.mean((2, 3), keepdim=True)), IMAGE),
    "factors for each pixel": (lambda: Of(lambda s, x: x * x.mean(1, keepdim=True)), IMAGE),
    "an outer product": (lambda: Of(lambda s, x: x.mean(2, keepdim=True) * x.mean(3, keepdim=True)), IMAGE),
    "powers": (
        lambda: Of(
            lambda s, x: (
                *(x**2, x**3, x.abs().sqrt(), (x.abs() + 1).rsqrt(), (x.abs() + 1) ** 1.5),
                *(x.exp(), (x.abs() + 1).log(), -x, x.square(), (x.abs() + 1).reciprocal()),
            )
        ),
        IMAGE,
    ),
    "bounds": (
        lambda: Of(
            lambda s, x, y: (
                *(torch.maximum(x, y), torch.minimum(x, y), x.clamp(-0.5, 0.7)),
                *(x.clamp(min=0.1), x.clamp(max=0.3)),
            )
        ),
        IMAGE,
        IMAGE,
    ),
    "means, sums and extremes": (
        lambda: Of(
            lambda s, x: (
                *(x.mean((2, 3)), x.mean(-1), x.sum(1), x.amax((1, 3))),
                *(x.max(2).values, x.amin(1, keepdim=True), x.mean((1, 2))),
            )
        ),
        IMAGE,
    ),
    "views": (
        lambda: Of(
            lambda s, x: (
                *(x.flatten(1), x.view(x.size(0), -1), x.reshape(-1, 6, 80), x.flatten(2).transpose(1, 2)),
                *(x.permute(0, 2, 3, 1), x.unsqueeze(1).squeeze(1), x.unflatten(1, (2, 3))),
            )
        ),
        IMAGE,
    ),
    "joined": (
        lambda: Of(lambda s, x, y: (torch.cat([x, y], 1), torch.cat([y, x], 3), torch.stack([x, y], 1))),
        IMAGE,
        IMAGE,
    ),
    "cut": (lambda: Of(lambda s, x: (*x.chunk(3, 1), *x.split([2, 8], 2), *x.unbind(3)[:2])), IMAGE),
    "pieces": (
        lambda: Of(
            lambda s, x: (
                *(x[:, 1:4], x[:, :, 2:], x[..., :-1], x[:, :, ::2, 1::3]),
                *(x[:, 2], x[..., -1], x.narrow(2, 1, 3)),
            )
        ),
        IMAGE,
    ),
    "channels shuffled": (
        lambda: Of(lambda s, x: x.view(x.size(0), 2, 3, 10, 8).transpose(1, 2).reshape(x.size(0), 6, 10, 8)),
        IMAGE,
    ),
    "other orders": (
        lambda: Of(
            lambda s, x: (x.flip(3), x.roll(1, 2), x.repeat(1, 2, 1, 1), x[:, :1].expand(-1, 4, -1, -1))
        ),
        IMAGE,
    ),
    "pixels shuffled": (lambda: nn.PixelShuffle(2), (2, 8, 3, 4)),
    "padding": (
        lambda: Of(
            lambda s, x: (
                *(F.pad(x, (1, 2, 3, 0)), F.pad(x, (1, 1, 1, 1), value=2.0), F.pad(x, (-1, 0, -1, -2))),
                *(F.pad(x, (1, 2, 2, 1), mode=mode) for mode in ("reflect", "replicate", "circular")),
                F.pad(x, (0, 0, 0, 0, 1, 2)),
            )
        ),
        IMAGE,
    ),
    "padding of a series": (lambda: nn.ConstantPad1d(2, 0.0), SERIES),
    "twice as large": (lambda: nn.Upsample(scale_factor=2), IMAGE),
    "larger by repeating unevenly": (lambda: nn.Upsample(size=(12, 20)), IMAGE),
    "bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), IMAGE),
    "bilinear with aligned corners": (
        lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        IMAGE,
    ),
    "bilinear to a size": (lambda: nn.Upsample(size=(5, 13), mode="bilinear"), IMAGE),
    "bicubic by a factor": (lambda: nn.Upsample(scale_factor=1.7, mode="bicubic"), IMAGE),
    "a series twice as long": (lambda: nn.Upsample(scale_factor=2, mode="linear"), SERIES),
    "an output that is used again": (
        lambda: Of(lambda s, x: (lambda a: (torch.relu(a), a, x))(s.conv(x)), conv=nn.Conv2d(6, 6, 1)),
        IMAGE,
    ),
    "LSTM": (lambda: Of(lambda s, x: s.rnn(x)[0], rnn=nn.LSTM(8, 3, batch_first=True)), ROWS),
    "LSTM both ways in two layers": (
        lambda: Of(lambda s, x: s.rnn(x)[0], rnn=nn.LSTM(8, 3, 2, batch_first=True, bidirectional=True)),
        ROWS,
    ),
    "the last states of an LSTM": (
        lambda: Of(
            lambda s, x: (lambda o, hc: (o, hc[0][0], hc[1][0]))(*s.rnn(x)),
            rnn=nn.LSTM(8, 3, batch_first=True),
        ),
        ROWS,
    ),
    "GRU": (lambda: Of(lambda s, x: s.rnn(x)[0], rnn=nn.GRU(8, 3, batch_first=True)), ROWS),
    "a plain recurrent layer": (
        lambda: Of(lambda s, x: s.rnn(x)[0], rnn=nn.RNN(8, 3, batch_first=True, nonlinearity="relu")),
        ROWS,
    ),
}
for _name in (
    *("ReLU", "LeakyReLU", "ELU", "SELU", "CELU", "Sigmoid", "Tanh", "SiLU", "Hardtanh", "ReLU6", "GELU"),
    *("Hardsigmoid", "Hardswish", "Softplus", "LogSigmoid", "Mish", "Softsign", "Softshrink", "Tanhshrink"),
    *("Dropout", "Dropout2d", "Identity", "Flatten"),
):
    OPERATORS[_name] = (getattr(nn, _name), IMAGE)
for _kind in ("MaxPool2d", "AvgPool2d"):
    for _window in ((3, 2, 1), (2,), (3, 2), ((3, 2), (2, 1), (1, 0))):
        for _shape in (IMAGE, ODD):
            OPERATORS[f"{_kind} {_window} of {_shape[2:]}"] = (
                lambda kind=_kind, window=_window: getattr(nn, kind)(*window),
                _shape,
            )


def made(case):
    build, *shapes = OPERATORS[case]
    torch.manual_seed(3)
    network = lived_in(build())
    inputs = [3 * torch.randn(shape) for shape in shapes]
    return network, inputs, Program.of(network, tuple(inputs))


def flat(results):
    return [results] if isinstance(results, torch.Tensor) else list(results)


@pytest.mark.parametrize("referee", REFEREES)
@pytest.mark.parametrize("case", OPERATORS)
def test_an_operator_means_the_same_to_a_referee(case, referee, tmp_path, caffe):
    network, inputs, program = made(case)
    prototxt, caffemodel, _ = write(program, tmp_path)
    judge = caffe if referee == "caffe" else opencv
    outputs, _ = judge(prototxt, caffemodel, [x.numpy() for x in inputs])
    for found, wanted in zip(outputs, flat(network(*inputs)), strict=True):
        close(found, wanted.detach().numpy())


@pytest.mark.parametrize("case", OPERATORS)
def test_an_operator_read_back_means_the_same_for_any_batch(case, tmp_path):
    network, inputs, program = made(case)
    again = read(*write(program, tmp_path)[:2])
    if program.any_batch:
        inputs = [torch.cat([x, x[:1] * 0.5]) for x in inputs]
    for found, wanted in zip(flat(again(*inputs)), flat(network(*inputs)), strict=True):
        close(found.detach().numpy(), wanted.detach().numpy())


@needs_caffe
def test_the_largest_class_is_written_for_caffe(tmp_path, caffe):
    network = Of(lambda s, x: x.argmax(1).float())
    x = torch.randn(3, 7)
    prototxt, caffemodel, _ = write(Program.of(network, (x,)), tmp_path)
    close(caffe(prototxt, caffemodel, [x.numpy()])[0][0], network(x).numpy())
