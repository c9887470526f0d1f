"""Transposed convolutions whose borders and groups a converter does not take."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from netwright.ports.rewrites.call import Call, Instead, Rewrite, one_number, single
from netwright.ports.rewrites.shapes import joined

_BY_AXES = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class TransposedAndCropped(nn.Module):
    """A transposed convolution of (N, C, …), each group by itself and without its padding, which is then cut
    off; where `output_padding` goes beyond it, zeros are laid on before the bias is added.

    `weight` is (C, C' / groups, …), `bias` (C',).
    """

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
        self.dilation = [one_number(dilation, axis) for axis in axes]
        self.before = [one_number(padding, axis) for axis in axes]
        self.after = [one_number(padding, axis) - one_number(output_padding, axis) for axis in axes]
        self.each = weight.shape[0] // groups
        self.weights = nn.ParameterList(
            nn.Parameter(part, requires_grad=False) for part in weight.detach().chunk(groups)
        )
        self.register_buffer("bias", None if bias is None else bias.detach().reshape(-1, *(1 for _ in axes)))
        self.transposed = _BY_AXES[len(axes)]

    def forward(self, x: Tensor) -> Tensor:
        found: list[Tensor] = []
        for group, weight in enumerate(self.weights):
            part = x if len(self.weights) == 1 else x[:, group * self.each : (group + 1) * self.each]
            found.append(self.transposed(part, weight, None, self.stride, dilation=self.dilation))
        whole = joined(found, 1)
        for axis, (before, after) in enumerate(zip(self.before, self.after, strict=True), 2):
            whole = whole.narrow(axis, before, whole.shape[axis] - before - max(0, after))
        if any(after < 0 for after in self.after):
            whole = F.pad(whole, [n for after in reversed(self.after) for n in (0, max(0, -after))])
        return whole if self.bias is None else whole + self.bias


def _transposed(call: Call) -> Instead | None:
    ungrouped = call["groups"] == 1
    if (ungrouped and not any(call["output_padding"])) or not isinstance(call["weight"], Tensor):
        return None
    names = ("weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
    return single(TransposedAndCropped(*(call[name] for name in names)), call, "input")


TRANSPOSED = Rewrite(
    "transposed-convolution-cropped",
    ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    _transposed,
)
