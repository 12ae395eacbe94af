"""Shape suffixes: C channels of one group."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from pruning_core.budgets import COUNTED_ALWAYS, Budget, Resource
from pruning_core.channels import (
    ChannelSelection,
    Cost,
    CostModel,
    allowed_widths,
    budget_limits,
    build_cost_model,
    check_feasible,
    full_selection,
    minimum_cost,
    minimum_widths,
    project,
    reachable_floors,
    rounding_step,
    uniform_widths,
    within_limits,
)
from pruning_core.config import BudgetsConfig, ChannelsConfig
from pruning_core.errors import InfeasibleBudgetsError, InvalidSettingsError
from tests.pruning_core_tests.channel_networks import IMAGE, graph_of, network_named

NETWORKS = ("cifar_resnet20", "mobilenet_v2", "flattened_maps", "grouped_convolution", "concatenated")
ROUNDINGS = (
    ChannelsConfig(scope="all"),
    ChannelsConfig(scope="all", round_to=1),
    ChannelsConfig(scope="all", round_to=3),
)


def _model(name: str, scope: str = "all") -> CostModel:
    return build_cost_model(network_named(name), graph_of(name, scope), IMAGE)


def _scores(model: CostModel, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(size, generator=generator, dtype=torch.float64)
        for name, size in zip(model.names, model.sizes, strict=True)
    }


def _full(model: CostModel) -> dict[str, int]:
    return dict(zip(model.names, model.sizes, strict=True))


def _widths(model: CostModel, selection: ChannelSelection) -> list[int]:
    return [len(selection.kept[name]) for name in model.names]


def _cost(model: CostModel, widths: Mapping[str, int]) -> Cost:
    return model.exact([widths[name] for name in model.names])


def _fits_wider(
    model: CostModel, widths: list[int], limits: Mapping[Resource, int], channels: ChannelsConfig
) -> list[str]:
    """Brute force: the groups that could keep one rounding step more within the limits."""
    fitting = []
    for group, size in enumerate(model.sizes):
        wider = [width for width in allowed_widths(size, channels) if width > widths[group]][:1]
        if wider and within_limits(model.exact([*widths[:group], *wider, *widths[group + 1 :]]), limits):
            fitting.append(model.names[group])
    return fitting


@pytest.mark.parametrize("name", NETWORKS)
def test_fifty_random_budget_pairs_are_met_and_leave_no_room_for_another_step(name: str) -> None:
    graph, model = graph_of(name, "all"), _model(name)
    generator = torch.Generator().manual_seed(17)
    for trial in range(50):
        channels = ROUNDINGS[trial % len(ROUNDINGS)]
        least = minimum_cost(model, channels)
        share = torch.rand(2, generator=generator).tolist()
        limits = {
            resource: least[resource] + int(part * (model.dense[resource] - least[resource]))
            for resource, part in zip(COUNTED_ALWAYS, share, strict=True)
        }
        wished = {
            group: int(torch.randint(1, size + 1, (), generator=generator))
            for group, size in _full(model).items()
        }
        selection = project(model, graph, _scores(model, trial), wished, limits, channels)
        widths = _widths(model, selection)
        assert within_limits(model.exact(widths), limits)
        assert _fits_wider(model, widths, limits, channels) == []
        for width, size in zip(widths, model.sizes, strict=True):
            assert width in allowed_widths(size, channels)


@pytest.mark.parametrize("name", NETWORKS)
def test_in_each_group_the_highest_scores_stay(name: str) -> None:
    model, channels = _model(name), ChannelsConfig(scope="all")
    scores = _scores(model)
    limits = {Resource.MACS: model.dense.macs // 2}
    selection = project(model, graph_of(name, "all"), scores, _full(model), limits, channels)
    assert _widths(model, selection) != list(model.sizes)
    for group, kept in selection.kept.items():
        gone = [c for c in range(len(scores[group])) if c not in kept]
        if gone:
            assert scores[group][list(kept)].min() >= scores[group][gone].max()


def test_the_same_inputs_give_the_same_selection_and_ties_go_to_lower_channels() -> None:
    graph, model = graph_of("cifar_resnet20", "all"), _model("cifar_resnet20")
    ties = {name: torch.ones(size) for name, size in _full(model).items()}
    limits = {Resource.MACS: model.dense.macs // 3, Resource.PARAMS: model.dense.params // 2}
    selections = [
        project(model, graph, ties, _full(model), limits, ChannelsConfig(scope="all")) for _repeat in range(2)
    ]
    assert selections[0] == selections[1]
    assert all(kept == tuple(range(len(kept))) for kept in selections[0].kept.values())


def test_wished_widths_that_already_fit_exactly_are_kept() -> None:
    graph, model = graph_of("cifar_resnet20", "inner"), _model("cifar_resnet20", "inner")
    wished = {name: size // 2 for name, size in _full(model).items()}
    cost = model.exact([wished[name] for name in model.names])
    limits = {Resource.MACS: cost.macs, Resource.PARAMS: cost.params}
    selection = project(model, graph, _scores(model), wished, limits, ChannelsConfig())
    assert {name: len(kept) for name, kept in selection.kept.items()} == wished


def test_trimming_takes_the_cheapest_score_per_relieved_cost() -> None:
    """One group's channels are worthless: they go before any other."""
    graph, model = graph_of("cifar_resnet20", "inner"), _model("cifar_resnet20", "inner")
    scores = {name: torch.ones(size) for name, size in _full(model).items()}
    scores["layer2.1.conv1"] = torch.full((32,), 1e-6)
    limits = {Resource.MACS: int(0.96 * model.dense.macs)}
    selection = project(model, graph, scores, _full(model), limits, ChannelsConfig())
    widths = {name: len(kept) for name, kept in selection.kept.items()}
    assert widths.pop("layer2.1.conv1") < 32
    assert all(widths[name] == size for name, size in _full(model).items() if name in widths)


