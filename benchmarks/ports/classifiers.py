"""Convolutional classifiers of images in miniature, each with the traits that ports stumble over.

Shapes: B batch, C channels, H and W height and width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AlexNet(nn.Module):
    """Grouped convolutions, local response normalisation, overlapping pooling, dropout."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 24, 5, stride=1, padding=2),
            nn.ReLU(),
            nn.LocalResponseNorm(5, alpha=1e-2, beta=0.75, k=2.0),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(24, 48, 5, padding=2, groups=2),
            nn.ReLU(),
            nn.LocalResponseNorm(5, alpha=1e-2, beta=0.75, k=2.0),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(48, 48, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(48, 32, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(32 * 3 * 3, 64),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(64, classes),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.features(image), 1))


def vgg(classes: int = 10) -> nn.Module:
    layers: list[nn.Module] = []
    width = 3
    for wider, repeats in ((16, 1), (32, 2), (48, 2)):
        for _ in range(repeats):
            layers += [nn.Conv2d(width, wider, 3, padding=1), nn.ReLU(inplace=True)]
            width = wider
        layers.append(nn.MaxPool2d(2, 2))
    head = (
        nn.Flatten(),
        nn.Linear(48 * 4 * 4, 64),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(64, classes),
    )
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), *head)


class Basic(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    widening = 1

    def __init__(self, width: int, wider: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, wider, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(wider)
        self.conv2 = nn.Conv2d(wider, wider, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(wider)
        self.shortcut = shortcut(width, wider, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 with the stride, 1 x 1 to four times the width, beside a shortcut."""

    widening = 4

    def __init__(self, width: int, narrow: int, stride: int) -> None:
        super().__init__()
        wide = narrow * self.widening
        self.conv1, self.norm1 = nn.Conv2d(width, narrow, 1, bias=False), nn.BatchNorm2d(narrow)
        self.conv2, self.norm2 = nn.Conv2d(narrow, narrow, 3, stride, 1, bias=False), nn.BatchNorm2d(narrow)
        self.conv3, self.norm3 = nn.Conv2d(narrow, wide, 1, bias=False), nn.BatchNorm2d(wide)
        self.shortcut = shortcut(width, wide, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.norm3(self.conv3(y)) + self.shortcut(x))


def shortcut(width: int, wider: int, stride: int) -> nn.Module:
    if stride == 1 and width == wider:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(width, wider, 1, stride, bias=False), nn.BatchNorm2d(wider))


class ResNet(nn.Module):
    """A stem that quarters the image with a padded max pooling, stages of residual blocks, global pooling."""

    def __init__(
        self,
        block: type[Basic] | type[Bottleneck],
        blocks: Sequence[int],
        width: int = 16,
        stem_kernel: int = 3,
        classes: int = 10,
    ) -> None:
        super().__init__()
        stem = nn.Conv2d(3, width, stem_kernel, 2, stem_kernel // 2, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        stages: list[nn.Module] = []
        incoming = width
        for stage, repeats in enumerate(blocks):
            for repeat in range(repeats):
                stride = 2 if stage and not repeat else 1
                stages.append(block(incoming, width << stage, stride))
                incoming = (width << stage) * block.widening
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(incoming, classes)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(image)).mean((2, 3)))


class ConvNormAct(nn.Sequential):
    def __init__(
        self, width: int, wider: int, kernel: int, act: nn.Module, stride: int = 1, groups: int = 1
    ) -> None:
        conv = nn.Conv2d(width, wider, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(wider, eps=1e-3), act)


class InceptionBlock(nn.Module):
    """Four branches concatenated, one of them a padded average pooling."""

    def __init__(self, width: int, branch: int) -> None:
        super().__init__()
        self.pointwise = ConvNormAct(width, branch, 1, nn.ReLU())
        self.square = nn.Sequential(
            ConvNormAct(width, branch, 1, nn.ReLU()), ConvNormAct(branch, branch, 3, nn.ReLU())
        )
        self.cross = nn.Sequential(
            ConvNormAct(width, branch, 1, nn.ReLU()),
            nn.Conv2d(branch, branch, (1, 3), padding=(0, 1)),
            nn.Conv2d(branch, branch, (3, 1), padding=(1, 0)),
            nn.ReLU(),
        )
        self.pooled = nn.Sequential(nn.AvgPool2d(3, 1, 1), ConvNormAct(width, branch, 1, nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.pointwise(x), self.square(x), self.cross(x), self.pooled(x)], 1)


def inception(classes: int = 10) -> nn.Module:
    return nn.Sequential(
        ConvNormAct(3, 16, 3, nn.ReLU(), stride=2),
        InceptionBlock(16, 12),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        InceptionBlock(48, 12),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, classes),
    )


def googlenet(classes: int = 10) -> nn.Module:
    """Its poolings round up."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 5, 2, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.LocalResponseNorm(5, alpha=1e-2),
        nn.Conv2d(24, 24, 3, padding=1),
        nn.ReLU(),
        nn.LocalResponseNorm(5, alpha=1e-2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        InceptionBlock(24, 12),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Linear(48 * 2 * 2, classes),
    )


class DenseNet(nn.Module):
    """Every layer sees all before it; norm before convolution; average pooling between blocks."""

    def __init__(self, classes: int = 10, growth: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        width = 16
        for _ in range(2):
            block = nn.ModuleList()
            for _ in range(3):
                conv = nn.Conv2d(width, growth, 3, padding=1, bias=False)
                block.append(nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), conv))
                width += growth
            self.blocks.append(block)
            narrower = (nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width // 2, 1), nn.AvgPool2d(2))
            self.transitions.append(nn.Sequential(*narrower))
            width //= 2
        self.head = nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        for block, transition in zip(self.blocks, self.transitions, strict=True):
            for layer in block:  # type: ignore[union-attr]
                x = torch.cat([x, layer(x)], 1)
            x = transition(x)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Fire(nn.Module):
    """A 1 x 1 squeeze, then 1 x 1 and 3 x 3 side by side."""

    def __init__(self, width: int, narrow: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, narrow, 1)
        self.expand1, self.expand3 = nn.Conv2d(narrow, wide, 1), nn.Conv2d(narrow, wide, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1(x)), F.relu(self.expand3(x))], 1)


def squeezenet(classes: int = 10) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(24, 8, 16),
        Fire(32, 8, 16),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(32, 12, 24),
        nn.Dropout(0.5),
        nn.Conv2d(48, classes, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
