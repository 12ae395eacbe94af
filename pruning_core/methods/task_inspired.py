"""Method ``task_inspired``: class correlation x information flow inside groups, budgets decide between them.

Task-inspired criterion and allocation, after Guo et al. 2024; formulas ours.
"""

from __future__ import annotations

import torch

from pruning_core.channels import check_feasible, minimum_widths, reachable_floors
from pruning_core.importance import IMPORTANCES, Rating, measure_sensitivities, rate_channels
from pruning_core.methods.allocation import AllocationProblem, PredictedLoss, allocate_widths
from pruning_core.methods.baselines import scaled_to_mean
from pruning_core.methods.protocols import ChannelProposal, MethodContext


def propose_task_inspired(context: MethodContext) -> ChannelProposal:
    """Score channels by the task-inspired importance and let the budgets decide how many of each group stay.

    Raises:
        InfeasibleBudgetsError: Not even the narrowest allowed network meets the limits.
    """
    config = context.config
    check_feasible(context.cost_model, context.limits, config.channels)
    rating = _rating(context)
    scores = rating.scores
    floors = reachable_floors(context.cost_model, context.limits, config.channels, rating.floors)
    sensitivities = context.sensitivities
    if sensitivities is None:
        sensitivities = measure_sensitivities(context.importance_context, scores, context.report)
    names = list(context.cost_model.names)
    minimum = minimum_widths(context.graph, config.channels, floors)
    problem = AllocationProblem(
        scores=[scores[name] for name in names],
        sensitivity_G=torch.tensor([sensitivities[name] for name in names], dtype=torch.float64),
        minimum_G=torch.tensor([minimum[name] for name in names], dtype=torch.float64),
        cost=context.cost_model.cost,
        limits=context.limits,
    )
    allocation = allocate_widths(problem)
    values = PredictedLoss(problem.scores, problem.sensitivity_G).channel_values()
    mean = float(torch.cat(values).mean())
    return ChannelProposal(
        scores={
            name: scaled_to_mean(scores[name], float(value_C.mean()) / mean)
            for name, value_C in zip(names, values, strict=True)
        },
        widths={name: round(width) for name, width in zip(names, allocation.widths_G.tolist(), strict=True)},
        floors=floors,
        facts={"floors": {"wished": dict(rating.floors), "held": floors}},
    )


def _rating(context: MethodContext) -> Rating:
    if context.importance is not None:
        return Rating(scores=context.importance, floors=context.floors)
    return rate_channels(IMPORTANCES["task_inspired"], context.importance_context)
