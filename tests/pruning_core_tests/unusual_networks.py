"""Small networks with one unusual thing each, and what must become of it: docs/networks.md holds the same table."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shape = tuple[int, int, int]


class Between(nn.Module):
    """conv -> something -> conv -> head: the something decides what becomes of ``first``."""

    def __init__(
        self, between: nn.Module, *, width: int = 8, read: int | None = None, in_channels: int = 3
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, width, 3, padding=1)
        self.between = between
        self.second = nn.Conv2d(read or width, 6, 3, padding=1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.second(self.between(self.first(x))))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return] # modules give Any


class Apply(nn.Module):
    """Some function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Scaled(nn.Module):
    """A parameter of its own, outside any layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Gated(nn.Module):
    """Squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))


class ChannelsLast(nn.Module):
    """Two linear layers on the places of a map."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(8, 20), nn.Linear(20, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.narrow(F.gelu(self.wide(x.permute(0, 2, 3, 1))))
        return x.permute(0, 3, 1, 2)


class Aside(nn.Module):
    """A layer whose output nobody uses."""

    def __init__(self) -> None:
        super().__init__()
        self.aside = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.aside(x)
        return x


class Unused(nn.Module):
    """A layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x


class Branching(nn.Module):
    """Runs a layer once or twice, depending on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        x = self.again(self.first(images_NCHW))
        if images_NCHW[0, 0, 0, 0] < 0:
            x = self.again(x)
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return] # modules give Any


class BranchingOnTheBatch(nn.Module):
    """Runs a layer twice for a single image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        x = self.again(self.first(images_NCHW))
        if len(images_NCHW) == 1:
            x = self.again(x)
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return] # modules give Any


class SharedNorm(nn.Module):
    """One normalisation behind two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.inner(self.norm(x)))  # type: ignore[no-any-return] # modules give Any


class TwoAnswers(nn.Module):
    """Returns more than logits."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Between(nn.Identity())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(x), x


def tied() -> nn.Module:
    """Build two layers with one weight."""
    layers = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1))
    layers[2].weight = layers[0].weight
    return layers


