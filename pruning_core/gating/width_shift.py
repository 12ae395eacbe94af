"""Hold the expected width of every group where an allocator put it, at every step.

One number per group is taken off its gate logits, so that the open probabilities of the group add up to its width:
gates then only choose which channels of a group stay. The numbers are functions of the logits; by the implicit
function theorem

    d shift_g / d logit_c = p'_c / (sum of p' over the group),     p' = slope of P(open) at the shifted logit,

which takes from the loss's gradient what would only widen or narrow the group.

Shape suffixes used in this file:
    C  all gated channels, groups one after another
    G  groups
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_FARTHEST = 60.0  # logits this far off open or close every gate to double precision
_NUM_HALVINGS = 60  # of a bracket of some 100: below the spacing of float64


class _Shift(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits_C: Tensor,
        group_C: Tensor,
        widths_G: Tensor,
        open_probability: Callable[[Tensor], Tensor],
    ) -> Tensor:
        here_C = logits_C.detach().double()
        shift_G = _bisect(here_C, group_C, widths_G, open_probability)
        ctx.open_probability = open_probability
        ctx.save_for_backward(here_C - shift_G[group_C], group_C)
        return shift_G.to(logits_C)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_G: Tensor) -> tuple[Tensor, None, None, None]:
        shifted_C, group_C = ctx.saved_tensors
        with torch.enable_grad():
            at_C = shifted_C.detach().requires_grad_()
            (slope_C,) = torch.autograd.grad(ctx.open_probability(at_C).sum(), at_C)
        total_G = slope_C.new_zeros(len(grad_G)).index_add(0, group_C, slope_C)
        share_C = slope_C / total_G.clamp_min(torch.finfo(slope_C.dtype).tiny)[group_C]
        return grad_G[group_C] * share_C.to(grad_G), None, None, None


def width_shift(
    logits_C: Tensor, group_C: Tensor, widths_G: Tensor, open_probability: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return ``shift_G``, what to take off the logits of each group to give it its width; differentiable.

    Args:
        logits_C: Gate logits.
        group_C: The group that each belongs to, from 0.
        widths_G: Sum of open probabilities to reach, float64, from 0 to the group's size. At either end all gates of
            the group are as open, or as closed, as double precision can tell.
        open_probability: Increasing in the logit, from 0 to 1.
    """
    shift_G: Tensor = _Shift.apply(logits_C, group_C, widths_G, open_probability)
    return shift_G


@torch.no_grad()
def _bisect(
    logits_C: Tensor, group_C: Tensor, widths_G: Tensor, open_probability: Callable[[Tensor], Tensor]
) -> Tensor:
    low_G = (logits_C.min() - _FARTHEST).expand_as(widths_G)
    high_G = (logits_C.max() + _FARTHEST).expand_as(widths_G)
    for _ in range(_NUM_HALVINGS):
        middle_G = (low_G + high_G) / 2
        opened_C = open_probability(logits_C - middle_G[group_C])
        is_wide_G = torch.zeros_like(widths_G).index_add(0, group_C, opened_C) > widths_G
        low_G, high_G = torch.where(is_wide_G, middle_G, low_G), torch.where(is_wide_G, high_G, middle_G)
    return high_G
