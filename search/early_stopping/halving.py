"""Which trials go on after a rung, and which are stopped: pure functions of the results that are recorded.

A *rung* is a number of fine-tuning epochs at which trials are compared. Of the trials that reached it, the best
1/eta go on [Li2020]; several objectives are compared as in [Schmucker2021]. Costs are exact from the first rung on and
count as they do on the front; accuracy is that of the network so far.

References:
    [Li2020] L. Li, K. Jamieson, A. Rostamizadeh, E. Gonina, J. Ben-tzur, M. Hardt, B. Recht, A. Talwalkar. A System
        for Massively Parallel Hyperparameter Tuning. MLSys 2020.
    [Schmucker2021] R. Schmucker, M. Donini, M. B. Zafar, D. Salinas, C. Archambeau. Multi-objective Asynchronous
        Successive Halving. arXiv:2106.12639, 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from reports.objectives import Direction
from search.early_stopping.brackets import bracket_of
from search.early_stopping.halving_order import best_rows

__all__ = ["HALVINGS", "HalvingRule", "RungResult", "RungState", "Verdicts"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RungResult:
    """A trial at a rung. ``values``: one per objective, in its own unit. ``is_out``: it breaks a limit on a cost, so
    that it can never be on the front; such a trial comes after all others.
    """

    number: int
    values: tuple[float, ...]
    is_out: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RungState:
    """All that a decision depends on.

    ``rungs``: by epochs, the results in the order in which they came, also of trials that have gone on, ended or failed
    since. ``waiting``: trials about which nothing is decided, with the rung they are at. ``is_last``: nothing runs and
    nothing will be proposed, so no result will come but from trials that go on now.
    """

    rungs: Mapping[int, Sequence[RungResult]]
    waiting: Mapping[int, int]
    directions: tuple[Direction, ...]
    eta: int
    is_last: bool = False

    def waiting_at(self, epochs: int) -> set[int]:
        """Return the trials that wait at a rung."""
        return {number for number, rung in self.waiting.items() if rung == epochs}


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdicts:
    """Trials to go on, those that are furthest first, and trials to stop; others go on waiting."""

    go_on: tuple[int, ...] = ()
    stop: tuple[int, ...] = ()


HalvingRule: TypeAlias = Callable[[RungState], Verdicts]


def _all_go_on(state: RungState) -> Verdicts:
    furthest = sorted(state.waiting, key=lambda number: (-state.waiting[number], number))
    return Verdicts(go_on=tuple(furthest))


def _stopping(state: RungState) -> Verdicts:
    """Decide about each trial as soon as it is there, among those that came to the rung before it.

    The first to come goes on. The verdict is the same whenever it is asked for.
    """
    go_on: list[int] = []
    stop: list[int] = []
    for epochs in sorted(set(state.waiting.values()), reverse=True):
        for number, num_results in _places(state.rungs[epochs], state.waiting_at(epochs)):
            best = _best(state, state.rungs[epochs][:num_results], max(1, num_results // state.eta))
            (go_on if number in best else stop).append(number)
    return Verdicts(go_on=tuple(go_on), stop=tuple(stop))


def _places(results: Sequence[RungResult], waiting: set[int]) -> list[tuple[int, int]]:
    """Return who waits, and how many results there were once it had come, in the order of coming.

    Those who wait came last, so the search begins there: rungs may hold thousands.
    """
    found: list[tuple[int, int]] = []
    for num_results in range(len(results), 0, -1):
        if len(found) == len(waiting):
            break
        if results[num_results - 1].number in waiting:
            found.append((results[num_results - 1].number, num_results))
    return found[::-1]


def _promotion(state: RungState) -> Verdicts:
    """Keep trials waiting until the rung is full enough for them to be among its best 1/eta.

    A trial is stopped only at the end. So that a search of few trials ends with networks, the best of each rung goes on
    even where the rung holds fewer than eta.
    """
    go_on: list[int] = []
    for epochs in sorted(set(state.waiting.values()), reverse=True):
        results, waiting = state.rungs[epochs], state.waiting_at(epochs)
        num_best = max(int(state.is_last), len(results) // state.eta)
        go_on += [number for number in _best(state, results, num_best) if number in waiting]
    is_over = state.is_last and not go_on
    return Verdicts(go_on=tuple(go_on), stop=tuple(sorted(state.waiting)) if is_over else ())


def _hyperband(state: RungState) -> Verdicts:
    """Decide as ``stopping`` does, each trial among those of its bracket, from the bracket's first rung on."""
    rungs = sorted(state.rungs)
    bracket_by_number = {number: bracket_of(number, len(rungs), state.eta) for number in state.waiting}
    go_on: list[int] = []
    stop: list[int] = []
    for bracket in set(bracket_by_number.values()):
        waiting = {
            number: epochs for number, epochs in state.waiting.items() if bracket_by_number[number] == bracket
        }
        judged = {number: epochs for number, epochs in waiting.items() if epochs in rungs[bracket:]}
        go_on += waiting.keys() - judged.keys()
        results = {
            epochs: [
                one for one in state.rungs[epochs] if bracket_of(one.number, len(rungs), state.eta) == bracket
            ]
            for epochs in set(judged.values())
        }
        found = _stopping(replace(state, rungs=results, waiting=judged))
        go_on += found.go_on
        stop += found.stop
    return Verdicts(
        go_on=tuple(sorted(go_on, key=lambda number: (-state.waiting[number], number))),
        stop=tuple(sorted(stop)),
    )


def _best(state: RungState, results: Sequence[RungResult], num_best: int) -> list[int]:
    """Return the best trials of a rung; those that can never be on the front are worse than all others."""
    best: list[int] = []
    for is_out in (False, True):
        group = [result for result in results if result.is_out == is_out]
        if group and len(best) < num_best:
            values_TD = np.array([result.values for result in group], dtype=np.float64)
            rows = best_rows(values_TD, state.directions, num_best - len(best))
            best += [group[row].number for row in rows]
    return best


HALVINGS: dict[str, HalvingRule | None] = {
    "none": None,
    "all": _all_go_on,
    "stopping": _stopping,
    "promotion": _promotion,
    "hyperband": _hyperband,
}
"""``none`` has no rungs; ``all`` measures every rung and stops nobody; the others halve."""
