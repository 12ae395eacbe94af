"""Shape suffixes: G channel groups."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from pruning_core.budgets import Resource
from pruning_core.channels import (
    ChannelSelection,
    Cost,
    CostModel,
    build_cost_model,
    count_cost,
    find_channel_groups,
    full_selection,
    remove_channels,
)
from tests.pruning_core_tests.channel_networks import (
    IMAGE,
    LARGE,
    NETWORKS,
    QUICK,
    graph_of,
    network_named,
    random_selection,
    smallest_selection,
)

SCOPES = ("inner", "all")
ALL_NETWORKS = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]


def _model(name: str, scope: str = "all") -> CostModel:
    return build_cost_model(network_named(name), graph_of(name, scope), IMAGE)


def _widths(selection: ChannelSelection, model: CostModel) -> list[int]:
    return [len(selection.kept[name]) for name in model.names]


def _rounded(costs: dict[Resource, Tensor]) -> Cost:
    assert all(cost.dtype == torch.float64 and cost.item() == int(cost.item()) for cost in costs.values())
    return Cost(macs=int(costs[Resource.MACS]), params=int(costs[Resource.PARAMS]))


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_the_polynomial_is_what_a_counter_finds_on_the_slim_network(name: str, scope: str) -> None:
    network, graph, model = network_named(name), graph_of(name, scope), _model(name, scope)
    for selection in (full_selection(graph), smallest_selection(graph), random_selection(graph, seed=3)):
        widths = _widths(selection, model)
        counted = count_cost(remove_channels(network, graph, selection), IMAGE)
        assert model.exact(widths) == counted
        assert _rounded(model.cost(torch.tensor(widths, dtype=torch.float64))) == counted


@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_the_layers_of_the_model_explain_the_whole_dense_cost(name: str) -> None:
    model = _model(name)
    assert model.fixed == Cost(macs=0, params=0)
    assert model.exact(model.sizes) == model.dense == count_cost(network_named(name), IMAGE)


@pytest.mark.parametrize(
    ("name", "macs", "params"),
    [
        ("resnet18", 1.8141e9, 11.690e6),
        ("resnet34", 3.664e9, 21.80e6),
        ("resnet101", 7.801e9, 44.55e6),
        ("mobilenet_v2", 0.3008e9, 3.505e6),
        ("mobilenet_v3_large", 0.2166e9, 5.483e6),
    ],
)
def test_dense_totals_of_published_networks_on_large_images(name: str, macs: float, params: float) -> None:
    """Oracle 22 of the method, and two more."""
    cost = count_cost(getattr(torchvision.models, name)(), (3, 224, 224))
    assert cost.macs == pytest.approx(macs, rel=5e-4)
    assert cost.params == pytest.approx(params, rel=5e-4)


def test_the_dense_total_of_resnet50_is_exact() -> None:
    cost = count_cost(torchvision.models.resnet50(), (3, 224, 224))
    assert cost == Cost(macs=4_089_184_256, params=25_557_032)


def test_the_dense_total_of_resnet56_with_zero_padding_is_that_of_the_paper() -> None:
    cost = count_cost(NETWORKS["cifar_resnet56_zero_pad"](), IMAGE)
    assert cost == Cost(macs=125_485_696, params=853_018)  # 125.49 M and 0.853 M


def test_one_convolution_costs_what_the_closed_form_says() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 225, 5)
    )
    macs = 9 * 3 * 8 * 15 * 15 + 8 * 225 * 5
    params = (9 * 3 + 1) * 8 + 2 * 8 + (8 * 225 + 1) * 5
    assert count_cost(network, IMAGE) == Cost(macs=macs, params=params)
    graph = find_channel_groups(network, IMAGE, scope="inner")
    model = build_cost_model(network, graph, IMAGE)
    assert model.exact([3]) == Cost(macs=macs * 3 // 8, params=(params - 5) * 3 // 8 + 5)


def test_a_depthwise_convolution_costs_linearly_in_its_width() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 16, 1, bias=False),
        nn.Conv2d(16, 16, 3, groups=16, bias=False),
        nn.Flatten(),
        nn.Linear(14400, 2),
    )
    model = build_cost_model(network, find_channel_groups(network, IMAGE, scope="inner"), IMAGE)
    per_channel = 3 * 32 * 32 + 9 * 30 * 30 + 2 * 30 * 30
    assert [model.exact([width]).macs for width in (1, 8, 16)] == [
        per_channel * width for width in (1, 8, 16)
    ]


@pytest.mark.parametrize("name", ["cifar_resnet8", "mobilenet_v2", "grouped_convolution"])
def test_gradients_are_those_of_the_polynomial_and_positive(name: str) -> None:
    model = _model(name)
    widths_G = (torch.tensor(model.sizes, dtype=torch.float64) * 0.6).requires_grad_()
    for resource, cost in model.cost(widths_G).items():
        (gradient_G,) = torch.autograd.grad(cost, widths_G, retain_graph=True)
        assert (gradient_G > 0).all()
        for group in range(len(model.sizes)):
            step_G = torch.zeros_like(widths_G)
            step_G[group] = 0.5
            above, below = model.cost(widths_G + step_G)[resource], model.cost(widths_G - step_G)[resource]
            torch.testing.assert_close(above - below, gradient_G[group])  # exact for a quadratic


@pytest.mark.parametrize("name", ["cifar_resnet8", "mobilenet_v2", "concatenated"])
def test_every_channel_more_costs_more(name: str) -> None:
    model = _model(name)
    widths = [max(1, size // 2) for size in model.sizes]
    base = model.exact(widths)
    for group, size in enumerate(model.sizes):
        wider = model.exact([*widths[:group], min(size, widths[group] + 1), *widths[group + 1 :]])
        assert wider.macs > base.macs
        assert wider.params > base.params


def test_counting_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)).train()
    state = {key: values.clone() for key, values in network.state_dict().items()}
    random_state = torch.get_rng_state()
    count_cost(network, IMAGE)
    assert network.training
    assert network[1].training
    assert all(torch.equal(values, state[key]) for key, values in network.state_dict().items())
    assert torch.equal(random_state, torch.get_rng_state())


def test_widths_of_low_precision_or_another_number_are_refused() -> None:
    model = _model("concatenated")
    with pytest.raises(TypeError, match="widths must be float64"):
        model.cost(torch.ones(2))
    with pytest.raises(ValueError, match=r"one width per group is needed \(2\), but got 3"):
        model.exact([1, 2, 3])


def test_a_weight_that_layers_share_is_counted_once() -> None:
    tied = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Flatten(), nn.Linear(3 * 1024, 2))
    tied[1].weight = tied[0].weight
    model = build_cost_model(tied, find_channel_groups(tied, IMAGE, scope="all"), IMAGE)
    assert model.exact(model.sizes) == model.dense
    assert model.dense.params == 9 + 3 + 3 + 2 * 3 * 1024 + 2
    assert model.fixed == Cost(macs=0, params=0)


def test_a_cost_is_read_by_resource() -> None:
    cost = Cost(macs=2, params=3)
    assert (cost[Resource.MACS], cost[Resource.PARAMS]) == (2, 3)
