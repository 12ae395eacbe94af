"""Loss of one step of gate learning: task + steering + budget.

Shape suffixes used in this file:
    N  images in the batch or in the steering set
    C  all gated channels, groups one after another; classes in logits; channels in maps
    K, P  basis functions per mask, raw numbers per basis function
    H, W  height and width of feature maps
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.budgets import Resource
from pruning_core.channels import GatePlaces
from pruning_core.config import DistillationConfig, GatesConfig, LossWeightsConfig, TrainingConfig
from pruning_core.gating.budget_term import (
    BudgetTerm,
    LagrangianTerm,
    log_excess,
    one_sided_term,
    two_sided_term,
)
from pruning_core.gating.gate_noise import NOISES, harden, sample_gates
from pruning_core.gating.gated_network import SteeringProblem, expected_widths, explain_gated
from pruning_core.gating.steering_batches import SteeringBatch
from pruning_core.saliency import Explanation, SaliencySelector, explanation_distance
from pruning_core.training import classification_loss, feature_distance

_SMALLEST_SPREAD = 1e-8  # explanations that are all alike give nothing to be relative to


@dataclass(frozen=True, kw_only=True, slots=True)
class LossTerms:
    """Unweighted terms of one step, and the largest ``log(cost / limit)`` of the gated network's cost."""

    task: float
    steering: float
    budget: float
    excess: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StepTerms:
    """The terms of one step while they are still on the device."""

    task: Tensor
    steering: Tensor
    budget: Tensor
    excess: Tensor

    def read(self) -> LossTerms:
        """Wait for the device and return the terms as numbers."""
        return LossTerms(
            task=self.task.item(),
            steering=self.steering.item(),
            budget=self.budget.item(),
            excess=self.excess.item(),
        )


class StepLoss:
    """Draws gates, runs the gated network and adds up what it did.

    Args:
        problem: The gated network: frozen, or trained along.
        gates: How to draw and to measure.
        weights: Of the terms.
        spread_NKP: Explanations of different images, the unit of ``relative`` distances.
        generator: Of the gate noise, on the network's device.
    """

    def __init__(
        self,
        problem: SteeringProblem,
        gates: GatesConfig,
        weights: LossWeightsConfig,
        *,
        spread_NKP: Tensor,
        generator: torch.Generator,
    ) -> None:
        self._problem = problem
        self._places = GatePlaces(problem.network, problem.graph)
        self._gates = gates
        self._weights = weights
        self._noise = NOISES[gates.noise]
        self._generator = generator
        self._budget_term = _budget_term(gates, problem.limits)
        self._distance = steering_distance(gates.distance, problem.selector, spread_NKP)

    def __call__(
        self, logits_C: Tensor, batch: SteeringBatch, temperature: float
    ) -> tuple[Tensor, StepTerms]:
        """Return the weighted loss, differentiable in the logits, and its terms."""
        gates_C = sample_gates(logits_C, self._noise, temperature, self._generator)
        if self._gates.hard_forward:
            gates_C = harden(gates_C)
        came = explain_gated(self._problem, self._places, gates_C, batch.images_NCHW, batch.classes_N)
        task = _TASK_LOSSES[self._gates.task_loss](came.logits_NC, batch)
        steering = self._steering(came, batch)
        cost = self._cost(logits_C, temperature)
        budget = self._budget_term(cost).to(task)
        weights = self._weights
        total = weights.task * task + weights.steering * steering + weights.budget * budget
        excess = log_excess(cost, self._problem.limits).max()
        return total, StepTerms(
            task=task.detach(), steering=steering.detach(), budget=budget.detach(), excess=excess.detach()
        )

    def _steering(self, came: Explanation, batch: SteeringBatch) -> Tensor:
        if self._gates.steer_by == "outputs":
            return divergence(came.logits_NC, batch.logits_NC)
        if self._gates.steer_by == "features":
            return feature_distance(came.maps_NCHW, batch.maps_NCHW)
        return self._distance(came.raw_NKP, batch.raw_NKP)

    def _cost(self, logits_C: Tensor, temperature: float) -> dict[Resource, Tensor]:
        if self._gates.budget_widths == "expected":
            open_C = self._noise.open_probability(logits_C)
        else:  # a draw of its own, as in the paper, not the one the network ran with
            open_C = harden(sample_gates(logits_C, self._noise, temperature, self._generator))
        return self._problem.cost_model.cost(expected_widths(open_C, self._problem.graph))


_MIXED = TrainingConfig(distillation=DistillationConfig(weight=0.5, temperature=2.0))

_TASK_LOSSES: Mapping[str, Callable[[Tensor, SteeringBatch], Tensor]] = {
    "cross_entropy": lambda logits_NC, batch: F.cross_entropy(logits_NC, batch.labels_N),
    "distillation": lambda logits_NC, batch: divergence(logits_NC, batch.logits_NC),
    "mixed": lambda logits_NC, batch: classification_loss(
        logits_NC, batch.labels_N, _MIXED, teacher_logits_NC=batch.logits_NC
    ),
}


def steering_distance(
    kind: str, selector: SaliencySelector, targets_NKP: Tensor
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function of two batches of explanations: their mean distance, in the unit that was asked for.

    Args:
        kind: ``relative``, or a kind of ``explanation_distance``.
        selector: Reads the raw numbers.
        targets_NKP: Explanations of different images, which ``relative`` takes its unit from.
    """
    if kind != "relative":
        return lambda came_NKP, wanted_NKP: explanation_distance(came_NKP, wanted_NKP, selector, kind).mean()
    order_N = torch.randperm(len(targets_NKP), generator=torch.Generator().manual_seed(0))
    others_NKP = targets_NKP[order_N.to(targets_NKP.device)]
    spread = explanation_distance(others_NKP, targets_NKP, selector).mean().clamp_min(_SMALLEST_SPREAD)
    return lambda came_NKP, wanted_NKP: explanation_distance(came_NKP, wanted_NKP, selector).mean() / spread


def divergence(came_NC: Tensor, wanted_NC: Tensor) -> Tensor:
    """Return ``KL(wanted || came)`` of two batches of logits, mean over images."""
    return F.kl_div(
        F.log_softmax(came_NC, dim=1),
        F.log_softmax(wanted_NC, dim=1),
        log_target=True,
        reduction="batchmean",
    )


def _budget_term(gates: GatesConfig, limits: Mapping[Resource, int]) -> BudgetTerm:
    terms: dict[str, Callable[[], BudgetTerm]] = {
        "exact": lambda: _no_term,  # the shift of the logits holds the budget
        "one_sided": lambda: one_sided_term(limits),
        "two_sided": lambda: two_sided_term(limits),
        "lagrangian": lambda: LagrangianTerm(
            limits, rate=gates.dual_rate, damping=gates.dual_damping, restarts=gates.dual_restarts
        ),
    }
    return terms[gates.budget_term]()


def _no_term(cost: Mapping[Resource, Tensor]) -> Tensor:
    return next(iter(cost.values())).new_zeros(())
