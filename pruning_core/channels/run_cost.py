"""The resources that one run looks at: MACs and params, and each other one that it has a budget for."""

from __future__ import annotations

from torch import nn

from pruning_core.budgets import COUNTED_ALWAYS, Resource
from pruning_core.channels.block_macs import block_layers, count_block_macs
from pruning_core.channels.cost_counter import Cost, count_activation_memory, count_cost
from pruning_core.channels.cost_model import CostModel, build_cost_model
from pruning_core.channels.latency_cost import latency_by_table
from pruning_core.channels.structures import ChannelGraph
from pruning_core.config import PruningConfig
from pruning_core.latency.table import LatencyTable, read_latency_table


def run_resources(config: PruningConfig) -> tuple[Resource, ...]:
    """Return the resources that a run looks at, in their own order."""
    budgeted = {resource for resource, _ in config.budgets.items()}
    return tuple(resource for resource in Resource if resource in budgeted or resource in COUNTED_ALWAYS)


def build_run_cost_model(
    network: nn.Module, graph: ChannelGraph, input_shape: tuple[int, int, int], config: PruningConfig
) -> CostModel:
    """Build the cost model of a run's resources.

    Raises:
        UnsupportedNetworkError: As of ``build_cost_model``.
        InvalidSettingsError: There is a budget on latency, but no table that covers the network.
    """
    return build_cost_model(network, graph, input_shape, run_resources(config), run_latency_table(config))


def count_run_cost(
    network: nn.Module,
    input_shape: tuple[int, int, int],
    config: PruningConfig,
    *,
    graph: ChannelGraph,
    dense: nn.Module,
) -> Cost:
    """Count a run's resources on a network as it is, without the cost model.

    Args:
        network: Slim, or the dense one itself.
        input_shape: (channels, height, width) of one image.
        config: Its budgets say what is counted besides MACs and params.
        graph: Groups of the dense network.
        dense: Where the network was cut from.

    Raises:
        InvalidSettingsError: There is a budget on latency, but no table that covers the network.
    """
    counted = count_cost(network, input_shape)
    amounts = {resource: counted[resource] for resource in COUNTED_ALWAYS}
    if Resource.ACTIVATION_MEMORY in run_resources(config):
        amounts[Resource.ACTIVATION_MEMORY] = count_activation_memory(network, input_shape)
    if Resource.BLOCK_MACS in run_resources(config):
        amounts[Resource.BLOCK_MACS] = count_block_macs(network, input_shape, block_layers(dense, graph))
    table = run_latency_table(config)
    if table is not None:
        amounts[Resource.LATENCY] = latency_by_table(network, input_shape, table, dense)
    return Cost.of(amounts)


def run_latency_table(config: PruningConfig) -> LatencyTable | None:
    """Return the table that a run's latency is looked up in; None without a budget on latency.

    Raises:
        InvalidSettingsError: There is a budget on latency, but no readable table.
    """
    return read_latency_table(config.latency_table) if config.budgets.latency_ms is not None else None
