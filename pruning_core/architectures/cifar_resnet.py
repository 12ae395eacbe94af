"""Residual networks for small images: 6n + 2 layers in three stages.

The module names are those of the widespread CIFAR implementation of the paper, so that its checkpoints load.

Shape suffixes used in this file:
    N  images
    C  channels, or classes of logits
    H, W  height and width of a map

References:
    [He2016] K. He, X. Zhang, S. Ren, J. Sun. Deep Residual Learning for Image Recognition. CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.config import ArchitectureConfig
from pruning_core.errors import InvalidSettingsError

DEPTHS = (8, 20, 32, 56, 110)
_STAGE_WIDTHS = (16, 32, 64)


class ZeroPadShortcut(nn.Module):
    """Option A of [He2016]: every second pixel, new channels filled with zeros on both sides."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        added = out_channels - in_channels
        self.before, self.after = added // 2, added - added // 2

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Halve the map and widen it."""
        return F.pad(x_NCHW[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


def _projection_shortcut(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


SHORTCUTS: dict[str, Callable[[int, int], nn.Module]] = {
    "projection": _projection_shortcut,
    "zero_pad": ZeroPadShortcut,
}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is the identity where nothing changes its shape."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = shortcut

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Add the convolved map to the shortcut."""
        inner_NCHW = F.relu(self.bn1(self.conv1(x_NCHW)))
        return F.relu(self.bn2(self.conv2(inner_NCHW)) + self.shortcut(x_NCHW))


class CifarResNet(nn.Module):
    """A classifier with ``blocks_per_stage`` blocks in each of three stages of the given widths."""

    def __init__(
        self,
        *,
        blocks_per_stage: int,
        widths: tuple[int, int, int],
        shortcut: Literal["projection", "zero_pad"],
        num_classes: int,
        in_channels: int,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, widths[0], kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        stages = [_stage(widths[0], widths[0], 1, nn.Identity(), blocks_per_stage)]
        for narrow, wide in pairwise(widths):
            stages.append(_stage(narrow, wide, 2, SHORTCUTS[shortcut](narrow, wide), blocks_per_stage))
        self.layer1, self.layer2, self.layer3 = stages
        self.linear = nn.Linear(widths[2], num_classes)
        self.apply(_initialise)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return logits_NC."""
        x_NCHW = F.relu(self.bn1(self.conv1(images_NCHW)))
        x_NCHW = self.layer3(self.layer2(self.layer1(x_NCHW)))
        logits_NC: Tensor = self.linear(F.adaptive_avg_pool2d(x_NCHW, 1).flatten(1))
        return logits_NC


def build_cifar_resnet(
    depth: int, config: ArchitectureConfig, *, num_classes: int, in_channels: int
) -> nn.Module:
    """Build a residual network of ``depth`` = 6n + 2 layers, ``config.width`` times 16, 32 and 64 channels wide.

    Raises:
        InvalidSettingsError: The width leaves a stage without channels, or does not widen from stage to stage.
    """
    assert depth in DEPTHS
    first, second, third = (round(config.width * width) for width in _STAGE_WIDTHS)
    if not 1 <= first < second < third:
        raise InvalidSettingsError(
            f"architecture.width must leave 1 channel in the first stage and more in each later one, but "
            f"{config.width:g} gives {first}, {second} and {third}"
        )
    return CifarResNet(
        blocks_per_stage=(depth - 2) // 6,
        widths=(first, second, third),
        shortcut=config.shortcut,
        num_classes=num_classes,
        in_channels=in_channels,
    )


CIFAR_RESNETS = {f"cifar_resnet{depth}": partial(build_cifar_resnet, depth) for depth in DEPTHS}


def _stage(
    in_channels: int, out_channels: int, stride: int, shortcut: nn.Module, num_blocks: int
) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, stride, shortcut)
    others = [BasicBlock(out_channels, out_channels, 1, nn.Identity()) for _ in range(num_blocks - 1)]
    return nn.Sequential(first, *others)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight)
