"""Where gates start: all alike, or as a scoring method would set them (the hybrid).

A scoring method's allocation gives each group a share, its scores an order within the group. The prior opens a channel
with the probability of the soft top-k gates with that mean, ``sigmoid(sharpness * (log score - threshold))``: a group's
open probabilities add up to its allocated width, whatever the noise, and gate learning starts from the scoring
method's answer instead of from nothing. Where the cost falls to the budget during a warm-up, all logits are shifted
alike until then (`gating.holding`): order and differences are the prior's, the number of open gates is the warm-up's.

Shape suffixes used in this file:
    G  channel groups
    C  channels of one group
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.config import MethodName
from pruning_core.gating.gate_noise import NOISES
from pruning_core.importance import IMPORTANCES
from pruning_core.methods.allocation import pad_log_scores
from pruning_core.methods.allocators import ALLOCATORS
from pruning_core.methods.protocols import ChannelProposal, MethodContext
from pruning_core.methods.threshold_gate import solve_threshold
from pruning_core.stage_graphs import allocation_of

LARGEST_LOGIT = 4.0
"""No gate starts nearer to 0 or 1 than the sigmoid of this, so that learning can still turn it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GatePrior:
    """What a scoring method would do: its ``proposal``, and per group the float64 ``logits`` that say the same."""

    logits: dict[str, Tensor]
    proposal: ChannelProposal


def gate_prior(context: MethodContext, prior: MethodName) -> GatePrior:
    """Let a method score and allocate, and turn that into logits for gates to start from.

    Raises:
        UnsupportedNetworkError: The importance cannot rate this network.
    """
    allocation = allocation_of(prior, context.config.importance.allocation)
    assert allocation is not None, "a method that scores channels has an allocation"
    scores = context.importance
    if scores is None:
        scores = IMPORTANCES[prior].score(context.importance_context)
    proposal = ALLOCATORS[allocation](context, scores)
    names = list(context.cost_model.names)
    share_G = torch.tensor([proposal.widths[name] / len(scores[name]) for name in names], dtype=torch.float64)
    sharpness = context.config.gates.prior_sharpness
    log_score_GC = pad_log_scores([scores[name] for name in names])
    tau_G = solve_threshold(share_G, log_score_GC, sharpness)
    soft_GC = torch.sigmoid(
        (sharpness * (log_score_GC - tau_G[:, None])).clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
    )
    logits_GC = NOISES[context.config.gates.noise].logit(soft_GC)
    logits = {name: logits_C[: len(scores[name])] for name, logits_C in zip(names, logits_GC, strict=True)}
    return GatePrior(logits=logits, proposal=proposal)