def normed_weight() -> nn.Module:
    """Build a layer whose weight torch's older weight_norm keeps beside its parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(nn.Conv2d(8, 8, 1))


def twice() -> nn.Module:
    """Build one layer that runs two times."""
    conv = nn.Conv2d(8, 8, 1)
    return nn.Sequential(conv, nn.ReLU(), conv)


def _zero_padded(x: Tensor) -> Tensor:
    return F.pad(x, (0, 0, 0, 0, 2, 2))


def _shuffled(x: Tensor) -> Tensor:
    return x.view(len(x), 2, 4, *x.shape[2:]).transpose(1, 2).reshape(x.shape)


@dataclass(frozen=True, kw_only=True)
class Case:
    """``layer`` keeps its channels for the ``reason``; without a layer the network is refused with it, and without a
    reason it prunes.
    """

    build: Callable[[], nn.Module]
    shape: Shape = (3, 32, 32)
    layer: str | None = None
    reason: str | None = None


PRUNED: dict[str, Case] = {
    "grouped convolution": Case(build=lambda: Between(nn.Conv2d(8, 12, 3, groups=4), read=12)),
    "depthwise convolution": Case(build=lambda: Between(nn.Conv2d(8, 16, 3, groups=8), read=16)),
    "squeeze-and-excitation": Case(build=lambda: Between(Gated())),
    "linear layers on channels-last maps": Case(build=lambda: Between(ChannelsLast())),
    "one slope per channel (PReLU)": Case(build=lambda: Between(nn.PReLU(8))),
    "one-channel images": Case(build=lambda: Between(nn.ReLU(), in_channels=1), shape=(1, 28, 28)),
    "odd image sizes": Case(build=lambda: Between(nn.MaxPool2d(3, stride=2)), shape=(3, 37, 53)),
}

LEFT_ALONE: dict[str, Case] = {
    "tied weights": Case(
        build=lambda: Between(tied()),
        layer="between.2",
        reason="it runs several times per image, or shares its weights",
    ),
    "a layer that runs twice": Case(
        build=lambda: Between(twice()),
        layer="between.0",
        reason="it runs several times per image, or shares its weights",
    ),
    "a normalisation that runs twice": Case(
        build=lambda: Between(SharedNorm()),
        layer="first",
        reason="it runs several times per image, or shares its weights",
    ),
    "a weight that is computed (parametrizations)": Case(
        build=lambda: Between(nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 1))),
        layer="first",
        reason="its channels meet 'between', whose weight is computed",
    ),
    "channels that nothing reads": Case(
        build=lambda: Between(Aside()),
        layer="between.aside",
        reason="its output does not reach the network's output",
    ),
    "some channels unread": Case(
        build=lambda: Between(Apply(lambda x: x[:, :4]), read=4),
        layer="first",
        reason="its channels are taken apart by slicing",
    ),
    "channel shuffle": Case(
        build=lambda: Between(Apply(_shuffled)),
        layer="first",
        reason="its channels are rearranged (as in a channel shuffle)",
    ),
    "shortcut padded with zero channels": Case(
        build=lambda: Between(Apply(_zero_padded), read=12),
        layer="first",
        reason="its channels are padded with zero channels (a zero-padding shortcut)",
    ),
    "group normalisation": Case(
        build=lambda: Between(nn.GroupNorm(2, 8)),
        layer="first",
        reason="its channels meet 'between', a GroupNorm that cannot be sliced exactly: it normalises over channels",
    ),
    "transposed convolution": Case(
        build=lambda: Between(nn.ConvTranspose2d(8, 8, 1)),
        layer="first",
        reason="its channels meet 'between', a ConvTranspose2d that cannot be sliced",
    ),
    "a parameter outside layers": Case(
        build=lambda: Between(Scaled()),
        layer="first",
        reason="its channels meet 'between.scale', a parameter outside the known layers",
    ),
    "softmax over channels": Case(
        build=lambda: Between(Apply(lambda x: x.softmax(dim=1))),
        layer="first",
        reason="its channels pass through SoftmaxBackward0, which is not known to work on each channel alone",
    ),
    "the last layer": Case(
        build=lambda: Between(nn.ReLU()), layer="head", reason="its channels are the network's output"
    ),
}

REFUSED: dict[str, Case] = {
    "a layer that never runs": Case(
        build=lambda: Between(Unused()),
        reason="every layer must be used when the network is evaluated, but 'between.spare' is not; build the network "
        "without it (auxiliary classifiers: aux_logits=False)",
    ),
    "layers that run for some images only": Case(
        build=Branching,
        reason="the same layers must run for every image, but 'again' ran 2 times for one and 1 time for another "
        "image; write the network without branches on values",
    ),
    "layers that run for some batches only": Case(
        build=BranchingOnTheBatch,
        reason="the same layers must run for every image, but 'again' ran 2 times for one and 1 time for two images; "
        "write the network without branches on the number of images",
    ),
    "answers that change": Case(
        build=lambda: Between(Apply(lambda x: F.dropout(x, 0.5, training=True))),
        reason="the network must answer an image the same way every time and in every batch when it is evaluated, but "
        "its logits differ; turn off dropout and noise in evaluation mode",
    ),
    "weights computed by the older weight_norm": Case(
        build=lambda: Between(normed_weight()),
        reason="the network must be one that can be copied, but: Only Tensors created explicitly by the user (graph "
        "leaves) support the deepcopy protocol at the moment.",
    ),
    "maps returned": Case(
        build=lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 5, 1)),
        reason="the network must return one row of logits per image, but returned a tensor of shape (1, 5, 30, 30) for "
        "1 image; end it with pooling, flatten(1) (not squeeze) and a linear layer",
    ),
    "a batch of one squeezed away": Case(
        build=lambda: nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), Apply(torch.squeeze)),
        reason="the network must return one row of logits per image, but returned a tensor of shape (5,) for 1 image; "
        "end it with pooling, flatten(1) (not squeeze) and a linear layer",
    ),
    "more than logits returned": Case(
        build=TwoAnswers,
        reason="the network must return its logits as one tensor when it is evaluated, but returned a tuple; wrap it "
        "so that it does",
    ),
    "images that are too small": Case(
        build=lambda: Between(nn.MaxPool2d(4)),
        shape=(3, 3, 3),
        reason="the network must run on images of shape (3, 3, 3), but failed:",
    ),
    "linear layers on tokens": Case(
        build=lambda: nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.Flatten(2), nn.Linear(16, 8)),
        reason="linear layers must work on vectors or channels-last maps to be pruned, but '2' gives a tensor of 3 "
        "dimensions; attention and token networks are not supported",
    ),
}
