"""Recurrent networks, attention and sound, in miniature.

Shapes: B batch, T time or tokens, D features, C channels, H heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LSTMClassifier(nn.Module):
    """Two layers; the last step decides."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 32, num_layers=2, batch_first=True), nn.Linear(32, classes)

    def forward(self, series: Tensor) -> Tensor:
        steps, _ = self.lstm(series)  # (B, T, 32)
        return self.head(steps[:, -1])


class BidirectionalGRU(nn.Module):
    """Labels every step; also returns the last hidden states."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(8, 24, batch_first=True, bidirectional=True), nn.Linear(48, classes)

    def forward(self, series: Tensor) -> tuple[Tensor, Tensor]:
        steps, last = self.gru(series)  # (B, T, 48), (2, B, 24)
        return self.head(steps), last.transpose(0, 1).flatten(1)


class EncoderClassifier(nn.Module):
    """PyTorch's own encoder layers, norm after and norm before."""

    def __init__(self, classes: int = 5, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.after = nn.TransformerEncoderLayer(width, 4, 64, batch_first=True)
        self.before = nn.TransformerEncoderLayer(
            width, 4, 64, batch_first=True, norm_first=True, activation="gelu"
        )
        self.head = nn.Linear(width, classes)

    def forward(self, series: Tensor) -> Tensor:
        return self.head(self.before(self.after(self.embed(series))).mean(1))


class Attention(nn.Module):
    """Self-attention written out: one projection to queries, keys and values, scores, softmax."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        parts = self.qkv(x).view(b, t, 3, self.heads, d // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # (B, H, T, D/H) each
        scores = q @ k.transpose(-2, -1) / math.sqrt(d // self.heads)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, d))


class AttentionBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def attention(classes: int = 5) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 32), AttentionBlock(32, 4), nn.Flatten(), nn.Linear(32 * 16, classes))


class VisionTransformer(nn.Module):
    """Patches, a class token, learnt positions, and PyTorch's fused attention."""

    def __init__(self, classes: int = 10, width: int = 32) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.5)
        self.positions = nn.Parameter(torch.randn(1, 17, width) * 0.5)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.blocks = nn.Sequential(AttentionBlock(width, 4), AttentionBlock(width, 4))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)  # (B, 16, D)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        q, k, v = (part.unflatten(-1, (4, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return self.head(self.norm(self.blocks(x))[:, 0])


class Mixer(nn.Module):
    """A network over the patches and one over the channels, in turns."""

    def __init__(self, classes: int = 10, width: int = 24) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.channels = nn.Sequential(nn.Linear(width, 48), nn.GELU(approximate="tanh"), nn.Linear(48, width))
        self.head = nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)  # (B, 16, D)
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(self.norm2(x))
        return self.head(x.mean(1))


def waveform(classes: int = 6) -> nn.Module:
    """Strided convolutions over a raw waveform (B, 1, T)."""
    return nn.Sequential(
        nn.Conv1d(1, 16, 31, stride=4, padding=15),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.MaxPool1d(4),
        nn.Conv1d(16, 32, 5, padding=2),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.AvgPool1d(4),
        nn.Conv1d(32, 32, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(32, classes),
    )


class Spectrogram(nn.Module):
    """Log power of a fixed Fourier transform (a convolution with sines), then a small 2-d network."""

    basis: Tensor

    def __init__(self, classes: int = 6, window: int = 64, hop: int = 32) -> None:
        super().__init__()
        self.hop = hop
        angles = 2 * math.pi * torch.arange(window // 2)[:, None] * torch.arange(window) / window
        waves = torch.cat([angles.cos(), angles.sin()]) * torch.hann_window(window)
        self.register_buffer("basis", waves[:, None])  # (64, 1, window)
        self.body = nn.Sequential(
            nn.Conv2d(1, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 16, 3, 2, 1), nn.ReLU()
        )
        self.head = nn.Linear(16, classes)

    def forward(self, sound: Tensor) -> Tensor:
        real, imaginary = F.conv1d(sound, self.basis, stride=self.hop).chunk(2, 1)
        power = torch.log(real**2 + imaginary**2 + 1e-3)[:, None]  # (B, 1, 32, T)
        return self.head(self.body(power).mean((2, 3)))


class CausalBlock(nn.Module):
    """Two dilated convolutions that see only the past, beside a shortcut."""

    def __init__(self, width: int, wider: int, dilation: int) -> None:
        super().__init__()
        self.past = 2 * dilation
        self.conv1 = nn.Conv1d(width, wider, 3, dilation=dilation)
        self.conv2 = nn.Conv1d(wider, wider, 3, dilation=dilation)
        self.shortcut = nn.Conv1d(width, wider, 1) if width != wider else nn.Identity()
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout(F.relu(self.conv1(F.pad(x, (self.past, 0)))))
        y = self.dropout(F.relu(self.conv2(F.pad(y, (self.past, 0)))))
        return F.relu(y + self.shortcut(x))


class TCN(nn.Module):
    """Dilated causal convolutions; the last step decides."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.blocks = nn.Sequential(CausalBlock(4, 16, 1), CausalBlock(16, 16, 2), CausalBlock(16, 16, 4))
        self.head = nn.Linear(16, classes)

    def forward(self, series: Tensor) -> Tensor:
        return self.head(self.blocks(series)[..., -1])


class TextClassifier(nn.Module):
    """Integer tokens, 0 is padding: embeddings averaged where there is a token."""

    def __init__(self, classes: int = 4, words: int = 200, width: int = 24) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        self.hidden, self.head = nn.Linear(width, 32), nn.Linear(32, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        present = (tokens != 0).unsqueeze(-1).to(torch.float32)  # (B, T, 1)
        mean = (self.embedding(tokens) * present).sum(1) / present.sum(1).clamp(min=1.0)
        return self.head(torch.tanh(self.hidden(mean)))
