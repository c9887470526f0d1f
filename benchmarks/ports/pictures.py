"""Networks whose outputs are pictures, and networks of less usual layers, in miniature."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def twice(width: int, wider: int) -> nn.Module:
    first, second = nn.Conv2d(width, wider, 3, padding=1), nn.Conv2d(wider, wider, 3, padding=1)
    return nn.Sequential(first, nn.BatchNorm2d(wider), nn.ReLU(), second, nn.BatchNorm2d(wider), nn.ReLU())


class UNet(nn.Module):
    """Down twice, up twice by transposed convolution or bilinearly, joined with what was on the way."""

    def __init__(self, transposed: bool, classes: int = 3) -> None:
        super().__init__()
        self.down1, self.down2, self.bottom = twice(3, 8), twice(8, 16), twice(16, 32)
        self.up2, self.up1 = self.up(32, 16, transposed), self.up(16, 8, transposed)
        self.join2, self.join1 = twice(32, 16), twice(16, 8)
        self.head = nn.Conv2d(8, classes, 1)

    @staticmethod
    def up(width: int, narrower: int, transposed: bool) -> nn.Module:
        if transposed:
            return nn.ConvTranspose2d(width, narrower, 2, 2)
        smooth = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        return nn.Sequential(smooth, nn.Conv2d(width, narrower, 1))

    def forward(self, image: Tensor) -> Tensor:
        first = self.down1(image)
        second = self.down2(F.max_pool2d(first, 2))
        x = self.bottom(F.max_pool2d(second, 2))
        x = self.join2(torch.cat([self.up2(x), second], 1))
        x = self.join1(torch.cat([self.up1(x), first], 1))
        return self.head(x)


class FCN(nn.Module):
    """Scores at an eighth and a quarter of the size, added, and brought to the size of the image."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.quarter = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.ReLU()
        )
        self.eighth = nn.Sequential(
            nn.Conv2d(24, 32, 3, 2, padding=2, dilation=2), nn.BatchNorm2d(32), nn.ReLU()
        )
        self.coarse, self.fine = nn.Conv2d(32, classes, 1), nn.Conv2d(24, classes, 1)
        self.enlarge = nn.ConvTranspose2d(classes, classes, 4, 2, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        quarter = self.quarter(image)
        scores = self.enlarge(self.coarse(self.eighth(quarter))) + self.fine(quarter)
        return F.interpolate(scores, size=(32, 32), mode="bilinear", align_corners=False)


class SuperResolution(nn.Module):
    """Three times the size by rearranged channels, added to the nearest neighbour."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 24, 5, padding=2), nn.Tanh(), nn.Conv2d(24, 24, 3, padding=1), nn.Tanh()
        )
        self.tail, self.shuffle = nn.Conv2d(24, 9, 3, padding=1), nn.PixelShuffle(3)

    def forward(self, image: Tensor) -> Tensor:
        details = self.shuffle(self.tail(self.body(image)))
        return details + F.interpolate(image, scale_factor=3, mode="nearest")


class Autoencoder(nn.Module):
    """Strided convolutions to a code of 16 numbers, and back by transposed ones with output padding."""

    def __init__(self, code: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 12, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(12, 24, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(24 * 4 * 4, code),
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, 24 * 4 * 4),
            nn.ReLU(),
            nn.Unflatten(1, (24, 4, 4)),
            nn.ConvTranspose2d(24, 12, 3, 2, 1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(12, 1, 3, 2, 1, output_padding=1),
            nn.Sigmoid(),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.decoder(self.encoder(image))


def activations(classes: int = 10) -> nn.Module:
    """One layer for each activation that is not a ReLU."""
    kinds = (
        nn.PReLU(16, init=0.2),
        nn.LeakyReLU(0.1),
        nn.ELU(0.8),
        nn.SELU(),
        nn.Softplus(beta=1.0),
        nn.CELU(0.7),
        nn.Mish(),
        nn.Softsign(),
        nn.PReLU(),
    )
    layers: list[nn.Module] = [nn.Conv2d(1, 16, 3, padding=1)]
    for kind in kinds:
        layers += [kind, nn.Conv2d(16, 16, 3, padding=1)]
    head = (nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 4 * 4, classes), nn.LogSoftmax(1))
    return nn.Sequential(*layers, *head)


def group_norm(classes: int = 10) -> nn.Module:
    """Group and instance normalisation, with reflected and replicated borders."""
    return nn.Sequential(
        nn.ReflectionPad2d(1),
        nn.Conv2d(3, 24, 3),
        nn.GroupNorm(4, 24),
        nn.ReLU(),
        nn.ReplicationPad2d(1),
        nn.Conv2d(24, 24, 3, stride=2),
        nn.InstanceNorm2d(24, affine=True),
        nn.ReLU(),
        nn.Conv2d(24, 24, 3, padding=1),
        nn.InstanceNorm2d(24),
        nn.ReLU(),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Linear(24 * 4 * 4, classes),
    )


class ImageAndTable(nn.Module):
    """Two inputs: an image and a row of a table, joined late."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(3, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        )
        self.table = nn.Sequential(nn.BatchNorm1d(7), nn.Linear(7, 16), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(12 * 4 + 16, 32), nn.ReLU(), nn.Linear(32, classes))

    def forward(self, image: Tensor, row: Tensor) -> Tensor:
        return self.head(torch.cat([self.image(image), self.table(row)], 1))


class ClassAndBox(nn.Module):
    """Two outputs: probabilities of classes and a box in 0…1."""

    def __init__(self, classes: int = 6) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1), nn.ReLU()
        )
        self.classes, self.box = nn.Linear(24, classes), nn.Linear(24, 4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(image)
        return self.classes(x.mean((2, 3))).softmax(1), self.box(x.amax((2, 3))).sigmoid()
