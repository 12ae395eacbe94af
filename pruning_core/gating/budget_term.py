"""The loss terms that pull the gated network's cost to its budgets.

All work on the excess ``log(cost / limit)`` of each resource, which is scale-free: 0.1 is about ten percent over.

References:
    [Ganjdanesh2022] ISP, ECCV 2022: ``log(max(cost, budget) / budget)``, zero below the budget.
    [GallegoPosada2022] Controlled Sparsity via Constrained Optimization, 2022: multipliers that grow until the
        constraint holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pruning_core.budgets import Resource

BudgetTerm = Callable[[Mapping[Resource, Tensor]], Tensor]
"""Cost of the gated network to a loss; differentiable in the cost."""


def one_sided_term(limits: Mapping[Resource, int]) -> BudgetTerm:
    """Return the paper's term, summed over resources: nothing pulls the cost back up once it is below."""
    return lambda cost: torch.relu(log_excess(cost, limits)).sum()


def two_sided_term(limits: Mapping[Resource, int]) -> BudgetTerm:
    """Return the one-sided term which, below all limits, becomes ``log(limit / cost)`` of the tightest one."""

    def term(cost: Mapping[Resource, Tensor]) -> Tensor:
        excess_M = log_excess(cost, limits)
        return torch.relu(excess_M).sum() + torch.relu(-excess_M.max())

    return term


class LagrangianTerm:
    """Multipliers that grow while a budget is exceeded and shrink below it, so that no weight needs tuning.

    The term is ``sum_m multiplier_m * excess_m`` with ``multiplier_m = max(0, integral_m + damping * excess_m)``,
    the slope of an augmented Lagrangian: the damping acts at once and fades near the limit, the integral holds
    the cost there. Every call moves each integral, which starts at 1 and never falls below 0, by ``rate * excess_m``.
    With ``restarts`` an integral falls to 0 as soon as its budget is met (dual restarts [GallegoPosada2022]): what a
    budget cost while it was exceeded presses no further once it is not.
    """

    def __init__(
        self, limits: Mapping[Resource, int], *, rate: float, damping: float, restarts: bool = False
    ) -> None:
        self._limits = limits
        self._rate = rate
        self._damping = damping
        self._restarts = restarts
        self.integral_M = torch.ones(len(limits), dtype=torch.float64)

    def __call__(self, cost: Mapping[Resource, Tensor]) -> Tensor:
        """Return the term and move the integrals."""
        excess_M = log_excess(cost, self._limits)
        now_M = excess_M.detach()
        self.integral_M = self.integral_M.to(now_M)
        multiplier_M = (self.integral_M + self._damping * now_M).clamp_min(0)
        self.integral_M = (self.integral_M + self._rate * now_M).clamp_min(0)
        if self._restarts:
            self.integral_M = torch.where(now_M > 0, self.integral_M, 0.0)
        return (multiplier_M * excess_M).sum()


def log_excess(cost: Mapping[Resource, Tensor], limits: Mapping[Resource, int]) -> Tensor:
    """Return ``excess_M``: log(cost / limit) per limited resource; negative below the limit.

    A draw of gates may close everything; the logarithm stays finite there.
    """
    return torch.stack([torch.log(cost[resource].clamp_min(1) / limit) for resource, limit in limits.items()])
