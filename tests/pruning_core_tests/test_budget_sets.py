"""Any number of budgets on any resources at once: met, leaving no room, refused where out of reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from pruning_core.architectures import ARCHITECTURES
from pruning_core.budgets import COUNTED_ALWAYS, Resource
from pruning_core.channels import (
    ChannelGraph,
    ChannelSelection,
    CostModel,
    allowed_widths,
    build_cost_model,
    find_channel_groups,
    minimum_cost,
    project,
    uniform_widths,
    within_limits,
)
from pruning_core.channels.resource_costs import Counts, alternatives
from pruning_core.config import ArchitectureConfig, ChannelsConfig
from pruning_core.errors import InfeasibleBudgetsError
from pruning_core.methods.allocation import AllocationProblem, AllocationSettings, allocate_widths
from tests.pruning_core_tests.channel_networks import IMAGE, build_lively, graph_of, network_named
from tests.pruning_core_tests.latency_tables import made_up_table, table_for

RESOURCES: tuple[Resource, ...] = (*COUNTED_ALWAYS, Resource.ACTIVATION_MEMORY, Resource.LATENCY)
NETWORKS = ("cifar_resnet8", "flattened_maps", "grouped_convolution", "concatenated")
ROUNDINGS = tuple(
    ChannelsConfig.model_validate({"scope": "all", "round_to": step}) for step in ("auto", 1, 3)
)


@cache
def model_of(name: str) -> CostModel:
    return build_cost_model(network_named(name), graph_of(name, "all"), IMAGE, RESOURCES, made_up_table(name))


def full(model: CostModel) -> dict[str, int]:
    return dict(zip(model.names, model.sizes, strict=True))


def random_scores(model: CostModel, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(size, generator=generator, dtype=torch.float64) for name, size in full(model).items()
    }


def widths_of(model: CostModel, selection: ChannelSelection) -> list[int]:
    return [len(selection.kept[name]) for name in model.names]


def random_limits(
    model: CostModel, channels: ChannelsConfig, generator: np.random.Generator
) -> dict[Resource, int]:
    """Draw 1 to 4 budgets, each between what the narrowest network costs and what the dense one does."""
    least = minimum_cost(model, channels)
    chosen = generator.permutation(list(RESOURCES))[: generator.integers(1, 5)]
    return {
        resource: least[resource] + int(generator.random() * (model.dense[resource] - least[resource]))
        for resource in map(Resource, chosen)
    }


def groups_with_room(
    model: CostModel, widths: list[int], limits: Mapping[Resource, int], channels: ChannelsConfig
) -> list[str]:
    """Brute force: the groups that could keep one rounding step more within the limits."""
    found = []
    for group, size in enumerate(model.sizes):
        wider = [width for width in allowed_widths(size, channels) if width > widths[group]][:1]
        if wider and within_limits(model.exact([*widths[:group], *wider, *widths[group + 1 :]]), limits):
            found.append(model.names[group])
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_fifty_random_sets_of_budgets_are_met_and_leave_no_room(name: str) -> None:
    model = model_of(name)
    generator = np.random.default_rng(23)
    for trial in range(50):
        channels = ROUNDINGS[trial % len(ROUNDINGS)]
        limits = random_limits(model, channels, generator)
        wished = {group: int(generator.integers(1, size + 1)) for group, size in full(model).items()}
        scores = random_scores(model, trial)
        selection = project(model, graph_of(name, "all"), scores, wished, limits, channels)
        widths = widths_of(model, selection)
        assert within_limits(model.exact(widths), limits)
        assert groups_with_room(model, widths, limits, channels) == []
        uniform = uniform_widths(model, limits, channels)
        assert within_limits(model.exact([uniform[group] for group in model.names]), limits)


@pytest.mark.parametrize("name", NETWORKS)
def test_sets_out_of_reach_are_refused_with_the_reachable_minimum_of_each(name: str) -> None:
    model, channels = model_of(name), ROUNDINGS[1]
    least = minimum_cost(model, channels)
    limits = {resource: least[resource] - 1 for resource in RESOURCES}
    scores = random_scores(model)
    with pytest.raises(InfeasibleBudgetsError) as caught:
        project(model, graph_of(name, "all"), scores, full(model), limits, channels)
    text = str(caught.value)
    assert "\n" not in text
    for resource in RESOURCES:
        assert f"budgets.{resource} is {resource.shown(limits[resource])}{resource.unit} (" in text
        assert f"keeps {resource.shown(least[resource])}{resource.unit} (" in text
    reachable = {resource: least[resource] for resource in RESOURCES}
    selection = project(model, graph_of(name, "all"), scores, full(model), reachable, channels)
    assert widths_of(model, selection) == [allowed_widths(size, channels)[0] for size in model.sizes]


def test_channels_that_cost_nothing_of_what_is_limited_all_stay() -> None:
    """Maps that are never at the peak are free where memory alone has a budget."""
    model, channels = model_of("cifar_resnet8"), ROUNDINGS[1]
    limits = {Resource.ACTIVATION_MEMORY: int(0.7 * model.dense[Resource.ACTIVATION_MEMORY])}
    selection = project(
        model,
        graph_of("cifar_resnet8", "all"),
        random_scores(model),
        dict.fromkeys(model.names, 1),
        limits,
        channels,
    )
    widths = dict(zip(model.names, widths_of(model, selection), strict=True))
    assert widths["layer3.0.conv1"] == full(model)["layer3.0.conv1"]


def test_steps_that_are_at_the_peak_together_are_lowered_together() -> None:
    """One width alone relieves nothing where two steps are equally high."""
    model = model_of("cifar_resnet8")
    memory = model.resources[Resource.ACTIVATION_MEMORY]
    sizes_G = np.array(model.sizes)
    for share in (0.9, 0.5, 0.2):
        limit = int(share * memory.exact(sizes_G))
        assert (memory.relief(sizes_G, np.ones_like(sizes_G), limit) > 0).any()


class Plateau:
    """10 while any group is wider than 4, else 1: no step of one group alone is cheaper."""

    def cost(self, widths_G: Tensor) -> Tensor:
        return torch.where((widths_G > 4).any(), 10.0, 1.0).double()

    def exact(self, widths: Sequence[int] | Counts) -> int:
        return 10 if max(widths) > 4 else 1

    def changes(self, widths_G: Counts, target_G: Counts) -> Counts:
        rows = alternatives(widths_G, target_G).tolist()
        return np.array([self.exact(row) - self.exact(widths_G) for row in rows])

    def relief(self, widths_G: Counts, target_G: Counts, limit: int) -> Counts:  # noqa: ARG002
        return -self.changes(widths_G, target_G)


def test_a_plateau_is_left_by_several_steps_that_help_only_together() -> None:
    model, graph = model_of("concatenated"), graph_of("concatenated", "all")
    flat = replace(
        model,
        resources={**model.resources, Resource.LATENCY: Plateau()},
        dense=replace(model.dense, latency_ns=10),
    )
    for wished in (full(model), {"left": 1, "right": 10}):
        selection = project(flat, graph, random_scores(model), wished, {Resource.LATENCY: 5}, ROUNDINGS[1])
        assert {name: len(kept) for name, kept in selection.kept.items()} == {"left": 4, "right": 4}


def test_the_allocation_reaches_four_budgets_at_once() -> None:
    model = model_of("cifar_resnet8")
    shares = dict(zip(RESOURCES, (0.6, 0.5, 0.8, 0.85), strict=True))
    limits = {resource: int(share * model.dense[resource]) for resource, share in shares.items()}
    problem = AllocationProblem(
        scores=list(random_scores(model).values()),
        sensitivity_G=torch.ones(len(model.sizes), dtype=torch.float64),
        minimum_G=torch.ones(len(model.sizes), dtype=torch.float64),
        cost=model.cost,
        limits=limits,
    )
    found = allocate_widths(problem, AllocationSettings(steps=120))
    assert set(found.excess) == set(RESOURCES)
    assert max(found.excess.values()) == pytest.approx(0.0, abs=0.05)
    assert max(found.multipliers.values()) > 0


@cache
def deep_network() -> tuple[CostModel, ChannelGraph]:
    """cifar_resnet56, untrained: 1,100 channels that may go."""
    network = network_named("cifar_resnet56_zero_pad")
    graph = graph_of("cifar_resnet56_zero_pad", "inner")
    resources = (Resource.MACS, Resource.PARAMS, Resource.LATENCY)
    return build_cost_model(network, graph, IMAGE, resources, table_for(network)), graph


@pytest.mark.slow
@pytest.mark.parametrize(
    "shares",
    [
        {Resource.MACS: 0.5},
        {Resource.PARAMS: 0.35},
        {Resource.LATENCY: 0.7},
        {Resource.MACS: 0.5, Resource.PARAMS: 0.5},
        {Resource.MACS: 0.6, Resource.PARAMS: 0.4, Resource.LATENCY: 0.75},
    ],
    ids=str,
)
def test_of_five_hundred_channels_and_more_the_binding_budget_is_used_to_98_percent(
    shares: dict[Resource, float],
) -> None:
    model, graph = deep_network()
    assert graph.num_channels >= 500
    limits = {resource: int(share * model.dense[resource]) for resource, share in shares.items()}
    for wished in (full(model), dict.fromkeys(model.names, 1)):
        selection = project(model, graph, random_scores(model), wished, limits, ChannelsConfig(round_to=1))
        cost = model.exact(widths_of(model, selection))
        assert 0.98 <= max(cost[resource] / limit for resource, limit in limits.items()) <= 1


def test_a_budget_on_memory_is_used_to_98_percent_where_a_channel_is_small_enough() -> None:
    """In the usual cifar_resnet one channel of the residual stream is 6 % of the peak; four times as wide, 1.6 %."""
    config = ArchitectureConfig(name="cifar_resnet8", width=4)
    network = build_lively(lambda: ARCHITECTURES[config.name](config, num_classes=10, in_channels=3))
    graph = find_channel_groups(network, IMAGE, scope="all")
    model = build_cost_model(network, graph, IMAGE, [Resource.ACTIVATION_MEMORY])
    limits = {Resource.ACTIVATION_MEMORY: int(0.8 * model.dense[Resource.ACTIVATION_MEMORY])}
    selection = project(model, graph, random_scores(model), full(model), limits, ROUNDINGS[1])
    reached = model.exact(widths_of(model, selection))[Resource.ACTIVATION_MEMORY]
    assert graph.num_channels >= 500
    assert 0.98 <= reached / limits[Resource.ACTIVATION_MEMORY] <= 1
