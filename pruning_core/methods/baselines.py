"""Methods that any other must beat: one common share for all groups, channels by chance or by weight size."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pruning_core.channels import uniform_widths
from pruning_core.importance import IMPORTANCES
from pruning_core.methods.protocols import ChannelProposal, MethodContext


def propose_random(context: MethodContext) -> ChannelProposal:
    """Keep channels by chance, the same share of every group."""
    return _uniform_proposal(context, "random")


def propose_l1(context: MethodContext) -> ChannelProposal:
    """Keep the channels with the largest filters, the same share of every group."""
    return _uniform_proposal(context, "l1")


def score_channels(context: MethodContext, importance: str) -> Mapping[str, Tensor]:
    """Return the scores an earlier stage left, or compute them."""
    if context.importance is not None:
        return context.importance
    return IMPORTANCES[importance].score(context.importance_context)


def scaled_to_mean(scores_C: Tensor, mean: float = 1.0) -> Tensor:
    """Scale scores to a mean; all zeros become equal scores."""
    total = scores_C.sum()
    if total <= 0:
        return scores_C.new_full(scores_C.shape, mean)
    return scores_C * (mean * len(scores_C) / total)


def _uniform_proposal(context: MethodContext, importance: str) -> ChannelProposal:
    scores = score_channels(context, importance)
    return ChannelProposal(
        scores={name: scaled_to_mean(scores_C) for name, scores_C in scores.items()},
        widths=uniform_widths(context.cost_model, context.limits, context.config.channels),
    )
