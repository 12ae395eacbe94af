"""How much of the binding budget each way to choose channels uses, in networks of 500 and more of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import pytest
import torch
from torch import Tensor

from pruning_core.channels import CostModel, budget_limits, build_cost_model
from pruning_core.config import load_config
from pruning_core.gating.steering import LearnedGates
from pruning_core.methods import ALLOCATORS, ChannelProposal, MethodContext
from pruning_core.methods.interpretation_steered import propose_gates
from tests.pruning_core_tests.channel_networks import IMAGE, graph_of, network_named
from tests.pruning_core_tests.importance_cases import class_images
from tests.pruning_core_tests.method_cases import select

NETWORKS = ("cifar_resnet56_zero_pad", "resnet18", "mobilenet_v2")
BUDGETS = ({"macs": 0.5}, {"params": 0.3}, {"macs": 0.5, "params": 0.4})


@cache
def model_of(name: str) -> CostModel:
    return build_cost_model(network_named(name), graph_of(name, "inner"), IMAGE)


def context_for(name: str, budgets: Mapping[str, float]) -> MethodContext:
    model = model_of(name)
    config = load_config({"budgets": dict(budgets), "channels": {"round_to": 1}})
    return MethodContext(
        network=network_named(name),
        graph=graph_of(name, "inner"),
        cost_model=model,
        limits=budget_limits(config.budgets, model.dense),
        data=class_images(),
        config=config,
        sensitivities=dict.fromkeys(model.names, 1.0),
    )


def skewed_scores(model: CostModel) -> dict[str, Tensor]:
    """Most channels of little worth, groups of different scales."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(size, generator=generator, dtype=torch.float64) ** 3 * (1 + index % 5)
        for index, (name, size) in enumerate(zip(model.names, model.sizes, strict=True))
    }


def gates_of(context: MethodContext) -> ChannelProposal:
    """Gates as learning leaves them: nearly all nearly open or nearly closed."""
    scores = skewed_scores(context.cost_model)
    opened = {name: torch.sigmoid(20 * (score_C - 0.3)) for name, score_C in scores.items()}
    return propose_gates(context, LearnedGates(open_probability=opened, history=()))


def allocated_by(allocation: str) -> Callable[[MethodContext], ChannelProposal]:
    return lambda context: ALLOCATORS[allocation](context, skewed_scores(context.cost_model))


PROPOSALS = {"gates": gates_of} | {
    name: allocated_by(name) for name in ("uniform", "global", "sensitivity", "cost")
}


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", PROPOSALS)
def test_the_binding_budget_is_used_to_98_percent(name: str, network: str) -> None:
    assert sum(model_of(network).sizes) >= 500
    for budgets in BUDGETS if name != "sensitivity" else BUDGETS[2:]:
        context = context_for(network, budgets)
        proposal = PROPOSALS[name](context)
        selection = select(context, proposal)
        cost = context.cost_model.exact([len(selection.kept[group]) for group in context.cost_model.names])
        used = max(cost[resource] / limit for resource, limit in context.limits.items())
        assert 0.98 <= used <= 1
