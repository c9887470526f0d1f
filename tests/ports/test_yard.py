from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import nn

from netwright.catalogue import Catalogue
from netwright.ports.original import Original
from netwright.ports.yard import Settings, Yard
from ports.networks import images, small


def yard(network: nn.Module, inputs: torch.Tensor, folder: Path) -> Yard:
    return Yard(Original("network", network, (inputs,)), folder, Settings(), None, time.perf_counter)


def test_targets_that_rewrite_other_layers_share_the_program_of_a_network_without_them(tmp_path: Path):
    targets = Catalogue.collect().targets
    with yard(small(), images(), tmp_path) as open_yard:
        assert open_yard.rewrites(targets["executorch"]) == {}
        assert open_yard.rewrites(targets["ncnn"]) == {}
        assert open_yard.program(targets["executorch"]) is open_yard.program(targets["ncnn"])


def test_a_rewritten_layer_is_told(tmp_path: Path):
    network = nn.Sequential(nn.Conv2d(1, 6, 3), nn.LocalResponseNorm(5), nn.ReLU()).eval()
    with yard(network, images(), tmp_path) as open_yard:
        done = open_yard.rewrites(Catalogue.collect().targets["executorch"])
        assert done == {"1": "local-response-norm-by-convolution"}
        assert open_yard.rewrites(Catalogue.collect().targets["ncnn"]) == {}
