"""The first convolution's channels as individual receivers of information: chosen as a set, not one by one.

Kept channels should respond to the task and differ from each other. With C the correlations between the response
maps over calibration pixels and q the task relevance, the best set of k channels spans the largest volume: it
maximises ``log det L_S`` with ``L = diag(q)^1/2 C diag(q)^1/2``. Pivoted Cholesky is the greedy solution: take the
channel with the largest residual variance, remove what it explains from all others, repeat. At the size of the floor,
the set is then improved by swaps.

Task-inspired criterion, after Guo et al. 2024; formulas ours.

Shape suffixes used in this file:
    M  sampled pixels
    C  channels of the group, or steps of the choice
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MIN_QUALITY = 1e-3  # of the largest task relevance
_TIE = 1e-9
_NOTHING = 1e-12  # share of the kernel's trace below which a residual variance is rounding


@dataclass(frozen=True, kw_only=True, slots=True)
class PivotedCholesky:
    """``order_C``: channels, first chosen first. ``pivot_C``: residual variance of the channel chosen at each step,
    non-increasing. ``residual_C``: sum of all residual variances after each step, as a share of the initial sum.
    """

    order_C: Tensor
    pivot_C: Tensor
    residual_C: Tensor


def stem_kernel(responses_MC: Tensor, relevance_C: Tensor) -> Tensor:
    """Return the quality x correlation kernel ``(C, C)``, float64 on the CPU; rows of constant responses are zero.

    Args:
        responses_MC: Responses at sampled pixels, as the next layer reads them.
        relevance_C: Task relevance, >= 0.
    """
    centred_MC = responses_MC.double() - responses_MC.double().mean(dim=0)
    covariance_CC = (centred_MC.T @ centred_MC / len(centred_MC)).cpu()
    scale_C = responses_MC.double().square().mean(dim=0).cpu()
    variance_C = covariance_CC.diagonal().clone()
    variance_C[variance_C <= 1e-12 * scale_C] = torch.inf
    quality_C = (relevance_C / relevance_C.max().clamp_min(torch.finfo(torch.float64).tiny)).clamp_min(
        MIN_QUALITY
    )
    factor_C = (quality_C / variance_C).sqrt()
    return factor_C[:, None] * covariance_CC * factor_C


def pivoted_cholesky(kernel_CC: Tensor, first: Sequence[int] = ()) -> PivotedCholesky:
    """Order all channels by greedy maximum volume; ties go to the lower index.

    Two channels with correlation 1 or -1 are never both taken before all other independent ones.

    Args:
        kernel_CC: From ``stem_kernel``.
        first: Channels that are taken before all others, among themselves by greedy maximum volume.
    """
    residual_C = kernel_CC.diagonal().clone()
    total = float(residual_C.sum()) or 1.0
    factors = torch.zeros(0, len(residual_C), dtype=kernel_CC.dtype)
    available_C = torch.ones(len(residual_C), dtype=torch.bool)
    is_first_C = torch.zeros(len(residual_C), dtype=torch.bool)
    is_first_C[list(first)] = True
    order, pivots, residuals = [], [], []
    for step in range(len(residual_C)):
        candidate_C = available_C & is_first_C if step < len(first) else available_C
        chosen = int(residual_C.masked_fill(~candidate_C, -1).argmax())
        pivot = float(residual_C[chosen])
        order.append(chosen)
        pivots.append(pivot)
        available_C[chosen] = False
        if pivot > _NOTHING * total:
            row_C = (kernel_CC[chosen] - factors[:, chosen] @ factors) / pivot**0.5
            factors = torch.cat([factors, row_C[None]])
            residual_C = (residual_C - row_C.square()).clamp_min(0)
        residual_C[chosen] = 0
        residuals.append(float(residual_C.sum()) / total)
    return PivotedCholesky(
        order_C=torch.tensor(order),
        pivot_C=torch.tensor(pivots, dtype=kernel_CC.dtype),
        residual_C=torch.tensor(residuals, dtype=kernel_CC.dtype),
    )


def largest_volume(kernel_CC: Tensor, size: int) -> list[int]:
    """Return a set of channels, ascending, whose volume no swap of one of them for another enlarges.

    Greedy maximum volume, then swaps while one helps. ``size`` at most the rank of the kernel; more are cut off.
    """
    choice = pivoted_cholesky(kernel_CC)
    rank = int((choice.pivot_C > _NOTHING * kernel_CC.diagonal().sum()).sum())
    chosen = choice.order_C[: min(size, rank)].tolist()
    while (swap := _best_swap(kernel_CC, chosen)) is not None:
        chosen[swap[0]] = swap[1]
    return sorted(chosen)


def _best_swap(kernel_CC: Tensor, chosen: list[int]) -> tuple[int, int] | None:
    """Return (place in the set, channel to put there) for the largest gain in volume; None if nothing gains.

    What a channel adds to the volume of the others is its residual variance given them.
    """
    best, best_gain = None, 1 + _TIE
    for place in range(len(chosen)):
        others = chosen[:place] + chosen[place + 1 :]
        cross = kernel_CC[others]
        solved = torch.linalg.solve(kernel_CC[others][:, others], cross)
        residual_C = kernel_CC.diagonal() - (cross * solved).sum(dim=0)
        gain_C = residual_C / residual_C[chosen[place]]
        gain_C[others] = 0
        channel = int(gain_C.argmax())
        if float(gain_C[channel]) > best_gain:
            best, best_gain = (place, channel), float(gain_C[channel])
    return best


def stem_scores(kernel_CC: Tensor, floor: int = 1) -> Tensor:
    """Return scores ``(C,)`` that fall strictly with the order of choice: the residual deviation when chosen.

    The set of the floor's size, the least that should stay, comes first. Equal values are set apart by a part in
    10^9 of the largest.
    """
    choice = pivoted_cholesky(kernel_CC, largest_volume(kernel_CC, floor))
    deviation_C = choice.pivot_C.sqrt()
    steps_left_C = torch.arange(len(deviation_C) - 1, -1, -1, dtype=deviation_C.dtype)
    step = _TIE * (float(deviation_C.max()) or 1.0)
    scores_C = torch.empty_like(deviation_C)
    scores_C[choice.order_C] = deviation_C.cummin(dim=0).values + step * steps_left_C
    return scores_C


def information_floor(kernel_CC: Tensor, max_residual: float) -> int:
    """Return the least number of channels that leave at most ``max_residual`` of the kernel's variance unexplained.

    Args:
        kernel_CC: From ``stem_kernel``.
        max_residual: Share of the variance, in [0, 1); 0.005 to 0.01 keeps what every receiver brings of its own.

    Returns:
        At least 1; it never grows when ``max_residual`` grows.
    """
    if not 0 <= max_residual < 1:
        raise ValueError(f"0 <= max_residual < 1 must hold, but got {max_residual}")
    enough_C = pivoted_cholesky(kernel_CC).residual_C <= max_residual + 1e-12
    return int(enough_C.int().argmax()) + 1
