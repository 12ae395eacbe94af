"""Allocators: budgets divided between groups, whatever the scores are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import pytest
import torch
from torch import Tensor

from pruning_core.budgets import Resource
from pruning_core.channels import (
    allowed_widths,
    budget_limits,
    build_cost_model,
    nearest_allowed_width,
    project,
    within_limits,
)
from pruning_core.config import ChannelsConfig, ImportanceConfig, MethodName, load_config
from pruning_core.importance import IMPORTANCES
from pruning_core.methods import ALLOCATORS, METHODS, ChannelProposal, MethodContext
from pruning_core.methods.global_threshold import widths_above_threshold
from pruning_core.stage_graphs import DEFAULT_ALLOCATIONS, allocation_of
from tests.pruning_core_tests.channel_networks import IMAGE, graph_of, network_named
from tests.pruning_core_tests.importance_cases import class_images

NETWORK = "cifar_resnet8"
MODEL = build_cost_model(network_named(NETWORK), graph_of(NETWORK, "all"), IMAGE)


def random_scores(*, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(size, generator=generator, dtype=torch.float64)
        for name, size in zip(MODEL.names, MODEL.sizes, strict=True)
    }


def context_for(
    budgets: Mapping[str, float], *, allocation: str = "auto", round_to: int | str = 1
) -> MethodContext:
    config = load_config(
        {
            "budgets": dict(budgets),
            "channels": {"round_to": round_to},
            "importance": {"allocation": allocation},
        }
    )
    return MethodContext(
        network=network_named(NETWORK),
        graph=graph_of(NETWORK, "all"),
        cost_model=MODEL,
        limits=budget_limits(config.budgets, MODEL.dense),
        data=class_images(),
        config=config,
        sensitivities=dict.fromkeys(MODEL.names, 1.0),
    )


def kept_by(context: MethodContext, proposal: ChannelProposal) -> dict[str, tuple[int, ...]]:
    selection = project(
        MODEL, context.graph, proposal.scores, proposal.widths, context.limits, context.config.channels
    )
    return dict(selection.kept)


def test_every_allocation_that_can_be_named_is_listed() -> None:
    named = set(get_args(ImportanceConfig.model_fields["allocation"].annotation))
    assert named == {"auto", *ALLOCATORS}
    assert set(DEFAULT_ALLOCATIONS) == set(METHODS)
    assert {default for default in DEFAULT_ALLOCATIONS.values() if default is not None} <= set(ALLOCATORS)


@pytest.mark.parametrize("name", ALLOCATORS)
def test_proposal_of_every_allocator_ends_within_every_budget(name: str) -> None:
    context = context_for({"macs": 0.6, "params": 0.3})
    proposal = ALLOCATORS[name](context, random_scores())
    everything = torch.cat(list(proposal.scores.values()))
    assert float(everything.mean()) == pytest.approx(1)
    kept = kept_by(context, proposal)
    assert within_limits(MODEL.exact([len(kept[group]) for group in MODEL.names]), context.limits)


@pytest.mark.parametrize("name", ["uniform", "global"])
def test_a_common_factor_of_all_scores_changes_nothing(name: str) -> None:
    context = context_for({"macs": 0.5})
    first = ALLOCATORS[name](context, random_scores())
    second = ALLOCATORS[name](context, {group: 8 * score_C for group, score_C in random_scores().items()})
    assert first.widths == second.widths


@pytest.mark.parametrize("name", ["uniform", "global"])
def test_global_allocation_compares_the_scores_of_different_groups_and_uniform_does_not(name: str) -> None:
    context = context_for({"macs": 0.5})
    plain = random_scores()
    louder = {**plain, MODEL.names[2]: 10 * plain[MODEL.names[2]]}
    first, second = ALLOCATORS[name](context, plain), ALLOCATORS[name](context, louder)
    assert (first.widths != second.widths) == (name == "global")
    if name == "global":
        assert second.widths[MODEL.names[2]] > first.widths[MODEL.names[2]]


# By cost


def test_by_cost_a_group_keeps_more_the_less_a_channel_of_it_costs() -> None:
    """At the optimum, size / share**2 is the same multiple of the cost's slope in every group that is not full."""
    context = context_for({"macs": 0.4})
    proposal = ALLOCATORS["cost"](context, random_scores())
    uniform = ALLOCATORS["uniform"](context, random_scores())
    assert proposal.widths is not None
    assert uniform.widths is not None
    kept = {
        name: MODEL.exact([len(kept_by(context, one)[group]) for group in MODEL.names]).params
        for name, one in {"cost": proposal, "uniform": uniform}.items()
    }
    assert kept["cost"] > 1.05 * kept["uniform"], "parameters are in late layers, whose maps are small"
    sizes_G = torch.tensor(MODEL.sizes, dtype=torch.float64)
    widths_G = torch.tensor([proposal.widths[name] for name in MODEL.names], dtype=torch.float64)
    share_G = (widths_G / sizes_G).requires_grad_()
    (slope_G,) = torch.autograd.grad(MODEL.cost(share_G * sizes_G)[Resource.MACS], share_G)
    price_G = (sizes_G / share_G.detach() ** 2 / slope_G)[(share_G < 1) & (widths_G > 1)]
    assert float(price_G.std() / price_G.mean()) < 0.35, "up to rounding to whole channels"


