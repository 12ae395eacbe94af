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
from pruning_core.data.residency import move, read_batches
from pruning_core.distributed.processes import ALONE, Processes


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
    processes: Processes = ALONE,
) -> Iterator[Batch]:
    """Go once through the images.

    Order and augmentation are drawn on the CPU and for whole batches, so that a seed means the same on every device
    and for any number of processes.

    Args:
        images: Read batch by batch, or moved to the device once (see ``read_batches``).
        normalisation: Applied after the augmentation.
        batch_size: Images per batch, of all processes together; the last batch may be smaller.
        device: Where the batches are made and wanted.
        generator: On the CPU; source of order and augmentation. Without it the images come in order.
        augmentation: Needs a generator.
        drop_last: Leave out a last batch that is not full.
        processes: Of each batch, this process gets its equal share.

    Raises:
        ValueError: Augmentation is asked for without a generator.
        InvalidSettingsError: A batch cannot be divided equally between the processes.
    """
    if augmentation is not Augmentation.NONE and generator is None:
        raise ValueError(f"augmentation {augmentation.value!r} needs a generator, but got none")
    device = torch.device(device)
    num_images = len(images)
    order_N = (
        torch.arange(num_images) if generator is None else torch.randperm(num_images, generator=generator)
    )
    end = num_images - num_images % batch_size if drop_last else num_images
    whole = [order_N[start : min(start + batch_size, end)] for start in range(0, end, batch_size)]
    sizes = [len(indices_N) for indices_N in whole]
    shares = [processes.share_of(size) for size in sizes]
    indices = [indices_N[share] for indices_N, share in zip(whole, shares, strict=True)]
    pixels = read_batches(images, indices, device)
    for size, share, indices_N, read_NCHW in zip(sizes, shares, indices, pixels, strict=True):
        shown_NCHW = read_NCHW
        if generator is not None:
            shown_NCHW = augment(read_NCHW, augmentation, generator, batch_size=size, share=share)
        yield Batch(
            images_NCHW=normalisation.apply(shown_NCHW),
            labels_N=move(images.labels_N[indices_N], device),
            indices_N=indices_N,
        )


def augment(
    pixels_NCHW: Tensor,
    augmentation: Augmentation,
    generator: torch.Generator,
    *,
    batch_size: int | None = None,
    share: slice = slice(None),
) -> Tensor:
    """Shift each image by up to an eighth of its shorter side (the border is black), and flip half of them, at random.

    One gather does both, on the images' device. The draws are made on the CPU, so that a seed means the same on every
    device.

    Args:
        pixels_NCHW: Images of one size.
        augmentation: What is done to them.
        generator: On the CPU.
        batch_size: Images that are drawn for, where these are only the ``share`` of a batch that one process gets.
        share: Which of them these are.
    """
    if augmentation is Augmentation.NONE:
        return pixels_NCHW
    num_images, _, height, width = pixels_NCHW.shape
    device = pixels_NCHW.device
    margin = min(height, width) // 8
    draws_3N = _draw_shifts(margin, augmentation, batch_size or num_images, generator)[:, share]
    top_N1, left_N1, is_flipped_N1 = move(draws_3N, device)[..., None]
    columns_W = torch.arange(width, device=device)
    columns_NW = left_N1 + torch.where(is_flipped_N1 == 1, columns_W.flip(0), columns_W)
    rows_NH = top_N1 + torch.arange(height, device=device)
    sources_NHW = rows_NH[:, :, None] * (width + 2 * margin) + columns_NW[:, None, :]
    padded_NCHW = F.pad(pixels_NCHW, (margin, margin, margin, margin))
    sources_N1P = sources_NHW.view(num_images, 1, -1)
    shifted_NCP = padded_NCHW.flatten(2).gather(2, sources_N1P.expand(-1, pixels_NCHW.shape[1], -1))
    return shifted_NCP.view_as(pixels_NCHW)


def _draw_shifts(
    margin: int, augmentation: Augmentation, num_images: int, generator: torch.Generator
) -> Tensor:
    """Draw the top, the left and whether it is flipped (0 or 1), for each image."""
    draws = [torch.randint(0, 2 * margin + 1, (num_images,), generator=generator) for _ in range(2)]
    if augmentation is Augmentation.CROP_FLIP:
        return torch.stack([*draws, torch.randint(0, 2, (num_images,), generator=generator)])
    return torch.stack([*draws, torch.zeros(num_images, dtype=torch.int64)])
