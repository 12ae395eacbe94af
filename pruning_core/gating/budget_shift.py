"""Hold the expected cost of a gated network exactly at its budgets, at every step.

One number is taken off all gate logits: the one at which the most exceeded budget is just met,

    max_m log(cost_m(P(logits - shift)) / limit_m) = slack.

The shift is a function of the logits, so gradients know of it. By the implicit function theorem

    d shift / d logit_c = e_c / sum_j e_j,     e = d excess / d logits at the shifted logits,

which takes from the loss's gradient what would move the cost: what is left orders channels by worth per cost.
A multiplier does the same at its fixed point; here there is nothing to tune, and no step over or under the budget.
``slack`` falls from the dense network's excess to 0 while gates learn, so that channels close one after another.

Shape suffixes used in this file:
    C  all gated channels, groups one after another
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Excess = Callable[[Tensor], Tensor]
"""Logits (C, float64) to the largest log(cost / limit), differentiable; falls as logits fall."""

_TOLERANCE = 1e-6  # of the shift
_CLOSE_ENOUGH = 1e-6  # of the excess
_MAX_STEPS = 100
_FIRST_STEP = 0.1  # away from where the shift was last
_FARTHEST = 60.0  # logits this far off open or close every gate to double precision


class _Shift(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits_C: Tensor, excess: Excess, slack: float, near: float) -> Tensor:
        here_C = logits_C.detach().double().cpu()  # many tiny evaluations: not for an accelerator
        shift = solve_shift(here_C, excess, slack, near)
        ctx.excess = excess
        ctx.save_for_backward(here_C - shift)
        return logits_C.new_full((), shift)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (shifted_C,) = ctx.saved_tensors
        with torch.enable_grad():
            at_C = shifted_C.detach().requires_grad_()
            (slope_C,) = torch.autograd.grad(ctx.excess(at_C), at_C)
        share_C = slope_C / slope_C.sum().clamp_min(torch.finfo(slope_C.dtype).tiny)
        return grad * share_C.to(grad), None, None, None


def budget_shift(logits_C: Tensor, excess: Excess, slack: float = 0.0, near: float = 0.0) -> Tensor:
    """Return what to take off all logits so that their ``excess`` is ``slack``; one number, differentiable.

    Args:
        logits_C: Gate logits.
        excess: Of the expected cost; non-decreasing in every logit.
        slack: Allowed log excess; 0 is the budget itself. Where even open gates stay below it, they are all opened.
        near: Where to look first: the shift of the step before.
    """
    shift: Tensor = _Shift.apply(logits_C, excess, slack, near)
    return shift


@torch.no_grad()
def solve_shift(logits_C: Tensor, excess: Excess, slack: float, near: float = 0.0) -> float:
    """Find the shift by the Illinois method; on the closing side, so that the budget is never exceeded."""
    opens, closes = float(logits_C.min()) - _FARTHEST, float(logits_C.max()) + _FARTHEST

    def over(shift: float) -> float:
        return float(excess(logits_C - shift)) - slack

    low = high = min(max(near, opens), closes)
    over_low = over_high = over(low)
    step = _FIRST_STEP
    while over_low <= 0:  # too closed: look further down
        if low == opens:
            return opens
        high, over_high, low = low, over_low, max(opens, low - step)
        over_low, step = over(low), 4 * step
    while over_high > 0 and high < closes:  # too open: look further up
        low, over_low, high = high, over_high, min(closes, high + step)
        over_high, step = over(high), 4 * step
    return _shrink(over, (low, over_low), (high, over_high))


def _shrink(over: Callable[[float], float], low: tuple[float, float], high: tuple[float, float]) -> float:
    """Shrink a bracket by false positions; an end that stays twice counts half, so that it moves at last."""
    (left, weight_left), (right, weight_right) = low, high
    over_right, stayed = weight_right, ""
    for _ in range(_MAX_STEPS):
        if right - left < _TOLERANCE or -over_right < _CLOSE_ENOUGH:
            break
        middle = (left * weight_right - right * weight_left) / (weight_right - weight_left)
        found = over(middle)
        if found > 0:
            left, weight_left = middle, found
            weight_right = weight_right / 2 if stayed == "right" else weight_right
            stayed = "right"
        else:
            right, weight_right, over_right = middle, found, found
            weight_left = weight_left / 2 if stayed == "left" else weight_left
            stayed = "left"
    return right
