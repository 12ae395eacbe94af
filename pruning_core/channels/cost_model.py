"""The cost of a network as an exact polynomial in the kept counts of its channel groups.

A layer costs (inputs x outputs x kernel x places); inputs and outputs are linear in the kept counts c, so the whole
network is (c^T Q c) / 2 + b^T c + constant. At whole counts a counter finds the same on the slim network.

Shape suffixes used in this file:
    G  channel groups

References:
    [Ning2020] X. Ning et al. DSA: More Efficient Budgeted Pruning via Differentiable Sparsity Allocation. ECCV 2020
        (the matrix form, there for FLOPs alone).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pruning_core.budgets import Resource
from pruning_core.channels.cost_counter import Cost, count_cost
from pruning_core.channels.layer_shapes import LayerShape, layer_shape
from pruning_core.channels.layer_trace import evaluation_copy, trace_layers
from pruning_core.channels.structures import ChannelGraph, ChannelUse, Role
from pruning_core.errors import UnsupportedNetworkError


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearCount:
    """Positions along one end of a layer: ``fixed`` ones, and ``slopes[g]`` per kept channel of group g."""

    fixed: int
    slopes: Mapping[int, int]

    def at(self, widths: Sequence[int]) -> int:
        """Return the number of positions at these kept counts."""
        return self.fixed + sum(slope * widths[group] for group, slope in self.slopes.items())


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerCost:
    """What one layer costs: amounts per pair of input and output position, and per output position.

    Of a depthwise or grouped convolution ``inputs`` are the fixed few that one output sees.
    """

    inputs: LinearCount
    outputs: LinearCount
    macs_per_pair: int
    params_per_pair: int
    params_per_output: int

    def at(self, widths: Sequence[int]) -> Cost:
        """Return the layer's cost at these kept counts."""
        outputs = self.outputs.at(widths)
        pairs = self.inputs.at(widths) * outputs
        return Cost(
            macs=self.macs_per_pair * pairs,
            params=self.params_per_pair * pairs + self.params_per_output * outputs,
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Polynomial:
    """(c^T ``quadratic_GG`` c) / 2 + ``linear_G`` . c + ``constant``, in whole numbers.

    ``quadratic_GG`` is symmetric, so that ``quadratic_GG`` c + ``linear_G`` is the gradient.
    """

    quadratic_GG: npt.NDArray[np.int64]
    linear_G: npt.NDArray[np.int64]
    constant: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CostModel:
    """Cost of a network for any kept counts of its groups.

    ``dense``: cost with all channels. ``names``, ``sizes``: groups in the graph's order and how many channels each
    has. ``layers`` and ``fixed`` add up to the cost; ``polynomials`` say the same in matrix form.
    """

    dense: Cost
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    layers: tuple[LayerCost, ...]
    fixed: Cost
    polynomials: Mapping[Resource, Polynomial]

    def cost(self, widths_G: Tensor) -> dict[Resource, Tensor]:
        """Return the cost at (possibly fractional) kept counts, differentiable, in float64.

        Args:
            widths_G: Kept channels per group, float64, in the order of ``names``.
        """
        if widths_G.dtype != torch.float64:
            raise TypeError(f"widths must be float64 to be exact, but got {widths_G.dtype}")
        costs = {}
        for resource, polynomial in self.polynomials.items():
            quadratic_GG = torch.from_numpy(polynomial.quadratic_GG).to(widths_G)
            linear_G = torch.from_numpy(polynomial.linear_G).to(widths_G)
            half = widths_G @ quadratic_GG @ widths_G / 2
            costs[resource] = half + linear_G @ widths_G + polynomial.constant
        return costs

    def exact(self, widths: Sequence[int]) -> Cost:
        """Return the cost at whole kept counts, layer by layer in whole numbers."""
        if len(widths) != len(self.names):
            raise ValueError(f"one width per group is needed ({len(self.names)}), but got {len(widths)}")
        costs = [layer.at(widths) for layer in self.layers]
        return Cost(
            macs=self.fixed.macs + sum(cost.macs for cost in costs),
            params=self.fixed.params + sum(cost.params for cost in costs),
        )


def build_cost_model(network: nn.Module, graph: ChannelGraph, input_shape: tuple[int, int, int]) -> CostModel:
    """Build the cost model of a dense network.

    Raises:
        UnsupportedNetworkError: The network cannot run on such images, or its layers cost more than a counter
            finds.
    """
    duplicate = evaluation_copy(network)
    places = trace_layers(duplicate, input_shape).places
    ends = _linear_counts(graph)
    layers = []
    counted: set[int] = set()  # a parameter that several layers share is one parameter
    for name in places:
        module = duplicate.get_submodule(name)
        shape = layer_shape(module)
        assert shape is not None
        own = {key: p for key, p in module.named_parameters(recurse=False) if id(p) not in counted}
        counted.update(id(parameter) for parameter in own.values())
        layers.append(_layer_cost(name, module, shape, places[name], ends, frozenset(own)))
    sizes = tuple(group.num_channels for group in graph.groups)
    dense = count_cost(network, input_shape)
    known = [layer.at(sizes) for layer in layers]
    fixed = Cost(
        macs=dense.macs - sum(cost.macs for cost in known),
        params=dense.params - sum(cost.params for cost in known),
    )
    if fixed.macs < 0 or fixed.params < 0:
        raise UnsupportedNetworkError(
            "the layers of a network must not cost more than the whole, but together they exceed the counted cost "
            f"by {max(0, -fixed.macs)} MACs and {max(0, -fixed.params)} params; layers must hold their own weights"
        )
    return CostModel(
        dense=dense,
        names=tuple(group.name for group in graph.groups),
        sizes=sizes,
        layers=tuple(layers),
        fixed=fixed,
        polynomials=_polynomials(layers, fixed, len(sizes)),
    )


def _linear_counts(graph: ChannelGraph) -> dict[tuple[str, bool], dict[int, ChannelUse]]:
    """Return the uses of each end of each layer, as (layer, is output), by group index."""
    ends: dict[tuple[str, bool], dict[int, ChannelUse]] = {}
    for index, group in enumerate(graph.groups):
        for use in group.uses:
            ends.setdefault((use.layer, use.role is not Role.CONSUMES), {})[index] = use
    return ends


def _layer_cost(
    name: str,
    module: nn.Module,
    shape: LayerShape,
    places: int,
    ends: Mapping[tuple[str, bool], Mapping[int, ChannelUse]],
    own: frozenset[str],
) -> LayerCost:
    inputs = _count(shape.in_width, ends.get((name, False), {}))
    if not shape.mixes_channels:
        inputs = LinearCount(fixed=shape.in_width // shape.conv_groups, slopes={})
    outputs = _count(shape.out_width, ends.get((name, True), {}))
    if not shape.weighs_inputs:
        return LayerCost(
            inputs=inputs, outputs=outputs, macs_per_pair=0, params_per_pair=0, params_per_output=len(own)
        )
    kernel = module.kernel_size[0] * module.kernel_size[1] if isinstance(module, nn.Conv2d) else 1
    return LayerCost(
        inputs=inputs,
        outputs=outputs,
        macs_per_pair=kernel * places,
        params_per_pair=kernel if "weight" in own else 0,
        params_per_output=int("bias" in own),
    )


def _count(width: int, uses: Mapping[int, ChannelUse]) -> LinearCount:
    slopes = {group: len(use.positions[0]) for group, use in uses.items()}
    movable = sum(slopes[group] * len(use.positions) for group, use in uses.items())
    return LinearCount(fixed=width - movable, slopes=slopes)


def _polynomials(layers: Sequence[LayerCost], fixed: Cost, num_groups: int) -> dict[Resource, Polynomial]:
    """Multiply the layers out."""
    expanded = {}
    for resource in Resource:
        quadratic_GG = np.zeros((num_groups, num_groups), dtype=np.int64)
        linear_G = np.zeros(num_groups, dtype=np.int64)
        constant = fixed[resource]
        for layer in layers:
            is_macs = resource is Resource.MACS
            per_pair = layer.macs_per_pair if is_macs else layer.params_per_pair
            per_output = 0 if is_macs else layer.params_per_output
            in_G, out_G = _vector(layer.inputs, num_groups), _vector(layer.outputs, num_groups)
            pairs_GG = per_pair * np.outer(in_G, out_G)
            quadratic_GG += pairs_GG + pairs_GG.T
            linear_G += (
                per_pair * (layer.inputs.fixed * out_G + layer.outputs.fixed * in_G) + per_output * out_G
            )
            constant += (per_pair * layer.inputs.fixed + per_output) * layer.outputs.fixed
        expanded[resource] = Polynomial(quadratic_GG=quadratic_GG, linear_G=linear_G, constant=constant)
    return expanded


def _vector(count: LinearCount, num_groups: int) -> npt.NDArray[np.int64]:
    vector_G = np.zeros(num_groups, dtype=np.int64)
    for group, slope in count.slopes.items():
        vector_G[group] = slope
    return vector_G
