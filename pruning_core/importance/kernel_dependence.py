"""How strongly a channel's response depends on the class, linearly or not: kernel alignment over blocks of images.

With a Gaussian kernel on the responses (bandwidth: median distance) and "same class" as the kernel on labels,

    task relevance = HSIC(response, class) / sqrt(HSIC(response, response) HSIC(class, class))     clipped to [0, 1]

HSIC is the unbiased estimate [Song2012], 0 on average for independent responses. It is taken within blocks of images
and averaged, as in [Nguyen2021], which needs no N x N kernel: O(N b C F) for blocks of b images.

Shape suffixes used in this file:
    N  images of a batch or block
    C  channels of the group
    F  numbers per response
    K  classes
    Q  pairs of different images of a block

References:
    [Song2012] L. Song, A. Smola, A. Gretton, J. Bedo, K. Borgwardt. Feature Selection via Dependence Maximization.
        JMLR 2012.
    [Nguyen2021] T. Nguyen, M. Raghu, S. Kornblith. Do Wide and Deep Networks Learn the Same Things? ICLR 2021.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Self

import torch
from torch import Tensor

from pruning_core.importance.class_targets import TaskLabels

BLOCK_SIZE = 256
_FEWEST = 4  # images that the unbiased estimate needs
_CHUNK_NUMBERS = 2**22  # numbers of an intermediate result held at once
_NO_VARIANCE = 1e-9  # HSIC of something with itself, times images, below which it counts as constant
_SAME = 1e-12  # squared distance, as a share of the largest squared response, below which responses are equal


class KernelDependence:
    """Sums over blocks of images. A block is the images numbered b * i to b * (i + 1) - 1: the calibration set comes
    in random order, so each is a mixture of classes. Only unfinished blocks are held in memory.

    Args:
        class_of_K: Which class each label counts as.
    """

    def __init__(self, class_of_K: Tensor) -> None:
        self._class_of_K = class_of_K
        self._unfinished: dict[int, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        self._sums_3C = torch.zeros(3, 1, dtype=torch.float64)
        self._has_finished = False

    @classmethod
    def of_task(cls, task: TaskLabels) -> Self:
        """Start from nothing, for the classes of a task."""
        return cls(task.merged_classes())

    def update(self, responses_NCF: Tensor, labels_N: Tensor, first_image: int) -> None:
        """Add the images of one batch to their blocks, and finish the blocks that are full."""
        class_N = self._class_of_K.to(labels_N.device)[labels_N]
        begin = 0
        while begin < len(class_N):
            block = (first_image + begin) // BLOCK_SIZE
            end = min(len(class_N), (block + 1) * BLOCK_SIZE - first_image)
            self._unfinished[block].append((responses_NCF[begin:end].clone(), class_N[begin:end]))
            self._finish_if_full(block)
            begin = end

    def merge(self, other: Self) -> None:
        """Add other images; blocks that both began become one."""
        self._sums_3C = self._sums_3C + other._sums_3C.to(self._sums_3C.device)
        self._has_finished |= other._has_finished
        for block, parts in other._unfinished.items():
            self._unfinished[block] += parts
            self._finish_if_full(block)

    def relevance(self) -> Tensor:
        """Return the kernel alignment ``(C,)`` in [0, 1], float64 on the CPU; 0 for a constant response.

        Raises:
            ValueError: Fewer than four images have been seen.
        """
        partial = [parts for parts in self._unfinished.values() if _num_images(parts) >= _FEWEST]
        if not partial and not self._has_finished:
            raise ValueError(
                f"at least {_FEWEST} images of one block must be seen before the kernel dependence is asked for"
            )
        sums_3C = self._sums_3C
        for parts in partial:
            sums_3C = sums_3C + _block_sums(parts).to(sums_3C.device)
        cross_C, own_C, target_C = sums_3C.cpu()
        varies_C = (own_C > _NO_VARIANCE) & (target_C > _NO_VARIANCE)
        norm_C = torch.where(varies_C, own_C * target_C, torch.ones_like(own_C)).sqrt()
        return torch.where(varies_C, cross_C / norm_C, torch.zeros_like(norm_C)).clamp(0, 1)

    def _finish_if_full(self, block: int) -> None:
        if _num_images(self._unfinished[block]) == BLOCK_SIZE:
            self._has_finished = True
            sums_3C = _block_sums(self._unfinished.pop(block))
            self._sums_3C = self._sums_3C.to(sums_3C.device) + sums_3C


def _num_images(parts: list[tuple[Tensor, Tensor]]) -> int:
    return sum(len(class_N) for _, class_N in parts)


def _block_sums(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return HSIC of response and class, of the response and of the class with themselves, times the images."""
    responses_NCF = torch.cat([responses for responses, _ in parts]).double()
    class_N = torch.cat([classes for _, classes in parts])
    num_images = len(class_N)
    first, second = torch.triu_indices(num_images, num_images, offset=1, device=class_N.device)
    same_Q = (class_N[first] == class_N[second]).double()
    centred_same_1Q = _centre(same_Q[None], first, second, num_images)
    target = (same_Q * centred_same_1Q).sum()
    sums = []
    for chunk in torch.split(responses_NCF, max(1, _CHUNK_NUMBERS // len(same_Q)), dim=1):
        kernel_CQ = gaussian_kernel(chunk, first, second)
        own_C = (kernel_CQ * _centre(kernel_CQ, first, second, num_images)).sum(dim=1)
        cross_C = (kernel_CQ * centred_same_1Q).sum(dim=1)
        sums.append(torch.stack([cross_C, own_C, target.expand_as(own_C)]))
    return torch.cat(sums, dim=1) * 2 / (num_images - 3)


def gaussian_kernel(responses_NCF: Tensor, first_Q: Tensor, second_Q: Tensor) -> Tensor:
    """Return ``exp(-distance^2 / 2 median^2)`` per channel and pair; 0 for a channel without any distance.

    The median is over pairs that differ: a channel that is mostly silent still has one.
    """
    m_CNF = responses_NCF.transpose(0, 1)
    m_CNF = m_CNF - m_CNF.mean(dim=1, keepdim=True)
    square_CN = m_CNF.square().sum(dim=2)
    product_CNN = m_CNF @ m_CNF.transpose(1, 2)
    squared_CQ = square_CN[:, first_Q] + square_CN[:, second_Q] - 2 * product_CNN[:, first_Q, second_Q]
    differ_CQ = squared_CQ > _SAME * responses_NCF.square().sum(dim=2).amax(dim=0)[:, None]
    median_C = squared_CQ.masked_fill(~differ_CQ, torch.nan).nanmedian(dim=1).values
    varies_C1 = differ_CQ.any(dim=1)[:, None]
    kernel_CQ = torch.exp(-squared_CQ.clamp_min(0) / (2 * torch.where(varies_C1, median_C[:, None], 1.0)))
    return torch.where(varies_C1, kernel_CQ, torch.zeros_like(kernel_CQ))


def _centre(kernel_CQ: Tensor, first_Q: Tensor, second_Q: Tensor, num_images: int) -> Tensor:
    """Subtract the means of rows and columns, the diagonal left out, as the unbiased estimate wants it (U-centring)."""
    rows_CN = kernel_CQ.new_zeros(len(kernel_CQ), num_images)
    rows_CN.index_add_(1, first_Q, kernel_CQ).index_add_(1, second_Q, kernel_CQ)
    total_C1 = rows_CN.sum(dim=1, keepdim=True)
    centred = kernel_CQ - (rows_CN[:, first_Q] + rows_CN[:, second_Q]) / (num_images - 2)
    return centred + total_C1 / ((num_images - 1) * (num_images - 2))
