"""Noise that turns gate logits into random gates in (0, 1), and the open probability that belongs to it.

With temperature T, base b and noise e a gate is ``sigmoid((logit + b + e) / T)``; it counts as open when it is
above one half, that is when ``logit + b + e > 0``.

Shape suffixes used in this file:
    C  all gated channels, groups one after another

References:
    [Ganjdanesh2022] ISP, ECCV 2022: one-sided Gumbel noise.
    [Maddison2017] The Concrete Distribution, ICLR 2017: logistic noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_SMALLEST = 1e-6  # keeps logarithms of uniform draws finite in float32


@dataclass(frozen=True, kw_only=True, slots=True)
class GateNoise:
    """A noise distribution with its open probability and the inverse of that.

    ``sample``: uniform draws in (0, 1) to noise. ``open_probability``: ``logit + base`` to P(open).
    ``logit``: P(open) in (0, 1) to ``logit + base``.
    """

    sample: Callable[[Tensor], Tensor]
    open_probability: Callable[[Tensor], Tensor]
    logit: Callable[[Tensor], Tensor]


def _gumbel(uniform: Tensor) -> Tensor:
    return -torch.log(-torch.log(uniform))


def _gumbel_open_probability(shifted: Tensor) -> Tensor:
    return -torch.expm1(-torch.exp(shifted))


def _gumbel_logit(probability: Tensor) -> Tensor:
    return torch.log(-torch.log1p(-probability))


NOISES: dict[str, GateNoise] = {
    "logistic": GateNoise(sample=torch.logit, open_probability=torch.sigmoid, logit=torch.logit),
    "gumbel": GateNoise(sample=_gumbel, open_probability=_gumbel_open_probability, logit=_gumbel_logit),
}


def sample_gates(
    shifted_C: Tensor, noise: GateNoise, temperature: float, generator: torch.Generator
) -> Tensor:
    """Draw soft gates, differentiable in the logits.

    Args:
        shifted_C: ``logit + base`` of every channel.
        noise: An entry of ``NOISES``.
        temperature: Positive; near 0 the gates are nearly 0 or 1.
        generator: Source of the randomness, on the device of ``shifted_C``.

    Returns:
        Gates in (0, 1), of the shape of ``shifted_C``.
    """
    uniform = torch.rand(shifted_C.shape, generator=generator, device=shifted_C.device, dtype=shifted_C.dtype)
    return torch.sigmoid((shifted_C + noise.sample(uniform.clamp(_SMALLEST, 1 - _SMALLEST))) / temperature)


def harden(gates_C: Tensor) -> Tensor:
    """Round gates to 0 or 1; gradients pass as if they had not been rounded (straight-through)."""
    hard_C = (gates_C > 0.5).to(gates_C.dtype)
    return hard_C + gates_C - gates_C.detach()
