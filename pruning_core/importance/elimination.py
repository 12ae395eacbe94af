"""Greedy backward elimination: remove the least useful channel, update what the others are worth, repeat.

A fixed ranking would give both of two interchangeable channels a low score and lose both; here the twin's leverage
grows as soon as the first is gone.

Task-inspired criterion, after Guo et al. 2024; formulas ours.

Shape suffixes used in this file:
    C  channels of the group, or steps of the elimination
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.importance.information_flow import leverage, leverage_from_inverse, ridge_inverse, ridge_of

_TIE = 1e-9  # share of the largest product that separates consecutive ranks


@dataclass(frozen=True, kw_only=True, slots=True)
class Elimination:
    """``order_C``: channels, first removed first. ``leverage_C`` and ``product_C``: of the channel removed at each
    step, just before its removal.
    """

    order_C: Tensor
    leverage_C: Tensor
    product_C: Tensor


def product_score(relevance_C: Tensor, leverage_C: Tensor, task_weight: float) -> Tensor:
    """Return the geometric mean of task relevance and flow (square root of leverage), each scaled to sum 1.

    ``task_weight`` in [0, 1] is the exponent of the task relevance.
    """
    return _share(relevance_C) ** task_weight * _share(leverage_C.sqrt()) ** (1 - task_weight)


def eliminate(gram_CC: Tensor, relevance_C: Tensor, task_weight: float) -> Elimination:
    """Remove all channels one by one, always the one with the least product of relevance and current flow.

    Ties go to the lower index. The inverse of the remaining Gram matrix is kept up to date by a rank-one step,
    O(C^2) per removal.

    Args:
        gram_CC: Gram matrix of the contributions.
        relevance_C: Task relevance, >= 0.
        task_weight: Exponent of the relevance, in [0, 1].
    """
    ridge = ridge_of(gram_CC)
    flow_total = float(leverage(gram_CC).sqrt().sum())
    factor_C = _share(relevance_C) ** task_weight
    is_dead = flow_total == 0  # nothing flows: only relevance decides
    inverse_CC = torch.eye(len(gram_CC), dtype=gram_CC.dtype) if is_dead else ridge_inverse(gram_CC, ridge)
    remaining_C = torch.ones(len(gram_CC), dtype=torch.bool)
    order, leverages, products = [], [], []
    for _ in range(len(gram_CC)):
        left_C = torch.zeros_like(factor_C) if is_dead else leverage_from_inverse(inverse_CC, ridge)
        flow_C = torch.ones_like(factor_C) if is_dead else left_C.sqrt() / flow_total
        product_C = (factor_C * flow_C ** (1 - task_weight)).masked_fill(~remaining_C, torch.inf)
        removed = int(product_C.argmin())
        order.append(removed)
        leverages.append(left_C[removed])
        products.append(product_C[removed])
        remaining_C[removed] = False
        _downdate(inverse_CC, removed)
    return Elimination(
        order_C=torch.tensor(order), leverage_C=torch.stack(leverages), product_C=torch.stack(products)
    )


def rank_consistent_scores(elimination: Elimination) -> Tensor:
    """Return scores ``(C,)`` that grow strictly with the order of removal.

    The score is the largest product seen up to the removal: what had to be given up, at least, to get that far.
    Equal values are set apart by a part in 10^9 of the largest.
    """
    step = _TIE * (float(elimination.product_C.max()) or 1.0)
    reached_C = torch.cummax(elimination.product_C, dim=0).values
    reached_C = reached_C + step * torch.arange(len(reached_C), dtype=reached_C.dtype)
    scores_C = torch.empty_like(reached_C)
    scores_C[elimination.order_C] = reached_C
    return scores_C


def _downdate(inverse_CC: Tensor, removed: int) -> None:
    """Turn the inverse over a set of channels into the one without ``removed``, in place.

    The removed channel's row and column become 0, its diagonal 1, so that every diagonal stays positive.
    """
    column_C = inverse_CC[:, removed].clone()
    inverse_CC.addr_(column_C, column_C, alpha=-1 / float(column_C[removed]))
    inverse_CC[:, removed] = 0
    inverse_CC[removed, :] = 0
    inverse_CC[removed, removed] = 1


def _share(values_C: Tensor) -> Tensor:
    """Scale to sum 1; all zeros become equal shares, so that a missing signal does not decide."""
    total = values_C.sum()
    return values_C / total if total > 0 else torch.full_like(values_C, 1 / len(values_C))
