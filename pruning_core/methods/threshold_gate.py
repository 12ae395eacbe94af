"""Soft top-k gates with an exact mean: each group's threshold follows from its share.

    p_c = sigmoid(beta * (log s_c - tau)),   tau such that  mean_c p_c = a

By the implicit function theorem, with q = p * (1 - p) and n channels,

    dp_c / da       = n * q_c / sum_j q_j
    dp_c / dlog s_k = beta * q_c * (delta_ck - q_k / sum_j q_j)

Deterministic: no sampling, so a cost computed from the shares has no noise. For beta -> infinity p becomes the
indicator of the best a * n channels.

Shape suffixes used in this file:
    G  groups
    C  channels of the widest group; narrower groups are padded with a log score of -infinity
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_MAX_ITERATIONS = 100
_TOLERANCE = 1e-11  # channels
_MARGIN = 1e-11  # a share of exactly 0 or 1 has no finite threshold
_SATURATION = 40.0  # sigmoid(40) is 1 to double precision


class _ThresholdGate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, share_G: Tensor, log_score_GC: Tensor, beta: float) -> Tensor:
        tau_G = solve_threshold(share_G, log_score_GC, beta)
        shifted_GC = beta * (log_score_GC - tau_G[:, None])
        ctx.beta = beta
        ctx.save_for_backward(shifted_GC)
        return torch.sigmoid(shifted_GC)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_GC: Tensor) -> tuple[Tensor, Tensor, None]:
        (shifted_GC,) = ctx.saved_tensors
        slope_GC = torch.sigmoid(shifted_GC) * torch.sigmoid(-shifted_GC)  # q; accurate where p rounds to 1
        total_G = slope_GC.sum(dim=1).clamp_min(torch.finfo(slope_GC.dtype).tiny)
        weighted_G = (grad_GC * slope_GC).sum(dim=1) / total_G
        num_channels_G = torch.isfinite(shifted_GC).sum(dim=1)
        return num_channels_G * weighted_G, ctx.beta * slope_GC * (grad_GC - weighted_G[:, None]), None


def threshold_gate(share_G: Tensor, log_score_GC: Tensor, beta: float) -> Tensor:
    """Return how open each channel is, ``(G, C)`` in [0, 1], differentiable in shares and log scores.

    Args:
        share_G: Mean to reach in each group, in (0, 1], float64.
        log_score_GC: Logarithm of the scores; -infinity in padding only.
        beta: Sharpness, > 0.
    """
    gates_GC: Tensor = _ThresholdGate.apply(share_G, log_score_GC, beta)
    return gates_GC


def solve_threshold(share_G: Tensor, log_score_GC: Tensor, beta: float) -> Tensor:
    """Find each group's threshold by Newton's method on the logit of the mean, which is nearly linear in it.

    A step that would leave the bracket is replaced by a bisection.
    """
    is_channel_GC = torch.isfinite(log_score_GC)
    num_channels_G = is_channel_GC.sum(dim=1)
    wanted_G = share_G.clamp(_MARGIN, 1 - _MARGIN) * num_channels_G
    wanted_logit_G = torch.log(wanted_G / (num_channels_G - wanted_G))
    low_G = log_score_GC.masked_fill(~is_channel_GC, torch.inf).amin(dim=1) - _SATURATION / beta
    high_G = log_score_GC.amax(dim=1) + _SATURATION / beta
    tau_G = (low_G + high_G) / 2
    for _ in range(_MAX_ITERATIONS):
        gates_GC = torch.sigmoid(beta * (log_score_GC - tau_G[:, None]))
        opened_G = gates_GC.sum(dim=1)
        surplus_G = opened_G - wanted_G
        if float(surplus_G.abs().max()) < _TOLERANCE:
            break
        low_G = torch.where(surplus_G > 0, tau_G, low_G)
        high_G = torch.where(surplus_G > 0, high_G, tau_G)
        closed_G = num_channels_G - opened_G
        slope_G = beta * (gates_GC * (1 - gates_GC)).sum(dim=1) * num_channels_G / (opened_G * closed_G)
        newton_G = tau_G + (torch.log(opened_G / closed_G) - wanted_logit_G) / slope_G
        is_inside_G = (newton_G > low_G) & (newton_G < high_G)
        tau_G = torch.where(is_inside_G, newton_G, (low_G + high_G) / 2)
    return tau_G
