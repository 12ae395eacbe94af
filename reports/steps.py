"""What each step along the front costs: accuracy given up for MACs saved."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from reports.dense import dense_of
from reports.fronts import StudyFront, non_dominated, scores_of
from reports.objectives import Direction

__all__ = ["Step", "front_steps"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """From one network to the next smaller one that is on the front of accuracy against MACs.

    ``larger``: its trial number, None for the dense network. ``accuracy_lost`` is negative if the smaller network is
    better, as it can be beside the dense one; ``macs_saved`` is positive.
    """

    larger: int | None
    smaller: int
    accuracy_lost: float
    macs_saved: int

    @property
    def points_per_million_macs(self) -> float:
        """Percentage points of accuracy given up for every million MACs saved."""
        return 100 * self.accuracy_lost / (self.macs_saved / 1e6)


def front_steps(front: StudyFront) -> tuple[Step, ...]:
    """Return the steps from the dense network down to the smallest, largest networks first.

    Members that are on the front for their params alone have no step. The dense network begins the chain where it
    is the same for all members and larger than them.
    """
    values = np.array([(scores_of(record).accuracy, scores_of(record).macs) for record in front.points])
    mask = non_dominated(values.reshape(-1, 2), [Direction.MAXIMIZE, Direction.MINIMIZE])
    stairs = [record for record, on_stairs in zip(front.points, mask, strict=True) if on_stairs]
    chain: list[tuple[int | None, float, int]] = []
    dense = {dense_of(scores_of(record)) for record in stairs}
    if len(dense) == 1:
        (only,) = dense
        if only.macs > scores_of(stairs[0]).macs:
            chain.append((None, only.accuracy, only.macs))
    for record in stairs:
        scores = scores_of(record)
        if not chain or scores.macs < chain[-1][2]:
            chain.append((record.number, scores.accuracy, scores.macs))
    return tuple(
        Step(
            larger=larger[0], smaller=number, accuracy_lost=larger[1] - accuracy, macs_saved=larger[2] - macs
        )
        for larger, (number, accuracy, macs) in pairwise(chain)
        if number is not None
    )
