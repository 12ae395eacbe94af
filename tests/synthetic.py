"""Small learnable data and small networks for tests."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pruning_core.architectures import build_network
from pruning_core.config import ArchitectureConfig
from pruning_core.data import Augmentation, DataSplits, ImageTensor, assemble_splits

NUM_CLASSES = 4
SIDE = 16


def make_images(num_images: int, *, seed: int, in_channels: int = 3) -> ImageTensor:
    """Noise with one brighter quadrant, which is the class; classes take turns."""
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.arange(num_images) % NUM_CLASSES
    shape = (num_images, in_channels, SIDE, SIDE)
    images_NCHW = torch.randint(0, 128, shape, generator=generator, dtype=torch.uint8)
    half = SIDE // 2
    for image_CHW, label in zip(images_NCHW, labels_N.tolist(), strict=True):
        top, left = half * (label // 2), half * (label % 2)
        image_CHW[:, top : top + half, left : left + half] += 80
    return ImageTensor(images_NCHW=images_NCHW, labels_N=labels_N)


def make_data(
    *, num_train: int = 128, num_validation: int = 40, num_test: int = 40, in_channels: int = 3, seed: int = 0
) -> DataSplits:
    """Four classes of 16 x 16 images that a small network learns in a few epochs."""
    train, validation, test = (
        make_images(count, seed=3 * seed + part, in_channels=in_channels)
        for part, count in enumerate((num_train, num_validation, num_test))
    )
    names = [f"quadrant {label}" for label in range(NUM_CLASSES)]
    return assemble_splits(train, validation, test, class_names=names, augmentation=Augmentation.NONE)


def make_network(*, in_channels: int = 3, seed: int = 0) -> nn.Module:
    """A residual network of 8 layers, 8 to 32 channels wide, for ``make_data``; in training mode."""
    config = ArchitectureConfig(name="cifar_resnet8", width=0.5)
    return build_network(config, num_classes=NUM_CLASSES, in_channels=in_channels, seed=seed)


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Tell whether two networks agree in every weight and buffer, bit by bit."""
    one, other = first.state_dict(), second.state_dict()
    tensors: list[tuple[Tensor, Tensor]] = [(one[name], other[name]) for name in one]
    return one.keys() == other.keys() and all(torch.equal(a, b) for a, b in tensors)
