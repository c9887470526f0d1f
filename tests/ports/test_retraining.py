"""What a layer could be changed into, where it does not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netwright.ports.retraining import candidates, changed

X = torch.randn(2, 3, 10, 10)


@pytest.mark.parametrize(
    ("layer", "labels"),
    [
        (nn.GELU(), ["0: GELU → SiLU", "0: GELU → ReLU"]),
        (nn.AvgPool2d(3, 2, 1, True, False), [
            "0: ceil_mode True → False", "0: count_include_pad False → True",
        ]),
        (nn.AvgPool2d(2), []),
        (nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), ["0: padding_mode reflect → zeros"]),
        (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), [
            "0: align_corners True → False", "0: align_corners False → None, 0: mode bilinear → nearest",
        ]),
        (nn.Upsample(scale_factor=2, mode="bicubic"), ["0: mode bicubic → nearest"]),
        (nn.LocalResponseNorm(3), ["0: without LocalResponseNorm"]),
        (nn.ReLU(), []),
    ],
)  # fmt: skip
def test_candidates_alter_the_layer_and_run(layer, labels):
    network = nn.Sequential(layer)
    before = network(X)
    ideas = list(candidates(network, "0"))
    assert [", ".join(edit.label for edit in edits) for edits in ideas] == labels
    for edits in ideas:
        after = changed(network, edits)(X)
        assert after.shape != before.shape or not torch.equal(after, before)
    assert torch.equal(network(X), before)


def test_what_a_module_calls_is_the_modules_to_change():
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"), nn.ReLU())
    assert [edit.label for (edit,) in candidates(network, "0.pad#1")] == ["0: padding_mode circular → zeros"]
    assert list(candidates(network, "mul#1")) == []
