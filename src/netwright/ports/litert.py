"""LiteRT, once TensorFlow Lite: Google's runtime for phones and small computers.

Source: https://ai.google.dev/edge/litert/conversion/pytorch/overview
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.catalogue import target
from netwright.ports.names import identifier

if TYPE_CHECKING:
    from torch import nn

    from netwright.ports.program import Program
    from netwright.ports.running import Arrays, Source


class Interpreter:
    """A LiteRT file in its interpreter, every tensor kept, without a delegate.

    LiteRT keeps images with the channels last; what is read is turned into the program's own layout.
    """

    def __init__(self, files: tuple[Path, ...], about: Program) -> None:
        litert: Any = importlib.import_module("ai_edge_litert.interpreter")
        self._native: Any = litert.Interpreter(
            str(files[0]),
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._native.allocate_tensors()
        self._plain: Any = litert.Interpreter(str(files[0]))
        self._plain.allocate_tensors()
        self._signature = signature_of(self._native)
        self._at = tensors_of(self._native.get_tensor_details(), about)
        self.taps = tuple(self._at)

    def run(self, inputs: Sequence[np.ndarray], taps: Sequence[str]) -> tuple[Arrays, dict[str, np.ndarray]]:
        native = self._native if taps else self._plain
        takes, gives = self._signature
        for (index, kind), array in zip(takes, inputs, strict=True):
            native.set_tensor(index, array.astype(kind, copy=False))
        native.invoke()
        read = {
            name: laid_out(native.get_tensor(i), order) for name in taps for i, order in (self._at[name],)
        }
        return [native.get_tensor(index) for index in gives], read


def signature_of(native: Any) -> tuple[list[tuple[int, Any]], list[int]]:
    """Tensor and type of every input, and tensor of every output, in the order of the network's own."""

    def number(name: str) -> int:
        return int(name.rpartition("_")[2])

    takes = {d["name"]: (d["index"], d["dtype"]) for d in native.get_input_details()}
    ordered = sorted(takes, key=lambda name: number(name.partition(":")[0]))
    gives = native.get_signature_runner().get_output_details()
    indices = [int(gives[key]["index"]) for key in sorted(gives, key=number)]
    return [takes[name] for name in ordered], indices


def tensors_of(
    details: Sequence[Mapping[str, Any]], about: Program
) -> dict[str, tuple[int, tuple[int, ...]]]:
    """By layer the tensor that holds its result and how its axes lie: the last of those that the converter
    has named after it and that has its shape, in order or with the channels last. Where both fit, as with
    8×8×8, the layer is left out."""
    found: dict[str, tuple[int, tuple[int, ...]]] = {}
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for detail in details:
        by_name.setdefault(named_in(detail), []).append(detail)
    for layer in about.layers:
        shape = tuple(axis if axis is not None else 1 for axis in layer.shape)
        for detail in reversed(by_name.get(identifier(layer.name), [])):
            orders = _orders(tuple(int(n) for n in detail["shape"]), shape)
            if orders:
                if len(orders) == 1:
                    found[layer.name] = int(detail["index"]), orders[0]
                break
    return found


def named_in(detail: Mapping[str, Any]) -> str:
    """The module, of those that calls lie in, that the converter has named a tensor after."""
    return str(detail["name"]).partition(";")[0].rpartition("_Step_")[2]


def _orders(has: tuple[int, ...], wanted: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The ways to turn the axes of `has` to have `wanted`: as they are, or channels last to channels
    second."""
    rank = len(has)
    if rank != len(wanted):
        return []
    orders = [tuple(range(rank))] + ([(0, rank - 1, *range(1, rank - 1))] if rank > 2 else [])
    fitting = [order for order in orders if tuple(has[i] for i in order) == wanted]
    # An axis of one may lie anywhere: two orders that give the same numbers are one.
    many = [i for i in range(rank) if has[i] > 1]
    return fitting[:1] if len({tuple(i for i in order if i in many) for order in fitting}) == 1 else fitting


def laid_out(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    return array.transpose(order) if order != tuple(range(array.ndim)) else array


@target(
    "litert",
    "LiteRT",
    needs=("litert_torch", "ai_edge_litert"),
    batch="one",
    taps="free",
    open=Interpreter,
    rewrites=("transposed-convolution-cropped", "adaptive-pooling-by-windows"),
)
def litert(source: Source) -> Path:
    """The network as one .tflite file, channels last inside as LiteRT has them."""
    return written(source.program.module(), source)


def written(network: nn.Module, source: Source) -> Path:
    litert_torch: Any = importlib.import_module("litert_torch")
    file = source.folder / "network.tflite"
    litert_torch.convert(network.eval(), source.example).export(str(file))
    return file
