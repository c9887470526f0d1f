"""Small networks of the families that people port, each with the shape of its input."""

import torch
from torch import nn
from torch.nn import functional as F


def conv_bn(inputs, outputs, kernel=3, stride=1, groups=1, activation=nn.ReLU):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        activation(),
    )


def alexnet():
    """Local response normalisation, grouped convolutions, overlapping pooling, dropout."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 7, 2, 2),
        nn.ReLU(inplace=True),
        nn.LocalResponseNorm(5, alpha=0.1, beta=0.75, k=2.0),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(16, 24, 5, padding=2, groups=2),
        nn.ReLU(inplace=True),
        nn.LocalResponseNorm(5, alpha=0.1),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(24, 16, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d((3, 3)),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(144, 32),
        nn.ReLU(inplace=True),
        nn.Linear(32, 10),
        nn.Softmax(1),
    )


def vgg():
    return nn.Sequential(
        *(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(16 * 8 * 8, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10)),
    )


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.down = None
        if stride != 1 or inputs != outputs:
            self.down = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.down is None else self.down(x)
        return self.relu(out)


def resnet():
    """Its first pooling is where the rounding of PyTorch and Caffe part."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        Residual(8, 8, 1),
        Residual(8, 16, 2),
        Residual(16, 16, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


class Mixed(nn.Module):
    """Inception's block: branches side by side, one of them an average that counts its padding."""

    def __init__(self, inputs):
        super().__init__()
        self.one = conv_bn(inputs, 4, 1)
        self.three = nn.Sequential(conv_bn(inputs, 4, 1), conv_bn(4, 6, 3))
        self.five = nn.Sequential(conv_bn(inputs, 2, 1), conv_bn(2, 4, 5))
        self.pool = conv_bn(inputs, 4, 1)

    def forward(self, x):
        pooled = self.pool(F.avg_pool2d(x, 3, stride=1, padding=1))
        return torch.cat([self.one(x), self.three(x), self.five(x), pooled], 1)


def inception():
    return nn.Sequential(
        *(conv_bn(3, 8, 3, 2), nn.MaxPool2d(3, 2), Mixed(8), nn.MaxPool2d(3, 2, ceil_mode=True), Mixed(18)),
        *(nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Dropout(0.2), nn.Linear(18, 10)),
    )


class Squeeze(nn.Module):
    """Squeeze-and-excite: a factor for each channel of each input."""

    def __init__(self, channels):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x):
        weight = F.hardsigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))
        return x * weight


class Inverted(nn.Module):
    def __init__(self, inputs, outputs, stride, activation):
        super().__init__()
        wide = 3 * inputs
        self.adds = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            conv_bn(inputs, wide, 1, activation=activation),
            conv_bn(wide, wide, 3, stride, groups=wide, activation=activation),
            Squeeze(wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        return x + self.layers(x) if self.adds else self.layers(x)


def mobilenet():
    return nn.Sequential(
        conv_bn(3, 8, 3, 2, activation=nn.Hardswish),
        Inverted(8, 8, 1, nn.ReLU6),
        Inverted(8, 12, 2, nn.Hardswish),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 10),
    )


class Dense(nn.Module):
    def __init__(self, inputs, growth, count):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(inputs + i * growth),
                nn.ReLU(),
                nn.Conv2d(inputs + i * growth, growth, 3, padding=1, bias=False),
            )
            for i in range(count)
        )

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


def densenet():
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1), Dense(8, 4, 3), nn.BatchNorm2d(20), nn.ReLU(), nn.Conv2d(20, 10, 1)),
        *(nn.AvgPool2d(2), Dense(10, 4, 2), nn.BatchNorm2d(18), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(18, 10)),
    )


