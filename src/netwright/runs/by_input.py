"""One pass over many inputs, and what every place of the network made of each of them.

A `Reader` turns a place's output into a few numbers an input while the pass is running; nothing else is kept.
Beside the network's own memory a pass takes one buffer as large as the largest output (at most `SCRATCH`
bytes) and the numbers themselves: rows × inputs × 4 bytes for each.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from netwright.recipe import tree_tensors
from netwright.recipe.edits import core
from netwright.runs.calls import BOUNDED
from netwright.runs.forward import forward
from netwright.runs.listening import Listener, Spot, first_tensor
from netwright.runs.subject import untouched

SCRATCH = 1 << 26  # bytes
Numbers = NDArray[np.float32]


@frozen(eq=False)
class Output:
    """What a place gave for B inputs: `values` (B, ...), floating; `lengths` (B,) where they are sequences
    (B, T, H) of their own lengths, padded with zeros."""

    spot: Spot
    values: Tensor
    source: Tensor  # as the place gave it
    laid: Callable[[Tensor], Tensor]  # what lays a tensor like `source` out like `values`
    lengths: Tensor | None = None

    @property
    def flat(self) -> Tensor:
        """(B, F) in float32; the order within an input is whatever needs no copy."""
        values = self.values
        if values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last):
            values = values.permute(0, 2, 3, 1)
        return values.reshape(len(values), -1).float()


class Reader(Protocol):
    """`read(output, into)` puts the K numbers of `raw` of every input of one place into `into` (K, B), or
    leaves them NaN; `finished` makes of all of them, (K, L, N), the named arrays (L, N)."""

    raw: int

    def read(self, output: Output, into: Tensor) -> None: ...
    def finished(self, numbers: Numbers) -> Mapping[str, Numbers]: ...


class Statistics:
    """Norm (Euclidean), mean, spread (standard deviation) and share of zeros of an input's values at a place.

    The spread is taken about the mean in a second pass, so that a large mean costs no digits.
    """

    raw = 4  # mean, norm about the mean, zeros, number of values

    def __init__(self) -> None:
        self._buffer = torch.empty(0)

    def read(self, output: Output, into: Tensor) -> None:
        flat = output.flat  # (B, F)
        size, width = flat.shape
        if output.lengths is not None:
            self._stretched(flat, output, output.lengths, into)
        elif 4 * size * width <= SCRATCH:
            self._whole(flat, into)
        else:
            step = max(1, SCRATCH // (4 * width))
            for start in range(0, size, step):
                self._whole(flat[start : start + step], into[:, start : start + step])

    def _whole(self, values: Tensor, into: Tensor) -> None:
        mean, norm, zeros, count = into.unbind()
        count.fill_(values.shape[1])
        scratch = self._scratch(values)
        torch.mean(values, 1, out=mean)
        torch.sub(values, mean[:, None], out=scratch)
        torch.linalg.vector_norm(scratch, dim=1, out=norm)
        torch.eq(values, 0, out=scratch)  # as floats: many times faster than counting booleans
        torch.mean(scratch, 1, out=zeros)

    def _stretched(self, values: Tensor, output: Output, lengths: Tensor, into: Tensor) -> None:
        """The same where only the first `lengths` steps of an input are there."""
        steps = output.values.shape[1]
        lengths = lengths.to(values.device)
        each = values.shape[1] // steps
        there = (torch.arange(steps, device=values.device)[None] < lengths[:, None]).repeat_interleave(
            each, 1
        )
        count = (lengths * each).clamp(min=1)
        mean = (values * there).sum(1) / count
        centred = ((values - mean[:, None]) * there).square().sum(1)
        into[0], into[1], into[3] = mean, centred.sqrt(), count
        into[2] = ((values == 0) & there).sum(1) / count

    def _scratch(self, like: Tensor) -> Tensor:
        if self._buffer.numel() < like.numel() or self._buffer.device != like.device:
            with torch.inference_mode(False):  # it is used again outside the mode of who calls now
                self._buffer = torch.empty(like.numel(), device=like.device)
        return self._buffer[: like.numel()].view(like.shape)

    def finished(self, numbers: Numbers) -> Mapping[str, Numbers]:
        mean, norm, zeros, count = numbers
        whole = np.sqrt(np.square(norm) + count * np.square(mean))
        return {"norm": whole, "mean": mean, "spread": norm / np.sqrt(count), "zeros": zeros}


class Saturation:
    """Share of a bounded activation's values within 2 % of its ends; NaN for every other place."""

    raw = 1

    def read(self, output: Output, into: Tensor) -> None:
        spot = output.spot
        name = spot.kind.lower()
        if name not in ("sigmoid", "tanh", "hardtanh", "hardsigmoid", "softsign"):
            return
        low, high = BOUNDED[name]
        edge = 0.02 * (high - low)
        flat = output.flat
        into[0] = ((flat < low + edge) | (flat > high - edge)).float().mean(1)

    def finished(self, numbers: Numbers) -> Mapping[str, Numbers]:
        return {"saturated": numbers[0]}


