"""Losses that train classifiers.

Shape suffixes used in this file:
    N  images in the batch
    C  classes, or channels of a map
    H, W  height and width of a map

References:
    [Hinton2015] G. Hinton, O. Vinyals, J. Dean. Distilling the Knowledge in a Neural Network. 2015.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.config import TrainingConfig
from pruning_core.errors import NonFiniteLossError

_SMALLEST_ENERGY = 1e-8  # a map of zeros gives an error nothing to be a share of


def classification_loss(
    logits_NC: Tensor, labels_N: Tensor, settings: TrainingConfig, *, teacher_logits_NC: Tensor | None = None
) -> Tensor:
    """Return cross-entropy, mixed with distillation from a teacher if one is given; the mean over the batch."""
    cross_entropy = F.cross_entropy(logits_NC, labels_N, label_smoothing=settings.label_smoothing)
    if teacher_logits_NC is None:
        return cross_entropy
    weight = settings.distillation.weight
    distillation = distillation_loss(logits_NC, teacher_logits_NC, settings.distillation.temperature)
    return (1 - weight) * cross_entropy + weight * distillation


def distillation_loss(logits_NC: Tensor, teacher_logits_NC: Tensor, temperature: float) -> Tensor:
    """Return ``temperature**2 * KL(teacher || student)`` of the softened classes, the mean over the batch.

    The square keeps the gradient's size at any temperature [Hinton2015].
    """
    student_NC = F.log_softmax(logits_NC / temperature, dim=1)
    teacher_NC = F.log_softmax(teacher_logits_NC / temperature, dim=1)
    divergence = F.kl_div(student_NC, teacher_NC, log_target=True, reduction="batchmean")
    return temperature**2 * divergence


def feature_distance(came: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Return the squared error of feature maps as a share of the wanted maps' energy, mean over the maps."""
    errors = [
        (a_NCHW - b_NCHW).square().sum() / b_NCHW.square().sum().clamp_min(_SMALLEST_ENERGY)
        for a_NCHW, b_NCHW in zip(came, wanted, strict=True)
    ]
    return torch.stack(errors).mean()


def refuse_non_finite(loss: float, *, stage: str, step: int) -> None:
    """Stop a training whose loss is not a number to go on with.

    Raises:
        NonFiniteLossError: It is NaN or infinite.
    """
    if not math.isfinite(loss):
        raise NonFiniteLossError(
            f"the loss of {stage} must stay finite, but became {loss} at step {step}; lower its learning rate"
        )
