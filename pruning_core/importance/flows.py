"""Ways to tell how much flows through a channel, while channels are removed one by one.

    energy          what the channel alone sends to the next layers
    leverage        what the others' contributions cannot stand in for, one factor per channel
    block_leverage  what the next layers cannot make up for when all their weights are refitted

All are energies; the flow that enters a score is their square root. Several consumers are summed, each scaled to total
energy 1.

Shape suffixes used in this file:
    C  channels of the group
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, Self

import torch
from torch import Tensor

from pruning_core.importance.block_leverage import BlockLeverageFlow, ConsumerReads
from pruning_core.importance.information_flow import (
    contribution_gram,
    energy,
    join_consumers,
    leverage_from_inverse,
    ridge_inverse,
    ridge_of,
)


class RemainingFlow(Protocol):
    """What flows through the channels that have not been removed."""

    def energies(self) -> Tensor:
        """Return what is lost with each remaining channel, ``(C,)``, >= 0, float64 on the CPU; 0 for removed ones."""

    def remove(self, channel: int) -> None:
        """Remove a channel that is still there."""


class EnergyFlow:
    """Energy of each channel's contribution; removing a channel changes nothing for the others."""

    def __init__(self, gram_CC: Tensor) -> None:
        self._energy_C = energy(gram_CC).clone()

    @classmethod
    def of_consumers(cls, consumers: Iterable[ConsumerReads]) -> Self:
        """Start with all channels in place."""
        return cls(joined_gram(consumers))

    def energies(self) -> Tensor:
        """Return the energies; 0 for removed channels."""
        return self._energy_C.clone()

    def remove(self, channel: int) -> None:
        """Remove a channel."""
        self._energy_C[channel] = 0


class LeverageFlow:
    """Leverage among the contributions that are left. The inverse of their Gram matrix is kept up to date by a
    rank-one step, O(C^2) per removal.
    """

    def __init__(self, gram_CC: Tensor) -> None:
        self._ridge = ridge_of(gram_CC)
        identity_CC = torch.eye(len(gram_CC), dtype=gram_CC.dtype)
        self._inverse_CC = ridge_inverse(gram_CC, self._ridge) if self._ridge > 0 else identity_CC
        self._is_left_C = torch.full((len(gram_CC),), self._ridge > 0)

    @classmethod
    def of_consumers(cls, consumers: Iterable[ConsumerReads]) -> Self:
        """Start with all channels in place."""
        return cls(joined_gram(consumers))

    def energies(self) -> Tensor:
        """Return the leverages; 0 for removed channels, and for all if nothing flows."""
        leverage_C = leverage_from_inverse(self._inverse_CC, self._ridge)
        return leverage_C.masked_fill(~self._is_left_C, 0)

    def remove(self, channel: int) -> None:
        """Turn the inverse over the remaining channels into the one without ``channel``."""
        column_C = self._inverse_CC[:, channel].clone()
        self._inverse_CC.addr_(column_C, column_C, alpha=-1 / float(column_C[channel]))
        self._inverse_CC[:, channel] = 0
        self._inverse_CC[channel, :] = 0
        self._inverse_CC[channel, channel] = 1
        self._is_left_C[channel] = False


def joined_gram(consumers: Iterable[ConsumerReads]) -> Tensor:
    """Return the Gram matrix of the contributions to all consumers."""
    return join_consumers([contribution_gram(reads.patches_MCO, reads.weight_DCO) for reads in consumers])


FLOWS: dict[str, Callable[[Iterable[ConsumerReads]], RemainingFlow]] = {
    "leverage": LeverageFlow.of_consumers,
    "energy": EnergyFlow.of_consumers,
    "block_leverage": BlockLeverageFlow.of_consumers,
}
