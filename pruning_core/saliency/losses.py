"""What the predictor and the selector are trained to make small.

Shape suffixes used in this file:
    N  images in the batch
    C  classes
    H, W  mask height and width in pixels

References:
    [Ganjdanesh2022] ISP, ECCV 2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.config import SelectorConfig

AREA_OFFSET = 5e-4  # keeps the slope of the area term finite where a mask is 0
_BORDER_WEIGHT = 0.3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SelectorLoss:
    """Unweighted terms of the selector's loss and their weighted ``total``, all scalars."""

    total: Tensor
    divergence: Tensor
    area: Tensor
    smoothness: Tensor


def prediction_divergence(teacher_logits_NC: Tensor, student_logits_NC: Tensor) -> Tensor:
    """Return KL(softmax teacher || softmax student) in nats, averaged over images; 0 where they agree."""
    teacher_NC = F.log_softmax(teacher_logits_NC, dim=1)
    student_NC = F.log_softmax(student_logits_NC, dim=1)
    return F.kl_div(student_NC, teacher_NC, log_target=True, reduction="batchmean")


def area_penalty(mask_NHW: Tensor, power: float, *, hard: bool = False) -> Tensor:
    """Return mean((s + 5e-4)^power) over the pixels of each mask, as ``penalty_N``.

    A power below 1 charges many grey pixels more than few bright ones of the same sum.

    Args:
        mask_NHW: Values in [0, 1].
        power: Strictly positive.
        hard: The mask is 0 or 1 with straight-through gradients. The values are the same, but the slope is that
            between 0 and 1: the slope at 0 (61 for a power of 0.3) would empty every mask.
    """
    if hard:
        empty, full = math.pow(AREA_OFFSET, power), math.pow(1 + AREA_OFFSET, power)
        return empty + (full - empty) * mask_NHW.mean(dim=(-2, -1))
    return (mask_NHW + AREA_OFFSET).pow(power).mean(dim=(-2, -1))


def roughness(mask_NHW: Tensor) -> Tensor:
    """Return half the squared differences of neighbouring pixels plus 0.3 of the squared border pixels.

    Summed over pixels (corners count twice) and averaged over images.
    """
    vertical_N = (mask_NHW[:, 1:] - mask_NHW[:, :-1]).square().sum(dim=(-2, -1))
    horizontal_N = (mask_NHW[:, :, 1:] - mask_NHW[:, :, :-1]).square().sum(dim=(-2, -1))
    # stacked: a list as an index would be copied to the device in every step
    rows_N = torch.stack((mask_NHW[:, 0], mask_NHW[:, -1]), dim=1).square().sum(dim=(-2, -1))
    columns_N = torch.stack((mask_NHW[:, :, 0], mask_NHW[:, :, -1]), dim=2).square().sum(dim=(-2, -1))
    return 0.5 * (vertical_N + horizontal_N + _BORDER_WEIGHT * (rows_N + columns_N)).mean()


def selector_loss(
    teacher_logits_NC: Tensor,
    student_logits_NC: Tensor,
    sample_NHW: Tensor,
    probability_NHW: Tensor,
    settings: SelectorConfig,
) -> SelectorLoss:
    """Keep the prediction with a small, smooth mask [Ganjdanesh2022].

    KL(teacher || student) + lambda_1 * area of the sampled mask + lambda_2 * roughness. The reference implementation
    takes the roughness of the sampled mask, where it mostly measures the noise; here it is that of the
    noise-free mask.

    Args:
        teacher_logits_NC: The dense network's, on whole images.
        student_logits_NC: The predictor's, on images multiplied by ``sample_NHW``.
        sample_NHW: Sampled mask.
        probability_NHW: The noise-free mask it was sampled from.
        settings: Weights and power.
    """
    divergence = prediction_divergence(teacher_logits_NC, student_logits_NC)
    area = area_penalty(sample_NHW, settings.area_power, hard=settings.hard_masks).mean()
    smoothness = roughness(probability_NHW)
    total = divergence + settings.area_weight * area + settings.smoothness_weight * smoothness
    return SelectorLoss(total=total, divergence=divergence, area=area, smoothness=smoothness)
