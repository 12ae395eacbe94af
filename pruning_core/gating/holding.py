"""What is held at every step of gate learning: the budgets, or the width of every group.

Shape suffixes used in this file:
    C  all gated channels, groups one after another
    G  groups
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pruning_core.config import GatesConfig
from pruning_core.gating.budget_shift import budget_shift
from pruning_core.gating.budget_term import log_excess
from pruning_core.gating.gate_noise import NOISES
from pruning_core.gating.gated_network import SteeringProblem, expected_widths, group_sizes
from pruning_core.gating.width_shift import width_shift

Hold = Callable[[Tensor, float], Tensor]
"""Logits (C) and the share of the steps that is done, to the logits of the gates to run with."""


def hold_budget(dense: SteeringProblem, gates: GatesConfig) -> Hold:
    """Shift all logits alike, so that the expected cost is at the budget, or above it during the warm-up."""
    if gates.budget_term != "exact":
        return lambda logits_C, _done: logits_C
    noise, last_shift = NOISES[gates.noise], 0.0

    def excess(logits_C: Tensor) -> Tensor:
        cost = dense.cost_model.cost(expected_widths(noise.open_probability(logits_C), dense.graph))
        return log_excess(cost, dense.limits).max()

    dense_excess = float(excess(torch.full((sum(group_sizes(dense.graph)),), torch.inf)))

    def hold(logits_C: Tensor, done: float) -> Tensor:
        nonlocal last_shift
        slack = max(0.0, _ahead(gates, done) * dense_excess)
        shift = budget_shift(logits_C, excess, slack, near=last_shift)
        last_shift = float(shift.detach())
        return logits_C - shift

    return hold


def hold_widths(dense: SteeringProblem, gates: GatesConfig, widths: Mapping[str, int]) -> Hold:
    """Shift each group's logits to its width, or to a larger one during the warm-up."""
    sizes_G = torch.tensor(group_sizes(dense.graph), dtype=torch.float64)
    wanted_G = torch.tensor([widths[group.name] for group in dense.graph.groups], dtype=torch.float64)
    group_C = torch.repeat_interleave(sizes_G.long())

    def hold(logits_C: Tensor, done: float) -> Tensor:
        widths_G = wanted_G + max(0.0, _ahead(gates, done)) * (sizes_G - wanted_G)
        on_device_C = group_C.to(logits_C.device, non_blocking=True)
        widths_G = widths_G.to(logits_C.device, non_blocking=True)
        shift_G = width_shift(logits_C, on_device_C, widths_G, NOISES[gates.noise].open_probability)
        return logits_C - shift_G[on_device_C]

    return hold


def _ahead(gates: GatesConfig, done: float) -> float:
    """Return how much of the budget's warm-up is to come: 1 at the start, 0 or less after it."""
    return 1 - done / gates.budget_warmup if gates.budget_warmup > 0 else 0.0
