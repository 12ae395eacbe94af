"""Methods that score channels and let an allocator divide the budgets between groups by the scores."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pruning_core.channels import check_feasible
from pruning_core.config import MethodName
from pruning_core.importance import IMPORTANCES, rate_channels
from pruning_core.methods.allocators import ALLOCATORS
from pruning_core.methods.protocols import ChannelProposal, MethodContext
from pruning_core.stage_graphs import allocation_of


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredMethod:
    """Keep the channels with the highest scores of one filter importance."""

    name: MethodName

    def __call__(self, context: MethodContext) -> ChannelProposal:
        """Score the channels, unless an earlier stage has, and choose the widths.

        Raises:
            InfeasibleBudgetsError: Not even the narrowest allowed network meets the limits.
            UnsupportedNetworkError: The importance cannot rate this network.
        """
        check_feasible(context.cost_model, context.limits, context.config.channels)
        allocation = allocation_of(self.name, context.config.importance.allocation)
        assert allocation is not None, "a method that scores channels has an allocation"
        if context.importance is not None:
            return ALLOCATORS[allocation](context, context.importance)
        rating = rate_channels(IMPORTANCES[self.name], context.importance_context)
        return ALLOCATORS[allocation](replace(context, floors=rating.floors), rating.scores)
