"""Find out without training whether a run can meet its budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from pruning_core.architectures import build_network, check_supported
from pruning_core.budgets import Resource
from pruning_core.channels import (
    Cost,
    budget_limits,
    build_run_cost_model,
    check_feasible,
    find_channel_groups,
    minimum_widths,
)
from pruning_core.channels.structures import UntouchedLayer
from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits


@dataclass(frozen=True, kw_only=True, slots=True)
class Preflight:
    """What a run may prune. ``minimum``: cost of the narrowest network allowed, reached by all budgets at once."""

    dense: Cost
    minimum: Cost
    limits: Mapping[Resource, int]
    num_groups: int
    num_channels: int
    untouched: tuple[UntouchedLayer, ...]


def preflight(config: PruningConfig, data: DataSplits) -> Preflight:
    """Build the untrained network, find its groups, and check the budgets against what they can reach.

    Raises:
        UnsupportedNetworkError: The network cannot be pruned safely.
        InfeasibleBudgetsError: A budget is below what the narrowest network reaches.
    """
    check_supported(config.architecture)
    network: nn.Module = build_network(
        config.architecture, num_classes=data.num_classes, in_channels=data.in_channels, load_weights=False
    )
    graph = find_channel_groups(network, data.input_shape, scope=config.channels.scope)
    model = build_run_cost_model(network, graph, data.input_shape, config)
    limits = budget_limits(config.budgets, model.dense)
    check_feasible(model, limits, config.channels)
    narrowest = minimum_widths(graph, config.channels)
    return Preflight(
        dense=model.dense,
        minimum=model.exact([narrowest[name] for name in model.names]),
        limits=limits,
        num_groups=len(graph.groups),
        num_channels=graph.num_channels,
        untouched=graph.untouched,
    )
