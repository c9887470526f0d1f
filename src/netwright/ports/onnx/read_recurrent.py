"""Recurrent layers in ONNX's layout around PyTorch's own.

Shapes: T time, B batch, I inputs, H hidden, D directions (1 or 2).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from netwright.ports.onnx.read_call import Call, Emit
from netwright.ports.onnx.read_gathering import reversed_sequences
from netwright.ports.onnx.read_graph import Value

# ONNX's order of the gates, as the places of PyTorch's: LSTM i o f c -> i f g o, GRU z r h -> r z n.
_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}


class Recurrent(nn.Module):
    """`layer` (an `nn.LSTM`, `nn.GRU` or `nn.RNN`) with ONNX's inputs and outputs: (T, B, I) in; all steps
    (T, D, B, H), the last hidden states (D, B, H) and, of an LSTM, the last cell states out."""

    def __init__(self, layer: nn.RNNBase, backwards: bool, batch_first: bool) -> None:
        super().__init__()
        self.layer, self.backwards, self.batch_first = layer, backwards, batch_first

    def extra_repr(self) -> str:
        return f"backwards={self.backwards}, batch_first={self.batch_first}"

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        hidden: Tensor | None = None,
        cell: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        if self.batch_first:
            x = x.transpose(0, 1)
            hidden, cell = (None if state is None else state.transpose(0, 1) for state in (hidden, cell))
        if self.backwards:
            x = self._turned(x, lengths)
        steps, state = self._run(x, lengths, self._state(x, hidden, cell))
        directions = 2 if self.layer.bidirectional else 1
        if self.backwards:
            steps = self._turned(steps, lengths)
        steps = steps.unflatten(2, (directions, -1)).transpose(1, 2)  # (T, D, B, H)
        last = state if isinstance(state, tuple) else (state,)
        if self.batch_first:
            return steps.permute(2, 0, 1, 3), *(part.transpose(0, 1) for part in last)
        return steps, *last

    def _turned(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return torch.flip(x, (0,)) if lengths is None else reversed_sequences(x, lengths, 0, 1)

    def _state(self, x: Tensor, hidden: Tensor | None, cell: Tensor | None) -> Any:
        if hidden is None and cell is None:
            return None
        directions = 2 if self.layer.bidirectional else 1
        zeros = x.new_zeros(directions, x.shape[1], self.layer.hidden_size)
        first = zeros if hidden is None else hidden.contiguous()
        if not isinstance(self.layer, nn.LSTM):
            return first
        return first, zeros if cell is None else cell.contiguous()

    def _run(self, x: Tensor, lengths: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        if lengths is None or bool((lengths == x.shape[0]).all()):
            return self.layer(x, state)
        packed = pack_padded_sequence(x, lengths.to("cpu", torch.int64), enforce_sorted=False)
        steps, last = self.layer(packed, state)
        return pad_packed_sequence(steps, total_length=x.shape[0])[0], last


class Cells(nn.Module):
    """Cells that PyTorch has no layer for, step by step: a GRU that resets before its product, ONNX's
    default, and an LSTM with peepholes. One direction."""

    def __init__(
        self, kind: str, weights: tuple[nn.Parameter, nn.Parameter, nn.Parameter | None], peep: Any
    ) -> None:
        super().__init__()
        self.kind = kind
        self.weight_ih, self.weight_hh, self.bias = (
            weights  # (gates · H, I), (gates · H, H), (2 · gates · H,)
        )
        self.peepholes = peep  # (3 · H,) for i, o and f
        self.hidden_size = self.weight_hh.shape[1]

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs: list[Tensor] = []
        halves = torch.zeros(2, 1) if self.bias is None else self.bias.reshape(2, -1)
        inputs = x @ self.weight_ih.T + halves[0]  # (T, B, gates · H)
        for step in inputs:
            if self.kind == "GRU":
                hidden = self._gru(step, hidden, halves[1])
            else:
                hidden, cell = self._lstm(step + halves[1], hidden, cell)
            outputs.append(hidden)
        return torch.stack(outputs), hidden, cell

    def _gru(self, step: Tensor, hidden: Tensor, bias: Tensor) -> Tensor:
        size = self.hidden_size
        bias = bias.expand(3 * size)
        gates = step[:, : 2 * size] + hidden @ self.weight_hh[: 2 * size].T + bias[: 2 * size]
        update, reset = torch.sigmoid(gates).chunk(2, 1)
        new = step[:, 2 * size :] + (reset * hidden) @ self.weight_hh[2 * size :].T + bias[2 * size :]
        return (1 - update) * torch.tanh(new) + update * hidden

    def _lstm(self, step: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        i, o, f, c = (step + hidden @ self.weight_hh.T).chunk(4, 1)
        to_i, to_o, to_f = self.peepholes.chunk(3) if self.peepholes is not None else (0, 0, 0)
        i, f = torch.sigmoid(i + to_i * cell), torch.sigmoid(f + to_f * cell)
        cell = f * cell + i * torch.tanh(c)
        return torch.sigmoid(o + to_o * cell) * torch.tanh(cell), cell


class RecurrentCells(nn.Module):
    """`Cells`, one for each direction, with ONNX's inputs and outputs."""

    def __init__(self, cells: list[Cells], backwards: bool, batch_first: bool) -> None:
        super().__init__()
        self.cells, self.hidden_size = nn.ModuleList(cells), cells[0].hidden_size
        self.backwards, self.batch_first = backwards, batch_first

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        hidden: Tensor | None = None,
        cell: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        if lengths is not None and not bool((lengths == x.shape[1 if self.batch_first else 0]).all()):
            raise ValueError(
                "sequences of unequal lengths are not run through these cells; pad them to one length"
            )
        if self.batch_first:
            x = x.transpose(0, 1)
            hidden, cell = (None if state is None else state.transpose(0, 1) for state in (hidden, cell))
        made: list[tuple[Tensor, Tensor, Tensor]] = []
        for at, cells in enumerate(self.cells):
            zeros = x.new_zeros(x.shape[1], self.hidden_size)
            first = zeros if hidden is None else hidden[at], zeros if cell is None else cell[at]
            turn = self.backwards or at == 1
            steps, *last = cells(torch.flip(x, (0,)) if turn else x, *first)
            made.append((torch.flip(steps, (0,)) if turn else steps, *last))
        steps, hidden, cell = (
            torch.stack(part, 1 if k == 0 else 0) for k, part in enumerate(zip(*made, strict=True))
        )
        if self.batch_first:
            return steps.permute(2, 0, 1, 3), hidden.transpose(0, 1), cell.transpose(0, 1)
        return steps, hidden, cell


