"""How much of what the next layers receive comes through a channel, and could not come through the others.

Channel c adds ``v_c = W[:, c] * A_c`` to the pre-activation of a consumer with weights W (the scale of the batch
normalisation behind it folded in). All that is needed is the Gram matrix of these contributions,

    G_cd = E<v_c, v_d> = sum over kernel offsets o, p of  E[u_co u_dp] * sum_k W_kco W_kdp,

with u the centred patch that the consumer reads (zero padding included): constants are left out, because a
normalisation or a bias absorbs them.

    energy      G_cc
    leverage    1 / [(G + r I)^-1]_cc - r = the least, over b, of |v_c - sum_d b_d v_d|^2 + r |b|^2:
                the energy that the other contributions cannot stand in for (r: ridge)

Task-inspired criterion, after Guo et al. 2024; formulas ours.

Shape suffixes used in this file:
    M  sampled output positions
    C  channels of the group
    O  offsets per channel (positions of the channel times cells of the kernel)
    D  output channels of the consumer
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

RIDGE = 1e-3  # r as a share of the mean energy
_CHUNK_NUMBERS = 2**24  # numbers of an intermediate result held at once


def contribution_gram(patches_MCO: Tensor, weight_DCO: Tensor) -> Tensor:
    """Return the Gram matrix ``(C, C)`` of the channels' contributions, float64 on the CPU.

    Args:
        patches_MCO: What the consumer reads at M of its outputs; centred here.
        weight_DCO: The consumer's weights, in the same order of offsets.
    """
    centred_MCO = patches_MCO - patches_MCO.double().mean(dim=0).to(patches_MCO)
    weight_DCO = weight_DCO.to(centred_MCO)
    num_outputs, num_channels, num_offsets = weight_DCO.shape
    numbers_by_offsets = num_channels * num_offsets**2 / 2
    numbers_explicitly = num_outputs * (num_channels + num_offsets)
    if numbers_by_offsets <= numbers_explicitly:
        return gram_by_offsets(centred_MCO, weight_DCO)
    return gram_of_contributions(centred_MCO, weight_DCO)


def gram_by_offsets(centred_MCO: Tensor, weight_DCO: Tensor) -> Tensor:
    """Sum the Gram matrix over pairs of kernel offsets; the ``(C * O)^2`` second moment is never formed."""
    moments = centred_MCO.permute(2, 1, 0).contiguous()  # (O, C, M)
    weights = weight_DCO.permute(2, 1, 0).contiguous()  # (O, C, D)
    num_offsets, num_channels, num_positions = moments.shape
    gram_CC = torch.zeros(num_channels, num_channels, dtype=torch.float64, device=moments.device)
    for first in range(num_offsets):
        for second in range(first, num_offsets):
            block_CC = (moments[first] @ moments[second].T) * (weights[first] @ weights[second].T)
            gram_CC += block_CC if first == second else block_CC + block_CC.T
    return (gram_CC / num_positions).cpu()


def gram_of_contributions(centred_MCO: Tensor, weight_DCO: Tensor) -> Tensor:
    """Form every channel's contribution, a chunk of positions at a time: cheaper for few outputs, large kernels."""
    num_outputs, num_channels, _ = weight_DCO.shape
    weights = weight_DCO.permute(1, 2, 0).contiguous()  # (C, O, D)
    gram_CC = torch.zeros(num_channels, num_channels, dtype=torch.float64, device=weights.device)
    chunk_size = max(1, _CHUNK_NUMBERS // (num_channels * num_outputs))
    for chunk_MCO in torch.split(centred_MCO, chunk_size):
        contributions = (chunk_MCO.transpose(0, 1) @ weights).flatten(1)  # (C, M * D)
        gram_CC += contributions @ contributions.T
    return (gram_CC / len(centred_MCO)).cpu()


def join_consumers(grams: Sequence[Tensor]) -> Tensor:
    """Sum the Gram matrices of several consumers, each scaled to trace 1; one that receives nothing adds nothing."""
    scaled = []
    for gram_CC in grams:
        trace = gram_CC.trace()
        scaled.append(gram_CC / trace if trace > 0 else torch.zeros_like(gram_CC))
    return torch.stack(scaled).sum(dim=0)


def energy(gram_CC: Tensor) -> Tensor:
    """Return how much each channel alone sends to the next layers; >= 0."""
    return gram_CC.diagonal().clamp_min(0)


def ridge_of(gram_CC: Tensor) -> float:
    """Return the ridge that leverage is computed with."""
    return RIDGE * float(gram_CC.diagonal().mean())


def leverage(gram_CC: Tensor) -> Tensor:
    """Return the energy of each channel that the others cannot stand in for; >= 0, at most its energy."""
    ridge = ridge_of(gram_CC)
    if ridge == 0:
        return torch.zeros(len(gram_CC), dtype=gram_CC.dtype)
    return leverage_from_inverse(ridge_inverse(gram_CC, ridge), ridge)


def ridge_inverse(gram_CC: Tensor, ridge: float) -> Tensor:
    """Return ``(G + r I)^-1`` for ``r > 0``."""
    identity_CC = torch.eye(len(gram_CC), dtype=gram_CC.dtype)
    return torch.cholesky_inverse(torch.linalg.cholesky(gram_CC + ridge * identity_CC))


def leverage_from_inverse(inverse_CC: Tensor, ridge: float) -> Tensor:
    """Read the leverages off ``(G + r I)^-1``."""
    return (1 / inverse_CC.diagonal() - ridge).clamp_min(0)
