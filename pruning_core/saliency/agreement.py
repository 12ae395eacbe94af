"""Is a selector worth its name? Compare its masks with a fixed blob of the same area.

Shape suffixes used in this file:
    N  images in the batch
    H, W  image height and width in pixels
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.data import LabelledImages, Normalisation, iterate_batches
from pruning_core.saliency.explanations import explain
from pruning_core.saliency.freezing import frozen_copy
from pruning_core.saliency.rbf_masks import render_rbf_masks
from pruning_core.saliency.rbf_parameters import RbfParameters
from pruning_core.saliency.selector import SaliencySelector

_WIDTH_BOUNDS = (1e-3, 1e3)  # shares of the side: an empty mask, a full one
_BISECTIONS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskQuality:
    """``agreement``: share of images that the predictor, seeing the masked image, puts in the class that the dense
    network gives the whole one; higher is better. ``mean_area``: mean of the masks over pixels and images.
    """

    agreement: float
    mean_area: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectorAgreement:
    """Quality of the selector's noise-free masks, and of one centred bump of equal mean area for all images."""

    selector: MaskQuality
    blob: MaskQuality
    blob_width: float


def selector_agreement(
    dense: nn.Module,
    predictor: nn.Module,
    selector: SaliencySelector,
    images: LabelledImages,
    normalisation: Normalisation,
    *,
    device: str = "cpu",
    batch_size: int = 256,
) -> SelectorAgreement:
    """Measure a selector on images, and the centred bump that any selector must beat."""
    judge = _Judge(dense, predictor, images, normalisation, device=device, batch_size=batch_size)
    explainer = frozen_copy(selector, device)
    assert isinstance(explainer, SaliencySelector)

    def selected(images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        explanation = explain(judge.dense, explainer, images_NCHW)
        height, width = images_NCHW.shape[-2:]
        return explanation.logits_NC, explainer.draw(explanation.raw_NKP, (height, width))

    quality = judge.quality(selected)
    size = images.read(torch.zeros(1, dtype=torch.int64)).shape[-2:]
    blob_width = centred_width_of_area(quality.mean_area, (size[0], size[1]))
    blob_HW = draw_centred_blob(blob_width, (size[0], size[1])).to(device)

    def fixed(images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        return judge.dense(images_NCHW), blob_HW.expand(len(images_NCHW), -1, -1)

    return SelectorAgreement(selector=quality, blob=judge.quality(fixed), blob_width=blob_width)


def centred_width_of_area(area: float, size: tuple[int, int]) -> float:
    """Return the width, as a share of the longer side, of the centred bump whose mean over pixels is ``area``."""
    low, high = _WIDTH_BOUNDS
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        if draw_centred_blob(middle, size).mean().item() < area:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def draw_centred_blob(width: float, size: tuple[int, int]) -> Tensor:
    """Draw ``mask_HW``: one bump at the exact middle of the pixel grid."""
    middle = [(length - 1) / (2 * length) for length in size]
    rbf = RbfParameters(
        centres_NK2=torch.tensor([[middle]]),
        widths_NK=torch.tensor([[width]]),
        amplitudes_NK=torch.ones(1, 1),
    )
    return render_rbf_masks(rbf, size)[0]


class _Judge:
    """Counts agreements of dense and predictor over a set of images."""

    def __init__(
        self,
        dense: nn.Module,
        predictor: nn.Module,
        images: LabelledImages,
        normalisation: Normalisation,
        *,
        device: str,
        batch_size: int,
    ) -> None:
        self.dense = frozen_copy(dense, device)
        self.predictor = frozen_copy(predictor, device)
        self.images = images
        self.normalisation = normalisation
        self.device = device
        self.batch_size = batch_size

    @torch.no_grad()
    def quality(self, mask_of: Callable[[Tensor], tuple[Tensor, Tensor]]) -> MaskQuality:
        """Mask every image by ``mask_of(images_NCHW) -> (dense logits_NC, mask_NHW)``."""
        num_agreeing, area = 0, 0.0
        for batch in iterate_batches(
            self.images, self.normalisation, batch_size=self.batch_size, device=self.device
        ):
            logits_NC, mask_NHW = mask_of(batch.images_NCHW)
            masked_logits_NC = self.predictor(batch.images_NCHW * mask_NHW.unsqueeze(1))
            num_agreeing += int((masked_logits_NC.argmax(dim=1) == logits_NC.argmax(dim=1)).sum())
            area += mask_NHW.mean(dim=(-2, -1)).sum().item()
        return MaskQuality(agreement=num_agreeing / len(self.images), mean_area=area / len(self.images))
