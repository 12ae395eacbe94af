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

from pruning_core.channels import minimum_widths, reachable_floors, uniform_widths
from pruning_core.importance import measure_sensitivities
from pruning_core.methods.allocation import (
    Allocation,
    AllocationProblem,
    AllocationSettings,
    PredictedLoss,
    allocate_widths,
)
from pruning_core.methods.gated_loss import GatedLoss
from pruning_core.methods.global_threshold import widths_above_threshold
from pruning_core.methods.protocols import ChannelProposal, MethodContext

TASK_LOSS_STEPS = 200
_TASK_LOSS_MEMORY = (
    0.9  # a budget's large first gradients must not slow shares down where the loss is nearly flat
)
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
    floors, problem = _problem(context, scores, sensitivities)
    settings, loss = AllocationSettings(), PredictedLoss(problem.scores, problem.sensitivity_G)
    allocation = allocate_widths(problem, settings, loss)
    share_G = allocation.widths_G / torch.tensor(context.cost_model.sizes)
    values = loss.channel_values(share_G, settings.sharp_beta)
    value_G = torch.stack([value_C.mean() for value_C in values])
    return _proposal(context, scores, floors, allocation, value_G)


def allocate_by_task_loss(context: MethodContext, scores: Mapping[str, Tensor]) -> ChannelProposal:
    """Let the cross-entropy of the gated network, weights frozen, move the shares under all budgets.

    After Guo et al. 2024; formulas ours, see ``pruning_core/methods/gated_loss.py``. It takes ``TASK_LOSS_STEPS``
    forward and backward passes.
    """
    floors, problem = _problem(context, scores, dict.fromkeys(scores, 1.0))
    settings = AllocationSettings(steps=TASK_LOSS_STEPS, gradient_memory=_TASK_LOSS_MEMORY)
    loss = GatedLoss(context, scores)
    allocation = allocate_widths(
        problem, settings, loss, lambda done, total: context.report("allocate", done, total)
    )
    share_G = allocation.widths_G / torch.tensor(context.cost_model.sizes)
    return _proposal(context, scores, floors, allocation, loss.prices(share_G, settings.sharp_beta))


def allocate_by_cost(context: MethodContext, scores: Mapping[str, Tensor]) -> ChannelProposal:
    """Keep larger shares where a channel costs less of the budgets that bind; no image is looked at.

    The widths minimise the sum over channels of 1 / share - 1 of their group. Under one budget on MACs that makes a
    share fall with the square root of what a channel costs: early layers, whose maps are large, become narrower than
    late ones, which hold most parameters.
    """
    floors, problem = _problem(context, scores, dict.fromkeys(scores, 1.0))
    size_G = torch.tensor(context.cost_model.sizes, dtype=torch.float64)

    def loss(share_G: Tensor, _: float) -> Tensor:
        return (size_G * (1 / share_G - 1)).sum() / size_G.sum()

    allocation = allocate_widths(problem, AllocationSettings(), loss)
    return _proposal(context, scores, floors, allocation, (allocation.widths_G / size_G) ** -2)


def scaled_to_mean(scores_C: Tensor, mean: float = 1.0) -> Tensor:
    """Scale scores to a mean; all zeros become equal scores."""
    total = scores_C.sum()
    if total <= 0:
        return scores_C.new_full(scores_C.shape, mean)
    return scores_C * (mean * len(scores_C) / total)


def _problem(
    context: MethodContext, scores: Mapping[str, Tensor], sensitivities: Mapping[str, float]
) -> tuple[dict[str, int], AllocationProblem]:
    """Return the floors that the budgets leave within reach, and the problem with them."""
    channels, names = context.config.channels, context.cost_model.names
    floors = reachable_floors(context.cost_model, context.limits, channels, context.floors)
    minimum = minimum_widths(context.graph, channels, floors)
    return floors, AllocationProblem(
        scores=[scores[name] for name in names],
        sensitivity_G=torch.tensor([sensitivities[name] for name in names], dtype=torch.float64),
        minimum_G=torch.tensor([minimum[name] for name in names], dtype=torch.float64),
        cost=context.cost_model.cost,
        limits=context.limits,
    )


def _proposal(
    context: MethodContext,
    scores: Mapping[str, Tensor],
    floors: Mapping[str, int],
    allocation: Allocation,
    value_G: Tensor,
) -> ChannelProposal:
    """Propose the allocated widths, with scores whose mean in each group is in proportion to a channel's value."""
    names, size_G = context.cost_model.names, torch.tensor(context.cost_model.sizes)
    relative_G = value_G / float((value_G * size_G).sum() / size_G.sum())
    return ChannelProposal(
        scores={
            name: scaled_to_mean(scores[name], value)
            for name, value in zip(names, relative_G.tolist(), strict=True)
        },
        widths={name: round(width) for name, width in zip(names, allocation.widths_G.tolist(), strict=True)},
        floors=floors,
        facts={"floors": {"wished": dict(context.floors), "held": dict(floors)}},
    )


ALLOCATORS: dict[str, Allocate] = {
    "uniform": allocate_uniformly,
    "global": allocate_globally,
    "sensitivity": allocate_by_sensitivity,
    "task_loss": allocate_by_task_loss,
    "cost": allocate_by_cost,
}
