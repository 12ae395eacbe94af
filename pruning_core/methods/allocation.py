"""How wide each group stays under several budgets at once: gradient descent on shares, multipliers on budgets.

    minimise over shares a    loss(a)    subject to    h_m(a) = log(cost_m(a) / limit_m) <= 0

by the augmented Lagrangian ``loss + sum_m (max(0, lambda_m + rho h_m)^2 - lambda_m^2) / (2 rho)``. The loss is what the
closed gates are predicted to cost: in each group minus the logarithm of the share of the score that stays, scaled so
that it equals the measured sensitivity where half the channels are gone. Gates are soft at first and sharpen later.

After Guo et al. 2024 (several budgets, a differentiable approximation of pruning, the task's performance in the
objective); formulas ours.

Shape suffixes used in this file:
    G  groups
    C  channels of the widest group
    M  budgets

References:
    [Guo2024] Y. Guo, J. Gao, X. Li. Interpretable Task-inspired Adaptive Filter Pruning for Neural Networks
        Under Multiple Constraints. IJCV 2024.
    [Gallego2022] J. Gallego-Posada et al. Controlled Sparsity via Constrained Optimization. NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.budgets import Resource
from pruning_core.methods.threshold_gate import threshold_gate
from pruning_core.progress import StepReport, report_no_step

CostFunction = Callable[[Tensor], Mapping[Resource, Tensor]]
LossFunction = Callable[[Tensor, float], Tensor]
"""Shares ``(G,)`` and the gates' sharpness to a loss, differentiable in the shares."""
_LOWEST_SCORE = 1e-6  # of the group's largest; keeps logarithms finite


