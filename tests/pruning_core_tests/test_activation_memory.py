"""Shape suffixes: G channel groups; N, C, H, W images, channels, height, width."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.budgets import Resource
from pruning_core.channels import (
    CostModel,
    build_cost_model,
    count_activation_memory,
    find_channel_groups,
    full_selection,
    remove_channels,
)
from pruning_core.errors import UnsupportedNetworkError
from tests.pruning_core_tests.channel_networks import (
    IMAGE,
    QUICK,
    graph_of,
    network_named,
    random_selection,
    smallest_selection,
)

MEMORY = (Resource.ACTIVATION_MEMORY,)
SMALL = [name for name in QUICK if name not in ("resnet18", "mobilenet_v2", "squeezenet1_1")]
NETWORKS = [
    *SMALL,
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("efficientnet_b0", "densenet121")),
]
KILO = 4 * 1024  # bytes of one channel of a 32 x 32 map


def memory_model(name: str, scope: str = "all") -> CostModel:
    return build_cost_model(network_named(name), graph_of(name, scope), IMAGE, MEMORY)


def chain(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_model_is_what_an_allocator_finds_on_the_slim_network(name: str) -> None:
    network, graph, model = network_named(name), graph_of(name, "all"), memory_model(name)
    selections = [full_selection(graph), smallest_selection(graph)]
    for selection in [*selections, *(random_selection(graph, seed=seed) for seed in range(3))]:
        widths = [len(selection.kept[group]) for group in model.names]
        counted = count_activation_memory(remove_channels(network, graph, selection), IMAGE)
        assert model.exact(widths).activation_memory == counted
        cost = model.cost(torch.tensor(widths, dtype=torch.float64))[Resource.ACTIVATION_MEMORY]
        assert cost.item() == counted


@pytest.mark.parametrize(
    ("network", "kilos"),
    [
        (chain(nn.Conv2d(3, 8, 3, padding=1)), 3 + 8),
        (chain(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()), 8 + 8),
        (chain(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True)), 3 + 8),
        (chain(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 8, 1)), 5 + 8),
        (chain(nn.Conv2d(3, 8, 1), nn.MaxPool2d(2), nn.BatchNorm2d(8)), 3 + 8),
        (chain(nn.Conv2d(3, 8, 1), nn.Dropout(), nn.Identity()), 3 + 8),
    ],
    ids=["conv", "relu copies", "relu in place", "two convs", "pool", "nothing in evaluation mode"],
)
def test_a_chain_holds_what_a_layer_reads_and_what_it_makes(network: nn.Module, kilos: int) -> None:
    assert count_activation_memory(network, IMAGE) == kilos * KILO


class Skip(nn.Module):
    """A map that waits while two layers run, then is added."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.inner = nn.Conv2d(8, 20, 1)
        self.outer = nn.Conv2d(20, 8, 1)
        self.head = nn.Linear(8, 2)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        x_NCHW = self.stem(images_NCHW)
        logits_NC: Tensor = self.head((x_NCHW + self.outer(self.inner(x_NCHW))).mean((2, 3)))
        return logits_NC


def test_a_skipped_map_stays_alive_until_it_is_added() -> None:
    assert count_activation_memory(Skip(), IMAGE) == (8 + 20 + 8) * KILO
    graph = find_channel_groups(Skip(), IMAGE, scope="all")
    model = build_cost_model(Skip(), graph, IMAGE, MEMORY)
    stem, inner = model.names.index("stem"), model.names.index("inner")
    widths = [0, 0]
    for widths[stem], widths[inner] in ((8, 20), (8, 1), (3, 5), (1, 1)):
        added = widths[stem] * 3  # both terms and their sum
        between = widths[stem] * 2 + widths[inner]
        first = 3 + widths[stem]
        assert model.exact(widths).activation_memory == max(added, between, first) * KILO


def test_counting_leaves_the_network_as_it_was() -> None:
    network = chain(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)).train()
    state = {key: values.clone() for key, values in network.state_dict().items()}
    count_activation_memory(network, IMAGE)
    assert network.training
    assert all(torch.equal(values, state[key]) for key, values in network.state_dict().items())


@pytest.mark.parametrize("name", ["cifar_resnet8", "grouped_convolution", "concatenated"])
def test_the_gradient_is_that_of_the_steps_near_the_peak(name: str) -> None:
    model = memory_model(name)
    widths_G = (torch.tensor(model.sizes, dtype=torch.float64) * 0.6).requires_grad_()
    cost = model.cost(widths_G)[Resource.ACTIVATION_MEMORY]
    (gradient_G,) = torch.autograd.grad(cost, widths_G)
    assert (gradient_G >= 0).all()
    assert gradient_G.sum() > 0
    step_G = gradient_G / gradient_G.norm()
    narrower = model.cost((widths_G - step_G).detach())[Resource.ACTIVATION_MEMORY]
    assert narrower < cost


@pytest.mark.parametrize("name", ["cifar_resnet8", "concatenated", "flattened_maps"])
def test_changes_and_relief_are_those_of_the_exact_cost(name: str) -> None:
    model = memory_model(name)
    memory = model.resources[Resource.ACTIVATION_MEMORY]
    widths_G = np.array([max(1, size * 2 // 3) for size in model.sizes])
    target_G = np.array([max(1, size // 3) for size in model.sizes])
    cost = memory.exact(widths_G)
    changes_G = memory.changes(widths_G, target_G)
    for group in range(len(widths_G)):
        alone_G = widths_G.copy()
        alone_G[group] = target_G[group]
        assert changes_G[group] == memory.exact(alone_G) - cost
    relief_G = memory.relief(widths_G, target_G, cost - 1)
    assert (relief_G >= 0).all()
    assert relief_G.sum() > 0
    assert (relief_G >= np.minimum(-changes_G, 1)).all()


class SizedByWidth(nn.Module):
    """Makes a map, unused, whose side is the number of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.head = nn.Linear(8, 2)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        x_NCHW = self.stem(images_NCHW)
        F.interpolate(x_NCHW, size=(x_NCHW.shape[1], 4))
        logits_NC: Tensor = self.head(x_NCHW.mean((2, 3)))
        return logits_NC


def test_a_map_whose_size_does_not_follow_from_the_widths_is_refused() -> None:
    network = SizedByWidth()
    graph = find_channel_groups(network, IMAGE, scope="all")
    assert graph.groups
    with pytest.raises(UnsupportedNetworkError, match=r"take out budgets\.activation_memory"):
        build_cost_model(network, graph, IMAGE, MEMORY)
