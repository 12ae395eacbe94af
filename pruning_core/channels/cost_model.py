"""The cost of a network for any kept counts of its channel groups, resource by resource.

Shape suffixes used in this file:
    L  layers
    G  channel groups
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pruning_core.budgets import COUNTED_ALWAYS, Resource
from pruning_core.channels.activation_memory import activation_memory_cost
from pruning_core.channels.block_macs import block_macs_cost
from pruning_core.channels.cost_counter import Cost, count_cost
from pruning_core.channels.latency_cost import latency_cost
from pruning_core.channels.layer_shapes import layer_shape
from pruning_core.channels.layer_trace import evaluation_copy, trace_layers
from pruning_core.channels.layer_widths import LayerWidths, layer_widths
from pruning_core.channels.polynomial_cost import PolynomialCost, polynomial_cost
from pruning_core.channels.resource_costs import Counts, ResourceCost
from pruning_core.channels.structures import ChannelGraph
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.latency.table import LatencyTable


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CostModel:
    """Cost of a network for any kept counts of its groups.

    ``dense``: cost with all channels. ``names``, ``sizes``: groups in the graph's order and how many channels each
    has. ``resources``: the cost of each resource that was asked for, MACs and params among them. ``fixed``: the part of
    MACs and params that no sliceable layer explains.
    """

    dense: Cost
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    resources: Mapping[Resource, ResourceCost]
    fixed: Cost

    def cost(self, widths_G: Tensor) -> dict[Resource, Tensor]:
        """Return the cost at (possibly fractional) kept counts, differentiable, in float64.

        Args:
            widths_G: Kept channels per group, float64, in the order of ``names``.
        """
        if widths_G.dtype != torch.float64:
            raise TypeError(f"widths must be float64 to be exact, but got {widths_G.dtype}")
        return {resource: model.cost(widths_G) for resource, model in self.resources.items()}

    def exact(self, widths: Sequence[int]) -> Cost:
        """Return the cost at whole kept counts, in whole numbers."""
        if len(widths) != len(self.names):
            raise ValueError(f"one width per group is needed ({len(self.names)}), but got {len(widths)}")
        return Cost.of({resource: model.exact(widths) for resource, model in self.resources.items()})


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DenseNetwork:
    """What the cost of each resource is built from. ``network`` is an evaluation copy; ``layers`` are its sliceable
    layers, ``places_L`` the output places each computes per image.
    """

    network: nn.Module
    graph: ChannelGraph
    input_shape: tuple[int, int, int]
    layers: LayerWidths
    places_L: Counts
    counted: Cost
    latency_table: LatencyTable | None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Channels of each group."""
        return tuple(group.num_channels for group in self.graph.groups)


def build_cost_model(
    network: nn.Module,
    graph: ChannelGraph,
    input_shape: tuple[int, int, int],
    resources: Iterable[Resource] = COUNTED_ALWAYS,
    latency_table: LatencyTable | None = None,
) -> CostModel:
    """Build the cost model of a dense network.

    Args:
        network: The dense network; it stays as it is.
        graph: Its channel groups.
        input_shape: (channels, height, width) of one image.
        resources: What to model besides MACs and params.
        latency_table: What ``latency_ms`` is looked up in.

    Raises:
        UnsupportedNetworkError: The network cannot run on such images, its layers cost more than a counter
            finds, or a resource cannot be modelled.
        InvalidSettingsError: The latency table lacks a layer.
    """
    duplicate = evaluation_copy(network)
    places = trace_layers(duplicate, input_shape).places
    dense = DenseNetwork(
        network=network,
        graph=graph,
        input_shape=input_shape,
        layers=layer_widths(duplicate, graph, tuple(places)),
        places_L=np.array(list(places.values()), dtype=np.int64),
        counted=count_cost(network, input_shape),
        latency_table=latency_table,
    )
    wanted = {*COUNTED_ALWAYS, *resources}
    macs, params = _macs(dense), _params(dense)
    _refuse_shared_weights(macs, params)
    models: dict[Resource, ResourceCost] = {Resource.MACS: macs, Resource.PARAMS: params}
    models |= {resource: build(dense) for resource, build in OTHER_RESOURCES.items() if resource in wanted}
    return CostModel(
        dense=Cost.of({resource: model.exact(dense.sizes) for resource, model in models.items()}),
        names=tuple(group.name for group in graph.groups),
        sizes=dense.sizes,
        resources=models,
        fixed=Cost(macs=macs.fixed, params=params.fixed),
    )


def _macs(dense: DenseNetwork) -> PolynomialCost:
    kernels_L = np.array([_kernel(dense.network.get_submodule(name)) for name in dense.layers.names])
    return polynomial_cost(
        dense.layers,
        kernels_L * dense.places_L,
        np.zeros_like(kernels_L),
        dense=dense.counted.macs,
        sizes=dense.sizes,
    )


def _params(dense: DenseNetwork) -> PolynomialCost:
    per_pair, per_output = [], []
    counted: set[int] = set()  # a parameter that several layers share is one parameter
    for name in dense.layers.names:
        module = dense.network.get_submodule(name)
        own = {key: p for key, p in module.named_parameters(recurse=False) if id(p) not in counted}
        counted.update(id(parameter) for parameter in own.values())
        kernel = _kernel(module)
        per_pair.append(kernel if "weight" in own else 0)
        per_output.append(int("bias" in own) if kernel else len(own))
    return polynomial_cost(
        dense.layers,
        np.array(per_pair, dtype=np.int64),
        np.array(per_output, dtype=np.int64),
        dense=dense.counted.params,
        sizes=dense.sizes,
    )


def _activation_memory(dense: DenseNetwork) -> ResourceCost:
    return activation_memory_cost(dense.network, dense.graph, dense.input_shape)


def _latency(dense: DenseNetwork) -> ResourceCost:
    assert dense.latency_table is not None, "a budget on latency comes with a table"
    return latency_cost(dense.network, dense.graph, dense.input_shape, dense.latency_table)


def _block_macs(dense: DenseNetwork) -> ResourceCost:
    places = dict(zip(dense.layers.names, dense.places_L.tolist(), strict=True))
    return block_macs_cost(dense.network, dense.graph, places)


OTHER_RESOURCES: dict[Resource, Callable[[DenseNetwork], ResourceCost]] = {
    Resource.ACTIVATION_MEMORY: _activation_memory,
    Resource.LATENCY: _latency,
    Resource.BLOCK_MACS: _block_macs,
}
"""Resources that are modelled only where a budget asks for them."""


def _kernel(module: nn.Module) -> int:
    """Return the weights per pair of input and output position; 0 for layers that only scale."""
    shape = layer_shape(module)
    assert shape is not None
    if not shape.weighs_inputs:
        return 0
    return module.kernel_size[0] * module.kernel_size[1] if isinstance(module, nn.Conv2d) else 1


def _refuse_shared_weights(macs: PolynomialCost, params: PolynomialCost) -> None:
    if macs.fixed < 0 or params.fixed < 0:
        raise UnsupportedNetworkError(
            "the layers of a network must not cost more than the whole, but together they exceed the counted cost "
            f"by {max(0, -macs.fixed)} MACs and {max(0, -params.fixed)} params; layers must hold their own weights"
        )