def heard_output(spot: Spot, result: Any, size: int) -> Output | None:
    """The output of a place laid out by input, for a pass of `size` inputs; `None` where it has no inputs in
    it, or no floating numbers."""
    several = isinstance(result, tuple) and not isinstance(result, PackedSequence)
    packed: Any = result[0] if several and result else result
    if isinstance(packed, PackedSequence):
        return _packed_output(spot, packed, size)
    output = first_tensor(result)
    if output is None or not output.is_floating_point() or output.ndim == 0 or output.numel() == 0:
        return None
    values = _by_input(output.detach(), size, spot.module)
    if values is None:
        return None
    return Output(spot, values, output, lambda like: _by_input(like, size, spot.module))  # type: ignore[arg-type, return-value]


def _packed_output(spot: Spot, packed: PackedSequence, size: int) -> Output | None:
    def laid(data: Tensor) -> Tensor:
        return pad_packed_sequence(packed._replace(data=data), batch_first=True)[0]

    values, lengths = pad_packed_sequence(packed._replace(data=packed.data.detach()), batch_first=True)
    return Output(spot, values, packed.data, laid, lengths) if len(values) == size else None


def _by_input(output: Tensor, size: int, module: nn.Module | None) -> Tensor | None:
    """(B, ...) of an output whose inputs lie along its first axis, its second (`batch_first=False`), or are
    merged with another into the first (windows, frames)."""
    shape = output.shape
    first = getattr(module, "batch_first", True)
    if first is False and output.ndim == 3 and shape[1] == size:
        return output.transpose(0, 1)
    if shape[0] == size:
        return output
    if size > 1 and output.ndim >= 3 and shape[1] == size:
        return output.transpose(0, 1)
    if size == 1:
        return output[None]
    if output.ndim >= 2 and shape[0] > size and shape[0] % size == 0:
        return output.reshape(size, shape[0] // size, *shape[1:])
    return None


@frozen(eq=False)
class Seen:
    """What a pass over N inputs gave: L places in execution order, the shape of an input's values at each,
    and named arrays (L, N), NaN where there was nothing to measure."""

    spots: tuple[Spot, ...]
    shapes: tuple[tuple[int, ...], ...]
    numbers: Mapping[str, Numbers]
    count: int


Call = Callable[[nn.Module, Any], Any]  # how a network is called on a batch of inputs
Batches = Iterable[tuple[Any, Any, Any]]  # inputs, targets, rows, as `Samples.batches` gives them


@contextmanager
def listening(
    network: nn.Module, heard: Callable[[Output], None], sizes: Sequence[int]
) -> Generator[None, None, None]:
    """Inside, every place of a pass through `network` is heard by input; `sizes[0]` is the number of inputs
    of the pass that is running."""

    def hear(spot: Spot, arguments: tuple[Any, ...], result: Any) -> None:
        output = heard_output(spot, result, sizes[0])
        if output is not None:
            heard(output)

    with Listener(network, hear, functions=True):
        yield


@contextmanager
def looked_at(network: nn.Module, *, gradients: bool = False) -> Generator[None, None, None]:
    """For the block the network is in evaluation mode; after it, also when it was broken off, it is as it
    was: modes, weights, buffers, gradients and every random state."""
    # cuDNN's recurrent layers have no gradient in evaluation mode.
    plain = torch.backends.cudnn.flags(enabled=False) if gradients else contextlib.nullcontext()
    with plain, untouched(network, None), warnings.catch_warnings(), torch.set_grad_enabled(gradients):
        warnings.simplefilter("ignore")
        core(network).eval()
        network.eval()
        yield


def size_of(inputs: Any) -> int:
    """The number of inputs in a batch."""
    if isinstance(inputs, PackedSequence):
        return int(inputs.batch_sizes[0])
    return next((len(t) for _, t in tree_tensors(inputs) if t.ndim), 1)


def read_all(
    network: nn.Module,
    batches: Batches,
    readers: Sequence[Reader],
    each: Callable[[Any, Any, Any], None] | None = None,
    also: Callable[[Output, int], None] | None = None,
    call: Call = forward,
) -> Seen:
    """One pass in evaluation mode without gradients; `each(outputs, targets, rows)` takes what the network
    returned of a batch, `also(output, start)` every output with the number of inputs before it.

    Raises what the network's forward raises; the network is left as it was.
    """
    reading = _Reading(readers, also)
    with looked_at(network), listening(network, reading.hear, reading.sizes):
        for inputs, targets, rows in batches:
            reading.begin(size_of(inputs))
            result = call(network, inputs)
            reading.end()
            if each is not None:
                each(result, targets, rows)
    return reading.seen()


class _Reading:
    """The places met so far, and the numbers of the batch that is running."""

    def __init__(self, readers: Sequence[Reader], also: Callable[[Output, int], None] | None) -> None:
        self.readers, self.also = readers, also
        self.width = sum(reader.raw for reader in readers)
        self.sizes = [0]
        self.places: dict[tuple[str, int], int] = {}
        self.spots: list[Spot] = []
        self.shapes: list[tuple[int, ...]] = []
        self.blocks: list[NDArray[np.float32]] = []  # (L', K, B) a batch
        self._now: Tensor | None = None
        self._last: tuple[Tensor, int, int] | None = None
        self._done = 0  # inputs of the batches before

    def begin(self, size: int) -> None:
        self.sizes[0] = size
        self._now, self._last = None, None

    def hear(self, output: Output) -> None:
        spot, values = output.spot, output.values
        key = spot.name, spot.call
        row = self.places.get(key)
        if row is None:
            row = self.places[key] = len(self.spots)
            self.spots.append(spot)
            self.shapes.append(tuple(values.shape[1:]))
        now = self._room(row, values)
        last = self._last
        version = -1 if values.is_inference() else values._version
        if last is not None and _same(last[0], values) and last[1] == version >= 0:
            now[row] = now[last[2]]  # a dropout that does nothing, a flattening
        else:
            start = 0
            for reader in self.readers:
                reader.read(output, now[row, start : start + reader.raw])
                start += reader.raw
        self._last = values, version, row
        if self.also is not None:
            self.also(output, self._done)

    def _room(self, row: int, values: Tensor) -> Tensor:
        """(L', K, B) with room for this row."""
        now = self._now
        if now is None or row >= len(now):
            rows = max(len(self.spots), row + 1, 0 if now is None else 2 * len(now))
            with torch.inference_mode(False):
                new = torch.full((rows, self.width, self.sizes[0]), float("nan"), device=values.device)
                if now is not None:
                    new[: len(now)] = now
            self._now = now = new
        return now

    def end(self) -> None:
        if self._now is None:
            self.blocks.append(np.full((0, self.width, self.sizes[0]), np.nan, dtype=np.float32))
        else:
            self.blocks.append(self._now[: len(self.spots)].cpu().numpy())
        self._done += self.sizes[0]

    def seen(self) -> Seen:
        count = sum(block.shape[2] for block in self.blocks)
        whole = np.full((self.width, len(self.spots), count), np.nan, dtype=np.float32)
        start = 0
        for block in self.blocks:
            stop = start + block.shape[2]
            whole[:, : len(block), start:stop] = block.transpose(1, 0, 2)
            start = stop
        named: dict[str, Numbers] = {}
        at = 0
        for reader in self.readers:
            named |= reader.finished(whole[at : at + reader.raw])
            at += reader.raw
        return Seen(tuple(self.spots), tuple(self.shapes), named, count)


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same values of the same memory, laid out alike or not."""
    return (
        one.data_ptr() == other.data_ptr()
        and one.numel() == other.numel()
        and one.is_contiguous()
        and other.is_contiguous()
        and one.dtype == other.dtype
        and len(one) == len(other)
    )
