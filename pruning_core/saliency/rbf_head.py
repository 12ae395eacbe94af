"""From a feature map of any size to the raw numbers of a mask.

Shape suffixes used in this file:
    N  images in the batch
    K, P  bumps per mask, raw numbers per bump
    D  channels of the features
    H, W  height and width of the features in pixels
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pruning_core.saliency.rbf_parameters import RAW_UNITS_PER_SIDE

_GAIN = 4.0  # raw numbers are some pixels of 32, features are about 1


class RbfHead(nn.Module):
    """Finds where each bump belongs by soft-argmax and the rest by attention pooling; knows no map size.

    Every bump has a heat map. Its expected place moves the centre; the features there, pooled, correct the
    centre and give width and amplitude. Both start at zero: before training every image gets ``initial_raw_KP``.
    """

    def __init__(self, width: int, initial_raw_KP: Tensor) -> None:
        super().__init__()
        num_basis, num_numbers = initial_raw_KP.shape
        self.heat = nn.Conv2d(width, num_basis, 1, bias=False)  # a bias would cancel in the softmax
        self.correction = nn.Linear(width, num_basis * num_numbers, bias=False)
        self.initial_raw_KP = nn.Parameter(initial_raw_KP.clone())
        nn.init.zeros_(self.heat.weight)
        nn.init.zeros_(self.correction.weight)

    def forward(self, features_NDHW: Tensor) -> Tensor:
        """Return ``raw_NKP``."""
        height, width = features_NDHW.shape[-2:]
        heat_NKHW = self.heat(features_NDHW)
        share_NKHW = torch.softmax(heat_NKHW.flatten(2), dim=-1).view(heat_NKHW.shape)
        rows = (share_NKHW.sum(dim=-1) * _places(height, features_NDHW)).sum(dim=-1)
        columns = (share_NKHW.sum(dim=-2) * _places(width, features_NDHW)).sum(dim=-1)
        pooled_NKD = torch.einsum("nkhw,ndhw->nkd", share_NKHW, features_NDHW)
        num_basis, num_numbers = self.initial_raw_KP.shape
        weight_KPD = self.correction.weight.view(num_basis, num_numbers, -1)
        correction_NKP = torch.einsum("nkd,kpd->nkp", pooled_NKD, weight_KPD)
        raw_NKP = self.initial_raw_KP + _GAIN * correction_NKP
        moves_NK2 = RAW_UNITS_PER_SIDE * torch.stack([rows, columns], dim=-1)
        return torch.cat([raw_NKP[..., :2] + moves_NK2, raw_NKP[..., 2:]], dim=-1)


def head_macs_per_pixel(num_basis: int, num_numbers: int) -> int:
    """Return a bound on the head's multiply-accumulates per channel and pixel: heat, pooling, correction."""
    return num_basis * (2 + num_numbers)


def _places(length: int, like: Tensor) -> Tensor:
    """Return the places of pixels relative to the middle, as shares of the side, in (-0.5, 0.5)."""
    pixels = torch.arange(length, device=like.device, dtype=like.dtype)
    return (pixels + 0.5) / length - 0.5