def test_by_cost_the_order_within_groups_is_the_score_s() -> None:
    context, scores = context_for({"macs": 0.5}), random_scores()
    proposal = ALLOCATORS["cost"](context, scores)
    for name, scores_C in scores.items():
        assert torch.equal(proposal.scores[name].argsort(), scores_C.argsort())


# One threshold


def widths_by_scanning(
    scores: Mapping[str, Tensor], limits: Mapping[Resource, int], channels: ChannelsConfig
) -> dict[str, int]:
    """Raise the threshold from score to score until all budgets are met."""
    for threshold in [-1.0, *sorted(float(score) for score_C in scores.values() for score in score_C)]:
        widths = [
            nearest_allowed_width(allowed_widths(size, channels), int((scores[name] > threshold).sum()))
            for name, size in zip(MODEL.names, MODEL.sizes, strict=True)
        ]
        if within_limits(MODEL.exact(widths), limits):
            return dict(zip(MODEL.names, widths, strict=True))
    raise AssertionError("no threshold is high enough")


@pytest.mark.parametrize("round_to", [1, "auto"])
@pytest.mark.parametrize("budgets", [{"macs": 0.5}, {"macs": 0.9, "params": 0.2}, {"macs": 1.0}])
def test_threshold_is_the_lowest_that_meets_all_budgets(
    round_to: int | str, budgets: dict[str, float]
) -> None:
    context = context_for(budgets, round_to=round_to)
    scores = random_scores()
    got = widths_above_threshold(MODEL, scores, context.limits, context.config.channels)
    assert got == widths_by_scanning(scores, context.limits, context.config.channels)


def test_the_projection_only_adds_to_what_lies_above_the_threshold() -> None:
    context = context_for({"macs": 0.5})
    scores = random_scores()
    kept = kept_by(context, ALLOCATORS["global"](context, scores))
    widths = widths_above_threshold(MODEL, scores, context.limits, context.config.channels)
    assert all(len(kept[name]) >= width for name, width in widths.items())
    assert sum(map(len, kept.values())) <= 1.05 * sum(widths.values())


def test_equal_scores_fall_together_and_the_projection_fills_the_budget_again() -> None:
    context = context_for({"macs": 0.5})
    scores = {
        name: torch.ones(size, dtype=torch.float64)
        for name, size in zip(MODEL.names, MODEL.sizes, strict=True)
    }
    proposal = ALLOCATORS["global"](context, scores)
    assert set(proposal.widths.values()) == {1}
    kept = kept_by(context, proposal)
    macs = MODEL.exact([len(kept[name]) for name in MODEL.names]).macs
    assert 0.97 * context.limits[Resource.MACS] < macs <= context.limits[Resource.MACS]


def test_a_group_whose_channels_all_fall_keeps_its_least_width() -> None:
    context = context_for({"macs": 0.5}, round_to=4)
    scores = {**random_scores(), MODEL.names[3]: torch.zeros(MODEL.sizes[3], dtype=torch.float64)}
    proposal = ALLOCATORS["global"](context, scores)
    assert proposal.widths[MODEL.names[3]] == 4


# Which allocation a method uses


@pytest.mark.parametrize("allocation", ["uniform", "global"])
@pytest.mark.parametrize("method", ["l2", "lamp"])
def test_a_method_uses_the_allocation_that_was_asked_for(method: str, allocation: str) -> None:
    context = context_for({"macs": 0.5}, allocation=allocation)
    scores = IMPORTANCES[method].score(context.importance_context)
    assert METHODS[method](context).widths == ALLOCATORS[allocation](context, scores).widths


@pytest.mark.parametrize("method", MethodName)
def test_auto_stands_for_the_method_s_default_and_gate_learning_has_none(method: MethodName) -> None:
    default = DEFAULT_ALLOCATIONS[method]
    assert allocation_of(method, "auto") == default
    assert allocation_of(method, "uniform") == (None if default is None else "uniform")
