"""Do two saliency maps put the pixels in the same order?

Shape suffixes used in this file:
    N  images
    H, W  height and width of the maps
    P  pixels of one map, H * W
"""

from __future__ import annotations

import torch
from torch import Tensor


def rank_correlation(maps_a_NHW: Tensor, maps_b_NHW: Tensor) -> Tensor:
    """Return ``correlation_N``: Spearman's rank correlation of the pixels of two maps of each image, in [-1, 1].

    Equal values share the mean of their ranks. Exactly 1 for equal maps; 0 where a map is constant, because it orders
    nothing.
    """
    a_NP, b_NP = _centred_ranks(maps_a_NHW), _centred_ranks(maps_b_NHW)
    spread_N = a_NP.square().sum(dim=1) * b_NP.square().sum(dim=1)
    return torch.where(spread_N > 0, (a_NP * b_NP).sum(dim=1) / spread_N.clamp_min(1).sqrt(), 0.0)


def _centred_ranks(maps_NHW: Tensor) -> Tensor:
    """Return ranks minus their mean, in double precision: multiples of a half, so sums of them are exact."""
    values_NP = maps_NHW.flatten(1).contiguous()
    sorted_NP = values_NP.sort(dim=1).values
    first_NP = torch.searchsorted(sorted_NP, values_NP, right=False)
    after_NP = torch.searchsorted(sorted_NP, values_NP, right=True)
    return (first_NP + after_NP).double() / 2 - values_NP.shape[1] / 2
