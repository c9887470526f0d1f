"""What Caffe cannot say is a limit found before, with the layer, its line and what to do."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netwright.ports.caffe import limits, write
from netwright.ports.program import Program
from netwright.values import UserError
from ports.caffe.test_writing_layers import Of, weights

IMAGE = (2, 6, 8, 8)

LIMITS = {
    "attention": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        (2, 5, 8),
        "scaled_dot_product_attention, which Caffe lacks",
    ),
    "a product of two activations": (
        lambda: Of(lambda s, x: x @ x.transpose(1, 2)),
        (2, 5, 8),
        "multiplies two activations as matrices",
    ),
    "an operator that is not known": (lambda: Of(lambda s, x: x.cumsum(1)), IMAGE, "uses cumsum"),
    "dilated pooling": (lambda: nn.MaxPool2d(3, 1, dilation=2), IMAGE, "pools with dilation"),
    "a mean over the batch": (lambda: Of(lambda s, x: x - x.mean(0, keepdim=True)), IMAGE, "over the batch"),
    "a maximum to sizes that do not divide": (lambda: nn.AdaptiveMaxPool2d(3), IMAGE, "differ in size"),
    "batch statistics": (
        lambda: nn.BatchNorm2d(6, track_running_stats=False),
        IMAGE,
        "normalises by the batch it is given",
    ),
    "a choice by values": (lambda: Of(lambda s, x: torch.where(x > 0, x, -x)), IMAGE, "which Caffe lacks"),
    "whole numbers": (lambda: Of(lambda s, x: x.to(torch.int64)), IMAGE, "rounds to whole numbers"),
    "a constant output": (
        lambda: Of(lambda s, x: (x + 1, s.w * 2), w=weights(3)),
        IMAGE,
        "does not depend on",
    ),
    "a reflection of a long axis": (lambda: nn.ReflectionPad1d(3), (2, 1, 9000), "pads an axis of 9,000"),
    "a long recurrent layer": (
        lambda: Of(lambda s, x: s.rnn(x)[0], rnn=nn.RNN(2, 2, batch_first=True)),
        (2, 600, 2),
        "600 steps long",
    ),
}


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize("case", LIMITS)
def test_what_caffe_lacks_is_a_limit_and_no_crash(case, tmp_path):
    build, shape, what = LIMITS[case]
    program = Program.of(build(), (torch.randn(shape),))
    found = limits(program)
    assert any(what in limit.limit for limit in found)
    assert all(limit.remedy for limit in found)
    with pytest.raises(UserError, match="port to caffe: layer"):
        write(program, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_limit_names_the_layer_and_its_line_in_the_users_file():
    class Attention(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    network = nn.Sequential()
    network.attn = Attention()
    (limit,) = limits(Program.of(network, (torch.randn(2, 5, 8),)))
    assert limit.layer.startswith("attn")
    assert limit.file.endswith("test_limits.py")
    with open(__file__) as source:
        assert "scaled_dot_product_attention" in source.read().splitlines()[limit.line - 1]


def test_an_operator_on_whole_numbers_is_named_with_the_line_of_the_layer_it_leads_to():
    class Masked(nn.Module):
        def forward(self, x):
            mask = x.argmax(1) != 0
            return x * mask.unsqueeze(1)

    (limit, *_) = limits(Program.of(Masked(), (torch.randn(3, 5),)))
    assert "uses ne" in limit.limit
    assert limit.file.endswith("test_limits.py") and limit.line


def test_all_limits_are_found_in_one_go():
    network = Of(lambda s, x: (x.cumsum(1) + 1).cumprod(2))
    found = limits(Program.of(network, (torch.randn(IMAGE),)))
    assert ["cumsum" in found[0].limit, "cumprod" in found[1].limit] == [True, True]


def test_a_network_that_fits_has_no_limits():
    assert limits(Program.of(nn.Conv2d(6, 2, 3), (torch.randn(IMAGE),))) == []
