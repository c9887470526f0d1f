"""Recurrent layers written out step by step.

Caffe's own LSTM takes marks of where sequences go on, orders its gates otherwise and is not in OpenCV's
importer; written out, every step is made of inner products and activations that both have. N inputs, T steps,
D features, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import fx

from netwright.ports.caffe.operators.activations import power, times
from netwright.ports.caffe.prototxt import Word
from netwright.ports.caffe.steps import Array, Shape, Step, Unsayable, cut, fixed, reshaped, shape_of, writes

MAX_STEPS = 512


@writes("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(
    step: Step,
    input: fx.Node,
    hx: Any,
    params: Sequence[Any],
    has_biases: bool,
    num_layers: int,
    dropout: float = 0.0,
    train: bool = False,
    bidirectional: bool = False,
    batch_first: bool = False,
) -> list[str | None]:
    """(N, T, D) -> (N, T, H) and the last states, (layers, N, H); T comes first without `batch_first`."""
    for state in hx if isinstance(hx, list | tuple) else [hx]:
        if not step.is_constant(state) or step.array(state).any():
            raise Unsayable("starts from states that are given", "start recurrent layers from zeros")
    shape = shape_of(input)
    time = 1 if batch_first else 0
    count, batch = fixed(shape[time : time + 1])[0], shape[1 - time]
    directions = 2 if bidirectional else 1
    if count * num_layers * directions > MAX_STEPS:
        raise Unsayable(
            f"is {count * num_layers * directions} steps long, written out",
            f"keep it below {MAX_STEPS} steps",
        )
    arrays = [step.array(parameter) for parameter in params]
    each = 4 if has_biases else 2
    whole, finals = step.blob(input), list[tuple[str, ...]]()
    for layer in range(num_layers):
        made: list[list[str]] = []
        for direction in range(directions):
            weights = arrays[(layer * directions + direction) * each :][:each]
            states, last = _direction(step, whole, shape, time, weights, backwards=direction == 1)
            made.append(states)
            finals.append(last)
        outputs = [
            made[0][t] if directions == 1 else step("Concat", made[0][t], made[1][t]) for t in range(count)
        ]
        hidden = arrays[1].shape[1] * directions
        shape = (shape[0], shape[1], hidden)
        whole = _stacked(step, outputs, (batch, hidden), time)
    lasts = [
        _stacked(step, [final[which] for final in finals], (batch, arrays[1].shape[1]), 0)
        if which + 1 in step.used
        else None
        for which in range(len(finals[0]))
    ]
    return [whole, *lasts]


def _stacked(step: Step, blobs: Sequence[str], shape: Shape, axis: int) -> str:
    """Blobs (N, H) one behind the other along a new axis."""
    single: Shape = (*shape[:axis], 1, *shape[axis:])
    rows = [reshaped(step, blob, shape, single) for blob in blobs]
    return rows[0] if len(rows) == 1 else step("Concat", *rows, concat_param={"axis": axis})


def _direction(
    step: Step, blob: str, shape: Shape, time: int, weights: Sequence[Array], *, backwards: bool
) -> tuple[list[str], tuple[str, ...]]:
    """The hidden state at each step, and the states at the end of one pass over the sequence."""
    hidden = weights[1].shape[1]
    gates = len(weights[1])
    biases = list(weights[2:]) or [np.zeros(gates, np.float32)] * 2
    count = fixed(shape[time : time + 1])[0]
    settings = {"num_output": gates, "axis": 2}
    driven = step(
        "InnerProduct", blob, part="input", weights=[weights[0], biases[0]], inner_product_param=settings
    )
    points = list(range(1, count))
    tops = [driven]
    if points:
        tops = step.several(
            "Slice", [driven], count, part="step", slice_param={"axis": time, "slice_point": points}
        )
    wide, narrow = (*shape[:time], 1, *shape[time + 1 : 2], gates), (shape[1 - time], gates)
    steps = [reshaped(step, top, wide, narrow) for top in tops]
    zero = power(step, cut(step, steps[0], 1, 0, hidden, gates), scale=0.0)
    move = _MOVES[step.operator]
    states: tuple[str, ...] = (zero, zero) if step.operator == "lstm" else (zero,)
    found: list[str] = []
    for inward in reversed(steps) if backwards else steps:
        fed = {"num_output": gates}
        from_hidden = step(
            "InnerProduct", states[0], part="hidden", weights=[weights[1], biases[1]], inner_product_param=fed
        )
        states = move(step, inward, from_hidden, states, hidden)
        found.append(states[0])
    return (found[::-1] if backwards else found), states


def _sum(step: Step, *blobs: str) -> str:
    return step("Eltwise", *blobs, part="sum", eltwise_param={"operation": Word("SUM")})


def _parts(step: Step, blob: str, hidden: int, count: int) -> list[str]:
    points = [hidden * index for index in range(1, count)]
    return step.several("Slice", [blob], count, part="gates", slice_param={"axis": 1, "slice_point": points})


def _lstm(step: Step, inward: str, from_hidden: str, states: tuple[str, ...], hidden: int) -> tuple[str, ...]:
    """PyTorch's gates come in the order i, f, g, o; Caffe's own would be i, f, o, g."""
    i, f, g, o = _parts(step, _sum(step, inward, from_hidden), hidden, 4)
    kept = times(step, step("Sigmoid", f), states[1])
    cell = _sum(step, kept, times(step, step("Sigmoid", i), step("TanH", g)))
    return times(step, step("Sigmoid", o), step("TanH", cell)), cell


def _gru(step: Step, inward: str, from_hidden: str, states: tuple[str, ...], hidden: int) -> tuple[str, ...]:
    """h' = n + z · (h - n), with n = tanh(x + r · h)."""
    reset_in, update_in, new_in = _parts(step, inward, hidden, 3)
    reset_h, update_h, new_h = _parts(step, from_hidden, hidden, 3)
    reset = step("Sigmoid", _sum(step, reset_in, reset_h))
    update = step("Sigmoid", _sum(step, update_in, update_h))
    new = step("TanH", _sum(step, new_in, times(step, reset, new_h)))
    settings = {"operation": Word("SUM"), "coeff": [1.0, -1.0]}
    change = step("Eltwise", states[0], new, part="change", eltwise_param=settings)
    return (_sum(step, new, times(step, update, change)),)


def _plain(kind: str) -> Callable[..., tuple[str, ...]]:
    def move(
        step: Step, inward: str, from_hidden: str, states: tuple[str, ...], hidden: int
    ) -> tuple[str, ...]:
        return (step(kind, _sum(step, inward, from_hidden)),)

    return move


_MOVES: dict[str, Callable[..., tuple[str, ...]]] = {
    "lstm": _lstm,
    "gru": _gru,
    "rnn_tanh": _plain("TanH"),
    "rnn_relu": _plain("ReLU"),
}
