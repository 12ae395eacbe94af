"""How strongly a channel's response goes with the class: streamed linear CKA.

With M the responses of one channel on a P x P grid (one row per image) and Y the one-hot classes, both centred over
images,

    task relevance = ||M^T Y||_F^2 / (||M^T M||_F * ||Y^T Y||_F)        in [0, 1], higher is more class-related.

For a one-dimensional response and equally frequent classes it equals eta^2 / sqrt(K - 1), eta^2 being the share
of the variance that lies between classes. It does not change under scaling or shifting the response.

Task-inspired criterion, after Guo et al. 2024; formulas ours.

Shape suffixes used in this file:
    N  images
    C  channels of the group
    F  numbers per response (cells of the grid, times maps per channel)
    K  classes
    D  numbers per target (K, or 64 random projections of the one-hot vector for many classes)

References:
    [Guo2024] Y. Guo, J. Gao, X. Li. Interpretable Task-inspired Adaptive Filter Pruning for Neural Networks
        Under Multiple Constraints. IJCV 2024.
    [Kornblith2019] S. Kornblith, M. Norouzi, H. Lee, G. Hinton. Similarity of Neural Network Representations
        Revisited. ICML 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.importance.read_points import channel_responses

MAX_CLASSES = 200  # above it, targets are projected
NUM_PROJECTIONS = 64
_NO_VARIANCE = 1e-12  # share of the raw second moment below which a response counts as constant


def class_targets(labels_N: Tensor, num_classes: int, *, seed: int) -> Tensor:
    """Return the target vector of each class, as rows ``(K, D)``.

    One-hot; classes with fewer than two images share one target; more than ``MAX_CLASSES`` classes are projected to
    ``NUM_PROJECTIONS`` dimensions by a seeded Gaussian matrix, which keeps inner products on average.
    """
    counts_K = torch.bincount(labels_N.cpu(), minlength=num_classes)
    targets_KD = torch.eye(num_classes, dtype=torch.float64)
    rare = torch.nonzero(counts_K < 2).flatten()
    if len(rare) > 1:
        targets_KD[rare] = targets_KD[rare[0]].clone()
    if num_classes <= MAX_CLASSES:
        return targets_KD
    generator = torch.Generator().manual_seed(seed)
    projection_KD = torch.randn(num_classes, NUM_PROJECTIONS, generator=generator, dtype=torch.float64)
    projected_KD: Tensor = targets_KD @ projection_KD / NUM_PROJECTIONS**0.5
    return projected_KD


class ClassCorrelation:
    """Sums over images from which the task relevance of every channel follows; batches may come in any split."""

    def __init__(self, targets_KD: Tensor) -> None:
        self._targets_KD = targets_KD
        self._num_images = 0
        self._sum_D = torch.zeros(1)
        self._sum_DD = torch.zeros(1)
        self._sum_CF = torch.zeros(1)
        self._sum_CFF = torch.zeros(1)
        self._sum_CFD = torch.zeros(1)

    def update(self, responses_NCF: Tensor, labels_N: Tensor) -> None:
        """Add the images of one batch."""
        m_CNF = responses_NCF.double().transpose(0, 1).contiguous()
        y_ND = self._targets_KD.to(m_CNF.device)[labels_N]
        self._num_images += len(y_ND)
        self._sum_D = self._sum_D.to(y_ND) + y_ND.sum(dim=0)
        self._sum_DD = self._sum_DD.to(y_ND) + y_ND.T @ y_ND
        self._sum_CF = self._sum_CF.to(y_ND) + m_CNF.sum(dim=1)
        self._sum_CFF = self._sum_CFF.to(y_ND) + m_CNF.transpose(1, 2) @ m_CNF
        self._sum_CFD = self._sum_CFD.to(y_ND) + m_CNF.transpose(1, 2) @ y_ND

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


class ClassCorrelationObserver:
    """Feeds what one layer reads into a ``ClassCorrelation``.

    ``grid_size``: side P of the grid that maps are averaged to; smaller maps stay as they are.
    """

    def __init__(self, positions_CS: Tensor, targets_KD: Tensor, grid_size: int) -> None:
        self._positions_CS = positions_CS
        self._grid_size = grid_size
        self._statistics = ClassCorrelation(targets_KD)

    def observe(self, inputs: Tensor, labels_N: Tensor, first_image: int) -> None:  # noqa: ARG002
        """Add what the layer reads for one batch."""
        maps = channel_responses(inputs, self._positions_CS)
        self._statistics.update(pool_to_grid(maps, self._grid_size), labels_N)

    def relevance(self) -> Tensor:
        """Return the task relevance of the channels this layer reads."""
        return self._statistics.relevance()


def pool_to_grid(maps: Tensor, grid_size: int) -> Tensor:
    """Average ``(N, C, maps, H, W)`` to at most ``grid_size`` cells per side; return ``(N, C, F)``."""
    cells = (min(grid_size, maps.shape[3]), min(grid_size, maps.shape[4]))
    return F.adaptive_avg_pool2d(maps.flatten(1, 2), cells).reshape(len(maps), maps.shape[1], -1)


def average_normalised(scores: Sequence[Tensor]) -> Tensor:
    """Average scores of the same channels from several places, each scaled to sum 1 (all zero: left out).

    One place alone keeps its scale.
    """
    if len(scores) == 1:
        return scores[0]
    total_C = torch.stack([score / score.sum().clamp_min(torch.finfo(score.dtype).tiny) for score in scores])
    return total_C.mean(dim=0)
