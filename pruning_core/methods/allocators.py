"""How the budgets are divided between groups: a table of allocators, independent of what the scores are.

An allocator proposes widths, and scores that can be compared between groups in its own sense; the projection, which
trades channels of different groups by these scores, then finishes.

Shape suffixes used in this file:
    C  channels of one group
    G  groups
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pruning_core.channels import minimum_widths, uniform_widths
from pruning_core.importance import measure_sensitivities
from pruning_core.methods.allocation import AllocationProblem, PredictedLoss, allocate_widths
from pruning_core.methods.global_threshold import widths_above_threshold
from pruning_core.methods.protocols import ChannelProposal, MethodContext

Allocate = Callable[[MethodContext, Mapping[str, Tensor]], ChannelProposal]
"""Makes a proposal from scores >= 0; budgets that no allowed network meets have been refused before."""


def allocate_uniformly(context: MethodContext, scores: Mapping[str, Tensor]) -> ChannelProposal:
    """Keep the same share of every group; the average channels of all groups are worth the same."""
    return ChannelProposal(
        scores={name: scaled_to_mean(scores_C) for name, scores_C in scores.items()},
        widths=uniform_widths(context.cost_model, context.limits, context.config.channels),
    )


def allocate_globally(context: MethodContext, scores: Mapping[str, Tensor]) -> ChannelProposal:
    """Keep the channels above one threshold for all groups, the lowest that meets every budget."""
    total = torch.cat(list(scores.values())).sum()
    factor = context.graph.num_channels / total if total > 0 else torch.ones(())
    return ChannelProposal(
        scores={name: scores_C * factor for name, scores_C in scores.items()},
        widths=widths_above_threshold(context.cost_model, scores, context.limits, context.config.channels),
    )


def allocate_by_sensitivity(context: MethodContext, scores: Mapping[str, Tensor]) -> ChannelProposal:
    """Lose least in all groups together, by the loss that was measured where one group alone is halved.

    After Guo et al. 2024; formulas ours, see ``pruning_core/methods/allocation.py``.
    """
    sensitivities = context.sensitivities
    if sensitivities is None:
        sensitivities = measure_sensitivities(context.importance_context, scores, context.report)
    names = list(context.cost_model.names)
    minimum = minimum_widths(context.graph, context.config.channels)
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


def scaled_to_mean(scores_C: Tensor, mean: float = 1.0) -> Tensor:
    """Scale scores to a mean; all zeros become equal scores."""
    total = scores_C.sum()
    if total <= 0:
        return scores_C.new_full(scores_C.shape, mean)
    return scores_C * (mean * len(scores_C) / total)


ALLOCATORS: dict[str, Allocate] = {
    "uniform": allocate_uniformly,
    "global": allocate_globally,
    "sensitivity": allocate_by_sensitivity,
}
