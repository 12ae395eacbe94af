"""Methods that score channels and let an allocator divide the budgets between groups by the scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from pruning_core.channels import check_feasible
from pruning_core.config import MethodName
from pruning_core.importance import IMPORTANCES
from pruning_core.methods.allocators import ALLOCATORS
from pruning_core.methods.protocols import ChannelProposal, MethodContext
from pruning_core.stage_keys import allocation_of


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
        return ALLOCATORS[allocation](context, self._scores(context))

    def _scores(self, context: MethodContext) -> Mapping[str, Tensor]:
        if context.importance is not None:
            return context.importance
        return IMPORTANCES[self.name].score(context.importance_context)
