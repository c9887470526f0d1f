"""Targets that misbehave, and one that changes what it ports, as converters do."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from netwright.catalogue import target
from netwright.ports.torch_export import Exported


@target("dies", "A converter that dies", extra="")
def dies(source):
    """Ends its process, as an assertion in C++ does."""
    print("assertion failed: nobody expects this", flush=True)
    os.abort()


@target("raises", "A converter that raises", extra="")
def raises(source):
    """Raises, with a cause."""
    try:
        raise KeyError("inner")
    except KeyError as inner:
        raise RuntimeError("outer\nsecond line") from inner


@target("sleeps", "A converter that never ends", extra="")
def sleeps(source):
    """Does not come back."""
    time.sleep(3600)


@target("refuses-relu", "A converter without ReLU", extra="", open=Exported)
def refuses_relu(source):
    """Knows every operator but one."""
    if any("relu" in str(node.target) for node in source.program.exported.graph.nodes):
        raise ValueError("no kernel")
    file = source.folder / "network.pt2"
    source.program.save(file)
    return file


@target("refuses-two-convolutions", "A converter of one convolution", extra="", open=Exported)
def refuses_two_convolutions(source):
    """Takes every operator, and not every network of them."""
    if sum("conv2d" in str(node.target) for node in source.program.exported.graph.nodes) > 1:
        raise ValueError("one convolution only")
    file = source.folder / "network.pt2"
    source.program.save(file)
    return file


def changed(source) -> Path:
    """The program with the convolution of the block scaled by 1.5."""
    weights = source.program.exported.state_dict
    for name, value in weights.items():
        if name == "block.conv.weight":
            weights[name] = torch.nn.Parameter(value * 1.5)
    file = source.folder / "network.pt2"
    source.program.save(file)
    return file


@target("scales", "A converter with a fault", extra="", taps="free", open=Exported)
def scales(source):
    """Ports one layer wrongly; its layers can be read."""
    return changed(source)


class Closed(Exported):
    """A program of which nothing but the outputs can be read."""

    def __init__(self, files, about):
        super().__init__(files, about)
        self.taps = ()


@target("scales-closed", "A closed converter with a fault", extra="", taps="dear", open=Closed)
def scales_closed(source):
    """Ports one layer wrongly; reading a layer takes a port of its own."""
    return changed(source)


@target("scales-single", "A converter with a fault that returns two results at most", extra="", open=Closed)
def scales_single(source):
    """As above, and refuses more than one layer at a time."""
    if len(source.program.outputs) > 2:
        raise ValueError("two outputs at most")
    return changed(source)


@target("absent", "A technology that is not here", needs=("no_such_runtime",))
def absent(source):
    """Never asked."""