@dataclass(frozen=True, kw_only=True, slots=True)
class AllocationProblem:
    """Groups in the order of the cost model.

    ``scores``: per group, >= 0. ``sensitivity_G``: loss increase when the better half of the group stays, > 0.
    ``minimum_G``: least widths. ``cost``: differentiable in
    the widths and non-decreasing in each.
    """

    scores: Sequence[Tensor]
    sensitivity_G: Tensor
    minimum_G: Tensor
    cost: CostFunction
    limits: Mapping[Resource, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class AllocationSettings:
    """Of the solver: ``steps`` of Adam, a multiplier update every ``dual_interval`` of them, gates from ``soft_beta``
    to ``sharp_beta``. ``gradient_memory``: Adam's second beta. The defaults reach budgets to a few tenths of a percent
    before rounding.
    """

    steps: int = 300
    learning_rate: float = 0.04
    rho: float = 4.0
    dual_rate: float = 1.0
    dual_interval: int = 10
    soft_beta: float = 4.0
    sharp_beta: float = 50.0
    gradient_memory: float = 0.999


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocation:
    """``widths_G``: real-valued. ``multipliers``: price of each budget, 0 where it does not bind. ``excess``:
    ``log(cost / limit)``, 0 where it binds, negative where there is room.
    """

    widths_G: Tensor
    multipliers: Mapping[Resource, float]
    excess: Mapping[Resource, float]


def allocate_widths(
    problem: AllocationProblem,
    settings: AllocationSettings | None = None,
    loss: LossFunction | None = None,
    report: StepReport = report_no_step,
) -> Allocation:
    """Choose the widths that lose least under all limits.

    If the dense network meets all limits, nothing is pruned. A limit with room to spare changes nothing.

    Args:
        problem: Groups, their least widths, cost and limits.
        settings: Of the solver.
        loss: What is lost, with 1 as a large loss; by default what the sensitivities predict.
        report: Called with (done, total) steps; may raise to stop.
    """
    settings = settings or AllocationSettings()
    sizes_G = torch.tensor([len(scores) for scores in problem.scores], dtype=torch.float64)
    resources = sorted(problem.limits)
    limit_M = torch.tensor([problem.limits[resource] for resource in resources], dtype=torch.float64)

    def excess(share_G: Tensor) -> Tensor:
        cost = problem.cost(share_G * sizes_G)
        return torch.log(torch.stack([cost[resource] for resource in resources]) / limit_M)

    share_G = torch.ones_like(sizes_G, requires_grad=True)
    multiplier_M = torch.zeros_like(limit_M)
    with torch.no_grad():
        is_met = bool((excess(share_G) <= 0).all())
    if not is_met:
        loss = loss or PredictedLoss(problem.scores, problem.sensitivity_G)
        multiplier_M = _descend(
            share_G, multiplier_M, loss, excess, problem.minimum_G / sizes_G, settings, report
        )
    with torch.no_grad():
        final_M = excess(share_G)
    return Allocation(
        widths_G=(share_G * sizes_G).detach(),
        multipliers=dict(zip(resources, multiplier_M.tolist(), strict=True)),
        excess=dict(zip(resources, final_M.tolist(), strict=True)),
    )


class PredictedLoss:
    """Loss increase that shares are predicted to cause, as a share of the sum of all sensitivities.

    It grows without bound as a group empties. In proportion to the score that is gone, which is nearly linear in the
    width, the best widths lay in the corners: some groups dense, others closed but for a channel.
    """

    def __init__(self, scores: Sequence[Tensor], sensitivity_G: Tensor) -> None:
        self.log_score_GC = pad_log_scores(scores)
        weight_GC = torch.exp(self.log_score_GC)
        self._weight_GC = weight_GC / weight_GC.sum(dim=1, keepdim=True)
        top_GC = self._weight_GC.sort(dim=1, descending=True).values
        kept_half_G = torch.stack(
            [row[: (len(score) + 1) // 2].sum() for row, score in zip(top_GC, scores, strict=True)]
        )
        per_nat_G = sensitivity_G / (-kept_half_G.log()).clamp_min(1e-3)
        self.weight_G = per_nat_G / sensitivity_G.sum()

    def __call__(self, share_G: Tensor, beta: float) -> Tensor:
        """Return the predicted loss of gates with these shares and this sharpness; differentiable."""
        return -(self.weight_G * self._kept(share_G, beta).log()).sum()

    def channel_values(self, share_G: Tensor, beta: float) -> list[Tensor]:
        """Return per group what each of its channels is worth at these shares, in the unit of the loss, to first order.

        The values are comparable between groups.
        """
        values_GC = (self.weight_G / self._kept(share_G, beta))[:, None] * self._weight_GC
        is_channel_GC = torch.isfinite(self.log_score_GC)
        return [values[mask] for values, mask in zip(values_GC, is_channel_GC, strict=True)]

    def _kept(self, share_G: Tensor, beta: float) -> Tensor:
        """Return the share of each group's score that stays, in (0, 1]."""
        gates_GC = threshold_gate(share_G, self.log_score_GC, beta)
        return (gates_GC * self._weight_GC).sum(dim=1).clamp_min(_LOWEST_SCORE)


def budget_penalty(excess_M: Tensor, multiplier_M: Tensor, rho: float) -> Tensor:
    """Return the augmented Lagrangian's price of ``log(cost / limit)``.

    For ``rho -> 0`` and one broken budget it is ``lambda * log(cost / limit)``, the hinge that
    interpretation-steered pruning uses.
    """
    pressed_M = torch.relu(multiplier_M + rho * excess_M)
    return ((pressed_M.square() - multiplier_M.square()) / (2 * rho)).sum()


def pad_log_scores(scores: Sequence[Tensor]) -> Tensor:
    """Stack the logarithms of scores of different lengths; padding is -infinity, zeros become small."""
    widest = max(len(score) for score in scores)
    log_score_GC = torch.full((len(scores), widest), -torch.inf, dtype=torch.float64)
    for row, score in zip(log_score_GC, scores, strict=True):
        largest = float(score.max())
        relative = score.double() / largest if largest > 0 else torch.ones(len(score), dtype=torch.float64)
        row[: len(score)] = relative.clamp_min(_LOWEST_SCORE).log()
    return log_score_GC


def _descend(
    share_G: Tensor,
    multiplier_M: Tensor,
    loss: LossFunction,
    excess: Callable[[Tensor], Tensor],
    minimum_G: Tensor,
    settings: AllocationSettings,
    report: StepReport,
) -> Tensor:
    """Move ``share_G`` in place to a saddle point of the augmented Lagrangian; return the multipliers."""
    optimiser = torch.optim.Adam([share_G], lr=settings.learning_rate, betas=(0.9, settings.gradient_memory))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimiser, settings.steps, eta_min=0.05 * settings.learning_rate
    )
    for step in range(settings.steps):
        done = step / max(1, settings.steps - 1)
        beta = settings.soft_beta ** (1 - done) * settings.sharp_beta**done
        excess_M = excess(share_G)
        total = loss(share_G, beta) + budget_penalty(excess_M, multiplier_M, settings.rho)
        (share_G.grad,) = torch.autograd.grad(total, share_G)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            share_G.copy_(share_G.clamp(min=minimum_G).clamp(max=1))
            if (step + 1) % settings.dual_interval == 0:
                multiplier_M = torch.relu(multiplier_M + settings.dual_rate * excess(share_G))
        report(step + 1, settings.steps)
    return multiplier_M
