"""What methods are given in a run, and what their proposals end as."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from pruning_core.channels import budget_limits, build_cost_model, find_channel_groups, project
from pruning_core.channels.structures import ChannelSelection
from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits
from pruning_core.methods import ChannelProposal, MethodContext


def context_of(
    network: nn.Module,
    data: DataSplits,
    config: PruningConfig,
    *,
    scope: Literal["inner", "all"],
    **given: Any,
) -> MethodContext:
    """A run on a network of its own; ``given``: what earlier stages left behind."""
    graph = find_channel_groups(network, data.input_shape, scope=scope)
    cost_model = build_cost_model(network, graph, data.input_shape)
    return MethodContext(
        network=network,
        graph=graph,
        cost_model=cost_model,
        limits=budget_limits(config.budgets, cost_model.dense),
        data=data,
        config=config,
        **given,
    )


def select(context: MethodContext, proposal: ChannelProposal) -> ChannelSelection:
    """Project a proposal to the budgets, as the stages do."""
    return project(
        context.cost_model,
        context.graph,
        proposal.scores,
        proposal.widths,
        context.limits,
        context.config.channels,
        proposal.floors,
    )
