"""The selector: a decoder on a frozen classifier's maps that predicts a saliency mask per image.

Shape suffixes used in this file:
    N  images in the batch
    K, P  bumps per mask, raw numbers per bump
    H, W  height and width of an image in pixels

References:
    [Ganjdanesh2022] ISP, ECCV 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pruning_core.channels import count_cost
from pruning_core.config import SaliencyConfig
from pruning_core.precision import in_single
from pruning_core.saliency.decoder import DecoderPlan, SaliencyDecoder, plan_decoder
from pruning_core.saliency.rbf_head import RbfHead, head_macs_per_pixel
from pruning_core.saliency.rbf_masks import render_rbf_masks
from pruning_core.saliency.rbf_parameters import RbfParameters, initial_raw, numbers_per_basis, raw_to_rbf
from pruning_core.saliency.taps import Tap, find_taps


class SaliencySelector(nn.Module):
    """Maps of the classifier and a class in, raw numbers of a mask out.

    ``taps``: the maps it reads, largest first. The class is the *dense network's prediction*, never the label,
    so that an explanation needs no label and cannot leak one.
    """

    def __init__(self, plan: DecoderPlan, settings: SaliencyConfig, *, num_classes: int) -> None:
        super().__init__()
        self.taps: tuple[Tap, ...] = plan.taps
        self.num_basis = settings.num_basis
        self.centre_margin = settings.centre_margin
        self.decoder = SaliencyDecoder(plan, num_classes)
        start_KP = initial_raw(
            settings.num_basis, settings.initial_width, is_anisotropic=settings.anisotropic
        )
        self.head = RbfHead(plan.width, start_KP)

    def forward(self, maps: Sequence[Tensor], classes_N: Tensor) -> Tensor:
        """Return ``raw_NKP``.

        Args:
            maps: One ``map_NCHW`` per tap, in the order of ``taps``.
            classes_N: The class to explain, per image.
        """
        features_NDHW = in_single(self.decoder(maps, classes_N))
        with torch.autocast(features_NDHW.device.type, enabled=False):  # places are sums over many pixels
            raw_NKP: Tensor = self.head(features_NDHW)
        return raw_NKP

    def to_rbf(self, raw_NKP: Tensor) -> RbfParameters:
        """Read raw numbers as bumps."""
        return raw_to_rbf(raw_NKP, self.centre_margin)

    def draw(self, raw_NKP: Tensor, size: tuple[int, int]) -> Tensor:
        """Draw raw numbers as ``mask_NHW`` in [0, 1]."""
        return render_rbf_masks(self.to_rbf(raw_NKP), size)


def build_selector(
    dense: nn.Module, settings: SaliencyConfig, *, num_classes: int, input_shape: tuple[int, int, int]
) -> SaliencySelector:
    """Build an untrained selector for a classifier, as large as ``decoder_share`` of its MACs allows.

    Deterministic: ``settings.seed`` gives the weights. Before training every image gets the same mask.

    Raises:
        InvalidSettingsError: A name in ``taps`` is wrong, or no decoder is small enough.
        UnsupportedNetworkError: The network passes on no map of at least 2 x 2 pixels.
    """
    taps = find_taps(dense, input_shape, settings.taps)
    plan = plan_decoder(
        taps,
        int(settings.selector.decoder_share * count_cost(dense, input_shape).macs),
        head_macs_per_pixel=head_macs_per_pixel(
            settings.num_basis, numbers_per_basis(settings.num_basis, is_anisotropic=settings.anisotropic)
        ),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return SaliencySelector(plan, settings, num_classes=num_classes)
