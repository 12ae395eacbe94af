"""Holding the expected cost exactly at the budgets, whatever the logits are."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pruning_core.gating.budget_shift import Excess, budget_shift, solve_shift

WEIGHTS = torch.tensor([[1.0, 2.0, 3.0, 4.0], [4.0, 1.0, 1.0, 1.0]], dtype=torch.float64)  # of two resources


def excess_of(limits: list[float]) -> Excess:
    limit_M = torch.tensor(limits, dtype=torch.float64)

    def excess(logits_C: Tensor) -> Tensor:
        return torch.log(WEIGHTS @ torch.sigmoid(logits_C.double()) / limit_M).max()

    return excess


def shift_to_budget(logits: Tensor, excess: Excess, slack: float = 0.0, near: float = 0.0) -> Tensor:
    return logits - budget_shift(logits, excess, slack, near)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("slack", [0.0, 0.3])
def test_the_most_exceeded_budget_is_met_and_no_other_is_exceeded(seed: int, slack: float) -> None:
    logits = 3 * torch.randn(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    excess = excess_of([5.0, 3.0])
    shifted = shift_to_budget(logits, excess, slack)
    assert excess(shifted).item() == pytest.approx(slack, abs=1e-5)
    assert excess(shifted).item() <= slack
    assert torch.equal(shifted.argsort(), logits.argsort())


def test_adding_one_number_to_all_logits_changes_nothing() -> None:
    logits = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=torch.float64)
    excess = excess_of([4.0, 3.0])
    assert torch.allclose(shift_to_budget(logits + 7, excess), shift_to_budget(logits, excess), atol=1e-5)


def test_the_gradient_is_that_of_finite_differences() -> None:
    excess = excess_of([5.0, 100.0])  # one budget binds: the shift is smooth
    weights = torch.tensor([0.7, -1.0, 0.4, 2.0], dtype=torch.float64)

    def value(logits: Tensor) -> Tensor:
        return (torch.sigmoid(shift_to_budget(logits, excess)) * weights).sum()

    logits = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(value(logits), logits)
    step = 1e-3
    for channel in range(4):
        moved = torch.zeros(4, dtype=torch.float64)
        moved[channel] = step
        slope = (value(logits.detach() + moved) - value(logits.detach() - moved)).item() / (2 * step)
        assert gradient[channel].item() == pytest.approx(slope, abs=2e-3)


def test_a_loss_that_only_wants_the_cost_changed_has_no_gradient() -> None:
    excess = excess_of([5.0, 100.0])
    logits = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=torch.float64, requires_grad=True)
    cost = (WEIGHTS[0] * torch.sigmoid(shift_to_budget(logits, excess))).sum()
    (gradient,) = torch.autograd.grad(cost, logits)
    assert gradient.abs().max().item() < 1e-9


def test_budgets_above_the_dense_network_open_everything() -> None:
    shifted = shift_to_budget(torch.zeros(4), excess_of([100.0, 100.0]))
    assert torch.sigmoid(shifted).min().item() == 1
    assert math.isfinite(solve_shift(torch.zeros(4, dtype=torch.float64), excess_of([100.0, 100.0]), 0.0))


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_far_logits_are_brought_back(scale: float) -> None:
    logits = scale * torch.tensor([1.0, -1.0, 0.5, -0.5], dtype=torch.float64, requires_grad=True)
    excess = excess_of([0.5, 100.0])
    shifted = shift_to_budget(logits, excess)
    assert excess(shifted).item() == pytest.approx(0, abs=1e-3)
    (gradient,) = torch.autograd.grad(shifted.sum(), logits)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("near", [-1e4, -3.0, 0.0, 0.7, 1e4])
def test_where_the_search_begins_changes_nothing(near: float) -> None:
    logits = 3 * torch.randn(4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    excess = excess_of([5.0, 3.0])
    shifted = shift_to_budget(logits, excess, near=near)
    assert torch.allclose(shifted, shift_to_budget(logits, excess), atol=1e-5)
    assert excess(shifted).item() <= 0


def test_a_step_that_moved_little_costs_a_handful_of_evaluations() -> None:
    logits = 3 * torch.randn(4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    excess = excess_of([5.0, 3.0])
    before = solve_shift(logits, excess, 0.0)
    asked: list[Tensor] = []

    def counted(shifted: Tensor) -> Tensor:
        asked.append(shifted)
        return excess(shifted)

    solve_shift(logits + 0.02, counted, 0.0, near=before)
    assert len(asked) <= 8
