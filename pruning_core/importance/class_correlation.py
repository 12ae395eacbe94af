"""How strongly a channel's response goes with the class: streamed linear CKA.

With M the responses of one channel on a P x P grid (one row per image) and Y the one-hot classes, both centred over
images,

    task relevance = ||M^T Y||_F^2 / (||M^T M||_F * ||Y^T Y||_F)        in [0, 1], higher is more class-related.

Or Y are the dense network's logits, one row per image: then no label is needed, and the task is what the network
answers.

For a one-dimensional response and equally frequent classes it equals eta^2 / sqrt(K - 1), eta^2 being the share
of the variance that lies between classes. It does not change under scaling or shifting the response.

Task-inspired criterion, after Guo et al. 2024; formulas ours.

Shape suffixes used in this file:
    N  images
    C  channels of the group
    F  numbers per response (cells of the grid, times maps per channel)
    K  classes
    D  numbers per target

References:
    [Guo2024] Y. Guo, J. Gao, X. Li. Interpretable Task-inspired Adaptive Filter Pruning for Neural Networks
        Under Multiple Constraints. IJCV 2024.
    [Kornblith2019] S. Kornblith, M. Norouzi, H. Lee, G. Hinton. Similarity of Neural Network Representations
        Revisited. ICML 2019.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from pruning_core.importance.class_targets import TaskLabels

_NO_VARIANCE = 1e-12  # share of the raw second moment below which a response counts as constant


class ClassCorrelation:
    """Sums over images from which the task relevance of every channel follows; batches may come in any split.

    Args:
        targets: A target vector per class, as rows ``(K, D)``, or per image, ``(N, D)``.
        by_image: Whether they are per image.
    """

    def __init__(self, targets: Tensor, *, by_image: bool = False) -> None:
        self._targets = targets
        self._is_by_image = by_image
        self._num_images = 0
        self._sum_D = torch.zeros(1)
        self._sum_DD = torch.zeros(1)
        self._sum_CF = torch.zeros(1)
        self._sum_CFF = torch.zeros(1)
        self._sum_CFD = torch.zeros(1)

    @classmethod
    def of_task(cls, task: TaskLabels) -> Self:
        """Start from nothing, for the targets of a task."""
        return cls(task.targets())

    @classmethod
    def of_outputs(cls, task: TaskLabels) -> Self:
        """Start from nothing, for what the dense network answers."""
        return cls(task.output_targets(), by_image=True)

    def update(self, responses_NCF: Tensor, labels_N: Tensor, first_image: int) -> None:
        """Add the images of one batch."""
        m_CNF = responses_NCF.double().transpose(0, 1).contiguous()
        targets = self._targets.to(m_CNF.device)
        y_ND = targets[first_image : first_image + len(labels_N)] if self._is_by_image else targets[labels_N]
        self._num_images += len(y_ND)
        self._sum_D = self._sum_D.to(y_ND) + y_ND.sum(dim=0)
        self._sum_DD = self._sum_DD.to(y_ND) + y_ND.T @ y_ND
        self._sum_CF = self._sum_CF.to(y_ND) + m_CNF.sum(dim=1)
        self._sum_CFF = self._sum_CFF.to(y_ND) + m_CNF.transpose(1, 2) @ m_CNF
        self._sum_CFD = self._sum_CFD.to(y_ND) + m_CNF.transpose(1, 2) @ y_ND

    def merge(self, other: Self) -> None:
        """Add the sums over other images."""
        self._num_images += other._num_images
        self._sum_D = self._sum_D + other._sum_D.to(self._sum_D.device)
        self._sum_DD = self._sum_DD + other._sum_DD.to(self._sum_D.device)
        self._sum_CF = self._sum_CF + other._sum_CF.to(self._sum_D.device)
        self._sum_CFF = self._sum_CFF + other._sum_CFF.to(self._sum_D.device)
        self._sum_CFD = self._sum_CFD + other._sum_CFD.to(self._sum_D.device)

    def relevance(self) -> Tensor:
        """Return the task relevance ``(C,)`` in [0, 1], float64 on the CPU; 0 for a constant response.

        Raises:
            ValueError: No image has been seen.
        """
        if self._num_images == 0:
            raise ValueError("at least 1 image must be seen before the class correlation is asked for")
        n = self._num_images
        cross_CFD = self._sum_CFD - self._sum_CF[:, :, None] * self._sum_D / n
        own_CFF = self._sum_CFF - self._sum_CF[:, :, None] * self._sum_CF[:, None, :] / n
        target_DD = self._sum_DD - torch.outer(self._sum_D, self._sum_D) / n
        variance_C = own_CFF.diagonal(dim1=1, dim2=2).sum(dim=1)
        raw_C = self._sum_CFF.diagonal(dim1=1, dim2=2).sum(dim=1)
        numerator_C = cross_CFD.square().sum(dim=(1, 2))
        denominator_C = torch.linalg.matrix_norm(own_CFF) * torch.linalg.matrix_norm(target_DD)
        varies_C = (variance_C > _NO_VARIANCE * raw_C) & (denominator_C > 0)
        safe_C = torch.where(varies_C, denominator_C, torch.ones_like(denominator_C))
        return torch.where(varies_C, numerator_C / safe_C, torch.zeros_like(safe_C)).clamp(0, 1).cpu()
