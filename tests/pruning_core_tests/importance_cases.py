"""Small networks with hand-written channel groups, and images to measure importance on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.channels.structures import ChannelGraph, ChannelGroup, ChannelUse, Role
from pruning_core.config import ImportanceConfig
from pruning_core.data import Augmentation, DataSplits, ImageTensor, Normalisation
from pruning_core.importance import ImportanceContext

NUM_CLASSES = 4
INNER, OUTER = "conv1", "conv2"


class TwoConvolutions(nn.Module):
    """Stem - conv1 - conv2 - pooled - linear; ``conv1`` and ``conv2`` are the prunable groups."""

    def __init__(self, *, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.conv1 = nn.Conv2d(6, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 6, 3, stride=2, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(6)
        self.classifier = nn.Linear(6, NUM_CLASSES)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        maps = torch.relu(self.stem(images_NCHW))
        maps = torch.relu(self.norm1(self.conv1(maps)))
        maps = torch.relu(self.norm2(self.conv2(maps)))
        logits_NC: Tensor = self.classifier(maps.mean(dim=(2, 3)))
        return logits_NC


def each_alone(num_channels: int) -> tuple[tuple[int, ...], ...]:
    """Positions of channels that lie one after another."""
    return tuple((channel,) for channel in range(num_channels))


def plain_group(name: str, num_channels: int, norm: str, consumer: str) -> ChannelGroup:
    """One layer produces, one normalises, one consumes."""
    positions = each_alone(num_channels)
    return ChannelGroup(
        name=name,
        num_channels=num_channels,
        is_inner=True,
        uses=(
            ChannelUse(layer=name, role=Role.PRODUCES, positions=positions),
            ChannelUse(layer=norm, role=Role.FOLLOWS, positions=positions),
            ChannelUse(layer=consumer, role=Role.CONSUMES, positions=positions),
        ),
    )


def graph_of(network: TwoConvolutions) -> ChannelGraph:
    return ChannelGraph(
        groups=(
            plain_group(INNER, network.conv1.out_channels, "norm1", "conv2"),
            plain_group(OUTER, 6, "norm2", "classifier"),
        ),
        untouched=(),
        taps={},
    )


def seeded_network(*, seed: int = 0, width: int = 8) -> TwoConvolutions:
    """Random weights, batch normalisation fitted to ``class_images``; in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = TwoConvolutions(width=width)
        for norm in (network.norm1, network.norm2):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.3)
            norm.momentum = 1.0
    data = class_images()
    with torch.no_grad():
        network.train()(data.normalisation.apply(data.train.read(torch.arange(len(data.train)))))
    return network.eval()


def class_images(*, num_images: int = 96, size: int = 8, seed: int = 0) -> DataSplits:
    """Each class lights up a quarter of the image, in noise."""
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.arange(num_images) % NUM_CLASSES
    images_NCHW = torch.randint(0, 120, (num_images, 3, size, size), generator=generator)
    half = size // 2
    for index, label in enumerate(labels_N.tolist()):
        row, column = label // 2 * half, label % 2 * half
        images_NCHW[index, :, row : row + half, column : column + half] += 130
    images = ImageTensor(images_NCHW=images_NCHW.to(torch.uint8), labels_N=labels_N)
    return DataSplits(
        train=images,
        validation=images,
        test=images,
        num_classes=NUM_CLASSES,
        class_names=tuple("abcd"),
        in_channels=3,
        image_size=(size, size),
        normalisation=Normalisation(mean=(0.35,) * 3, std=(0.25,) * 3),
        augmentation=Augmentation.NONE,
        fingerprint="class-images",
    )


def importance_context(
    network: TwoConvolutions, *, settings: Mapping[str, Any] | None = None, seed: int = 0
) -> ImportanceContext:
    return ImportanceContext(
        network=network,
        graph=graph_of(network),
        data=class_images(),
        settings=ImportanceConfig.model_validate(
            {"num_images": 96, "num_positions": 400, **(settings or {})}
        ),
        seed=seed,
    )


def permute_inner(network: TwoConvolutions, order: Tensor) -> None:
    """Reorder the channels of group ``conv1`` in place; the function stays the same."""
    with torch.no_grad():
        network.conv1.weight.copy_(network.conv1.weight[order])
        network.conv2.weight.copy_(network.conv2.weight[:, order])
        assert network.norm1.running_mean is not None
        assert network.norm1.running_var is not None
        for values in (
            network.norm1.weight,
            network.norm1.bias,
            network.norm1.running_mean,
            network.norm1.running_var,
        ):
            values.copy_(values[order])


def rescale_inner(network: TwoConvolutions, factor_C: Tensor) -> None:
    """Multiply each channel of group ``conv1`` by a positive factor that the consumer divides out again."""
    with torch.no_grad():
        network.norm1.weight.mul_(factor_C)
        network.norm1.bias.mul_(factor_C)
        network.conv2.weight.div_(factor_C[:, None, None])


class DepthwiseAndFlatten(nn.Module):
    """A depthwise convolution, a concatenation, and a flatten before the classifier; for 8 x 8 images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.left = nn.Conv2d(8, 6, 1)
        self.right = nn.Conv2d(8, 6, 3, padding=1)
        self.joined = nn.Conv2d(12, 4, 3, padding=1)
        self.classifier = nn.Linear(4 * 16, NUM_CLASSES)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        maps = torch.relu(self.norm(self.depthwise(torch.relu(self.stem(images_NCHW)))))
        maps = torch.cat([torch.relu(self.left(maps)), torch.relu(self.right(maps))], dim=1)
        logits_NC: Tensor = self.classifier(torch.relu(self.joined(maps)).flatten(1))
        return logits_NC
