"""Draw RBF saliency masks.

Shape suffixes used in this file:
    N  masks in the batch
    K  bumps (basis functions) per mask
    H, W  mask height and width in pixels

References:
    [Ganjdanesh2022] A. Ganjdanesh, S. Gao, H. Huang. Interpretations Steered Network Pruning via Amortized
        Inferred Saliency Maps. ECCV 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pruning_core.saliency.rbf_parameters import RbfParameters


def render_rbf_masks(rbf: RbfParameters, size: tuple[int, int]) -> Tensor:
    """Draw every bump as ``amplitude * exp(-r^2 / (2 width^2))`` and join them by noisy-OR, 1 - prod(1 - bump).

    A bump is the outer product of two 1-D Gaussians. The reference implementation draws a Gaussian *density* and
    divides by its detached maximum: the same values, but the gradient for the width gets the wrong sign. Here
    there is no density factor.

    Args:
        rbf: The bumps; the coordinate convention is that of ``rbf_parameters``.
        size: ``(H, W)`` in pixels; they may differ.

    Returns:
        ``mask_NHW`` in [0, 1]: the probability that a pixel is kept. Differentiable for all widths > 0.
    """
    height, width = size
    widths_NK = rbf.widths_NK * max(size)
    rows_NKH = _gaussian(rbf.centres_NK2[..., 0] * height, widths_NK, height) * rbf.amplitudes_NK.unsqueeze(
        -1
    )
    columns_NKW = _gaussian(rbf.centres_NK2[..., 1] * width, widths_NK, width)
    bumps_KNHW = (rows_NKH.unsqueeze(-1) * columns_NKW.unsqueeze(-2)).unbind(dim=1)
    mask_NHW = bumps_KNHW[0]
    for bump_NHW in bumps_KNHW[1:]:
        mask_NHW = mask_NHW + bump_NHW * (1 - mask_NHW)  # noisy-OR, one bump at a time: exact for K = 1
    return mask_NHW


def _gaussian(centres_NK: Tensor, widths_NK: Tensor, length: int) -> Tensor:
    """Return exp(-(i - centre)^2 / (2 width^2)) at the pixel indices i = 0 .. length - 1; all in pixels."""
    pixels = torch.arange(length, device=centres_NK.device, dtype=centres_NK.dtype)
    scaled = (pixels - centres_NK.unsqueeze(-1)) / widths_NK.unsqueeze(-1)
    return torch.exp(-0.5 * scaled.square())
