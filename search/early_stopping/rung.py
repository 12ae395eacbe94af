"""What is known of one rung: who came to it with what, and who waits there for a decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.objectives import Direction
from search.early_stopping.growing_array import GrowingArray
from search.early_stopping.growing_ranks import GrowingRanks
from search.early_stopping.halving_order import LastNet, best_rows

__all__ = ["Rung", "RungResult"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RungResult:
    """A trial at a rung. ``values``: one per objective, in its own unit. ``is_out``: it breaks a limit on a cost, so
    that it can never be on the front; such a trial comes after all others.
    """

    number: int
    values: tuple[float, ...]
    is_out: bool = False


class Rung:
    """The results of a rung in the order in which they came, also of trials that have gone on, ended or failed since.

    What it is asked costs about the same at ten thousand results as at a hundred, as long as questions are about all
    results or about as many as the last time or more.

    Args:
        directions: One per objective.
    """

    def __init__(self, directions: Sequence[Direction]) -> None:
        self._within, self._beyond = GrowingRanks(directions), GrowingRanks(directions)
        self._net_within, self._net_beyond = LastNet(), LastNet()
        self._is_out_T = GrowingArray((), np.bool_)
        self._is_waiting_T = GrowingArray((), np.bool_)
        self._numbers: list[int] = []
        self._places: dict[int, int] = {}
        self._answer: tuple[int, list[int]] | None = None  # to the last question about those who wait

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, result: RungResult) -> None:
        """Take in the next result; its trial does not wait yet."""
        self._places[result.number] = len(self._numbers)
        self._numbers.append(result.number)
        self._is_out_T.append(result.is_out)
        self._is_waiting_T.append(False)
        self._answer = None
        (self._beyond if result.is_out else self._within).add(result.values)

    def hold(self, number: int) -> None:
        """Let a trial whose result is known wait."""
        self._is_waiting_T.rows[self._places[number]] = True
        self._answer = None

    def release(self, number: int) -> None:
        """Let a trial wait no longer."""
        self._is_waiting_T.rows[self._places[number]] = False

    @property
    def waiting(self) -> list[int]:
        """The trials that wait, in the order in which they came."""
        return [self._numbers[place] for place in np.flatnonzero(self._is_waiting_T.rows)]

    def num_until(self, number: int) -> int:
        """Return how many results there were once a trial had come."""
        return self._places[number] + 1

    def best_waiting(self, num_best: int) -> list[int]:
        """Return those who wait and are among the best, those beyond a limit last, else in the order of coming."""
        is_waiting_T = self._is_waiting_T.rows
        if self._answer is None or self._answer[0] != num_best:
            self._answer = num_best, self._best(np.flatnonzero(is_waiting_T), num_best, len(self))
        return [number for number in self._answer[1] if is_waiting_T[self._places[number]]]

    def is_among_best(self, number: int, num_best: int) -> bool:
        """Whether a trial was among the best when it came."""
        place = self._places[number]
        return bool(self._best(np.array([place]), num_best, place + 1))

    def _best(self, places: NDArray[np.intp], num_best: int, num_first: int) -> list[int]:
        """Return the trials at these places that are among the best of the first so many."""
        is_out_T = self._is_out_T.rows[:num_first]
        best: list[int] = []
        groups = (False, self._within, self._net_within), (True, self._beyond, self._net_beyond)
        for is_out, group, nets in groups:
            of_group = np.flatnonzero(is_out_T == is_out)
            asked = places[is_out_T[places] == is_out]
            if len(asked) and num_best > 0:
                found = best_rows(
                    group.losses[: len(of_group)],
                    group.of_first(len(of_group)),
                    num_best,
                    of_rows=np.searchsorted(of_group, asked),
                    nets=nets,
                )
                best += [self._numbers[of_group[row]] for row in found]
            num_best -= len(of_group)
        return best
