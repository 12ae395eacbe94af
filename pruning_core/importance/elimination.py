"""Greedy backward elimination: remove the least useful channel, update what the others are worth, repeat.

A fixed ranking would give both of two interchangeable channels a low score and lose both; here the twin's flow
grows as soon as the first is gone.

Task-inspired criterion, after Guo et al. 2024; formulas ours.

Shape suffixes used in this file:
    C  channels of the group, or steps of the elimination
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.importance.flows import RemainingFlow

_TIE = 1e-9  # share of the largest product that separates consecutive ranks


@dataclass(frozen=True, kw_only=True, slots=True)
class Elimination:
    """``order_C``: channels, first removed first. ``energy_C`` (of the flow) and ``product_C``: of the channel
    removed at each step, just before its removal.
    """

    order_C: Tensor
    energy_C: Tensor
    product_C: Tensor


def product_score(relevance_C: Tensor, energy_C: Tensor, task_weight: float) -> Tensor:
    """Return the geometric mean of task relevance and flow (square root of the energy), each scaled to sum 1.

    ``task_weight`` in [0, 1] is the exponent of the task relevance.
    """
    return _share(relevance_C) ** task_weight * _share(energy_C.sqrt()) ** (1 - task_weight)


def eliminate(flow: RemainingFlow, relevance_C: Tensor, task_weight: float) -> Elimination:
    """Remove all channels one by one, always the one with the least product of relevance and current flow.

    Ties go to the lower index. If nothing flows, only the relevance decides.

    Args:
        flow: Of all channels; none are left afterwards.
        relevance_C: Task relevance, >= 0.
        task_weight: Exponent of the relevance, in [0, 1].
    """
    flow_total = float(flow.energies().sqrt().sum())
    factor_C = _share(relevance_C) ** task_weight
    is_removed_C = torch.zeros(len(factor_C), dtype=torch.bool)
    order, energies, products = [], [], []
    for _ in range(len(factor_C)):
        energy_C = flow.energies()
        flow_C = energy_C.sqrt() / flow_total if flow_total > 0 else torch.ones_like(energy_C)
        product_C = (factor_C * flow_C ** (1 - task_weight)).masked_fill(is_removed_C, torch.inf)
        removed = int(product_C.argmin())
        order.append(removed)
        energies.append(energy_C[removed])
        products.append(product_C[removed])
        is_removed_C[removed] = True
        flow.remove(removed)
    return Elimination(
        order_C=torch.tensor(order), energy_C=torch.stack(energies), product_C=torch.stack(products)
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


def _share(values_C: Tensor) -> Tensor:
    """Scale to sum 1; all zeros become equal shares, so that a missing signal does not decide."""
    total = values_C.sum()
    return values_C / total if total > 0 else torch.full_like(values_C, 1 / len(values_C))
