"""Transposed convolutions whose padding and groups a converter does not take."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from netwright.ports.rewrites.call import Call, Instead, Rewrite, one_number, single
from netwright.ports.rewrites.shapes import joined

_BY_AXES = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class TransposedAndCropped(nn.Module):
    """A transposed convolution of (N, C, …), each group by itself and without its padding, which is then cut
    off; where `output_padding` goes beyond it, zeros are laid on before the bias is added. A dilated kernel
    is a wider one with zeros between.

    `weight` is (C, C' / groups, …), `bias` (C',).
    """

    bias: Tensor | None

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        stride: Sequence[int],
        padding: Sequence[int],
        output_padding: Sequence[int],
        groups: int,
        dilation: Sequence[int],
    ) -> None:
        super().__init__()
        axes = range(weight.ndim - 2)
        self.stride = [one_number(stride, axis) for axis in axes]
        self.before = [one_number(padding, axis) for axis in axes]
        self.after = [one_number(padding, axis) - one_number(output_padding, axis) for axis in axes]
        self.each = weight.shape[0] // groups
        self.weights = nn.ParameterList(
            nn.Parameter(part, requires_grad=False) for part in _widened(weight, dilation).chunk(groups)
        )
        self.register_buffer("bias", None if bias is None else bias.detach().reshape(-1, *(1 for _ in axes)))
        self.transposed = _BY_AXES[len(axes)]

    def forward(self, x: Tensor) -> Tensor:
        found: list[Tensor] = []
        for group, weight in enumerate(self.weights):
            part = x if len(self.weights) == 1 else x[:, group * self.each : (group + 1) * self.each]
            found.append(self.transposed(part, weight, None, self.stride))
        whole = joined(found, 1)
        for axis, (before, after) in enumerate(zip(self.before, self.after, strict=True), 2):
            whole = whole.narrow(axis, before, whole.shape[axis] - before - max(0, after))
        if any(after < 0 for after in self.after):
            whole = F.pad(whole, [n for after in reversed(self.after) for n in (0, max(0, -after))])
        return whole if self.bias is None else whole + self.bias


def _widened(weight: Tensor, dilation: Sequence[int]) -> Tensor:
    """A kernel with zeros between its places."""
    every = [one_number(dilation, axis) for axis in range(weight.ndim - 2)]
    sizes = [(n - 1) * d + 1 for n, d in zip(weight.shape[2:], every, strict=True)]
    wide = weight.new_zeros(*weight.shape[:2], *sizes)
    wide[(..., *(slice(None, None, d) for d in every))] = weight.detach()
    return wide


def _transposed(call: Call) -> Instead | None:
    plain = call["groups"] == 1 and not any((*call["padding"], *call["output_padding"]))
    plain = plain and all(d == 1 for d in call["dilation"])
    if plain or not isinstance(call["weight"], Tensor):
        return None
    names = ("weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
    return single(TransposedAndCropped(*(call[name] for name in names)), call, "input")


TRANSPOSED = Rewrite(
    "transposed-convolution-cropped",
    ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    _transposed,
)
