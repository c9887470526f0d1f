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
    "a product over the batch": (
        lambda: Of(lambda s, x: x @ x.T),
        (2, 8),
        "multiplies the inputs of a batch",
    ),
    "attention with a mask of its input's": (
        lambda: Of(lambda s, x: F.scaled_dot_product_attention(x, x, x, attn_mask=x @ x.transpose(1, 2))),
        (2, 5, 8),
        "a mask that is computed from the input",
    ),
    "attention that drops": (
        lambda: Of(lambda s, x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5)),
        (2, 5, 8),
        "drops at random",
    ),
    "attention that is masked from everything": (
        lambda: Of(lambda s, x: F.scaled_dot_product_attention(x, x, x, torch.zeros(5, 5).bool())),
        (2, 5, 8),
        "masks all keys of a query",
    ),
    "attention over a long sequence": (
        lambda: Of(lambda s, x: F.scaled_dot_product_attention(x, x, x)),
        (2, 2100, 64),
        "written out, to 564 M values",
    ),
    "weights for each input": (
        lambda: Of(lambda s, x: torch.cat([s.w, x], 1), w=weights(2, 3)),
        (2, 5),
        "differ from input to input",
    ),
    "a sum of truth values": (
        lambda: Of(lambda s, x: (lambda t: (t > 1) + (t < 1))(x.argmax(1, keepdim=True))),
        (2, 5),
        "adds truth values",
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
    class Total(nn.Module):
        def forward(self, x):
            return torch.cumsum(x, 1)

    network = nn.Sequential()
    network.total = Total()
    (limit,) = limits(Program.of(network, (torch.randn(2, 5, 8),)))
    assert limit.layer.startswith("total")
    assert limit.file.endswith("test_limits.py")
    with open(__file__) as source:
        assert "cumsum" in source.read().splitlines()[limit.line - 1]


def test_an_operator_on_whole_numbers_is_named_with_the_line_of_the_layer_it_leads_to():
    class Masked(nn.Module):
        def forward(self, x):
            mask = x.argmax(1) != 0
            return x * mask.unsqueeze(1)

    (limit, *_) = limits(Program.of(Masked(), (torch.randn(3, 5),)))
    assert "uses ne" in limit.limit
    assert limit.file.endswith("test_limits.py") and limit.line


def test_tokens_are_not_compared_by_a_table_that_is_too_short_for_them():
    class Parted(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = nn.Embedding(2, 3)

        def forward(self, tokens):
            return self.rows(tokens.bool().long()).sum(-1) * (tokens != 5)

    found = limits(Program.of(Parted(), (torch.tensor([[0, 5, 7]]),)))
    assert [limit.limit.split(" on ")[0] for limit in found] == ["uses to", "uses ne"]


def test_all_limits_are_found_in_one_go():
    network = Of(lambda s, x: (x.cumsum(1) + 1).cumprod(2))
    found = limits(Program.of(network, (torch.randn(IMAGE),)))
    assert ["cumsum" in found[0].limit, "cumprod" in found[1].limit] == [True, True]


def test_a_network_that_fits_has_no_limits():
    assert limits(Program.of(nn.Conv2d(6, 2, 3), (torch.randn(IMAGE),))) == []
