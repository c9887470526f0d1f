"""Caffe's lookups and recurrent layers. N inputs, T steps, D features."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Embed(nn.Module):
    """A row of the weight for each number of the blob, which holds whole numbers."""

    def __init__(self, count: int, features: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, features))
        self.bias = nn.Parameter(torch.empty(features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, blob: Tensor) -> Tensor:
        rows = F.embedding(blob.long(), self.weight)
        return rows if self.bias is None else rows + self.bias


class LSTM(nn.Module):
    """(T, N, ...) and the (T, N) marks of where a sequence goes on -> (T, N, D); gates i, f, o, g."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.weight_input = nn.Parameter(torch.empty(4 * hidden, features))
        self.bias = nn.Parameter(torch.empty(4 * hidden))
        self.weight_hidden = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.weight_hidden.shape[1])
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, blob: Tensor, goes_on: Tensor) -> Tensor:
        gates = F.linear(blob.flatten(2), self.weight_input, self.bias)
        hidden = cell = gates.new_zeros(gates.shape[1], self.weight_hidden.shape[1])
        steps: list[Tensor] = []
        for step, mark in zip(gates, goes_on.unsqueeze(-1), strict=True):
            inward, forget, outward, new = (step + F.linear(hidden * mark, self.weight_hidden)).chunk(4, 1)
            cell = mark * forget.sigmoid() * cell + inward.sigmoid() * new.tanh()
            hidden = outward.sigmoid() * cell.tanh()
            steps.append(hidden)
        return torch.stack(steps)


class RNN(nn.Module):
    """(T, N, ...) and the (T, N) marks -> (T, N, D): a tanh layer over time, and a tanh layer on top."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.weight_input = nn.Parameter(torch.empty(hidden, features))
        self.bias = nn.Parameter(torch.empty(hidden))
        self.weight_hidden = nn.Parameter(torch.empty(hidden, hidden))
        self.weight_output = nn.Parameter(torch.empty(hidden, hidden))
        self.bias_output = nn.Parameter(torch.empty(hidden))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.weight_hidden.shape[1])
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, blob: Tensor, goes_on: Tensor) -> Tensor:
        driven = F.linear(blob.flatten(2), self.weight_input, self.bias)
        hidden = driven.new_zeros(driven.shape[1:])
        steps: list[Tensor] = []
        for step, mark in zip(driven, goes_on.unsqueeze(-1), strict=True):
            hidden = torch.tanh(step + F.linear(hidden * mark, self.weight_hidden))
            steps.append(torch.tanh(F.linear(hidden, self.weight_output, self.bias_output)))
        return torch.stack(steps)
