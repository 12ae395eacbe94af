"""The best trials of a rung, when they are compared in several objectives.

References:
    [Deb2002] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
        algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
    [Schmucker2021] R. Schmucker, M. Donini, M. B. Zafar, D. Salinas, C. Archambeau. Multi-objective Asynchronous
        Successive Halving. arXiv:2106.12639, 2021.

Shape suffixes used in this file:
    T  trials
    M  trials of one front
    D  objectives
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reports.fronts import ranks
from reports.objectives import Direction

__all__ = ["best_rows", "spread_first"]


def best_rows(values_TD: NDArray[np.float64], directions: Sequence[Direction], num_best: int) -> list[int]:
    """Return the best rows, ascending: whole fronts [Deb2002], then of the next one what covers it [Schmucker2021].

    Equal rows lie in one front. Of rows that are alike in all that counts, earlier ones are better.

    Args:
        values_TD: Each objective in its own unit.
        directions: Of the objectives; the first one decides where the net of a front begins.
        num_best: How many; of fewer rows, all.
    """
    ranks_T = ranks(values_TD, directions)
    num_best = min(num_best, len(values_TD))
    if num_best <= 0:
        return []
    cut = int(np.sort(ranks_T)[num_best - 1])  # the front that holds the last of the best
    best = [int(row) for row in np.flatnonzero(ranks_T < cut)]
    signs_D = np.array([-1.0 if direction is Direction.MAXIMIZE else 1.0 for direction in directions])
    members_M = np.flatnonzero(ranks_T == cut)
    spread = spread_first(signs_D * values_TD[members_M], num_wanted=num_best - len(best))
    return sorted(best + [int(members_M[place]) for place in spread])


def spread_first(losses_MD: NDArray[np.float64], *, num_wanted: int | None = None) -> list[int]:
    """Return the rows of one front so that any first part of them covers it well.

    An epsilon-net, built greedily: the row with the least first loss, then always the row that is farthest from all
    before it. Distances are Euclidean, each objective divided by its range in this front, so that
    units do not matter. Ties go to the earlier row.

    Args:
        losses_MD: Lower is better.
        num_wanted: Return the first so many only (None: all).
    """
    wanted = len(losses_MD) if num_wanted is None else min(num_wanted, len(losses_MD))
    if wanted <= 0:
        return []
    ranges_D = np.ptp(losses_MD, axis=0)
    scaled_MD = losses_MD / np.where(ranges_D > 0, ranges_D, 1.0)
    order = [int(np.argmin(losses_MD[:, 0]))]
    distances_M = np.full(len(losses_MD), np.inf)
    while len(order) < wanted:
        to_last_M = np.linalg.norm(scaled_MD - scaled_MD[order[-1]], axis=1)
        distances_M = np.minimum(distances_M, to_last_M)
        distances_M[order] = -1.0  # taken: nearer than equal rows, whose distance is 0
        order.append(int(np.argmax(distances_M)))
    return order
