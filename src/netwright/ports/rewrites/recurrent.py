"""Recurrent layers, one step after another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from netwright.ports.layers import GETITEM
from netwright.ports.patterns import name_of
from netwright.ports.rewrites.call import Call, Instead, Rewrite, value_of
from netwright.ports.rewrites.shapes import joined

MOST_STEPS = 256  # of all layers and directions together; converters take a quarter of a second for each
State = tuple[Tensor, ...]  # (h,) or (h, c), each (B, H)


class Unrolled(nn.Module):
    """`nn.LSTM` or `nn.GRU` in evaluation over (B, T, I), or (T, B, I) unless `batch_first`, its steps
    written out; it begins with zeros. Returns the output, h and c (of a GRU no c) in a tuple.

    `weights` are those of the layer in PyTorch's order: of every direction of every layer W_ih (G·H, I),
    W_hh (G·H, H) and, where it has them, b_ih and b_hh (G·H).
    Source: Hochreiter and Schmidhuber, Long short-term memory (1997); Cho et al., Learning phrase
    representations using RNN encoder-decoder (2014).
    """

    def __init__(
        self, kind: str, weights: Sequence[Tensor], layers: int, both_ways: bool, batch_first: bool
    ) -> None:
        super().__init__()
        self.kind, self.layers, self.ways, self.batch_first = kind, layers, 1 + both_ways, batch_first
        self.each = len(weights) // (layers * self.ways)
        self.held = nn.ParameterList(
            w if isinstance(w, nn.Parameter) else nn.Parameter(w, requires_grad=False) for w in weights
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = x if self.batch_first else x.transpose(0, 1)
        ends: list[State] = []
        for layer in range(self.layers):
            found = [self._run(x, layer * self.ways + way, way == 1) for way in range(self.ways)]
            ends += [end for _, end in found]
            x = found[0][0] if self.ways == 1 else torch.cat([steps for steps, _ in found], 2)
        x = x if self.batch_first else x.transpose(0, 1)
        return x, *(torch.stack(each) for each in zip(*ends, strict=True))

    def _run(self, x: Tensor, number: int, backwards: bool) -> tuple[Tensor, State]:
        """What one direction of one layer gives at every step, (B, T, H), and its state after the last."""
        step = _lstm if self.kind == "lstm" else _gru
        w_ih, w_hh, *biases = self.held[number * self.each : (number + 1) * self.each]
        b_ih, b_hh = biases or (None, None)
        gates = F.linear(x, w_ih, b_ih)  # of all steps at once
        count = x.shape[1]
        state: State | None = None
        found: list[Tensor] = []
        for t in reversed(range(count)) if backwards else range(count):
            fed_back = F.linear(state[0], w_hh, b_hh) if state is not None else b_hh
            state = step(gates[:, t], fed_back, state)
            found.append(state[0].unsqueeze(1))
        assert state is not None
        return joined(found[::-1] if backwards else found, 1), state


class UnrolledLayer(Unrolled):
    """The same as a layer of a network, (output, (h, c)) of an LSTM."""

    def forward(self, x: Tensor) -> Any:
        output, *ends = super().forward(x)
        return output, (tuple(ends) if self.kind == "lstm" else ends[0])


class AsLayer(nn.Module):
    """The layer itself, for tracers that know it as a module only; returns flat what `Unrolled` does."""

    def __init__(
        self, kind: str, weights: Sequence[Tensor], layers: int, both_ways: bool, batch_first: bool
    ) -> None:
        super().__init__()
        ways = 1 + both_ways
        made = nn.LSTM if kind == "lstm" else nn.GRU
        self.layer = made(
            weights[0].shape[1], weights[1].shape[1], layers, len(weights) == 4 * layers * ways, batch_first,
            bidirectional=both_ways,
        )  # fmt: skip
        with torch.no_grad():
            for own, weight in zip(self.layer.parameters(), weights, strict=True):
                own.copy_(weight)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        output, ends = self.layer(x)
        return output, *(ends if isinstance(ends, tuple) else (ends,))


def _lstm(given: Tensor, fed_back: Tensor | None, state: State | None) -> State:
    i, f, g, o = _parts(given if fed_back is None else given + fed_back, 4)
    c = torch.sigmoid(i) * torch.tanh(g)
    if state is not None:
        c = torch.sigmoid(f) * state[1] + c
    return torch.sigmoid(o) * torch.tanh(c), c


def _gru(given: Tensor, fed_back: Tensor | None, state: State | None) -> State:
    r, z, n = _parts(given, 3)
    if fed_back is not None:
        r_h, z_h, n_h = _parts(fed_back if fed_back.ndim == 2 else fed_back[None], 3)
        r, z, n = r + r_h, z + z_h, n + torch.sigmoid(r + r_h) * n_h
    new = torch.tanh(n)
    return (new + torch.sigmoid(z) * (state[0] - new if state is not None else -new),)


def _parts(gates: Tensor, count: int) -> list[Tensor]:
    """Equal parts of (B, G·H)."""
    size = gates.shape[1] // count
    return [gates[:, n * size : (n + 1) * size] for n in range(count)]


def _recurrent(made: Any, call: Call) -> Instead | None:
    """Where it begins with zeros, and no projection follows its state."""
    hidden = call["hx"] if isinstance(call["hx"], (list, tuple)) else [call["hx"]]
    each = 4 if call["has_biases"] else 2
    directions = call["num_layers"] * (1 + call["bidirectional"])
    if not all(_is_zero(state) for state in hidden) or len(call["params"]) != each * directions:
        return None
    length = call.shape("input")[1 if call["batch_first"] else 0]
    if made is Unrolled and (not isinstance(length, int) or length * directions > MOST_STEPS):
        return None
    kind, both_ways = call.name, call["bidirectional"]
    module = made(kind, call["params"], call["num_layers"], both_ways, call["batch_first"])
    return Instead(module, (call["input"],))


class StateFromOutput(nn.Module):
    """The last state h (B, H) of one direction, which has the numbers `part` of the output (B, T, D·H) of a
    recurrent layer; of `layer`'s output for x where one is given."""

    def __init__(
        self, part: tuple[int, int] | None, backwards: bool, batch_first: bool, layer: nn.Module | None
    ) -> None:
        super().__init__()
        self.part = slice(*part) if part is not None else None
        self.step, self.batch_first = (0 if backwards else -1), batch_first
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        output = x if self.layer is None else self.layer(x)[0]
        last = output[:, self.step] if self.batch_first else output[self.step]
        return last if self.part is None else last[:, self.part]


