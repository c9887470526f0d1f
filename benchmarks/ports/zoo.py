"""Networks of our own definition that ports are measured on: honest miniatures with the traits of their kind.

`ZOO[name]()` returns the network in eval mode, with seeded weights and batch-norm statistics of inputs like
its own, and a tuple of inputs of batch 4. `resnet50()` has the real size and is not part of `ZOO`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.ports import classifiers, mobile, pictures, series

Specimen = tuple[nn.Module, tuple[Tensor, ...]]
BATCH = 4


def specimen(
    build: Callable[[], nn.Module], *shapes: tuple[int, ...], words: int = 0, seed: int = 0
) -> Specimen:
    """The network that `build` makes and inputs of `shapes` (without the batch), whose mean is not 0 so that
    borders show; with `words` the inputs are tokens below it. The caller's random state is left as it was."""

    def batch() -> tuple[Tensor, ...]:
        if words:
            return tuple(torch.randint(0, words, (BATCH, *shape)) for shape in shapes)
        return tuple(0.5 + torch.randn(BATCH, *shape) for shape in shapes)

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = build()
        enliven(network)
        settle(network, batch)
        return network.eval(), batch()


def enliven(network: nn.Module) -> None:
    """Weights that keep the signal's size from layer to layer, and biases and scales that are not their
    defaults: what a port forgets then shows."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        affine = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm)
        if affine or isinstance(module, nn.InstanceNorm2d):
            for name, parameter in module.named_parameters(recurse=False):
                nn.init.normal_(parameter, mean=1.0 if name == "weight" else 0.0, std=0.2)


def settle(network: nn.Module, batch: Callable[[], tuple[Tensor, ...]], batches: int = 8) -> None:
    """Batch-norm statistics as the mean over some batches."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the plain mean over all batches seen
    network.train()
    for _ in range(batches if norms else 0):
        network(*batch())
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def resnet50() -> Specimen:
    """A ResNet-50 of the real size: 25.6 M parameters, 1000 classes, images 3 x 224 x 224."""
    real = partial(classifiers.ResNet, classifiers.Bottleneck, (3, 4, 6, 3), 64, 7, 1000)
    return specimen(real, (3, 224, 224))


RGB, GREY = (3, 32, 32), (1, 8, 8)

ZOO: dict[str, Callable[[], Specimen]] = {
    "alexnet": partial(specimen, classifiers.AlexNet, RGB),
    "vgg": partial(specimen, classifiers.vgg, RGB),
    "resnet": partial(specimen, partial(classifiers.ResNet, classifiers.Basic, (1, 2, 1)), RGB),
    "resnet-bottleneck": partial(
        specimen, partial(classifiers.ResNet, classifiers.Bottleneck, (1, 1), 12), RGB
    ),
    "inception": partial(specimen, classifiers.inception, RGB),
    "googlenet": partial(specimen, classifiers.googlenet, RGB),
    "densenet": partial(specimen, classifiers.DenseNet, (3, 16, 16)),
    "squeezenet": partial(specimen, classifiers.squeezenet, RGB),
    "mobilenet-v2": partial(specimen, mobile.mobilenet_v2, RGB),
    "mobilenet-v3": partial(specimen, mobile.mobilenet_v3, RGB),
    "efficientnet": partial(specimen, mobile.efficientnet, RGB),
    "shufflenet": partial(specimen, mobile.shufflenet, RGB),
    "convnext": partial(specimen, mobile.convnext, RGB),
    "unet": partial(specimen, partial(pictures.UNet, transposed=True), RGB),
    "unet-bilinear": partial(specimen, partial(pictures.UNet, transposed=False), RGB),
    "fcn": partial(specimen, pictures.FCN, RGB),
    "super-resolution": partial(specimen, pictures.SuperResolution, GREY),
    "autoencoder": partial(specimen, pictures.Autoencoder, (1, 16, 16)),
    "activations": partial(specimen, pictures.activations, GREY),
    "group-norm": partial(specimen, pictures.group_norm, RGB),
    "image-and-table": partial(specimen, pictures.ImageAndTable, (3, 16, 16), (7,)),
    "class-and-box": partial(specimen, pictures.ClassAndBox, RGB),
    "lstm": partial(specimen, series.LSTMClassifier, (12, 8)),
    "gru-bidirectional": partial(specimen, series.BidirectionalGRU, (12, 8)),
    "transformer-encoder": partial(specimen, series.EncoderClassifier, (16, 8)),
    "attention": partial(specimen, series.attention, (16, 8)),
    "vision-transformer": partial(specimen, series.VisionTransformer, RGB),
    "mlp-mixer": partial(specimen, series.Mixer, RGB),
    "waveform": partial(specimen, series.waveform, (1, 2048)),
    "spectrogram": partial(specimen, series.Spectrogram, (1, 1024)),
    "tcn": partial(specimen, series.TCN, (4, 40)),
    "text": partial(specimen, series.TextClassifier, (14,), words=200),
}
