"""A light decoder from the maps of a classifier to one feature map, sized by a budget.

Shape suffixes used in this file:
    N  images in the batch
    C  channels of a tapped map
    D  channels of the decoder, the same at every size
    H, W  height and width of a map in pixels

References:
    [Ganjdanesh2022] ISP, ECCV 2022. Its decoder costs 7 ResNet-50s; this one is a small share of the backbone.
    [Lin2017] T.-Y. Lin et al. Feature Pyramid Networks for Object Detection. CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.errors import InvalidSettingsError
from pruning_core.saliency.taps import Tap

_WIDTHS = (32, 24, 16, 12, 8)  # wider was not better, narrower only where nothing else fits
_NARROW_WIDTHS = (6, 4, 3, 2, 1)
_KERNEL = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderPlan:
    """How large a decoder is: its ``width`` in channels, and the ``taps`` it reads, largest map first."""

    width: int
    taps: tuple[Tap, ...]


def plan_decoder(taps: Sequence[Tap], max_macs: int, *, head_macs_per_pixel: int) -> DecoderPlan:
    """Choose the decoder that reads as many taps as the budget allows, and is then as wide as it allows.

    Large maps are dropped before the decoder becomes narrower than 8 channels; the smallest map always stays.

    Args:
        taps: Candidates, largest map first.
        max_macs: Most multiply-accumulates that decoder and head may need for one image.
        head_macs_per_pixel: What the head needs per channel and pixel of the decoder's output.

    Raises:
        InvalidSettingsError: Not even one channel on the smallest map fits.
    """
    subsets = [tuple(taps[first:]) for first in range(len(taps))]
    plans = [DecoderPlan(width=width, taps=subset) for subset in subsets for width in _WIDTHS]
    plans += [DecoderPlan(width=width, taps=subsets[-1]) for width in _NARROW_WIDTHS]
    for plan in plans:
        if decoder_macs(plan) + head_macs_per_pixel * plan.width * _area(plan.taps[0]) <= max_macs:
            return plan
    raise InvalidSettingsError(
        f"saliency.selector.decoder_share must allow a decoder of one channel on {taps[-1].layer!r} "
        f"({decoder_macs(plans[-1])} MACs and a head), but allows {max_macs}; raise it"
    )


def decoder_macs(plan: DecoderPlan) -> int:
    """Return the multiply-accumulates of ``SaliencyDecoder`` for one image, class attention included."""
    top = plan.taps[-1]
    attention = top.num_channels * _area(top)
    laterals = sum(tap.num_channels * plan.width * _area(tap) for tap in plan.taps)
    blocks = sum((_KERNEL**2 + plan.width) * plan.width * _area(tap) for tap in plan.taps)
    return attention + laterals + blocks


def _area(tap: Tap) -> int:
    return tap.size[0] * tap.size[1]


class SaliencyDecoder(nn.Module):
    """Attends to one class on the smallest map, then merges larger maps top-down [Lin2017].

    Group normalisation over one group: no batch statistics, so images do not influence each other, and a frozen
    decoder computes what the trained one did.
    """

    def __init__(self, plan: DecoderPlan, num_classes: int) -> None:
        super().__init__()
        top = plan.taps[-1]
        self.class_embedding = nn.Embedding(num_classes, top.num_channels)
        nn.init.normal_(self.class_embedding.weight, std=top.num_channels**-0.5)  # attention starts near 1/2
        self.laterals = nn.ModuleList([_lateral(tap.num_channels, plan.width) for tap in plan.taps])
        self.blocks = nn.ModuleList([_block(plan.width) for _ in plan.taps])

    def forward(self, maps: Sequence[Tensor], classes_N: Tensor) -> Tensor:
        """Return ``features_NDHW`` at the size of the largest map.

        Args:
            maps: One ``map_NCHW`` per tap of the plan, in its order.
            classes_N: The class to explain, per image.
        """
        evidence_NHW = torch.einsum("nchw,nc->nhw", maps[-1], self.class_embedding(classes_N))
        attended = [*maps[:-1], maps[-1] * torch.sigmoid(evidence_NHW).unsqueeze(1)]
        merged: Tensor | None = None
        for tapped, lateral, block in zip(
            reversed(attended), reversed(self.laterals), reversed(self.blocks), strict=True
        ):
            features = lateral(tapped)
            if merged is not None:
                features = features + F.interpolate(merged, size=features.shape[-2:], mode="nearest")
            merged = block(features)
        assert merged is not None
        return merged


def _lateral(num_channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(num_channels, width, 1, bias=False), nn.GroupNorm(1, width))


def _block(width: int) -> nn.Sequential:
    """A depthwise-separable convolution."""
    return nn.Sequential(
        nn.Conv2d(width, width, _KERNEL, padding=_KERNEL // 2, groups=width, bias=False),
        nn.Conv2d(width, width, 1, bias=False),
        nn.GroupNorm(1, width),
        nn.ReLU(),
    )
