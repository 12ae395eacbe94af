"""Threshold gates and the allocation of widths under several budgets."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from pruning_core.budgets import Resource
from pruning_core.methods.allocation import (
    Allocation,
    AllocationProblem,
    PredictedLoss,
    allocate_widths,
    budget_penalty,
    pad_log_scores,
)
from pruning_core.methods.threshold_gate import threshold_gate

SIZES = (8, 12, 10)
PLACES = (64, 16, 4)  # output places of the layer behind each group


def seeded_scores(sizes: tuple[int, ...] = SIZES, *, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [0.05 + torch.rand(size, generator=generator, dtype=torch.float64) for size in sizes]


def chain_cost(widths_G: Tensor) -> dict[Resource, Tensor]:
    """A chain of 3x3 convolutions: 3 -> group 0 -> group 1 -> group 2 -> 10 fixed outputs."""
    ends = torch.cat([widths_G.new_tensor([3.0]), widths_G, widths_G.new_tensor([10.0])])
    pairs = 9 * ends[:-1] * ends[1:]
    places = widths_G.new_tensor([64.0, *PLACES])
    return {Resource.MACS: (pairs * places).sum(), Resource.PARAMS: pairs.sum() + widths_G.sum()}


def chain_limits(**shares: float) -> dict[Resource, int]:
    dense = chain_cost(torch.tensor(SIZES, dtype=torch.float64))
    return {Resource(name): int(share * float(dense[Resource(name)])) for name, share in shares.items()}


def chain_problem(limits: Mapping[Resource, int], *, seed: int = 0) -> AllocationProblem:
    generator = torch.Generator().manual_seed(100 + seed)
    return AllocationProblem(
        scores=seeded_scores(seed=seed),
        sensitivity_G=0.5 + torch.rand(len(SIZES), generator=generator, dtype=torch.float64),
        minimum_G=torch.ones(len(SIZES), dtype=torch.float64),
        cost=chain_cost,
        limits=limits,
    )


@functools.cache
def chain_allocation(*, seed: int = 0, **shares: float) -> Allocation:
    """Tests that look at the same problem share its solution."""
    return allocate_widths(chain_problem(chain_limits(**shares), seed=seed))


# Gates


@pytest.mark.parametrize("beta", [4.0, 50.0])
def test_gates_have_the_wanted_mean_in_every_group(beta: float) -> None:
    share_G = torch.tensor([0.2, 0.5, 0.97], dtype=torch.float64)
    gates_GC = threshold_gate(share_G, pad_log_scores(seeded_scores()), beta)
    means = torch.stack([gates[:size].mean() for gates, size in zip(gates_GC, SIZES, strict=True)])
    torch.testing.assert_close(means, share_G, rtol=0, atol=1e-9)
    assert bool((gates_GC[0, SIZES[0] :] == 0).all())


def test_a_share_of_one_opens_everything() -> None:
    share_G = torch.ones(3, dtype=torch.float64)
    gates_GC = threshold_gate(share_G, pad_log_scores(seeded_scores()), 4.0)
    for gates, size in zip(gates_GC, SIZES, strict=True):
        torch.testing.assert_close(gates[:size], torch.ones(size, dtype=torch.float64), rtol=0, atol=1e-9)


def test_gates_are_ordered_as_the_scores_and_equal_scores_get_equal_gates() -> None:
    scores = [torch.tensor([0.3, 0.9, 0.3, 0.1, 0.9], dtype=torch.float64)]
    gates_C = threshold_gate(torch.tensor([0.5], dtype=torch.float64), pad_log_scores(scores), 6.0)[0]
    assert gates_C[1] == gates_C[4] > gates_C[0] == gates_C[2] > gates_C[3]


def test_sharp_gates_are_the_best_k_channels() -> None:
    scores = torch.tensor([0.3, 0.9, 0.5, 0.1], dtype=torch.float64)
    share_G = torch.tensor([0.5], dtype=torch.float64)
    gates_C = threshold_gate(share_G, pad_log_scores([scores]), 1e4)[0]
    torch.testing.assert_close(gates_C, torch.tensor([0, 1, 1, 0], dtype=torch.float64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("beta", [2.0, 8.0])
def test_gradients_agree_with_finite_differences(beta: float) -> None:
    share_G = torch.tensor([0.3, 0.6, 0.8], dtype=torch.float64, requires_grad=True)
    log_score_GC = pad_log_scores(seeded_scores((6, 6, 6))).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, s: threshold_gate(a, s, beta), (share_G, log_score_GC))


def test_padding_gets_no_gradient_and_shares_the_right_one() -> None:
    share_G = torch.tensor([0.3, 0.6, 0.8], dtype=torch.float64, requires_grad=True)
    log_score_GC = pad_log_scores(seeded_scores()).requires_grad_()
    means_G = threshold_gate(share_G, log_score_GC, 5.0).sum(dim=1) / torch.tensor(SIZES)
    by_share_G, by_score_GC = torch.autograd.grad(means_G.sum(), (share_G, log_score_GC))
    torch.testing.assert_close(by_share_G, torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(by_score_GC, torch.zeros_like(by_score_GC), rtol=0, atol=1e-12)


def test_zero_scores_stay_finite() -> None:
    log_score_GC = pad_log_scores([torch.tensor([0.0, 2.0]), torch.zeros(2)])
    assert bool(torch.isfinite(log_score_GC).all())
    assert log_score_GC[1, 0] == log_score_GC[1, 1]


# Loss and penalty


def test_predicted_loss_equals_the_sensitivity_where_the_better_half_stays() -> None:
    scores = seeded_scores()
    sensitivity_G = torch.tensor([0.7, 0.2, 1.1], dtype=torch.float64)
    loss = PredictedLoss(scores, sensitivity_G)
    for group in range(3):
        share_G = torch.ones(3, dtype=torch.float64)
        share_G[group] = 0.5
        got = float(loss(share_G, 1e5))
        assert got == pytest.approx(float(sensitivity_G[group] / sensitivity_G.sum()), rel=1e-6)


def test_channel_values_add_up_to_the_loss_of_losing_everything() -> None:
    loss = PredictedLoss(seeded_scores(), torch.tensor([0.7, 0.2, 1.1], dtype=torch.float64))
    dense = torch.ones(3, dtype=torch.float64)
    values = loss.channel_values(dense, 50.0)
    assert [len(value) for value in values] == list(SIZES)
    torch.testing.assert_close(torch.stack([value.sum() for value in values]), loss.weight_G)
    narrower = loss.channel_values(0.5 * dense, 50.0)
    assert all(bool((after > before).all()) for before, after in zip(values, narrower, strict=True))


def test_the_last_channel_of_a_group_costs_more_than_any_before() -> None:
    loss = PredictedLoss([torch.ones(8, dtype=torch.float64)], torch.ones(1, dtype=torch.float64))
    losses = [float(loss(torch.tensor([width / 8], dtype=torch.float64), 50.0)) for width in range(1, 9)]
    steps = [losses[index] - losses[index + 1] for index in range(7)]
    assert steps == sorted(steps, reverse=True)
    assert losses == pytest.approx([-math.log(width / 8) / math.log(2) for width in range(1, 9)], abs=1e-6)


def test_groups_that_are_alike_are_narrowed_alike() -> None:
    """With a loss in proportion to what goes, any split between them would do."""
    sizes = torch.tensor([8.0, 8.0], dtype=torch.float64)
    problem = AllocationProblem(
        scores=[torch.linspace(0.9, 1.1, 8, dtype=torch.float64)] * 2,
        sensitivity_G=torch.tensor([1.0, 0.8], dtype=torch.float64),
        minimum_G=torch.ones(2, dtype=torch.float64),
        cost=lambda widths_G: {Resource.PARAMS: widths_G.sum()},
        limits={Resource.PARAMS: int(sizes.sum() / 2)},
    )
    widths = allocate_widths(problem).widths_G.tolist()
    assert sum(widths) == pytest.approx(8, rel=0.02)
    assert 3 < widths[1] < widths[0] < 5


@pytest.mark.parametrize("cost", [1.01, 1.5, 4.0])
def test_single_budget_with_fixed_multiplier_is_the_hinge_of_steered_pruning(cost: float) -> None:
    weight, limit = 0.7, 2.0
    amount = torch.tensor(cost * limit, dtype=torch.float64, requires_grad=True)
    excess_M = torch.log(amount / limit)[None]
    penalty = budget_penalty(excess_M, torch.tensor([weight], dtype=torch.float64), rho=1e-6)
    (gradient,) = torch.autograd.grad(penalty, amount)
    assert float(penalty.detach()) == pytest.approx(
        weight * math.log(max(cost * limit, limit) / limit), rel=1e-5
    )
    assert float(gradient) == pytest.approx(weight / (cost * limit), rel=1e-5)


def test_a_budget_with_room_and_no_multiplier_costs_nothing() -> None:
    excess_M = torch.tensor([-0.2], dtype=torch.float64, requires_grad=True)
    penalty = budget_penalty(excess_M, torch.zeros(1, dtype=torch.float64), rho=4.0)
    (gradient_M,) = torch.autograd.grad(penalty, excess_M)
    assert float(penalty.detach()) == 0
    assert float(gradient_M) == 0


# Allocation


def test_room_in_all_budgets_prunes_nothing() -> None:
    allocation = allocate_widths(chain_problem(chain_limits(macs=1.0, params=1.3)))
    assert allocation.widths_G.tolist() == list(SIZES)
    assert set(allocation.multipliers.values()) == {0.0}


@pytest.mark.parametrize("shares", [{"macs": 0.5}, {"params": 0.3}, {"macs": 0.6, "params": 0.35}])
@pytest.mark.parametrize("seed", [0, 1])
def test_budgets_are_met_closely(shares: dict[str, float], seed: int) -> None:
    allocation = chain_allocation(seed=seed, **shares)
    assert max(allocation.excess.values()) < 0.005
    assert max(allocation.excess.values()) > -0.02
    assert bool((allocation.widths_G >= 1).all())
    assert bool((allocation.widths_G <= torch.tensor(SIZES)).all())


def test_a_budget_with_room_to_spare_changes_nothing() -> None:
    alone = chain_allocation(macs=0.5)
    never_tight = chain_allocation(macs=0.5, params=1.2)
    tight_at_first = chain_allocation(macs=0.5, params=0.95)
    assert torch.equal(alone.widths_G, never_tight.widths_G)
    torch.testing.assert_close(alone.widths_G, tight_at_first.widths_G, rtol=0, atol=0.01)
    assert tight_at_first.multipliers[Resource.PARAMS] == never_tight.multipliers[Resource.PARAMS] == 0


def test_multipliers_are_prices_and_vanish_where_there_is_room() -> None:
    allocation = chain_allocation(macs=0.6, params=0.35)
    for resource, multiplier in allocation.multipliers.items():
        assert multiplier >= 0
        assert multiplier * abs(allocation.excess[resource]) < 0.01


def test_inner_shares_are_stationary_at_the_end() -> None:
    problem = chain_problem(chain_limits(macs=0.5))
    allocation = chain_allocation(macs=0.5)
    share_G = (allocation.widths_G / torch.tensor(SIZES)).requires_grad_()
    loss = PredictedLoss(problem.scores, problem.sensitivity_G)(share_G, 50.0)
    cost = chain_cost(share_G * torch.tensor(SIZES))
    prices = [
        multiplier * torch.log(cost[resource]) for resource, multiplier in allocation.multipliers.items()
    ]
    (by_loss_G,) = torch.autograd.grad(loss, share_G)
    (by_price_G,) = torch.autograd.grad(torch.stack(prices).sum(), share_G)
    inner_G = (share_G > 1.5 / torch.tensor(SIZES)) & (share_G < 0.999)
    assert bool(inner_G.any())
    gap_G = (by_loss_G + by_price_G).abs() / by_loss_G.abs()
    assert float(gap_G[inner_G].max()) < 0.25  # one channel's worth: with sharp gates the loss has steps


def test_order_of_the_budgets_does_not_matter() -> None:
    limits = chain_limits(macs=0.6, params=0.35)
    reverse = dict(reversed(limits.items()))
    expected_G = chain_allocation(macs=0.6, params=0.35).widths_G
    assert torch.equal(allocate_widths(chain_problem(reverse)).widths_G, expected_G)


def test_more_sensitive_groups_stay_wider() -> None:
    calm = chain_problem(chain_limits(macs=0.5))
    sensitivity_G = calm.sensitivity_G.clone()
    sensitivity_G[1] *= 20
    tense = AllocationProblem(
        scores=calm.scores,
        sensitivity_G=sensitivity_G,
        minimum_G=calm.minimum_G,
        cost=calm.cost,
        limits=calm.limits,
    )
    assert allocate_widths(tense).widths_G[1] > chain_allocation(macs=0.5).widths_G[1] + 1


def lost(problem: AllocationProblem, widths: tuple[int, ...]) -> float:
    """The predicted loss of the best channels of every group, without gates."""
    total = 0.0
    weight_G = PredictedLoss(problem.scores, problem.sensitivity_G).weight_G
    for weight, score_C, width in zip(weight_G.tolist(), problem.scores, widths, strict=True):
        total -= weight * math.log(float(score_C.sort(descending=True).values[:width].sum() / score_C.sum()))
    return total


def fits(widths: tuple[int, ...], limits: Mapping[Resource, int]) -> bool:
    cost = chain_cost(torch.tensor(widths, dtype=torch.float64))
    return all(float(cost[resource]) <= limit for resource, limit in limits.items())


def finished(
    allocation: Allocation, problem: AllocationProblem, limits: Mapping[Resource, int]
) -> tuple[int, ...]:
    """Round down and fill up: the widths after an exact finish."""
    widths = tuple(int(width) for width in allocation.widths_G.floor().tolist())
    while not fits(widths, limits):
        widths = min(_steps(widths, -1), key=lambda option: lost(problem, option))
    while options := [option for option in _steps(widths, 1) if fits(option, limits)]:
        widths = min(options, key=lambda option: lost(problem, option))
    return widths


def _steps(widths: tuple[int, ...], step: int) -> list[tuple[int, ...]]:
    moved = [
        tuple(width + step * (place == group) for place, width in enumerate(widths))
        for group in range(len(widths))
    ]
    return [
        option
        for option in moved
        if all(1 <= width <= size for width, size in zip(option, SIZES, strict=True))
    ]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("shares", [{"macs": 0.5}, {"macs": 0.6, "params": 0.35}])
def test_allocation_is_close_to_the_best_of_all_widths(seed: int, shares: dict[str, float]) -> None:
    limits = chain_limits(**shares)
    problem = chain_problem(limits, seed=seed)
    everything = itertools.product(*(range(1, size + 1) for size in SIZES))
    best = min(lost(problem, widths) for widths in everything if fits(widths, limits))
    assert lost(problem, finished(chain_allocation(seed=seed, **shares), problem, limits)) <= 1.04 * best
