"""How a channel stands out where it responds, and how rarely it does: term frequency x inverse document frequency.

Images are documents, channels words; f_nc is the mean size of what consumers read of channel c in image n:

    term frequency              f_nc / sum over the group's channels d of f_nd
    hits                        images with f_nc above the channel's own mean
    inverse document frequency  log(N / (hits + 1))
    score                       mean term frequency over the hits  x  inverse document frequency

No label enters. What several consumers read is rated apart and averaged, each scaled to sum 1.

Shape suffixes used in this file:
    N  images
    C  channels of the group

References:
    [Xu2021] T. Xu et al. CDP: Towards Optimal Filter Pruning via Class-wise Discriminative Power. ACM Multimedia
        2021.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pruning_core.importance.protocols import FilterImportance, ImportanceContext
from pruning_core.importance.read_points import (
    ReadObserver,
    channel_responses,
    find_read_points,
    stream_reads,
)
from pruning_core.importance.task_relevance import average_normalised


class TfIdfImportance:
    """TF-IDF of what the consumers read, after [Xu2021]; numbers of different groups cannot be compared."""

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Take one pass over the calibration images.

        Raises:
            UnsupportedNetworkError: A consumer runs several times, never, or is neither Conv2d nor Linear.
        """
        reads = find_read_points(context)
        sizes: dict[tuple[str, int], _ResponseSizes] = {}
        observers: dict[str, list[ReadObserver]] = {point.layer: [] for point in reads.points}
        for point in reads.points:
            if (point.group, point.source) not in sizes:
                seen = sizes[point.group, point.source] = _ResponseSizes(point.positions_CS)
                observers[point.layer].append(seen)
        stream_reads(context, observers)
        return {
            group.name: average_normalised(
                [tf_idf(seen.sizes()) for (name, _), seen in sizes.items() if name == group.name]
            )
            for group in context.graph.groups
        }


def tf_idf(size_NC: Tensor) -> Tensor:
    """Return the score ``(C,)``, >= 0, float64; 0 for a channel that responds alike to all images.

    Args:
        size_NC: Mean size of the channels' responses to each image, >= 0.
    """
    size_NC = size_NC.double()
    total_N1 = size_NC.sum(dim=1, keepdim=True)
    frequency_NC = size_NC / total_N1.where(total_N1 > 0, torch.ones_like(total_N1))
    is_hit_NC = size_NC > size_NC.mean(dim=0) * (1 + 1e-12)
    hits_C = is_hit_NC.sum(dim=0)
    mean_frequency_C = (frequency_NC * is_hit_NC).sum(dim=0) / hits_C.clamp_min(1)
    return mean_frequency_C * (math.log(len(size_NC)) - torch.log(hits_C.double() + 1))


class _ResponseSizes:
    """Mean size of every channel's response to every image (4 bytes each)."""

    def __init__(self, positions_CS: Tensor) -> None:
        self._positions_CS = positions_CS
        self._parts: list[Tensor] = []

    def observe(self, inputs: Tensor, labels_N: Tensor, first_image: int) -> None:  # noqa: ARG002
        """Keep the sizes of one batch."""
        responses = channel_responses(inputs, self._positions_CS)
        self._parts.append(responses.abs().mean(dim=(2, 3, 4)).float().cpu())

    def sizes(self) -> Tensor:
        """Return what was kept, ``(N, C)``."""
        return torch.cat(self._parts)


if TYPE_CHECKING:
    _: FilterImportance = TfIdfImportance()