class UNet(nn.Module):
    """Deconvolution on the way up, bilinear at the end, skips that are cropped and joined."""

    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.bottom = conv_bn(3, 8), conv_bn(8, 12), conv_bn(12, 16)
        self.up2, self.join2 = nn.ConvTranspose2d(16, 12, 2, 2), conv_bn(24, 12)
        self.up1, self.join1 = nn.Upsample(scale_factor=2, mode="bilinear"), conv_bn(20, 8)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        deep = self.up2(self.bottom(F.max_pool2d(two, 2)))
        two = two[:, :, : deep.shape[2], : deep.shape[3]]
        joined = self.up1(self.join2(torch.cat([two, deep], 1)))
        one = one[:, :, 1 : 1 + joined.shape[2], 1 : 1 + joined.shape[3]]
        return self.head(self.join1(torch.cat([one, joined], 1)))


class Audio(nn.Module):
    """Series of sound: convolutions over one axis, a recurrent layer, a mean over time."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(2, 8, 5, 2, 2), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(3, 2))
        self.rnn = nn.GRU(8, 6, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 4)

    def forward(self, x):
        states, _ = self.rnn(self.conv(x).transpose(1, 2))
        return self.head(states.mean(1))


class Two(nn.Module):
    """Two inputs, two outputs, one of them also used inside."""

    def __init__(self):
        super().__init__()
        self.image, self.table, self.head = nn.Conv2d(3, 4, 3, 2), nn.Linear(5, 4), nn.Linear(8, 3)

    def forward(self, image, table):
        features = torch.cat([self.image(image).amax((2, 3)), torch.tanh(self.table(table))], 1)
        return self.head(features).log_softmax(1), features


class ConvNeXt(nn.Module):
    """Layer normalisation of channels and the exact GELU."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.depthwise, self.norm = nn.Conv2d(8, 8, 7, padding=3, groups=8), nn.LayerNorm(8)
        self.wide, self.narrow = nn.Linear(8, 16), nn.Linear(16, 8)
        self.scale = nn.Parameter(torch.full((8,), 0.5))
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.narrow(F.gelu(self.wide(y))) * self.scale
        x = x + y.permute(0, 3, 1, 2)
        return self.head(x.mean((2, 3)))


class Mixer(nn.Module):
    """Patches mixed across and along, without attention."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 8, 8)
        self.norm1, self.norm2 = nn.LayerNorm(12), nn.LayerNorm(12)
        self.tokens = nn.Sequential(nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 16))
        self.channels = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))
        self.position = nn.Parameter(torch.randn(1, 16, 12))
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2) + self.position
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return self.head((x + self.channels(self.norm2(x))).mean(1))


class VisionTransformer(nn.Module):
    """A class token before the patches, PyTorch's own encoder layer, and attention written out."""

    def __init__(self):
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, 12, 8, 8), nn.Parameter(torch.randn(1, 1, 12))
        self.position = nn.Parameter(torch.randn(1, 17, 12))
        self.encoder = nn.TransformerEncoderLayer(12, 3, 16, 0.0, batch_first=True)
        self.qkv, self.out, self.head = nn.Linear(12, 36), nn.Linear(12, 12), nn.Linear(12, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        x = self.encoder(x)
        q, k, v = self.qkv(x).unflatten(2, (3, 2, 6)).permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.out(((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).flatten(2))
        return self.head(x[:, 0])


IMAGE = (2, 3, 32, 32)
NETWORKS = {
    "AlexNet": (alexnet, [(2, 3, 67, 67)]),
    "VGG": (vgg, [IMAGE]),
    "ResNet": (resnet, [IMAGE]),
    "Inception": (inception, [IMAGE]),
    "MobileNet": (mobilenet, [IMAGE]),
    "DenseNet": (densenet, [IMAGE]),
    "U-Net": (UNet, [(2, 3, 35, 33)]),
    "audio": (Audio, [(2, 2, 40)]),
    "two inputs, two outputs": (Two, [IMAGE, (2, 5)]),
    "ConvNeXt": (ConvNeXt, [IMAGE]),
    "Mixer": (Mixer, [IMAGE]),
    "vision transformer": (VisionTransformer, [IMAGE]),
}


def lived_in(network, seed=0):
    """The network as if it had been trained: its norms are not as they were at the start."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
        if isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm):
            for parameter in module.parameters(recurse=False):
                nn.init.normal_(parameter, 1, 0.2)
    return network.eval()
