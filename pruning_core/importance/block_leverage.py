"""What the next layers lose without a channel when all their weights are refitted to make up for it.

A consumer with weights W reads patches u; channel c is a block of O of its numbers. With the second moment
``S = E[u u^T]`` of centred patches,

    block leverage_c = tr( W_c ([(S + r I)^-1]_cc^-1 - r I) W_c^T )
                     = the least, over B, of  E|W_c u_c - B u_rest|^2 + r |B|^2

and for r -> 0 the squared error of the consumer's output after removing c and refitting, exactly: the block form of
optimal brain surgeon. Unlike the leverage of contributions it also sees channels that are alike but are read through
different weights. Channels are brought to unit energy first, so that the ridge r weighs equally on all of them.

Memory: one ``(C * O)^2`` matrix of float64 per consumer, inverted in place: 170 MB (216 MB at the peak) for 512
channels read by one 3 x 3 kernel. float32 would halve that, but the condition number may reach C * O / r, five million,
and float32 has seven digits. Time: O((C * O)^3) for the inverse, O(O (C * O)^2) per removal.

Task-inspired criterion, after Guo et al. 2024; formulas ours.

Shape suffixes used in this file:
    M  sampled output positions
    C  channels of the group
    O  offsets per channel
    D  output channels of the consumer
    R  rows of the second moment, C * O

References:
    [Hassibi1993] B. Hassibi, D. G. Stork. Second Order Derivatives for Network Pruning: Optimal Brain Surgeon.
        NIPS 1993.
    [Goodnight1979] J. H. Goodnight. A Tutorial on the SWEEP Operator. The American Statistician 33(3), 1979.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from pruning_core.importance.information_flow import RIDGE

_CHUNK_NUMBERS = 2**19  # numbers of an intermediate result held at once
_PIVOTS = 256  # rows inverted at once
_CONSTANT = 1e-12  # share of the raw energy below which a channel counts as constant


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ConsumerReads:
    """What one consumer of a group reads at sampled outputs, and the weights it reads it with."""

    patches_MCO: Tensor
    weight_DCO: Tensor


class BlockLeverageFlow:
    """Block leverage summed over consumers, each scaled to total energy 1; updated as channels are removed.

    Args:
        consumers: Read once, one after the other.
        ridge: r, as a share of a channel's energy per offset; > 0.
    """

    def __init__(self, consumers: Iterable[ConsumerReads], *, ridge: float = RIDGE) -> None:
        self._consumers = [_RefittedConsumer(reads, ridge) for reads in consumers]

    @classmethod
    def of_consumers(cls, consumers: Iterable[ConsumerReads]) -> Self:
        """Start with all channels in place."""
        return cls(consumers)

    def energies(self) -> Tensor:
        """Return the error that removing each remaining channel would leave, ``(C,)``; 0 for removed ones."""
        return torch.stack([consumer.errors() for consumer in self._consumers]).sum(dim=0)

    def remove(self, channel: int) -> None:
        """Take a channel away from what the others can be refitted with."""
        for consumer in self._consumers:
            consumer.remove(channel)


class _RefittedConsumer:
    def __init__(self, reads: ConsumerReads, ridge: float) -> None:
        self._ridge = ridge
        num_channels, self._num_offsets = reads.patches_MCO.shape[1:]
        moment_RR = second_moment(reads.patches_MCO)
        scale_C = _bring_to_unit_energy(moment_RR, reads.patches_MCO)
        weight_CDO = reads.weight_DCO.to(moment_RR).transpose(0, 1) * scale_C[:, None, None]
        self._outer_COO = weight_CDO.transpose(1, 2) @ weight_CDO
        energy_C = (self._outer_COO * _blocks(moment_RR, self._num_offsets)).sum(dim=(1, 2))
        self._total = float(energy_C.sum())
        moment_RR.diagonal().add_(ridge)
        self._inverse_RR = invert_in_place(moment_RR)
        self._is_left_C = torch.ones(num_channels, dtype=torch.bool)

    def errors(self) -> Tensor:
        """Return the errors as shares of the energy of all contributions; all 0 if there is none."""
        if self._total <= 0:
            return torch.zeros(len(self._is_left_C), dtype=torch.float64)
        conditional_COO = torch.linalg.inv(_blocks(self._inverse_RR, self._num_offsets))
        conditional_COO.diagonal(dim1=1, dim2=2).sub_(self._ridge)
        error_C: Tensor = (self._outer_COO * conditional_COO).sum(dim=(1, 2)).clamp_min(0).cpu()
        return error_C.masked_fill(~self._is_left_C, 0) / self._total

    def remove(self, channel: int) -> None:
        """Turn the inverse over the remaining channels into the one without ``channel``, in place (rank O)."""
        block = slice(channel * self._num_offsets, (channel + 1) * self._num_offsets)
        rows_OR = self._inverse_RR[block].clone()
        self._inverse_RR.addmm_(rows_OR.T, torch.linalg.solve(rows_OR[:, block], rows_OR), alpha=-1)
        self._inverse_RR[block] = 0
        self._inverse_RR[:, block] = 0
        self._inverse_RR.diagonal()[block] = 1
        self._is_left_C[channel] = False


def second_moment(patches_MCO: Tensor) -> Tensor:
    """Return ``E[u u^T]`` of the centred patches, ``(C * O, C * O)``, float64 on their device."""
    mean_R = _mean(patches_MCO)
    moment_RR = torch.zeros(len(mean_R), len(mean_R), dtype=torch.float64, device=mean_R.device)
    for chunk_MR in _chunks(patches_MCO):
        centred_MR = chunk_MR - mean_R
        moment_RR.addmm_(centred_MR.T, centred_MR, alpha=1 / len(patches_MCO))
    return moment_RR


def _mean(patches_MCO: Tensor) -> Tensor:
    """Return the mean of each row, ``(R,)``."""
    total_R = torch.stack([chunk_MR.sum(dim=0) for chunk_MR in _chunks(patches_MCO)]).sum(dim=0)
    return total_R / len(patches_MCO)


def _chunks(patches_MCO: Tensor) -> Iterator[Tensor]:
    """Go through the patches as float64 rows ``(M, R)``, never all of them at once."""
    for chunk_MCO in torch.split(patches_MCO, max(1, _CHUNK_NUMBERS // patches_MCO[0].numel())):
        yield chunk_MCO.flatten(1).double()


def invert_in_place(matrix_RR: Tensor) -> Tensor:
    """Replace a symmetric positive definite matrix by its inverse, without a second one; return it.

    Blockwise sweeps [Goodnight1979]: after those of some rows, these rows and columns hold the negative inverse of
    their own block.
    """
    for begin in range(0, len(matrix_RR), _PIVOTS):
        block = slice(begin, begin + _PIVOTS)
        rows = matrix_RR[block].clone()
        pivot_inverse = torch.cholesky_inverse(torch.linalg.cholesky(rows[:, block]))
        swept = pivot_inverse @ rows
        matrix_RR.addmm_(rows.T, swept, alpha=-1)
        matrix_RR[block] = swept
        matrix_RR[:, block] = swept.T
        matrix_RR[block, block] = -pivot_inverse
    return matrix_RR.neg_()


def _bring_to_unit_energy(moment_RR: Tensor, patches_MCO: Tensor) -> Tensor:
    """Scale each channel so that its offsets have mean energy 1, in place; return the scales divided out, ``(C,)``.

    A constant channel becomes all zeros.
    """
    num_channels, num_offsets = patches_MCO.shape[1:]
    energy_C = moment_RR.diagonal().reshape(num_channels, num_offsets).mean(dim=1)
    raw_C = energy_C + _mean(patches_MCO).reshape(num_channels, num_offsets).square().mean(dim=1)
    varies_C = energy_C > _CONSTANT * raw_C
    scale_C = torch.where(varies_C, energy_C, torch.ones_like(energy_C)).sqrt()
    factor_R = torch.where(varies_C, 1 / scale_C, torch.zeros_like(scale_C)).repeat_interleave(num_offsets)
    moment_RR.mul_(factor_R).mul_(factor_R[:, None])
    return scale_C


def _blocks(matrix_RR: Tensor, num_offsets: int) -> Tensor:
    """Return the diagonal blocks, ``(C, O, O)``."""
    num_channels = len(matrix_RR) // num_offsets
    blocks = matrix_RR.reshape(num_channels, num_offsets, num_channels, num_offsets)
    return blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1).contiguous()
