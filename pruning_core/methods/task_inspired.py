"""Method ``task_inspired``: class correlation x information flow inside groups, budgets decide between them.

Task-inspired criterion and allocation, after Guo et al. 2024; formulas ours.
"""

from __future__ import annotations

import torch

from pruning_core.channels import check_feasible, minimum_widths
from pruning_core.importance import measure_sensitivities
from pruning_core.methods.allocation import AllocationProblem, PredictedLoss, allocate_widths
from pruning_core.methods.baselines import scaled_to_mean, score_channels
from pruning_core.methods.protocols import ChannelProposal, MethodContext


def propose_task_inspired(context: MethodContext) -> ChannelProposal:
    """Score channels by the task-inspired importance and let the budgets decide how many of each group stay.

    Raises:
        InfeasibleBudgetsError: Not even the narrowest allowed network meets the limits.
    """
    config = context.config
    check_feasible(context.cost_model, context.limits, config.channels)
    scores = score_channels(context, "task_inspired")
    sensitivities = context.sensitivities
    if sensitivities is None:
        sensitivities = measure_sensitivities(context.importance_context, scores, context.report)
    names = list(context.cost_model.names)
    minimum = minimum_widths(context.graph, config.channels)
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
    )
