"""Networks that the tests of channel removal run on, small and large, all seeded and lively.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pruning_core.architectures import ARCHITECTURES
from pruning_core.channels import ChannelGraph, ChannelSelection, find_channel_groups
from pruning_core.config import ArchitectureConfig

Shape = tuple[int, int, int]
IMAGE: Shape = (3, 32, 32)


class FlattenedMaps(nn.Module):
    """Convolutions, with or without normalisation, then a flatten into linear layers: VGG in small."""

    def __init__(self, *, normalised: bool) -> None:
        super().__init__()
        norms = (nn.BatchNorm2d(12), nn.BatchNorm2d(20)) if normalised else (nn.Identity(), nn.Identity())
        self.features = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1), norms[0], nn.ReLU(inplace=True), nn.MaxPool2d(4),
            nn.Conv2d(12, 20, 3, padding=1), norms[1], nn.ReLU(inplace=True), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Linear(20 * 16, 24), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(24, 10)
        )

    def forward(self, images_NCHW: Tensor) -> Tensor:
        logits_NC: Tensor = self.classifier(self.features(images_NCHW).flatten(1))
        return logits_NC


class Concatenated(nn.Module):
    """Two branches concatenated, normalised together and read by one layer: DenseNet and Inception in small."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 6, 3, padding=1)
        self.right = nn.Conv2d(3, 10, 1)
        self.norm = nn.BatchNorm2d(16)
        self.slope = nn.PReLU(16)
        self.head = nn.Linear(16, 10)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        joined_NCHW = torch.cat([self.left(images_NCHW), self.right(images_NCHW)], dim=1)
        logits_NC: Tensor = self.head(self.slope(self.norm(joined_NCHW)).mean(dim=(2, 3)))
        return logits_NC


class GroupedConvolution(nn.Module):
    """A convolution in four groups between two dense ones: ResNeXt in small."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(3, 16, 1, bias=False)
        self.grouped = nn.Conv2d(16, 24, 3, padding=1, groups=4)
        self.norm = nn.BatchNorm2d(24)
        self.head = nn.Linear(24, 10)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        x_NCHW = F.relu(self.norm(self.grouped(F.relu(self.reduce(images_NCHW)))))
        logits_NC: Tensor = self.head(F.adaptive_avg_pool2d(x_NCHW, 1).flatten(1))
        return logits_NC


def _cifar(name: str, **settings: str) -> Callable[[], nn.Module]:
    config = ArchitectureConfig.model_validate({"name": name, **settings})
    return lambda: ARCHITECTURES[name](config, num_classes=10, in_channels=3)


def _torchvision(name: str, **settings: bool) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        network = getattr(torchvision.models, name)(num_classes=10, **settings)
        assert isinstance(network, nn.Module)
        return network

    return build


def _vgg(name: str) -> Callable[[], nn.Module]:
    """Build VGG with a narrow classifier: the usual one has 120 million weights and shows nothing more."""

    def build() -> nn.Module:
        network = _torchvision(name)()
        network.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 64), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(64, 10)
        )
        return network

    return build


QUICK: dict[str, Callable[[], nn.Module]] = {
    "cifar_resnet8": _cifar("cifar_resnet8"),
    "cifar_resnet8_zero_pad": _cifar("cifar_resnet8", shortcut="zero_pad"),
    "cifar_resnet20": _cifar("cifar_resnet20"),
    "resnet18": _torchvision("resnet18"),
    "mobilenet_v2": _torchvision("mobilenet_v2"),
    "flattened_maps": lambda: FlattenedMaps(normalised=False),
    "flattened_normalised_maps": lambda: FlattenedMaps(normalised=True),
    "concatenated": Concatenated,
    "grouped_convolution": GroupedConvolution,
    "squeezenet1_1": _torchvision("squeezenet1_1"),
}
LARGE: dict[str, Callable[[], nn.Module]] = {
    "cifar_resnet56_zero_pad": _cifar("cifar_resnet56", shortcut="zero_pad"),
    "cifar_resnet110": _cifar("cifar_resnet110"),
    "vgg16": _vgg("vgg16"),
    "resnet50": _torchvision("resnet50"),
    "densenet121": _torchvision("densenet121"),
    "efficientnet_b0": _torchvision("efficientnet_b0"),
}
NETWORKS = QUICK | LARGE


@cache
def network_named(name: str) -> nn.Module:
    """Build a network once; tests must leave it as it is."""
    return build_lively(NETWORKS[name])


@cache
def graph_of(name: str, scope: str) -> ChannelGraph:
    """Find the channel groups of a network once."""
    return find_channel_groups(network_named(name), IMAGE, scope=scope)


def build_lively(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a seeded network in evaluation mode whose statistics fit its maps, so that no channel is dead."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build().eval()
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        with torch.no_grad():
            for norm in norms:
                norm.train()
                norm.momentum = 1.0
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.uniform_(-0.5, 0.5)
            network(images(8))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum
    return network


def images(count: int = 4, *, seed: int = 5, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw normalised images."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((count, *IMAGE), generator=generator).to(dtype)


def random_selection(graph: ChannelGraph, *, seed: int = 0, share: float | None = None) -> ChannelSelection:
    """Keep a random set of each group: of a random size, or of a share of it."""
    generator = torch.Generator().manual_seed(seed)
    kept = {}
    for group in graph.groups:
        size = group.num_channels
        count = (
            int(torch.randint(1, size + 1, (), generator=generator)) if share is None else round(share * size)
        )
        order = torch.randperm(size, generator=generator)[: max(1, count)]
        kept[group.name] = tuple(sorted(order.tolist()))
    return ChannelSelection(kept=kept)


def smallest_selection(graph: ChannelGraph) -> ChannelSelection:
    """Keep one channel of each group, not the first where there are more."""
    return ChannelSelection(kept={group.name: (group.num_channels // 2,) for group in graph.groups})
