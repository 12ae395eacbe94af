"""What a saliency mask is made of: Gaussian bumps, and the raw numbers a decoder emits for them.

Lengths are shares of the image side, so that the same numbers mean the same mask at every resolution. Pixel ``i``
of ``S`` sits at ``i / S`` (the reference implementation's integer indices): a centre of 0.5 is pixel 16 of 32.
Raw numbers are in 1/32 of the side: at 32 pixels they are pixels, as in [Ganjdanesh2022].

Shape suffixes used in this file:
    N  masks in the batch
    K  bumps (basis functions) per mask
    P  raw numbers per bump: row, column, width; for K > 1 amplitude; two of its stretch where bumps need not be round
    2  row, column; of a stretch the two numbers a, b below

References:
    [Ganjdanesh2022] A. Ganjdanesh, S. Gao, H. Huang. Interpretations Steered Network Pruning via Amortized
        Inferred Saliency Maps. ECCV 2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.errors import InvalidSettingsError

RAW_UNITS_PER_SIDE = 32
SMALLEST_RAW_WIDTH = 1e-8  # keeps widths positive where softplus underflows
_RING_RADIUS = 0.15  # of the side; where several bumps start, so that they do not learn the same
_RAW_STRETCH = 4.0  # raw numbers of a stretch are of the size of a width's moves
_FIRST_AMPLITUDE, _OTHER_AMPLITUDE = 2.0, -1.0  # raw: at the start one bump carries the mask


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RbfParameters:
    """Gaussian bumps of a batch of masks.

    ``centres_NK2``: (row, column) as shares of the height and of the width. ``widths_NK``: standard deviations as
    shares of the longer side, strictly positive. ``amplitudes_NK``: in [0, 1]. ``stretches_NK2``: None where bumps are
    round in pixels; else (a, b) of each, with covariance

        width^2 exp(S),     S = [[a, b], [b, -a]],

    whose determinant is that of the round bump: the width is the geometric mean of the two standard deviations, their
    ratio is exp(sqrt(a^2 + b^2)), a > 0 makes a bump tall, b tilts it. No pair of numbers is degenerate.
    """

    centres_NK2: Tensor
    widths_NK: Tensor
    amplitudes_NK: Tensor
    stretches_NK2: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.widths_NK.shape)
        if len(shape) != 2 or self.amplitudes_NK.shape != shape or self.centres_NK2.shape != (*shape, 2):
            raise ValueError(
                "centres (N, K, 2), widths (N, K) and amplitudes (N, K) must agree, but got "
                f"{tuple(self.centres_NK2.shape)}, {shape} and {tuple(self.amplitudes_NK.shape)}"
            )
        if self.stretches_NK2 is not None and self.stretches_NK2.shape != (*shape, 2):
            raise ValueError(f"stretches must be {(*shape, 2)}, but are {tuple(self.stretches_NK2.shape)}")


def numbers_per_basis(num_basis: int, *, is_anisotropic: bool = False) -> int:
    """Return P: a single bump has no amplitude (it is always 1), several have one each; a stretch is two more."""
    return (3 if num_basis == 1 else 4) + (2 if is_anisotropic else 0)


def raw_to_rbf(raw_NKP: Tensor, centre_margin: float) -> RbfParameters:
    """Read a decoder's raw numbers as bumps.

    Centre = 0.5 + R tanh(u / R) with R = 0.5 - ``centre_margin`` (unit slope at the middle, never closer to the border
    than the margin); width = softplus(u) + 1e-8, both in raw units. Amplitude = sigmoid(u) divided by the largest
    of the mask, so that the strongest bump has amplitude 1 as the only one has: a mask cannot save area by
    greying out, which would leave the image readable, and its peak is the one the predictor was trained with. The
    numbers of a stretch are tanh(u / 4): no bump is more than about four times as long as it is wide.

    Args:
        raw_NKP: Any finite numbers; P is 3 for K = 1 and 4 for more, and 2 larger where bumps may be stretched.
        centre_margin: Share of the side that centres keep from the border, in [0, 0.5).

    Raises:
        InvalidSettingsError: P does not fit K.
    """
    num_basis, num_numbers = raw_NKP.shape[-2:]
    num_round = numbers_per_basis(num_basis)
    if num_numbers not in (num_round, num_round + 2):
        raise InvalidSettingsError(
            f"{num_basis} basis functions must have {num_round} raw numbers each, or {num_round + 2} where they may be "
            f"stretched, but got {num_numbers}"
        )
    reach = 0.5 - centre_margin
    centres_NK2 = 0.5 + reach * torch.tanh(raw_NKP[..., :2] / (RAW_UNITS_PER_SIDE * reach))
    widths_NK = (F.softplus(raw_NKP[..., 2]) + SMALLEST_RAW_WIDTH) / RAW_UNITS_PER_SIDE
    if num_basis == 1:
        amplitudes_NK = torch.ones_like(widths_NK)
    else:
        # log_sigmoid, so that the quotient exists where every sigmoid underflows
        logs_NK = F.logsigmoid(raw_NKP[..., 3])
        amplitudes_NK = torch.exp(logs_NK - logs_NK.amax(dim=-1, keepdim=True))
    return RbfParameters(
        centres_NK2=centres_NK2,
        widths_NK=widths_NK,
        amplitudes_NK=amplitudes_NK,
        stretches_NK2=None if num_numbers == num_round else torch.tanh(raw_NKP[..., -2:] / _RAW_STRETCH),
    )


def initial_raw(num_basis: int, initial_width: float, *, is_anisotropic: bool = False) -> Tensor:
    """Return the ``raw_KP`` a selector starts from.

    One bump starts in the middle; several on a ring around it, the first active and the others faint.
    Widths start at ``initial_width / sqrt(K)``, so that the area does not grow with K. All start round.
    """
    raw_KP = torch.zeros(num_basis, numbers_per_basis(num_basis, is_anisotropic=is_anisotropic))
    width = RAW_UNITS_PER_SIDE * initial_width / math.sqrt(num_basis)
    raw_KP[:, 2] = width + math.log(-math.expm1(-width))  # the inverse of softplus, without overflow
    if num_basis > 1:
        angles_K = 2 * math.pi * torch.arange(num_basis) / num_basis
        ring_K2 = torch.stack([angles_K.sin(), angles_K.cos()], dim=-1)
        raw_KP[:, :2] = RAW_UNITS_PER_SIDE * _RING_RADIUS * ring_K2
        raw_KP[:, 3] = _OTHER_AMPLITUDE
        raw_KP[0, 3] = _FIRST_AMPLITUDE
    return raw_KP
