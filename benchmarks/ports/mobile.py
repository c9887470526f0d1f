"""Classifiers made for small computers, in miniature: depthwise convolutions and their company."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.ports.classifiers import ConvNormAct


class SqueezeExcite(nn.Module):
    """Channels weighted by what a small network makes of their means."""

    def __init__(self, width: int, act: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.down, self.up = nn.Conv2d(width, max(4, width // 4), 1), nn.Conv2d(max(4, width // 4), width, 1)
        self.act, self.gate = act, gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.up(self.act(self.down(self.pool(x)))))


class InvertedResidual(nn.Module):
    """Widen, depthwise, (squeeze and excite), narrow; a shortcut where the shape stays."""

    def __init__(
        self,
        width: int,
        wider: int,
        stride: int,
        act: type[nn.Module],
        kernel: int = 3,
        excite: nn.Module | None = None,
        expansion: int = 3,
    ) -> None:
        super().__init__()
        hidden = width * expansion
        self.expand = ConvNormAct(width, hidden, 1, act())
        self.depthwise = ConvNormAct(hidden, hidden, kernel, act(), stride, groups=hidden)
        self.excite = excite or nn.Identity()
        self.project = ConvNormAct(hidden, wider, 1, nn.Identity())
        self.keeps_shape = stride == 1 and width == wider

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.excite(self.depthwise(self.expand(x))))
        return x + y if self.keeps_shape else y


def mobilenet_v2(classes: int = 10) -> nn.Module:
    return nn.Sequential(
        ConvNormAct(3, 16, 3, nn.ReLU6(), 2),
        InvertedResidual(16, 16, 1, nn.ReLU6),
        InvertedResidual(16, 24, 2, nn.ReLU6),
        InvertedResidual(24, 24, 1, nn.ReLU6),
        ConvNormAct(24, 64, 1, nn.ReLU6()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64, classes),
    )


def mobilenet_v3(classes: int = 10) -> nn.Module:
    def excite(width: int) -> nn.Module:
        return SqueezeExcite(width, nn.ReLU(), nn.Hardsigmoid())

    return nn.Sequential(
        ConvNormAct(3, 16, 3, nn.Hardswish(), 2),
        InvertedResidual(16, 16, 1, nn.ReLU, excite=excite(48)),
        InvertedResidual(16, 24, 2, nn.Hardswish, kernel=5, excite=excite(48)),
        InvertedResidual(24, 24, 1, nn.Hardswish, kernel=5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 64),
        nn.Hardswish(),
        nn.Linear(64, classes),
    )


def efficientnet(classes: int = 10) -> nn.Module:
    def excite(width: int) -> nn.Module:
        return SqueezeExcite(width, nn.SiLU(), nn.Sigmoid())

    return nn.Sequential(
        ConvNormAct(3, 16, 3, nn.SiLU(), 2),
        InvertedResidual(16, 16, 1, nn.SiLU, excite=excite(48)),
        InvertedResidual(16, 24, 2, nn.SiLU, kernel=5, excite=excite(48)),
        InvertedResidual(24, 24, 1, nn.SiLU, excite=excite(72)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(24, classes),
    )


class ShuffleUnit(nn.Module):
    """Half the channels pass, half are convolved; then the channels are shuffled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch = nn.Sequential(
            ConvNormAct(half, half, 1, nn.ReLU()),
            ConvNormAct(half, half, 3, nn.Identity(), groups=half),
            ConvNormAct(half, half, 1, nn.ReLU()),
        )

    def forward(self, x: Tensor) -> Tensor:
        kept, worked = x.chunk(2, 1)
        x = torch.cat([kept, self.branch(worked)], 1)
        b, c, h, w = x.shape
        return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def shufflenet(classes: int = 10) -> nn.Module:
    return nn.Sequential(
        ConvNormAct(3, 24, 3, nn.ReLU(), 2),
        nn.MaxPool2d(3, 2, 1),
        ShuffleUnit(24),
        ShuffleUnit(24),
        ConvNormAct(24, 48, 1, nn.ReLU(), 2),
        ShuffleUnit(48),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, classes),
    )


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of (B, C, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7 x 7, normalisation over channels, a pointwise network scaled per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))  # (B, H, W, C)
        y = self.scale * self.narrow(nn.functional.gelu(self.widen(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext(classes: int = 10) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 24, 4, 4),
        ChannelNorm(24),
        ConvNeXtBlock(24),
        ChannelNorm(24),
        nn.Conv2d(24, 32, 2, 2),
        ConvNeXtBlock(32),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LayerNorm(32),
        nn.Linear(32, classes),
    )
