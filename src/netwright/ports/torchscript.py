"""TorchScript: the file that C++ programs and PyTorch on phones load without Python.

Source: https://docs.pytorch.org/docs/stable/jit.html
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.catalogue import target

if TYPE_CHECKING:
    from netwright.ports.program import Program
    from netwright.ports.running import Arrays, Source


class Script:
    """A TorchScript module. It carries a second method, `layers`, that returns every layer's result."""

    def __init__(self, files: tuple[Path, ...], about: Program) -> None:
        import torch

        self._module = torch.jit.load(str(files[0]))
        self._outputs = len(about.outputs)
        self.taps = tuple(layer.name for layer in about.layers)
        self._at = places_of(about)

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str]) -> tuple[Arrays, dict[str, np.ndarray]]:
        import torch

        given = [torch.from_numpy(i) for i in inputs]
        with torch.no_grad():
            results = [r.numpy() for r in (self._module.layers(*given) if taps else self._module(*given))]
        return results[: self._outputs], {name: results[self._at[name]] for name in taps}


@target("torchscript", "TorchScript", extra="", taps="free", open=Script)
def torchscript(source: Source) -> Path:
    """The network as traced, with its method `forward`, and `layers`, which returns every layer's result
    after the outputs."""
    import torch

    program, file = source.program, source.folder / "network.torchscript.pt"
    network: Any = _both(program)
    arguments = source.example
    with torch.no_grad():
        traced = torch.jit.trace_module(
            network, {"forward": arguments, "layers": arguments}, check_trace=False
        )
    torch.jit.save(traced, str(file))
    return file


def places_of(program: Program) -> dict[str, int]:
    """Which of the results of `layers` each layer's is: an output of the network's own, or one after them."""
    results = list(program.outputs)
    for layer in program.layers:
        if layer.node not in results:
            results.append(layer.node)
    return {layer.name: results.index(layer.node) for layer in program.layers}


def _both(program: Program) -> Any:
    import torch

    whole = program.tapped([layer.name for layer in program.layers]).module()
    count = len(program.outputs)

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = whole

        def forward(self, *inputs: Any) -> Any:
            return tuple(self.network(*inputs)[:count])

        def layers(self, *inputs: Any) -> Any:
            return tuple(self.network(*inputs))

    return Network().eval()
