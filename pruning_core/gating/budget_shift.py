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

_TOLERANCE = 1e-6
_MAX_HALVINGS = 60
_FARTHEST = 60.0  # logits this far off open or close every gate to double precision


class _Shift(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits_C: Tensor, excess: Excess, slack: float) -> Tensor:
        here_C = logits_C.detach().double().cpu()  # dozens of tiny evaluations: not for an accelerator
        shift = solve_shift(here_C, excess, slack)
        ctx.excess = excess
        ctx.save_for_backward(here_C - shift)
        return logits_C.new_tensor(shift)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (shifted_C,) = ctx.saved_tensors
        with torch.enable_grad():
            at_C = shifted_C.detach().requires_grad_()
            (slope_C,) = torch.autograd.grad(ctx.excess(at_C), at_C)
        share_C = slope_C / slope_C.sum().clamp_min(torch.finfo(slope_C.dtype).tiny)
        return grad * share_C.to(grad), None, None


def shift_to_budget(logits_C: Tensor, excess: Excess, slack: float = 0.0) -> Tensor:
    """Return the logits, all lowered or raised by one number, so that ``excess`` of them is ``slack``.

    Args:
        logits_C: Gate logits.
        excess: Of the expected cost; non-decreasing in every logit.
        slack: Allowed log excess; 0 is the budget itself. Where even open gates stay below it, they are all opened.
    """
    shift: Tensor = _Shift.apply(logits_C, excess, slack)
    return logits_C - shift


@torch.no_grad()
def solve_shift(logits_C: Tensor, excess: Excess, slack: float) -> float:
    """Find the shift by bisection; on the closing side, so that the budget is never exceeded."""
    low = float(logits_C.min()) - _FARTHEST  # opens everything
    high = float(logits_C.max()) + _FARTHEST  # closes everything
    if float(excess(logits_C - low)) <= slack:
        return low
    for _ in range(_MAX_HALVINGS):
        middle = (low + high) / 2
        if float(excess(logits_C - middle)) > slack:
            low = middle
        else:
            high = middle
        if high - low < _TOLERANCE:
            break
    return high
