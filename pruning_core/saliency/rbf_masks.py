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

_SMALLEST_SQUARE = 1e-12  # keeps the root's slope finite where a bump is round


def render_rbf_masks(rbf: RbfParameters, size: tuple[int, int]) -> Tensor:
    """Draw every bump as ``amplitude * exp(-r^2 / (2 width^2))`` and join them by noisy-OR, 1 - prod(1 - bump).

    A round bump is the outer product of two 1-D Gaussians; a stretched one is drawn pixel by pixel. The reference
    implementation draws a Gaussian *density* and divides by its detached maximum: the same values, but the gradient for
    the width gets the wrong sign. Here there is no density factor.

    Args:
        rbf: The bumps; the coordinate convention is that of ``rbf_parameters``.
        size: ``(H, W)`` in pixels; they may differ.

    Returns:
        ``mask_NHW`` in [0, 1]: the probability that a pixel is kept. Differentiable for all widths > 0.
    """
    height, width = size
    widths_NK = rbf.widths_NK * max(size)
    rows_NKH = _offsets(rbf.centres_NK2[..., 0] * height, widths_NK, height)
    columns_NKW = _offsets(rbf.centres_NK2[..., 1] * width, widths_NK, width)
    amplitudes_NK1 = rbf.amplitudes_NK.unsqueeze(-1)
    if rbf.stretches_NK2 is None:
        heights_NKH = torch.exp(-0.5 * rows_NKH.square()) * amplitudes_NK1
        bumps_NKHW = heights_NKH.unsqueeze(-1) * torch.exp(-0.5 * columns_NKW.square()).unsqueeze(-2)
    else:
        squared_NKHW = _stretched_square(rows_NKH.unsqueeze(-1), columns_NKW.unsqueeze(-2), rbf.stretches_NK2)
        bumps_NKHW = torch.exp(-0.5 * squared_NKHW) * amplitudes_NK1.unsqueeze(-1)
    bumps_KNHW = bumps_NKHW.unbind(dim=1)
    mask_NHW = bumps_KNHW[0]
    for bump_NHW in bumps_KNHW[1:]:
        mask_NHW = mask_NHW + bump_NHW * (1 - mask_NHW)  # noisy-OR, one bump at a time: exact for K = 1
    return mask_NHW


def _offsets(centres_NK: Tensor, widths_NK: Tensor, length: int) -> Tensor:
    """Return (i - centre) / width at the pixel indices i = 0 .. length - 1; all in pixels."""
    pixels = torch.arange(length, device=centres_NK.device, dtype=centres_NK.dtype)
    return (pixels - centres_NK.unsqueeze(-1)) / widths_NK.unsqueeze(-1)


def _stretched_square(rows_NKHX: Tensor, columns_NKXW: Tensor, stretches_NK2: Tensor) -> Tensor:
    """Return d^T exp(-S) d of the offsets d = (row, column); exp(-S) = cosh(r) I - sinh(r) / r S, r^2 = a^2 + b^2."""
    a_NKXX, b_NKXX = (stretch_NK[..., None, None] for stretch_NK in stretches_NK2.unbind(dim=-1))
    r_NKXX = (a_NKXX.square() + b_NKXX.square() + _SMALLEST_SQUARE).sqrt()
    turned = a_NKXX * (rows_NKHX.square() - columns_NKXW.square()) + 2 * b_NKXX * rows_NKHX * columns_NKXW
    plain = rows_NKHX.square() + columns_NKXW.square()
    return torch.cosh(r_NKXX) * plain - torch.sinh(r_NKXX) / r_NKXX * turned
