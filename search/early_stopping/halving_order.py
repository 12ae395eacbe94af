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

import numpy as np
from numpy.typing import NDArray

__all__ = ["CoveringNet", "LastNet", "best_rows"]


class CoveringNet:
    """The rows of one front in such an order that any first part of them covers it well.

    An epsilon-net, built greedily: the row with the least first loss, then always the row that is farthest from all
    before it. Distances are Euclidean, each objective divided by its range in this front, so that
    units do not matter. Ties go to the earlier row. It is built as far as it is asked for.

    Args:
        losses_MD: Lower is better; at least one row.
    """

    def __init__(self, losses_MD: NDArray[np.float64]) -> None:
        ranges_D = np.ptp(losses_MD, axis=0)
        self._scaled_DM = np.ascontiguousarray((losses_MD / np.where(ranges_D > 0, ranges_D, 1.0)).T)
        self._distances_M = np.full(len(losses_MD), np.inf)  # to the rows in order; -1: one of them
        self._order = [int(np.argmin(losses_MD[:, 0]))]

    def first(self, num_wanted: int) -> list[int]:
        """Return the first rows of the order, at most all."""
        for _ in range(len(self._order), min(num_wanted, len(self._distances_M))):
            latest = self._order[-1]
            away_DM = self._scaled_DM - self._scaled_DM[:, latest, None]
            distances_M = np.sqrt(np.add.reduce(away_DM * away_DM))
            np.minimum(self._distances_M, distances_M, out=self._distances_M)
            self._distances_M[latest] = -1.0  # nearer than equal rows, whose distance is 0
            self._order.append(int(self._distances_M.argmax()))
        return self._order[: max(0, num_wanted)]


class LastNet:
    """Makes nets, and keeps the last one for as long as the same rows are asked for."""

    def __init__(self) -> None:
        self._last: tuple[NDArray[np.intp], CoveringNet] | None = None

    def of(self, members_M: NDArray[np.intp], losses_TD: NDArray[np.float64]) -> CoveringNet:
        """Return the net of some of the rows, whose losses never change."""
        if self._last is None or not np.array_equal(members_M, self._last[0]):
            self._last = members_M, CoveringNet(losses_TD[members_M])
        return self._last[1]


def best_rows(
    losses_TD: NDArray[np.float64],
    ranks_T: NDArray[np.int64],
    num_best: int,
    *,
    of_rows: NDArray[np.intp],
    nets: LastNet,
) -> list[int]:
    """Return which of some rows are among the best, ascending.

    Best are whole fronts [Deb2002], then of the next one what covers it [Schmucker2021]. Equal rows lie in one front.
    Of rows that are alike in all that counts, earlier ones are better.

    Args:
        losses_TD: Each objective in its own unit, lower better; the first one decides where the net of a front begins.
        ranks_T: Non-dominated ranks of the rows, from 1.
        num_best: How many are among the best; of fewer rows, all.
        of_rows: The rows in question, ascending.
        nets: Kept between calls, of rows that become more.
    """
    num_best = min(num_best, len(losses_TD))
    if num_best <= 0:
        return []
    cut = int(np.partition(ranks_T, num_best - 1)[num_best - 1])  # the front that holds the last of the best
    best: list[int] = of_rows[ranks_T[of_rows] < cut].tolist()
    at_cut = set(of_rows[ranks_T[of_rows] == cut].tolist())
    if not at_cut:
        return best
    members_M = np.flatnonzero(ranks_T == cut)
    num_left = num_best - int(np.count_nonzero(ranks_T < cut))
    places = nets.of(members_M, losses_TD).first(num_left)
    return sorted([*best, *at_cut.intersection(members_M[places].tolist())])
