"""Products of activations, attention, masks, and what is asked of tokens, to both referees and to our own
reader."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netwright.ports.caffe import read, write
from netwright.ports.program import Program
from ports.caffe.networks import lived_in
from ports.caffe.referees import close, needs_caffe, opencv
from ports.caffe.test_writing_layers import REFEREES, Of, flat, weights

ROWS, OTHERS, HEADS = (2, 5, 8), (2, 6, 8), (2, 4, 5, 8)
PAST = torch.ones(5, 5).tril().bool()
BIAS = torch.zeros(5, 5).masked_fill(~PAST, -math.inf)


class One(Of):
    """A function of one input; named, so that its batch is free."""

    def forward(self, x):
        return self.function(self, x)


class Two(Of):
    def forward(self, x, y):
        return self.function(self, x, y)


def attending(**settings):
    return Two(lambda s, x, y: F.scaled_dot_product_attention(x, y, y.tanh(), **settings))


def itself(**settings):
    return One(
        lambda s, x: [y for y in s.attend(x, x, x, **settings) if y is not None],
        attend=nn.MultiheadAttention(8, 2, batch_first=True),
    )


# name: (network, shapes of its inputs)
OPERATORS = {
    "a product": (lambda: One(lambda s, x: x @ x.transpose(1, 2)), ROWS),
    "a product of batches": (lambda: Two(lambda s, x, y: torch.bmm(x, y)), ROWS, (2, 8, 3)),
    "a product for each head": (lambda: Two(lambda s, x, y: x @ y), HEADS, (2, 4, 8, 3)),
    "a product with one for all heads": (lambda: Two(lambda s, x, y: x @ y), HEADS, (2, 1, 8, 3)),
    "a product of one row": (lambda: One(lambda s, x: x[:, :1] @ x.transpose(1, 2)), ROWS),
    "weights times an activation": (
        lambda: One(lambda s, x: (s.w @ x, s.w @ x.unsqueeze(1)), w=weights(3, 5)),
        ROWS,
    ),
    "weights for each head": (
        lambda: One(lambda s, x: x @ s.w.expand(x.shape[0], -1, -1, -1), w=weights(4, 8, 3)),
        HEADS,
    ),
    "attention": (attending, ROWS, OTHERS),
    "attention with heads and a scale": (lambda: attending(scale=0.7), HEADS, (2, 4, 6, 8)),
    "attention to the past": (lambda: attending(is_causal=True), ROWS, OTHERS),
    "attention with a mask of truth values": (lambda: attending(attn_mask=PAST), HEADS, HEADS),
    "attention with a mask to add": (lambda: attending(attn_mask=BIAS), HEADS, HEADS),
    "attention with a mask for each head": (lambda: attending(attn_mask=weights(4, 5, 5)), HEADS, HEADS),
    "attention of grouped heads": (lambda: attending(enable_gqa=True), HEADS, (2, 2, 6, 8)),
    "attention of learnt queries": (
        lambda: One(
            lambda s, x: F.scaled_dot_product_attention(s.w.expand(x.shape[0], -1, -1), x, x), w=weights(3, 8)
        ),
        ROWS,
    ),
    "a layer of attention, with its weights": (itself, ROWS),
    "a layer of attention with a mask, with its weights": (lambda: itself(attn_mask=BIAS), ROWS),
    "a layer of attention with a mask": (lambda: itself(attn_mask=BIAS, need_weights=False), ROWS),
    "an encoder layer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), ROWS),
    "a decoder layer": (lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), ROWS, OTHERS),
    "scores masked": (
        lambda: One(lambda s, x: (x @ x.transpose(1, 2)).masked_fill(~PAST, -math.inf).softmax(-1)),
        ROWS,
    ),
    "scores with a mask added": (
        lambda: One(lambda s, x: ((x @ x.transpose(1, 2)) + BIAS).softmax(-1)),
        ROWS,
    ),
    "a class token": (
        lambda: One(lambda s, x: torch.cat([s.w.expand(x.shape[0], -1, -1), x], 1), w=weights(1, 8)),
        ROWS,
    ),
    "weights stacked on an activation": (
        lambda: One(lambda s, x: torch.stack([x, s.w.expand(x.shape[0], -1, -1)], 2), w=weights(5, 8)),
        ROWS,
    ),
}


def made(case):
    build, *shapes = OPERATORS[case]
    torch.manual_seed(3)
    network = lived_in(build())
    inputs = [torch.randn(shape) for shape in shapes]
    return network, inputs, Program.of(network, tuple(inputs))


@pytest.mark.parametrize("referee", REFEREES)
@pytest.mark.parametrize("case", OPERATORS)
def test_attention_means_the_same_to_a_referee(case, referee, tmp_path, caffe):
    network, inputs, program = made(case)
    prototxt, caffemodel, _ = write(program, tmp_path)
    judge = caffe if referee == "caffe" else opencv
    outputs, _ = judge(prototxt, caffemodel, [x.numpy() for x in inputs])
    for found, wanted in zip(outputs, flat(network(*inputs)), strict=True):
        close(found, wanted.detach().numpy(), 2e-6)


@pytest.mark.parametrize("case", OPERATORS)
def test_attention_read_back_means_the_same_for_any_batch(case, tmp_path):
    network, inputs, program = made(case)
    assert program.any_batch
    again = read(*write(program, tmp_path)[:2])
    wider = [torch.cat([x, x[:1] * 0.5]) for x in inputs]
    for found, wanted in zip(flat(again(*wider)), flat(network(*wider)), strict=True):
        close(found.detach().numpy(), wanted.detach().numpy(), 2e-6)


TOKENS = torch.tensor([[0, 3, 9, 1, 1], [2, 2, 4, 0, 7]])
OF_TOKENS = {
    "rows": lambda s, x: s.rows(x),
    "comparisons": lambda s, x: (
        s.rows(x).sum(-1) * (x != 0),
        *((x == 2).float(), (x < 3).float(), (x <= 3).float(), (x > 3).float(), (x == 9).float()),
    ),
    "comparisons of some, in another shape": lambda s, x: (
        s.rows(x.unsqueeze(1)),
        *((x[:, 1:] > 2.5).float(), (x[:, 0] == 2).to(torch.float32), x.bool().sum(1).float()),
    ),
    "attention that leaves out padding": lambda s, x: (
        lambda r: (r @ r.transpose(1, 2)).masked_fill((x == 0)[:, None], -1e9).softmax(-1) @ r
    )(s.rows(x)),
}


@needs_caffe
@pytest.mark.parametrize("case", OF_TOKENS)
def test_what_is_asked_of_tokens_is_written_for_caffe(case, tmp_path, caffe):
    network = One(OF_TOKENS[case], rows=nn.Embedding(10, 4))
    program = Program.of(network, (TOKENS,))
    prototxt, caffemodel, _ = write(program, tmp_path)
    found, _ = caffe(prototxt, caffemodel, [TOKENS.numpy()])
    again, wider = read(prototxt, caffemodel), torch.cat([TOKENS, TOKENS[:1] + 0])
    for one, wanted in zip(found, flat(network(TOKENS)), strict=True):
        close(one, wanted.detach().numpy(), 2e-6)
    for one, wanted in zip(flat(again(wider)), flat(network(wider)), strict=True):
        close(one.detach().numpy(), wanted.detach().numpy(), 2e-6)
