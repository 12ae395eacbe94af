"""Find out without training whether a run can meet its budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from torch import nn

from pruning_core.architectures import build_network, check_supported
from pruning_core.budgets import Resource
from pruning_core.channels import (
    Cost,
    CostModel,
    budget_limits,
    build_cost_model,
    check_feasible,
    find_channel_groups,
    minimum_widths,
    run_latency_table,
    run_resources,
)
from pruning_core.channels.structures import ChannelGraph, UntouchedLayer
from pruning_core.config import ArchitectureConfig, MethodName, PruningConfig
from pruning_core.data import DataSplits
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.importance import IMPORTANCES, ImportanceContext
from pruning_core.latency.table import LatencyTable
from pruning_core.stage_graphs import STAGES_OF_METHOD, scoring_of


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
        UnsupportedNetworkError: The network cannot be pruned safely or has no channels that may go, or its channels
            cannot be scored by the method.
        InfeasibleBudgetsError: A budget is below what the narrowest network reaches.
    """
    table = run_latency_table(config)
    network, graph, model = _trace(
        config.architecture,
        config.channels.scope,
        data.num_classes,
        data.input_shape,
        run_resources(config),
        None if table is None else table.model_dump_json(),
    )
    _refuse_nothing_to_prune(graph, config)
    limits = budget_limits(config.budgets, model.dense)
    check_feasible(model, limits, config.channels)
    scoring = scoring_of(config.method, config.gates.prior)
    if scoring is not None and "importance" not in STAGES_OF_METHOD[scoring]:
        _score_once(scoring, config, network, graph, data)
    narrowest = minimum_widths(graph, config.channels)
    return Preflight(
        dense=model.dense,
        minimum=model.exact([narrowest[name] for name in model.names]),
        limits=limits,
        num_groups=len(graph.groups),
        num_channels=graph.num_channels,
        untouched=graph.untouched,
    )


def _refuse_nothing_to_prune(graph: ChannelGraph, config: PruningConfig) -> None:
    if graph.groups:
        return
    first = graph.untouched[0]
    advice = "" if config.channels.scope == "all" else "; set channels.scope to all"
    raise UnsupportedNetworkError(
        "a network must have channels that may go, but all its layers are left alone, the first of them "
        f"({first.layer!r}) because {first.reason}{advice}"
    )


def _score_once(
    scoring: MethodName, config: PruningConfig, network: nn.Module, graph: ChannelGraph, data: DataSplits
) -> None:
    """Let an importance that needs no image refuse the network now instead of after the dense training."""
    IMPORTANCES[scoring].score(
        ImportanceContext(
            network=network, graph=graph, data=data, settings=config.importance, seed=config.seed
        )
    )


@lru_cache(maxsize=2)
def _trace(
    architecture: ArchitectureConfig,
    scope: Literal["inner", "all"],
    num_classes: int,
    input_shape: tuple[int, int, int],
    resources: tuple[Resource, ...],
    latency_table: str | None,
) -> tuple[nn.Module, ChannelGraph, CostModel]:
    """Find groups and costs of a network; kept, because a search asks about many budgets of one network."""
    check_supported(architecture)
    network: nn.Module = build_network(
        architecture, num_classes=num_classes, in_channels=input_shape[0], load_weights=False
    )
    graph = find_channel_groups(network, input_shape, scope=scope)
    table = None if latency_table is None else LatencyTable.model_validate_json(latency_table)
    return network, graph, build_cost_model(network, graph, input_shape, resources, table)
