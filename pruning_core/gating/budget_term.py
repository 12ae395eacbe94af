"""The loss term that pulls the gated network's cost to its budgets.

References:
    [Ganjdanesh2022] ISP, ECCV 2022: ``log(max(cost, budget) / budget)``, zero below the budget.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pruning_core.budgets import Resource


def budget_term(
    cost: Mapping[Resource, Tensor], limits: Mapping[Resource, int], *, two_sided: bool
) -> Tensor:
    """Return how far the cost is from its limits, in logarithms; 0 at the budget.

    Above a limit every resource adds ``log(cost / limit)``. Below all limits the one-sided term is 0 and has
    nothing to pull the cost back up; the two-sided term then is ``log(limit / cost)`` of the tightest limit.

    Args:
        cost: Differentiable cost of the gated network, at least for every resource in ``limits``.
        limits: Largest allowed amounts; at least one.
        two_sided: Pull back from below too.
    """
    excess_M = torch.stack([torch.log(cost[resource] / limit) for resource, limit in limits.items()])
    above = torch.relu(excess_M).sum()
    if not two_sided:
        return above
    return above + torch.relu(-excess_M.max())
