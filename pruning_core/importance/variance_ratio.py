"""How much of a channel's variance lies between classes: eta squared of its mean response.

    eta^2 = sum_k n_k (mu_k - mu)^2 / sum_i (f_i - mu)^2        in [0, 1]

Fisher's ratio, eta^2 / (1 - eta^2), ranks channels the same way. Where in the image a channel responds does not count.

Shape suffixes used in this file:
    N  images
    C  channels of the group
    F  numbers per response
    K  classes
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from pruning_core.importance.class_targets import TaskLabels

_NO_VARIANCE = 1e-12  # share of the raw second moment below which a response counts as constant


class VarianceRatio:
    """Sums over images of each channel's mean response, by class; batches may come in any split.

    Args:
        class_of_K: Which class each label counts as.
    """

    def __init__(self, class_of_K: Tensor) -> None:
        self._class_of_K = class_of_K
        self._count_K = torch.zeros(len(class_of_K), dtype=torch.float64)
        self._sum_KC = torch.zeros(len(class_of_K), 1, dtype=torch.float64)
        self._square_C = torch.zeros(1, dtype=torch.float64)

    @classmethod
    def of_task(cls, task: TaskLabels) -> Self:
        """Start from nothing, for the classes of a task."""
        return cls(task.merged_classes())

    def update(self, responses_NCF: Tensor, labels_N: Tensor, first_image: int) -> None:  # noqa: ARG002
        """Add the images of one batch."""
        mean_NC = responses_NCF.double().mean(dim=2).cpu()
        class_N = self._class_of_K[labels_N.cpu()]
        sum_KC = torch.zeros(len(self._class_of_K), mean_NC.shape[1], dtype=torch.float64)
        self._count_K += torch.bincount(class_N, minlength=len(self._class_of_K))
        self._sum_KC = self._sum_KC + sum_KC.index_add_(0, class_N, mean_NC)
        self._square_C = self._square_C + mean_NC.square().sum(dim=0)

    def merge(self, other: Self) -> None:
        """Add the sums over other images."""
        self._count_K = self._count_K + other._count_K
        self._sum_KC = self._sum_KC + other._sum_KC
        self._square_C = self._square_C + other._square_C

    def relevance(self) -> Tensor:
        """Return eta squared ``(C,)`` in [0, 1], float64 on the CPU; 0 for a constant response.

        Raises:
            ValueError: No image has been seen.
        """
        count = self._count_K.sum()
        if count == 0:
            raise ValueError("at least 1 image must be seen before the variance ratio is asked for")
        mean_C = self._sum_KC.sum(dim=0) / count
        class_mean_KC = self._sum_KC / self._count_K.clamp_min(1)[:, None]
        between_C = (self._count_K[:, None] * (class_mean_KC - mean_C).square()).sum(dim=0)
        total_C = self._square_C - count * mean_C.square()
        varies_C = total_C > _NO_VARIANCE * self._square_C
        ratio_C = between_C / total_C.where(varies_C, torch.ones_like(total_C))
        return ratio_C.where(varies_C, torch.zeros_like(ratio_C)).clamp(0, 1)
