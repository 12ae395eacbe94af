"""One threshold on the scores of all groups: how many channels of each lie above it.

Shape suffixes used in this file:
    C  channels of one group
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

import torch
from torch import Tensor

from pruning_core.budgets import Resource
from pruning_core.channels import CostModel, allowed_widths, nearest_allowed_width, within_limits
from pruning_core.config import ChannelsConfig


def widths_above_threshold(
    model: CostModel,
    scores: Mapping[str, Tensor],
    limits: Mapping[Resource, int],
    channels: ChannelsConfig,
) -> dict[str, int]:
    """Return the widths at the lowest threshold that meets every budget, each rounded to the nearest allowed width.

    A channel is above the threshold if its score is larger; equal scores fall together. A group whose channels all
    fall keeps its least allowed width. The narrowest network must meet the budgets.
    """
    ascending = [scores[name].sort().values for name in model.names]
    allowed = [allowed_widths(size, channels) for size in model.sizes]
    everything_C = torch.cat(ascending).sort().values
    thresholds_C = torch.cat([everything_C.new_full((1,), -torch.inf), everything_C])

    def widths_at(index: int) -> list[int]:
        threshold = thresholds_C[index]
        above = [
            len(ranked_C) - int(torch.searchsorted(ranked_C, threshold, right=True)) for ranked_C in ascending
        ]
        return [nearest_allowed_width(rungs, width) for rungs, width in zip(allowed, above, strict=True)]

    lowest = bisect_left(
        range(len(thresholds_C)),
        1,  # costs fall as the threshold rises: the first True
        key=lambda index: int(within_limits(model.exact(widths_at(index)), limits)),
    )
    return dict(zip(model.names, widths_at(lowest), strict=True))
