"""The budgets of one run, as settings."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from pruning_core.budgets import Budget, Resource
from pruning_core.setting_types import BudgetField, LatencyBudgetField, Settings

__all__ = ["BudgetsConfig"]


class BudgetsConfig(Settings):
    """Hard limits on the slim network; at least one. Shares count the whole dense network.

    ``activation_memory``: peak bytes of the tensors alive at once for one image, 4 bytes per number
    (``12M`` is 12,000,000 bytes). ``latency_ms``: of one forward pass by the table ``latency_table``: a time
    such as ``0.8ms``; numbers over 1 are milliseconds, up to 1 they are shares. ``block_macs``: MACs of the gated
    blocks alone, normalisation and activation counted, as in Ganjdanesh et al. 2022.
    """

    macs: BudgetField | None = None
    params: BudgetField | None = None
    activation_memory: BudgetField | None = None
    latency_ms: LatencyBudgetField | None = None
    block_macs: BudgetField | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if not self.items():
            raise ValueError(f"at least one of {', '.join(Resource)} must be set")
        return self

    def items(self) -> list[tuple[Resource, Budget]]:
        """Return the budgets that are set, by resource."""
        pairs = [(resource, getattr(self, resource)) for resource in Resource]
        return [(resource, budget) for resource, budget in pairs if budget is not None]