def test_budgets_of_the_whole_network_keep_every_channel() -> None:
    graph, model = graph_of("mobilenet_v2", "all"), _model("mobilenet_v2")
    limits = {Resource.MACS: model.dense.macs, Resource.PARAMS: model.dense.params}
    narrow = dict.fromkeys(model.names, 1)
    assert project(model, graph, _scores(model), narrow, limits, ChannelsConfig()) == full_selection(graph)


def test_a_slack_budget_beside_a_binding_one_allows_the_same_widths() -> None:
    """With one budget far away, trims follow the binding one alone."""
    graph, model = graph_of("cifar_resnet20", "inner"), _model("cifar_resnet20", "inner")
    scores = {name: torch.ones(size) for name, size in _full(model).items()}
    binding = {Resource.MACS: model.dense.macs // 2}
    alone = project(model, graph, scores, _full(model), binding, ChannelsConfig())
    slack = {**binding, Resource.PARAMS: 100 * model.dense.params}
    both = project(model, graph, scores, _full(model), slack, ChannelsConfig())
    assert alone == both


def test_two_budgets_both_bind() -> None:
    graph, model = graph_of("cifar_resnet20", "all"), _model("cifar_resnet20")
    channels = ChannelsConfig(scope="all")
    limits = {Resource.MACS: int(0.5 * model.dense.macs), Resource.PARAMS: int(0.35 * model.dense.params)}
    for resource, other in itertools.permutations(COUNTED_ALWAYS):
        alone = project(model, graph, _scores(model), _full(model), {resource: limits[resource]}, channels)
        cost = model.exact(_widths(model, alone))
        assert cost[resource] <= limits[resource]
        assert cost[other] > limits[other]
    both = project(model, graph, _scores(model), _full(model), limits, channels)
    assert within_limits(model.exact(_widths(model, both)), limits)


@pytest.mark.parametrize(
    ("num_channels", "round_to", "step"),
    [(512, "auto", 8), (64, "auto", 8), (63, "auto", 4), (32, "auto", 4), (31, "auto", 2), (16, "auto", 2),
     (15, "auto", 1), (64, 5, 5), (64, 1, 1)],
)  # fmt: skip
def test_the_rounding_step_follows_the_size_of_the_group(num_channels: int, round_to: int, step: int) -> None:
    assert rounding_step(num_channels, ChannelsConfig.model_validate({"round_to": round_to}).round_to) == step


@pytest.mark.parametrize(
    ("num_channels", "round_to", "min_channels", "widths"),
    [
        (20, 8, 1, (8, 16, 20)),
        (20, 8, 10, (16, 20)),
        (4, 8, 1, (4,)),
        (5, 1, 2, (2, 3, 4, 5)),
        (5, 1, 9, (5,)),
        (18, "auto", 1, (2, 4, 6, 8, 10, 12, 14, 16, 18)),
        (1, "auto", 1, (1,)),
    ],
)
def test_allowed_widths_are_multiples_above_the_floor_and_the_full_width(
    num_channels: int, round_to: int, min_channels: int, widths: tuple[int, ...]
) -> None:
    channels = ChannelsConfig.model_validate({"round_to": round_to, "min_channels": min_channels})
    assert allowed_widths(num_channels, channels) == widths


def test_a_floor_of_one_group_is_kept_and_rounded_up() -> None:
    graph, model = graph_of("cifar_resnet8", "all"), _model("cifar_resnet8")
    channels = ChannelsConfig(scope="all")
    group = model.names[0]
    limits = {Resource.MACS: model.dense.macs // 3}
    narrow = dict.fromkeys(model.names, 1)
    scores = {**_scores(model), group: torch.full((model.sizes[0],), 1e-9, dtype=torch.float64)}
    free = project(model, graph, scores, narrow, limits, channels)
    held = project(model, graph, scores, narrow, limits, channels, {group: 11})
    assert len(free.kept[group]) < 11
    assert len(held.kept[group]) >= 12
    assert within_limits(model.exact(_widths(model, held)), limits)


def test_floors_give_way_to_budgets_one_by_one() -> None:
    model = _model("cifar_resnet8")
    channels = ChannelsConfig(scope="all", round_to=1)
    floors = {name: size for name, size in _full(model).items() if size == 64}
    assert len(floors) >= 2
    assert reachable_floors(model, {Resource.MACS: model.dense.macs}, channels, floors) == floors
    least = {Resource.MACS: minimum_cost(model, channels).macs}
    assert reachable_floors(model, least, channels, floors) == {}
    first = next(iter(floors))
    enough_for_one = _cost(model, {**dict.fromkeys(model.names, 1), first: 64})
    assert reachable_floors(model, {Resource.MACS: enough_for_one.macs}, channels, floors) == {first: 64}


def test_minimum_widths_are_the_first_allowed_ones() -> None:
    channels = ChannelsConfig(min_channels=3)
    assert minimum_widths(graph_of("cifar_resnet8", "inner"), channels) == {
        "layer1.0.conv1": 4,
        "layer2.0.conv1": 4,
        "layer3.0.conv1": 8,
    }


def test_limits_are_shares_or_amounts_of_the_dense_network() -> None:
    dense = Cost(macs=1001, params=500)
    assert budget_limits(BudgetsConfig(macs=Budget(share=0.5), params=Budget(amount=77)), dense) == {
        Resource.MACS: 500,
        Resource.PARAMS: 77,
    }
    assert budget_limits(BudgetsConfig(params=Budget(share=1.0)), dense) == {Resource.PARAMS: 500}


def test_infeasible_budgets_name_what_can_be_reached_and_what_to_do() -> None:
    model, channels = _model("cifar_resnet20", "inner"), ChannelsConfig()
    least = minimum_cost(model, channels)
    limits = {Resource.MACS: least.macs - 1, Resource.PARAMS: least.params}
    with pytest.raises(InfeasibleBudgetsError) as caught:
        check_feasible(model, limits, channels)
    text = str(caught.value)
    assert f"budgets.macs is {least.macs - 1}" in text
    assert f"keeps {least.macs} (" in text
    assert "budgets.params" not in text
    assert text.endswith("raise it, lower channels.round_to (now auto) or set channels.scope to all")
    shown = float(text.split(f"keeps {least.macs} (")[1].split(")")[0])
    reachable = budget_limits(BudgetsConfig(macs=Budget(share=shown)), model.dense)
    check_feasible(model, reachable, channels)


def test_infeasible_budgets_are_all_named_and_only_possible_advice_is_given() -> None:
    model, channels = _model("cifar_resnet20"), ChannelsConfig(scope="all", round_to=1, min_channels=2)
    limits = {Resource.MACS: 1, Resource.PARAMS: 1}
    with pytest.raises(InfeasibleBudgetsError) as caught:
        project(model, graph_of("cifar_resnet20", "all"), _scores(model), _full(model), limits, channels)
    text = str(caught.value)
    assert "budgets.macs is 1 (0.0000 of" in text
    assert "budgets.params is 1 " in text
    assert text.endswith("; raise it or lower channels.min_channels (now 2)")
    assert "\n" not in text


def test_the_narrowest_network_is_feasible() -> None:
    model, channels = _model("cifar_resnet20"), ChannelsConfig(scope="all")
    least = minimum_cost(model, channels)
    limits = {Resource.MACS: least.macs, Resource.PARAMS: least.params}
    selection = project(
        model, graph_of("cifar_resnet20", "all"), _scores(model), _full(model), limits, channels
    )
    assert model.exact(_widths(model, selection)) == least


@pytest.mark.parametrize("name", ["cifar_resnet8", "flattened_maps", "grouped_convolution"])
@pytest.mark.parametrize("channels", ROUNDINGS, ids=lambda channels: f"round_to={channels.round_to}")
def test_uniform_widths_are_those_of_the_largest_share_that_fits(name: str, channels: ChannelsConfig) -> None:
    model = _model(name)
    least = minimum_cost(model, channels)
    allowed = {group: allowed_widths(size, channels) for group, size in _full(model).items()}

    def at(share: float) -> dict[str, int]:
        floors = {group: widths[0] for group, widths in allowed.items()}
        return {
            group: max([floors[group], *(width for width in allowed[group] if width / size <= share)])
            for group, size in _full(model).items()
        }

    shares = sorted({width / size for group, size in _full(model).items() for width in allowed[group]})
    for part in (0.0, 0.2, 0.6, 1.0):
        limits = {r: least[r] + int(part * (model.dense[r] - least[r])) for r in COUNTED_ALWAYS}
        fitting = [
            widths for widths in map(at, [0.0, *shares]) if within_limits(_cost(model, widths), limits)
        ]
        assert uniform_widths(model, limits, channels) == fitting[-1]


def test_uniform_widths_refuse_what_cannot_be_reached() -> None:
    with pytest.raises(InfeasibleBudgetsError, match=r"budgets\.params is 3"):
        uniform_widths(_model("concatenated"), {Resource.PARAMS: 3}, ChannelsConfig())


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"left": torch.ones(6)}, "the scores must cover every group, but 'right' is missing"),
        ({"left": torch.ones(6), "right": torch.ones(9)}, r"each of its 10 channels, but got shape \(9,\)"),
        ({"left": torch.full((6,), torch.nan), "right": torch.ones(10)}, r"with 6 infinite or NaN"),
    ],
)
def test_scores_that_are_not_one_finite_number_per_channel_are_refused(
    scores: dict[str, Tensor], message: str
) -> None:
    graph, model = graph_of("concatenated", "all"), _model("concatenated")
    with pytest.raises(InvalidSettingsError, match=message):
        project(model, graph, scores, _full(model), {Resource.MACS: model.dense.macs}, ChannelsConfig())


def test_wished_widths_of_unknown_groups_are_refused() -> None:
    graph, model = graph_of("concatenated", "all"), _model("concatenated")
    with pytest.raises(
        InvalidSettingsError, match="the wished widths must be about known groups, but 'middle'"
    ):
        project(
            model,
            graph,
            _scores(model),
            {**_full(model), "middle": 1},
            {Resource.MACS: 10**6},
            ChannelsConfig(),
        )
