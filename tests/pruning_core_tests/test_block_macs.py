"""The published accounting: gated blocks alone, plus 3 per written number (oracles 20-22 of the method, paper mode)."""

from __future__ import annotations

import math

import pytest
import torch
import torchvision

from pruning_core.budgets import Resource
from pruning_core.channels import ChannelGraph, build_cost_model, find_channel_groups, remove_channels
from pruning_core.channels.block_macs import block_layers, count_block_macs
from pruning_core.channels.structures import ChannelSelection
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.gating.budget_term import one_sided_term, two_sided_term
from tests.pruning_core_tests.channel_networks import NETWORKS, network_named

IMAGE = (3, 32, 32)
RESOURCES = (Resource.MACS, Resource.PARAMS, Resource.BLOCK_MACS)


def random_selection(graph: ChannelGraph, seed: int) -> ChannelSelection:
    generator = torch.Generator().manual_seed(seed)
    kept = {}
    for group in graph.groups:
        count = int(torch.randint(1, group.num_channels + 1, (), generator=generator))
        order = torch.randperm(group.num_channels, generator=generator)
        kept[group.name] = tuple(sorted(order[:count].tolist()))
    return ChannelSelection(kept=kept)


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("cifar_resnet56_zero_pad", IMAGE, 126.6e6),
        ("resnet34", (3, 224, 224), 3.534e9),
        ("resnet50", (3, 224, 224), 3.636e9),
    ],
)
def test_the_dense_cost_is_the_published_code_s(
    name: str, image: tuple[int, int, int], expected: float
) -> None:
    network = NETWORKS[name]() if name in NETWORKS else getattr(torchvision.models, name)()
    graph = find_channel_groups(network, image, scope="inner")
    model = build_cost_model(network, graph, image, RESOURCES)
    assert model.dense[Resource.BLOCK_MACS] == pytest.approx(expected, rel=5e-4)


@pytest.mark.parametrize("name", ["cifar_resnet20", "mobilenet_v2"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_formula_is_what_hooks_count_on_the_slim_network(name: str, seed: int) -> None:
    network = network_named(name)
    graph = find_channel_groups(network, IMAGE, scope="inner")
    model = build_cost_model(network, graph, IMAGE, RESOURCES)
    layers = block_layers(network, graph)
    assert count_block_macs(network, IMAGE, layers) == model.dense[Resource.BLOCK_MACS]
    selection = random_selection(graph, seed)
    slim = remove_channels(network, graph, selection)
    widths = [len(selection.kept[group]) for group in model.names]
    assert count_block_macs(slim, IMAGE, layers) == model.exact(widths)[Resource.BLOCK_MACS]


def test_a_basic_block_costs_what_the_page_says() -> None:
    """c kept of a basic block: c (9 C_in + 3) HW + (9 c + 3) C_out HW."""
    network = network_named("cifar_resnet20")
    graph = find_channel_groups(network, IMAGE, scope="inner")
    model = build_cost_model(network, graph, IMAGE, RESOURCES)
    sizes = list(model.sizes)
    first = 0  # the first block of the first stage
    kept = 5
    narrower = [*sizes[:first], kept, *sizes[first + 1 :]]

    def block(count: int) -> int:
        return (count * (9 * 16 + 3) + (9 * count + 3) * 16) * 32 * 32

    change = model.dense[Resource.BLOCK_MACS] - model.exact(narrower)[Resource.BLOCK_MACS]
    assert change == block(16) - block(kept)


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_the_published_loss_term_is_the_logarithm_of_the_excess_and_zero_at_the_budget(share: float) -> None:
    network = network_named("cifar_resnet20")
    graph = find_channel_groups(network, IMAGE, scope="inner")
    model = build_cost_model(network, graph, IMAGE, RESOURCES)
    limits = {Resource.BLOCK_MACS: int(share * model.dense[Resource.BLOCK_MACS])}
    sizes_G = torch.tensor(model.sizes, dtype=torch.float64)
    assert one_sided_term(limits)(model.cost(sizes_G)).item() == pytest.approx(-math.log(share), rel=1e-6)
    below_G = (0.1 * sizes_G).requires_grad_()
    assert one_sided_term(limits)(model.cost(below_G)).item() == 0
    (slope_G,) = torch.autograd.grad(two_sided_term(limits)(model.cost(below_G)), below_G)
    assert (slope_G < 0).all()  # back up to the budget
    above_G = sizes_G.clone().requires_grad_()
    (slope_G,) = torch.autograd.grad(one_sided_term(limits)(model.cost(above_G)), above_G)
    assert (slope_G > 0).all()


def test_a_network_without_blocks_is_refused() -> None:
    network = network_named("grouped_convolution")
    graph = find_channel_groups(network, IMAGE, scope="inner")
    with pytest.raises(UnsupportedNetworkError, match=r"block_macs needs layers .* set a budget on macs"):
        build_cost_model(network, graph, IMAGE, RESOURCES)
