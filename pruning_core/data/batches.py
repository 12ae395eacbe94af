"""Batches of normalised images, augmented as whole batches on the device that will use them.

Shape suffixes used in this file:
    N  images in the batch
    C  colour channels
    H, W  image height and width in pixels
    P  pixels of one image, H * W
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.data.images import Augmentation, LabelledImages, Normalisation


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Batch:
    """Normalised images and their labels on the device; ``indices_N``, on the CPU, are their positions."""

    images_NCHW: Tensor
    labels_N: Tensor
    indices_N: Tensor


def iterate_batches(
    images: LabelledImages,
    normalisation: Normalisation,
    *,
    batch_size: int,
    device: str | torch.device = "cpu",
    generator: torch.Generator | None = None,
    augmentation: Augmentation = Augmentation.NONE,
    drop_last: bool = False,
) -> Iterator[Batch]:
    """Go once through the images.

    Args:
        images: Read batch by batch.
        normalisation: Applied after the augmentation.
        batch_size: Images per batch; the last batch may be smaller.
        device: Where the batches are made and wanted.
        generator: On the CPU; source of order and augmentation. Without it the images come in order.
        augmentation: Needs a generator.
        drop_last: Leave out a last batch that is not full.

    Raises:
        ValueError: Augmentation is asked for without a generator.
    """
    if augmentation is not Augmentation.NONE and generator is None:
        raise ValueError(f"augmentation {augmentation.value!r} needs a generator, but got none")
    num_images = len(images)
    order_N = (
        torch.arange(num_images) if generator is None else torch.randperm(num_images, generator=generator)
    )
    end = num_images - num_images % batch_size if drop_last else num_images
    for start in range(0, end, batch_size):
        indices_N = order_N[start : start + batch_size]
        pixels_NCHW = images.read(indices_N).to(device)
        if generator is not None:
            pixels_NCHW = augment(pixels_NCHW, augmentation, generator)
        yield Batch(
            images_NCHW=normalisation.apply(pixels_NCHW),
            labels_N=images.labels_N[indices_N].to(device),
            indices_N=indices_N,
        )


def augment(pixels_NCHW: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Shift each image by up to an eighth of its shorter side (the border is black), and flip half of them, at random.

    One gather does both. The draws are made on the CPU, so that a seed means the same on every device.
    """
    if augmentation is Augmentation.NONE:
        return pixels_NCHW
    num_images, _, height, width = pixels_NCHW.shape
    margin = min(height, width) // 8
    top_N1 = torch.randint(0, 2 * margin + 1, (num_images, 1), generator=generator)
    left_N1 = torch.randint(0, 2 * margin + 1, (num_images, 1), generator=generator)
    columns_NW = torch.arange(width).expand(num_images, width)
    if augmentation is Augmentation.CROP_FLIP:
        is_flipped_N1 = torch.randint(0, 2, (num_images, 1), generator=generator) == 1
        columns_NW = torch.where(is_flipped_N1, columns_NW.flip(1), columns_NW)
    rows_NH = top_N1 + torch.arange(height)
    columns_NW = left_N1 + columns_NW
    sources_NHW = rows_NH[:, :, None] * (width + 2 * margin) + columns_NW[:, None, :]
    sources_N1P = sources_NHW.view(num_images, 1, -1).to(pixels_NCHW.device)
    padded_NCHW = F.pad(pixels_NCHW, (margin, margin, margin, margin))
    shifted_NCP = padded_NCHW.flatten(2).gather(2, sources_N1P.expand(-1, pixels_NCHW.shape[1], -1))
    return shifted_NCP.view_as(pixels_NCHW)
