"""Mean and standard deviation of pixels, counted in whole numbers so that every machine gets the same.

Shape suffixes used in this file:
    N  images
    C  colour channels
    V  pixel values, 256
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pruning_core.data.images import LabelledImages, Normalisation

MAX_PIXELS = 2**26
"""Of larger sets as many images as have this many pixels, evenly spaced, are looked at."""
_CHUNK = 1024  # images read at once
_SMALLEST_STD = 1 / 255  # of images that are all the same


def measure_normalisation(images: LabelledImages) -> Normalisation:
    """Measure per-channel mean and standard deviation over the pixels of the images."""
    counts_CV = _count_values(images)
    means, stds = [], []
    for counts_V in counts_CV.tolist():
        num_pixels = sum(counts_V)
        total = sum(value * count for value, count in enumerate(counts_V))
        squares = sum(value * value * count for value, count in enumerate(counts_V))
        variance = (num_pixels * squares - total * total) / num_pixels**2
        means.append(total / num_pixels / 255)
        stds.append(max(math.sqrt(variance) / 255, _SMALLEST_STD))
    return Normalisation(mean=tuple(means), std=tuple(stds))


def _count_values(images: LabelledImages) -> Tensor:
    pixels_per_image = images.read(torch.zeros(1, dtype=torch.int64))[0, 0].numel()
    stride = math.ceil(len(images) * pixels_per_image / MAX_PIXELS)
    counts: list[Tensor] = []
    for indices_N in torch.split(torch.arange(0, len(images), stride), _CHUNK):
        pixels_NCHW = images.read(indices_N)
        counts.append(
            torch.stack(
                [torch.bincount(pixels_NHW.flatten(), minlength=256) for pixels_NHW in pixels_NCHW.unbind(1)]
            )
        )
    return torch.stack(counts).sum(0)
