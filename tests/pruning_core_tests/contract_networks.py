"""Small networks of every kind that methods meet, as a user names them in a spec; for images of 16 x 16."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["concatenated", "depthwise_with_gates", "flattened", "grouped", "zero_padded"]


def _layer(in_channels: int, out_channels: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())


class _Head(nn.Module):
    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        scores: Tensor = self.linear(x_NCHW.mean(dim=(2, 3)))
        return scores


def flattened(num_classes: int, in_channels: int) -> nn.Module:
    """Maps whose places a linear layer reads one by one, with PReLU."""
    return nn.Sequential(
        _layer(in_channels, 8, stride=2),
        nn.Conv2d(8, 6, 3, 2, padding=1),
        nn.BatchNorm2d(6),
        nn.PReLU(6),
        nn.Flatten(),
        nn.Linear(6 * 16, num_classes),
    )


class _Concatenated(nn.Module):
    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.first = _layer(in_channels, 6, stride=2)
        self.second = _layer(6, 5)
        self.third = _layer(11, 8, stride=2)
        self.head = _Head(8, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        first = self.first(x_NCHW)
        scores: Tensor = self.head(self.third(torch.cat([first, self.second(first)], dim=1)))
        return scores


def concatenated(num_classes: int, in_channels: int) -> nn.Module:
    """Layers that read several earlier ones side by side, as in DenseNet."""
    return _Concatenated(num_classes, in_channels)


def grouped(num_classes: int, in_channels: int) -> nn.Module:
    """A convolution in two groups, as in ResNeXt."""
    return nn.Sequential(
        _layer(in_channels, 8, stride=2),
        _layer(8, 8, groups=2),
        _layer(8, 6, stride=2),
        _Head(6, num_classes),
    )


class _SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, 4, 1)
        self.up = nn.Conv2d(4, channels, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        scale_NC11: Tensor = self.up(F.silu(self.down(x_NCHW.mean(dim=(2, 3), keepdim=True)))).sigmoid()
        return x_NCHW * scale_NC11


def depthwise_with_gates(num_classes: int, in_channels: int) -> nn.Module:
    """Depthwise convolutions and squeeze-and-excite, as in EfficientNet."""
    return nn.Sequential(
        _layer(in_channels, 8, stride=2),
        _layer(8, 8, groups=8),
        _SqueezeExcite(8),
        _layer(8, 10, stride=2),
        _Head(10, num_classes),
    )


class _ZeroPadded(nn.Module):
    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.stem = _layer(in_channels, 6)
        self.body = nn.Sequential(_layer(6, 8, stride=2), _layer(8, 10))
        self.head = _Head(10, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        stem = self.stem(x_NCHW)
        shortcut = F.pad(stem[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        scores: Tensor = self.head(self.body(stem) + shortcut)
        return scores


def zero_padded(num_classes: int, in_channels: int) -> nn.Module:
    """A shortcut that is padded with zeros to more channels, as in CIFAR's ResNets."""
    return _ZeroPadded(num_classes, in_channels)
