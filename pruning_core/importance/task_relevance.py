"""Ways to tell how much a channel's response has to do with the task, and how they see what a layer reads.

Shape suffixes used in this file:
    N  images
    C  channels of the group
    S  positions of one channel along the layer's input dimension
    F  numbers per response (cells of the grid, times maps per channel)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.importance.class_correlation import ClassCorrelation
from pruning_core.importance.class_targets import TaskLabels
from pruning_core.importance.kernel_dependence import KernelDependence
from pruning_core.importance.mutual_information import MutualInformation
from pruning_core.importance.read_points import channel_responses
from pruning_core.importance.variance_ratio import VarianceRatio


class TaskRelevance(Protocol):
    """Statistics of responses and classes, gathered in one pass over the calibration images.

    The result depends neither on how the images are split into batches nor on the order of the batches, nor on how
    many objects share the work, up to rounding.
    """

    def update(self, responses_NCF: Tensor, labels_N: Tensor, first_image: int) -> None:
        """Add the images numbered from ``first_image`` on; each image once."""

    def merge(self, other: Self) -> None:
        """Add what another object of the same task has seen of other images; that one is not used any more."""

    def relevance(self) -> Tensor:
        """Return one number in [0, 1] per channel, float64 on the CPU; 0 for a constant response.

        Neither scaling nor shifting a response changes it.

        Raises:
            ValueError: Too few images have been seen.
        """


TASK_RELEVANCES: dict[str, Callable[[TaskLabels], TaskRelevance]] = {
    "cka": ClassCorrelation.of_task,
    "cka_outputs": ClassCorrelation.of_outputs,
    "eta_squared": VarianceRatio.of_task,
    "hsic": KernelDependence.of_task,
    "mutual_information": MutualInformation.of_task,
}

NEED_OUTPUTS = frozenset({"cka_outputs"})
"""Those whose task is what the dense network answers: ``TaskLabels`` must hold its logits."""


class RelevanceObserver:
    """Feeds what one layer reads into a ``TaskRelevance``.

    ``grid_size``: side P of the grid that maps are averaged to; smaller maps stay as they are.
    """

    def __init__(self, positions_CS: Tensor, statistics: TaskRelevance, grid_size: int) -> None:
        self._positions_CS = positions_CS
        self._grid_size = grid_size
        self._statistics = statistics

    def observe(self, inputs: Tensor, labels_N: Tensor, first_image: int) -> None:
        """Add what the layer reads for one batch."""
        maps = channel_responses(inputs, self._positions_CS)
        self._statistics.update(pool_to_grid(maps, self._grid_size), labels_N, first_image)

    def merge(self, other: Self) -> None:
        """Add what was seen of other images."""
        self._statistics.merge(other._statistics)

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
