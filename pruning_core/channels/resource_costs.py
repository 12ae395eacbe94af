"""What the cost model, the projection and the allocation ask of one resource.

Shape suffixes used in this file:
    G  channel groups
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Counts = npt.NDArray[np.int64]


class ResourceCost(Protocol):
    """Cost of one resource for any kept counts; never falls when a width grows."""

    def cost(self, widths_G: Tensor) -> Tensor:
        """Return the cost at (possibly fractional) kept counts in float64, differentiable.

        At whole counts it is ``exact``, of latencies up to the rounding of each layer.
        """

    def exact(self, widths: Sequence[int] | Counts) -> int:
        """Return the cost at whole kept counts."""

    def changes(self, widths_G: Counts, target_G: Counts) -> Counts:
        """Return by how much the cost changes if one group alone goes to its target width, for each group."""

    def relief(self, widths_G: Counts, target_G: Counts, limit: int) -> Counts:
        """Return how much nearer to the limit a step of one group alone brings a cost above it, for each group.

        What ``changes`` says with the sign turned, except where a cost is the largest of several: then
        lowering any of those that exceed the limit counts.
        """


def alternatives(widths_G: Counts, target_G: Counts) -> Counts:
    """Return one row of widths per group: those now, with that group alone at its target."""
    rows_GG = np.repeat(widths_G[None, :], len(widths_G), axis=0)
    np.fill_diagonal(rows_GG, target_G)
    return rows_GG


def counts_beside(other: Tensor, counts: Counts) -> Tensor:
    """Return whole numbers in the type and on the device of another tensor, without waiting for the device."""
    return torch.from_numpy(counts).to(other, non_blocking=True)
