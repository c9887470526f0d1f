"""Kinds of edit for networks that read sequences: where they end, and in which order they stand."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from netwright.catalogue import edit
from netwright.recipe.edits import Followed, Wrapper, find_layer, replace_layer
from netwright.values import UserError


def padded_steps(inputs: Tensor, value: float) -> Tensor:
    """(N,) how many of the last steps of each sequence, (N, T) or (N, T, F), hold nothing but `value`."""
    empty = (inputs == value).reshape(*inputs.shape[:2], -1).all(2)
    return empty.flip(1).long().cumprod(1).sum(1)


class _Lengths:
    """The lengths (N,) of the sequences that are on their way, and the steps T that they are padded to."""

    def __init__(self) -> None:
        self.now: Tensor | None = None
        self.steps = 0


class MeasuredSequences(Wrapper):
    """Tells the recurrent layers inside how long each sequence is without the padding at its end."""

    def __init__(self, network: nn.Module, lengths: _Lengths, value: float) -> None:
        super().__init__(network)
        self.lengths, self.value = lengths, value

    def forward(self, *inputs: Any, **named: Any) -> Any:
        padded = padded_steps(inputs[0], self.value)
        self.lengths.steps = inputs[0].shape[1]
        self.lengths.now = (self.lengths.steps - padded).clamp(min=1).cpu()
        try:
            return self.network(*inputs, **named)
        finally:
            self.lengths.now = None


class UnpaddedRecurrence(nn.Module):
    """A recurrent layer that stops at the end of each sequence: the states after it are those at its last
    step, in the outputs (N, T, H) as in the state."""

    def __init__(self, layer: nn.RNNBase, lengths: _Lengths) -> None:
        super().__init__()
        self.layer, self.lengths = layer, lengths

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)

    def forward(self, inputs: Any, state: Any = None) -> Any:
        lengths, steps, first = self.lengths.now, self.lengths.steps, bool(self.layer.batch_first)
        if lengths is None or not isinstance(inputs, Tensor) or inputs.ndim != 3:
            return self.layer(inputs, state)
        if (inputs if first else inputs.transpose(0, 1)).shape[:2] != (len(lengths), steps):
            return self.layer(inputs, state)  # other sequences than those that were measured
        packed = pack_padded_sequence(inputs, lengths, batch_first=first, enforce_sorted=False)
        answers, state = self.layer(packed, state)
        outputs, _ = pad_packed_sequence(answers, batch_first=True, total_length=steps)
        last = torch.arange(steps)[None, :].minimum(lengths[:, None] - 1)
        index = last.to(outputs.device)[:, :, None].expand_as(outputs)
        outputs = outputs.gather(1, index)
        return outputs if first else outputs.transpose(0, 1), state


@edit("stop-at-the-padding", on="network")
def stop_at_the_padding(
    network: nn.Module, *, layers: list[str], value: float = 0.0, seed: int = 0
) -> nn.Module:
    """The named recurrent layers read each sequence up to its last step that is not all `value`."""
    lengths = _Lengths()
    for name in layers:
        layer = find_layer(network, name)
        if not isinstance(layer, nn.RNNBase):
            raise UserError(
                f"edit: {name} is a {type(layer).__name__}; nn.RNN, nn.LSTM and nn.GRU read sequences"
            )
        network = replace_layer(network, name, UnpaddedRecurrence(layer, lengths))
    return MeasuredSequences(network, lengths, value)


class Positions(nn.Module):
    """Adds the sinusoidal encoding of each position along `axis` of (N, T, D) or (T, N, D).

    Source: Vaswani et al., Attention Is All You Need (2017), section 3.5.
    """

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, values: Tensor) -> Tensor:
        steps, width = values.shape[self.axis], values.shape[-1]
        place = torch.arange(steps, device=values.device, dtype=values.dtype)[:, None]
        even = torch.arange(0, width, 2, device=values.device, dtype=values.dtype)
        angles = place * torch.exp(-math.log(10000.0) * even / width)
        encoding = torch.stack([angles.sin(), angles.cos()], 2).reshape(steps, -1)[:, :width]
        return values + encoding.unsqueeze(1 - self.axis)


@edit("add-positions", on="network")
def add_positions(network: nn.Module, *, layer: str, axis: int = 1, seed: int = 0) -> nn.Module:
    """What the named layer gives, with the place of each step along `axis` added to it."""
    return replace_layer(network, layer, Followed(find_layer(network, layer), Positions(axis)))