def _state(call: Call) -> Instead | None:
    """Of one place selected from the states h of all layers, where it is a state of the last layer."""
    states: Any = call["self"]
    if not isinstance(states, fx.Node) or states.target is not GETITEM or states.args[1] != 1:
        return None
    of = call.at(states.args[0])
    if of is None or of.name not in ("lstm", "gru") or call.arguments.get("dim") != 0:
        return None
    made = _recurrent(AsLayer, of)
    ways, count = 1 + of["bidirectional"], of["num_layers"] * (1 + of["bidirectional"])
    number = call["index"] % count if call.name == "select" else 0
    if made is None or number < count - ways or (call.name == "squeeze" and count > 1):
        return None
    outputs = [node for node in of.node.users if node.target is GETITEM and node.args[1] == 0]
    size, way = value_of(states).shape[-1], number % ways
    part = (way * size, (way + 1) * size) if ways > 1 else None
    module = StateFromOutput(part, way == 1, of["batch_first"], None if outputs else made.module)
    return Instead(module, (outputs[0],) if outputs else made.given)


def _is_zero(state: Any) -> bool:
    return isinstance(state, fx.Node) and name_of(state) in ("zeros", "new_zeros", "zeros_like")


def _layer(of: type[nn.LSTM | nn.GRU], module: nn.Module) -> nn.Module | None:
    if type(module) is not of or module.proj_size:
        return None
    kind = "lstm" if of is nn.LSTM else "gru"
    weights = list(module.parameters())
    return UnrolledLayer(kind, weights, module.num_layers, module.bidirectional, module.batch_first)


LSTM = Rewrite("lstm-step-by-step", ("lstm",), partial(_recurrent, Unrolled), partial(_layer, nn.LSTM))
GRU = Rewrite("gru-step-by-step", ("gru",), partial(_recurrent, Unrolled), partial(_layer, nn.GRU))
STATE = Rewrite("last-state-from-output", ("select", "squeeze"), _state)
AS_LAYER = Rewrite("recurrence-as-layer", ("lstm", "gru"), partial(_recurrent, AsLayer))
