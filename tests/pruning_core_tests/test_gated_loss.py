"""Allocation by the task's own loss: what the gated network's cross-entropy is, and where it lets shares go."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pruning_core.budgets import Resource
from pruning_core.channels.weight_gates import hard_gates
from pruning_core.config import load_config
from pruning_core.importance import IMPORTANCES
from pruning_core.methods import ALLOCATORS, MethodContext
from pruning_core.methods.gated_loss import GatedLoss
from tests.pruning_core_tests.importance_cases import class_images
from tests.pruning_core_tests.method_cases import context_of, select
from tests.pruning_core_tests.trained_branches import NUM_IMAGES, gated_cross_entropy, trained_network

USEFUL, USELESS = "left", "right"


def context_for(macs: float = 0.6, *, seed: int = 0) -> MethodContext:
    network, data = trained_network(reads_right=False), class_images(num_images=NUM_IMAGES)
    config = load_config(
        {
            "budgets": {"macs": macs},
            "channels": {"round_to": 1, "scope": "all"},
            "importance": {"num_images": NUM_IMAGES},
            "seed": seed,
        }
    )
    return context_of(network, data, config, scope="all")


def scores_for(context: MethodContext) -> dict[str, Tensor]:
    return IMPORTANCES["l2"].score(context.importance_context)


def test_sharp_gates_cost_what_the_network_with_the_best_channels_alone_loses() -> None:
    context = context_for()
    scores = scores_for(context)
    sizes = dict(zip(context.cost_model.names, context.cost_model.sizes, strict=True))
    half = {name: size // 2 for name, size in sizes.items()}
    gates = {name: torch.zeros(size) for name, size in sizes.items()}
    for name, score_C in scores.items():
        gates[name][score_C.argsort(descending=True)[: half[name]]] = 1
    share_G = torch.tensor([half[name] / size for name, size in sizes.items()], dtype=torch.float64)
    got = float(GatedLoss(context, scores)(share_G, 1e5))
    assert got == pytest.approx(gated_cross_entropy(context.network, context.graph, gates), rel=1e-3)


def test_open_gates_cost_nothing() -> None:
    context = context_for()
    loss = GatedLoss(context, scores_for(context))
    dense = torch.ones(len(context.cost_model.sizes), dtype=torch.float64)
    assert float(loss(dense, 20.0)) == pytest.approx(
        gated_cross_entropy(context.network, context.graph, {}), rel=1e-3
    )


def test_gradients_in_the_shares_agree_with_differences() -> None:
    context = context_for()
    loss = GatedLoss(context, scores_for(context))
    share_G = torch.full((len(context.cost_model.sizes),), 0.6, dtype=torch.float64, requires_grad=True)
    (slope_G,) = torch.autograd.grad(loss(share_G, 4.0), share_G)
    step = 0.01
    for group in range(len(slope_G)):
        moved = torch.zeros_like(slope_G)
        moved[group] = step
        with torch.no_grad():
            rise = float(loss(share_G + moved, 4.0) - loss(share_G - moved, 4.0))
        assert float(slope_G[group]) == pytest.approx(rise / (2 * step), rel=0.05, abs=2e-3)


def test_a_branch_that_nothing_reads_is_given_up_and_has_the_least_price() -> None:
    context = context_for(0.5)
    proposal = ALLOCATORS["task_loss"](context, scores_for(context))
    assert proposal.widths[USELESS] == 1
    assert proposal.widths[USEFUL] > 1
    means = {name: float(score_C.mean()) for name, score_C in proposal.scores.items()}
    assert means[USELESS] == min(means.values()) > 0
    assert max(means.values()) / means[USELESS] == pytest.approx(1000)


def test_the_same_seed_gives_the_same_widths() -> None:
    context = context_for()
    first, second = (ALLOCATORS["task_loss"](context, scores_for(context)) for _ in range(2))
    assert first.widths == second.widths
    assert all(torch.equal(first.scores[name], second.scores[name]) for name in first.scores)


def test_it_loses_less_than_equal_shares_within_the_same_budget() -> None:
    context = context_for(0.5)
    scores = scores_for(context)

    def loss_after(allocation: str) -> float:
        selection = select(context, ALLOCATORS[allocation](context, scores))
        widths = [len(selection.kept[name]) for name in context.cost_model.names]
        assert context.cost_model.exact(widths)[Resource.MACS] <= context.limits[Resource.MACS]
        return gated_cross_entropy(context.network, context.graph, hard_gates(context.graph, selection))

    assert loss_after("task_loss") < loss_after("uniform")


def test_the_network_stays_as_it_was() -> None:
    context = context_for()
    before = {name: tensor.clone() for name, tensor in context.network.state_dict().items()}
    GatedLoss(context, scores_for(context))(torch.full((len(context.cost_model.sizes),), 0.5).double(), 4.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in context.network.state_dict().items())
    assert all(parameter.requires_grad for parameter in context.network.parameters())
