"""The gated network: what stays fixed while gates learn, and one pass through it.

Shape suffixes used in this file:
    N  images in the batch
    C  all gated channels, groups one after another
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.budgets import Resource
from pruning_core.channels import CostModel, GatePlaces
from pruning_core.channels.structures import ChannelGraph
from pruning_core.saliency import Explanation, SaliencySelector, explain
from pruning_core.setting_types import Precision
from pruning_core.strided_convolutions import guard_strided_convolutions


@dataclass(frozen=True, kw_only=True, slots=True)
class SteeringProblem:
    """What stays fixed while gates learn: the dense network, its explainer, its cost and the limits.

    ``precision``: of passes through network and explainer.
    """

    network: nn.Module
    graph: ChannelGraph
    selector: SaliencySelector
    cost_model: CostModel
    limits: Mapping[Resource, int]
    precision: Precision = "float32"


def gated_forward(
    problem: SteeringProblem, gates: Mapping[str, Tensor], images_NCHW: Tensor, classes_N: Tensor
) -> Explanation:
    """Run the gated network once and explain its output.

    Args:
        problem: Network, graph and selector.
        gates: Per group one number per channel; 1 is open.
        images_NCHW: Normalised images.
        classes_N: The class to explain, per image.
    """
    places = GatePlaces(problem.network, problem.graph, gates.keys())
    return explain_gated(problem, places, places.join(gates), images_NCHW, classes_N)


def explain_gated(
    problem: SteeringProblem, places: GatePlaces, gates_C: Tensor, images_NCHW: Tensor, classes_N: Tensor
) -> Explanation:
    """Do what ``gated_forward`` does, with gates whose places are known already."""
    overrides = places.gate_weights(gates_C)
    return explain(
        problem.network,
        problem.selector,
        images_NCHW,
        classes_N,
        forward=lambda shown_NCHW: functional_call(problem.network, overrides, (shown_NCHW,)),
        see_map=lambda layer, map_NCHW: places.gate_map(map_NCHW, layer, gates_C),
        precision=problem.precision,
    )


def frozen_problem(problem: SteeringProblem, device: str) -> SteeringProblem:
    """Copy network and selector to the device, in eval mode and closed to gradients."""
    network = copy.deepcopy(problem.network).to(device).eval().requires_grad_(requires_grad=False)
    selector = copy.deepcopy(problem.selector).to(device).eval().requires_grad_(requires_grad=False)
    network = network.to(memory_format=torch.channels_last)
    guard_strided_convolutions(network)
    return replace(problem, network=network, selector=selector)


def group_sizes(graph: ChannelGraph) -> list[int]:
    """Return the number of channels of each group, in the graph's order."""
    return [group.num_channels for group in graph.groups]


def split_by_group(values_C: Tensor, graph: ChannelGraph) -> dict[str, Tensor]:
    """Cut a vector over all channels into one per group, in the graph's order."""
    parts = torch.split(values_C, group_sizes(graph))
    return {group.name: part for group, part in zip(graph.groups, parts, strict=True)}


def expected_widths(open_C: Tensor, graph: ChannelGraph) -> Tensor:
    """Return ``widths_G``, float64: the sum of open probabilities in each group, differentiable."""
    # neither the copy nor a check of the lengths (unsafe: without one) shall wait for the device
    sizes_G = torch.tensor(group_sizes(graph)).to(open_C.device, non_blocking=True)
    return torch.segment_reduce(open_C.double(), "sum", lengths=sizes_G, unsafe=True)
