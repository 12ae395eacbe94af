"""The same kept share everywhere: the simplest way to spend budgets."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from pruning_core.budgets import Resource
from pruning_core.channels.cost_model import CostModel
from pruning_core.channels.feasibility import check_feasible, within_limits
from pruning_core.channels.rounding import allowed_widths
from pruning_core.config import ChannelsConfig


def uniform_widths(
    model: CostModel, limits: Mapping[Resource, int], channels: ChannelsConfig
) -> dict[str, int]:
    """Return the widths of the largest common share that fits, each rounded down to an allowed width.

    Raises:
        InfeasibleBudgetsError: Not even the narrowest network fits.
    """
    check_feasible(model, limits, channels)
    allowed = [allowed_widths(size, channels) for size in model.sizes]
    shares = sorted(
        {width / size for widths, size in zip(allowed, model.sizes, strict=True) for width in widths}
    )

    def widths_at(share: float) -> list[int]:
        return [
            widths[max(0, bisect_right([width / size for width in widths], share) - 1)]
            for widths, size in zip(allowed, model.sizes, strict=True)
        ]

    too_large = bisect_right(
        shares, 0, key=lambda share: int(not within_limits(model.exact(widths_at(share)), limits))
    )
    share = shares[too_large - 1] if too_large else 0.0
    return dict(zip(model.names, widths_at(share), strict=True))
