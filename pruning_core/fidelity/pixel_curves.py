"""Deletion and insertion curves: how soon the class goes, or comes, when pixels change in the order of a map.

Shape suffixes used in this file:
    N  images in the batch
    C  colour channels, or classes in logits_NC
    H, W  image height and width in pixels
    P  pixels of one image, H * W
    S  points of a curve: steps + 1

References:
    [Petsiuk2018] V. Petsiuk, A. Das, K. Saenko. RISE: Randomized Input Sampling for Explanation of Black-box
        Models. BMVC 2018.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def deletion_curve(
    network: nn.Module, images_NCHW: Tensor, maps_NHW: Tensor, classes_N: Tensor, *, num_steps: int
) -> Tensor:
    """Return ``probability_NS`` of the class while the most salient pixels take the mean colour, as in [Petsiuk2018].

    Args:
        network: Gives logits, in evaluation mode.
        images_NCHW: Normalised, so that 0 is the mean colour of the training images.
        maps_NHW: Saliency of each pixel; only their order counts, and equal ones go in reading order.
        classes_N: Whose probability is watched.
        num_steps: Equal steps from the whole image to none of it.
    """
    return _curve(network, images_NCHW, torch.zeros_like(images_NCHW), maps_NHW, classes_N, num_steps)


def insertion_curve(
    network: nn.Module,
    images_NCHW: Tensor,
    maps_NHW: Tensor,
    classes_N: Tensor,
    *,
    num_steps: int,
    blur_width: float,
) -> Tensor:
    """Return ``probability_NS`` of the class while the most salient pixels of a blurred image become sharp.

    Args:
        network: Gives logits, in evaluation mode.
        images_NCHW: Normalised.
        maps_NHW: Saliency of each pixel; only their order counts, and equal ones go in reading order.
        classes_N: Whose probability is watched.
        num_steps: Equal steps from the blurred image to the whole one.
        blur_width: Standard deviation of the Gaussian blur as a share of the longer side.
    """
    return _curve(network, blur(images_NCHW, blur_width), images_NCHW, maps_NHW, classes_N, num_steps)


def area_under(probability_NS: Tensor) -> Tensor:
    """Return ``area_N``: the mean height of each curve by the trapezoidal rule, in [0, 1]."""
    ends_N = (probability_NS[:, 0] + probability_NS[:, -1]) / 2
    return (ends_N + probability_NS[:, 1:-1].sum(dim=1)) / (probability_NS.shape[1] - 1)


def blur(images_NCHW: Tensor, width: float) -> Tensor:
    """Blur images by a Gaussian of ``width`` shares of the longer side; pixels at the border are repeated beyond it."""
    sigma = width * max(images_NCHW.shape[-2:])
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, device=images_NCHW.device, dtype=images_NCHW.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma).square())
    kernel /= kernel.sum()
    num_channels = images_NCHW.shape[1]
    column = kernel.view(1, 1, -1, 1).expand(num_channels, -1, -1, -1)
    row = kernel.view(1, 1, 1, -1).expand(num_channels, -1, -1, -1)
    padded_NCHW = F.pad(images_NCHW, (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(padded_NCHW, column, groups=num_channels), row, groups=num_channels)


@torch.no_grad()
def _curve(
    network: nn.Module,
    before_NCHW: Tensor,
    after_NCHW: Tensor,
    maps_NHW: Tensor,
    classes_N: Tensor,
    num_steps: int,
) -> Tensor:
    """Change pixels from ``before`` to ``after``, the most salient ones first."""
    ranks_N1HW = _ranks(maps_NHW).unsqueeze(1)
    num_pixels = maps_NHW[0].numel()
    probabilities = []
    for step in range(num_steps + 1):
        num_changed = round(step * num_pixels / num_steps)
        logits_NC = network(torch.where(ranks_N1HW < num_changed, after_NCHW, before_NCHW))
        probability_NC = torch.softmax(logits_NC, dim=1)
        probabilities.append(probability_NC.gather(1, classes_N.unsqueeze(1)).squeeze(1))
    return torch.stack(probabilities, dim=1)


def _ranks(maps_NHW: Tensor) -> Tensor:
    """Return the place of each pixel when the most salient comes first; equal ones in reading order."""
    order_NP = maps_NHW.flatten(1).argsort(dim=1, descending=True, stable=True)
    return order_NP.argsort(dim=1).view(maps_NHW.shape)
