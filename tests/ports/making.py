"""Ports that are made in this process, for the tests of what technologies do otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from netwright.catalogue import Catalogue
from netwright.ports import Program
from netwright.ports.difference import Difference
from netwright.ports.rewriting import rewritten
from netwright.ports.running import Source, Unsupported

TARGETS = Catalogue.collect().targets


def made(
    id: str, network: nn.Module, inputs: torch.Tensor, folder: Path, *, rewrites: bool = False
) -> tuple[Any, Program]:
    """A port that is ready to run, in this process, of the network as it is unless the target `rewrites`
    it."""
    target = TARGETS[id]
    one = target.batch == "one"
    inputs = inputs[:1] if one else inputs
    program = Program.of(network.eval(), (inputs,), free_batch=not one)
    if rewrites:
        program, _ = rewritten(program, target.rewrites, [inputs])
    onnx = None
    if target.source == "onnx":
        (folder / "onnx").mkdir(exist_ok=True)
        onnx = TARGETS["onnx"].function(Source(program, folder / "onnx"))
    files = target.function(Source(program, folder, onnx))
    files = files if isinstance(files, tuple) else (files,)
    assert target.open is not None
    return target.open(files, program.about()), program


def not_shown(known: Iterable[Difference], names: Iterable[str]) -> set[str]:
    """The differences that no test of their name shows, of the names in a file of tests."""
    shown = {name.removeprefix("test_") for name in names if name.startswith("test_")}
    ids = {difference.id for difference in known}
    return {id for id in ids if not any(name.startswith(id.replace("-", "_")) for name in shown)}


def error(given: np.ndarray, wanted: torch.Tensor) -> float:
    wanted = wanted.detach()
    return float(np.abs(given - wanted.numpy()).max() / wanted.abs().max())


def traced(network: nn.Module, *inputs: torch.Tensor) -> Any:
    import warnings

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(network, inputs, check_trace=False)


def refused(id: str, network: nn.Module, x: torch.Tensor, folder: Path, said: str) -> None:

    with pytest.raises((Unsupported, RuntimeError, ValueError), match=said):
        made(id, network, x, folder)


def same(id: str, network: nn.Module, x: torch.Tensor, folder: Path) -> None:
    """Rewritten it is at parity."""
    running, _ = made(id, network, x, folder, rewrites=True)
    assert error(running.run([x[:1].numpy()], [])[0][0], network(x[:1])) < 1e-5