# How operators are drawn


def _recurrent(call: Call) -> Value:
    kind, direction = call.kind, call.attr("direction", "forward")
    w, r, b, peep = (call.constant(index) for index in (1, 2, 3, 7))
    if w is None or r is None or (call.has(3) and b is None):
        raise call.error(
            "has weights that are computed, which is not read; make them constants before the export"
        )
    directions = 2 if direction == "bidirectional" else 1
    size = r.shape[-1]
    gates = len(_GATES[kind])
    fits = w.ndim == r.ndim == 3 and w.shape[:2] == r.shape[:2] == (directions, gates * size)
    if not fits or (b is not None and b.shape != (directions, 2 * gates * size)):
        raise call.error(
            f"has weights {list(w.shape)} and {list(r.shape)}, which do not fit; export it again"
        )
    if call.attr("clip") or call.attr("input_forget", 0):
        raise call.error(
            "clips or couples its gates, which is not read; export it without clip and input_forget"
        )
    given = call.attr("activations") or (["Tanh"] if kind == "RNN" else _ACTIVATIONS[kind]) * directions
    usual = [name.lower() for name in (["Tanh"] if kind == "RNN" else _ACTIVATIONS[kind]) * directions]
    names = [name.lower() for name in given]
    nonlinearity = (
        names[0] if kind == "RNN" and set(names) <= {"tanh", "relu"} and len(set(names)) == 1 else None
    )
    if names != usual and nonlinearity is None:
        raise call.error(f"has the activations {given[:6]}, which are not read; use the usual ones")
    backwards, batch_first = direction == "reverse", bool(call.attr("layout", 0))
    states = [call.tensor(index) for index in ((4, 5, 6) if kind == "LSTM" else (4, 5))]
    layer: nn.Module
    if peep is not None or (kind == "GRU" and not call.attr("linear_before_reset", 0)):
        layer = RecurrentCells(_cells(kind, w, r, b, peep), backwards, batch_first)
    else:
        inner = _layer(call, kind, w, r, b, nonlinearity)
        layer = Recurrent(inner, backwards, batch_first)
    made = call.layer(layer, call.tensor(0), *states, weight=1)
    return tuple(call.parts(made, len(call.node.output)))


def _cells(kind: str, w: Tensor, r: Tensor, b: Tensor | None, peep: Tensor | None) -> list[Cells]:
    def one(tensor: Tensor | None, at: int) -> nn.Parameter | None:
        return None if tensor is None else nn.Parameter(tensor[at].clone())

    each = range(w.shape[0])
    return [
        Cells(kind, (nn.Parameter(w[at].clone()), nn.Parameter(r[at].clone()), one(b, at)), one(peep, at))
        for at in each
    ]


def _layer(
    call: Call, kind: str, w: Tensor, r: Tensor, b: Tensor | None, nonlinearity: str | None
) -> nn.RNNBase:
    """PyTorch's layer with ONNX's weights, whose gates are in another order."""
    options: dict[str, Any] = {"bias": b is not None, "bidirectional": w.shape[0] == 2, "dtype": w.dtype}
    if kind == "RNN":
        options["nonlinearity"] = nonlinearity
    made: Any = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}[kind]
    layer: nn.RNNBase = made(w.shape[2], r.shape[2], device="meta", **options)
    if not w.is_floating_point() or w.dtype != r.dtype:
        raise call.error("has weights that are not of one floating-point type; cast them before the export")

    def ordered(rows: Tensor) -> nn.Parameter:
        parts = rows.chunk(len(_GATES[kind]))
        return nn.Parameter(torch.cat([parts[gate] for gate in _GATES[kind]]))

    for at in range(w.shape[0]):
        end = "_reverse" if at else ""
        setattr(layer, f"weight_ih_l0{end}", ordered(w[at]))
        setattr(layer, f"weight_hh_l0{end}", ordered(r[at]))
        if b is not None:
            first, second = b[at].chunk(2)
            setattr(layer, f"bias_ih_l0{end}", ordered(first))
            setattr(layer, f"bias_hh_l0{end}", ordered(second))
    return layer


RECURRENT: dict[str, Emit] = dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent)
