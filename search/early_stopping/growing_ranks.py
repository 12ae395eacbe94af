"""Non-dominated ranks of rows that come one after the other, without sorting all of them again for each.

A new row raises no rank by more than one: it takes its place in the first front in which no row dominates it; the rows
there that it dominates move to the next front, where they displace others in turn [Li2014].

References:
    [Li2014] K. Li, K. Deb, Q. Zhang, Q. Zhang. Efficient Non-domination Level Update Method for Steady-State
        Evolutionary Multiobjective Optimization. COIN Report 2014014, Michigan State University, 2014.

Shape suffixes used in this file:
    T  trials, in the order in which they came
    M  trials of one front
    N  new or displaced trials
    D  objectives
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reports.fronts import ranks
from reports.objectives import Direction
from search.early_stopping.growing_array import GrowingArray

__all__ = ["GrowingRanks"]

_MOST_ONE_BY_ONE = 32  # new rows; more are sorted together with all others


class GrowingRanks:
    """Ranks of rows as `reports.fronts.ranks` gives them: 1 for the front, 2 for the front of the rest, and so on.

    Args:
        directions: One per objective.
    """

    def __init__(self, directions: Sequence[Direction]) -> None:
        self._directions = tuple(Direction.MINIMIZE for _ in directions)
        self._signs_D = np.array([-1.0 if one is Direction.MAXIMIZE else 1.0 for one in directions])
        self._losses_TD = GrowingArray((len(directions),), np.float64)
        self._ranks_T = GrowingArray((), np.int64)
        self._fronts: list[NDArray[np.intp]] = []

    def __len__(self) -> int:
        return len(self._losses_TD)

    @property
    def losses(self) -> NDArray[np.float64]:
        """Shape TD: the rows, lower better in every column."""
        return self._losses_TD.rows

    def add(self, values: Sequence[float]) -> None:
        """Take in a row, each objective in its own unit; its rank is found when it is asked for."""
        self._losses_TD.append(self._signs_D * np.asarray(values, dtype=np.float64))

    def of_first(self, num_first: int) -> NDArray[np.int64]:
        """Return the ranks that the first rows have among themselves, shape T; do not change them.

        Cheap if a few rows more are asked for than the last time, a sort of all of them otherwise.

        Raises:
            ValueError: A value is NaN.
        """
        num_ranked = len(self._ranks_T)
        if num_first < num_ranked:
            return ranks(self.losses[:num_first], self._directions)
        if num_first - num_ranked > _MOST_ONE_BY_ONE:
            self._rank_at_once(num_first)
        else:
            for row in range(num_ranked, num_first):
                self._insert(row)
        return self._ranks_T.rows

    def _rank_at_once(self, num_first: int) -> None:
        ranks_T = ranks(self.losses[:num_first], self._directions)
        self._ranks_T.replace(ranks_T)
        by_rank_T = np.argsort(ranks_T, kind="stable")
        self._fronts = np.split(by_rank_T, np.cumsum(np.bincount(ranks_T)[1:])[:-1])

    def _insert(self, row: int) -> None:
        if np.isnan(self.losses[row]).any():
            raise ValueError(f"objective values must be numbers, but row {row} has NaN")
        place = self._place_of(row)
        self._ranks_T.append(place + 1)
        moving_N = np.array([row], dtype=np.intp)
        while place < len(self._fronts):
            front_M = self._fronts[place]
            is_moved_M = self._dominated(front_M, moving_N)
            if is_moved_M.all():  # the whole front, and so all behind it
                break
            self._fronts[place] = np.concatenate([front_M[~is_moved_M], moving_N])
            moving_N = front_M[is_moved_M]
            if len(moving_N) == 0:
                return
            self._ranks_T.rows[moving_N] += 1
            place += 1
        else:
            self._fronts.append(moving_N)
            return
        ranks_T = self._ranks_T.rows
        is_behind_T = ranks_T > place
        is_behind_T[moving_N] = False
        ranks_T[is_behind_T] += 1
        self._fronts.insert(place, moving_N)

    def _place_of(self, row: int) -> int:
        """Return the first front of which no row dominates this one; in every front before it some row does."""
        loss_D = self.losses[row]
        first, end = 0, len(self._fronts)
        while first < end:
            middle = (first + end) // 2
            losses_MD = self.losses[self._fronts[middle]]
            is_as_good_M = (losses_MD <= loss_D).all(axis=1)
            if (losses_MD[is_as_good_M] < loss_D).any():
                first = middle + 1
            else:
                end = middle
        return first

    def _dominated(self, front_M: NDArray[np.intp], by_N: NDArray[np.intp]) -> NDArray[np.bool_]:
        losses_M1D = self.losses[front_M][:, None]
        losses_ND = self.losses[by_N]
        is_as_good_MN = (losses_ND <= losses_M1D).all(axis=2)
        is_better_MN = (losses_ND < losses_M1D).any(axis=2)
        is_dominated_M: NDArray[np.bool_] = np.any(is_as_good_MN & is_better_MN, axis=1)
        return is_dominated_M
