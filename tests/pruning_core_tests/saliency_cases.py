"""Networks and images that the saliency tests share.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

import functools
import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.config import PredictorConfig, SaliencyConfig, SelectorConfig
from pruning_core.data import Augmentation, DataSplits, ImageTensor, Normalisation, iterate_batches

SIDE = 16
NUM_CLASSES = 3
QUICK = SaliencyConfig(
    max_num_basis=2,
    width_range=(2 / SIDE, 6 / SIDE),
    predictor=PredictorConfig(epochs=1, batch_size=32, learning_rate=1e-3),
    selector=SelectorConfig(
        epochs=1, batch_size=32, learning_rate=1e-3, area_weight=0.2, mask_temperature=0.5
    ),
)


class TinyNetwork(nn.Module):
    """Three stages of one convolution each: 12 channels at 16 x 16, 16 at 8 x 8, 24 at 4 x 4."""

    def __init__(self, num_classes: int = NUM_CLASSES, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stage1 = _stage(3, 12, stride=1)
            self.stage2 = _stage(12, 16, stride=2)
            self.stage3 = _stage(16, 24, stride=2)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.classifier = nn.Linear(24, num_classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        top_NCHW = self.stage3(self.stage2(self.stage1(images_NCHW)))
        logits_NC: Tensor = self.classifier(self.pool(top_NCHW).flatten(1))
        return logits_NC


def _stage(num_in: int, num_out: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(num_out),
        nn.ReLU(),
    )


def patch_images(num_images: int, seed: int) -> tuple[ImageTensor, Tensor]:
    """Grey noise with one bright patch of 4 x 4 pixels, whose colour channel is the class.

    Returns:
        The images, and ``places_N2``: row and column of each patch's middle in pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.arange(num_images) % NUM_CLASSES
    corners_N2 = torch.randint(1, SIDE - 5, (num_images, 2), generator=generator)
    pixels_NCHW = torch.randint(90, 140, (num_images, 3, SIDE, SIDE), generator=generator)
    for image_CHW, label, (row, column) in zip(pixels_NCHW, labels_N, corners_N2.tolist(), strict=True):
        image_CHW[label, row : row + 4, column : column + 4] = 240
    return ImageTensor(images_NCHW=pixels_NCHW.to(torch.uint8), labels_N=labels_N), corners_N2 + 1.5


def patch_data(num_train: int = 96) -> DataSplits:
    """Patch images as the splits of a data set, without augmentation."""
    return DataSplits(
        train=patch_images(num_train, seed=0)[0],
        validation=patch_images(60, seed=1)[0],
        test=patch_images(60, seed=2)[0],
        num_classes=NUM_CLASSES,
        class_names=("red", "green", "blue"),
        in_channels=3,
        image_size=(SIDE, SIDE),
        normalisation=Normalisation(mean=(0.45, 0.45, 0.45), std=(0.1, 0.1, 0.1)),
        augmentation=Augmentation.NONE,
        fingerprint="patches",
    )


@functools.cache
def classifier_of_patches() -> nn.Module:
    """A network that tells the patches' colours apart; treat it as read-only."""
    network, data = TinyNetwork(), patch_data(384)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    order = torch.Generator().manual_seed(0)
    for _ in range(6):
        for batch in iterate_batches(data.train, data.normalisation, batch_size=32, generator=order):
            loss = F.cross_entropy(network(batch.images_NCHW), batch.labels_N)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    return network.eval()


def first_batch(data: DataSplits, num_images: int = 32) -> Tensor:
    """Return normalised training images."""
    return next(iterate_batches(data.train, data.normalisation, batch_size=num_images)).images_NCHW


def fingerprint(network: nn.Module) -> str:
    """Hash every parameter and buffer, bit by bit."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
