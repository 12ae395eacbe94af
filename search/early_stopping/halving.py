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
from dataclasses import dataclass

from search.early_stopping.rung import Rung

__all__ = ["HALVINGS", "HalvingRule", "RungState", "Verdicts"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RungState:
    """All that a decision depends on.

    ``brackets``: of each, its rungs by epochs, ascending; trials are compared with those of their bracket. ``is_last``:
    nothing runs and nothing will be proposed, so no result will come but from trials that go on now.
    """

    brackets: Sequence[Mapping[int, Rung]]
    eta: int
    is_last: bool = False

    @property
    def rungs(self) -> Mapping[int, Rung]:
        """The rungs of a rule that has one bracket."""
        (rungs,) = self.brackets
        return rungs


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdicts:
    """Trials to go on, those that are furthest first, and trials to stop; others go on waiting."""

    go_on: tuple[int, ...] = ()
    stop: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class HalvingRule:
    """``decide`` says what becomes of those who wait; ``has_brackets``: trials belong to several (`bracket_of`)."""

    decide: Callable[[RungState], Verdicts]
    has_brackets: bool = False


def _all_go_on(state: RungState) -> Verdicts:
    go_on = [number for rung in _furthest_first(state.rungs) for number in sorted(rung.waiting)]
    return Verdicts(go_on=tuple(go_on))


def _stopping(state: RungState) -> Verdicts:
    """Decide about each trial as soon as it is there, among those that came to the rung before it.

    The first to come goes on. The verdict is the same whenever it is asked for.
    """
    go_on: list[int] = []
    stop: list[int] = []
    for rung in _furthest_first(state.rungs):
        for number in rung.waiting:
            num_best = max(1, rung.num_until(number) // state.eta)
            (go_on if rung.is_among_best(number, num_best) else stop).append(number)
    return Verdicts(go_on=tuple(go_on), stop=tuple(stop))


def _promotion(state: RungState) -> Verdicts:
    """Keep trials waiting until the rung is full enough for them to be among its best 1/eta.

    A trial is stopped only at the end. So that a search of few trials ends with networks, the best of each rung goes on
    even where the rung holds fewer than eta.
    """
    go_on: list[int] = []
    for rung in _furthest_first(state.rungs):
        go_on += rung.best_waiting(max(int(state.is_last), len(rung) // state.eta))
    is_over = state.is_last and not go_on
    stop = sorted(number for rung in state.rungs.values() for number in rung.waiting) if is_over else ()
    return Verdicts(go_on=tuple(go_on), stop=tuple(stop))


def _hyperband(state: RungState) -> Verdicts:
    """Decide as ``stopping`` does, each trial among those of its bracket, from the bracket's first rung on."""
    reached: dict[int, int] = {}
    stop: list[int] = []
    for bracket, rungs in enumerate(state.brackets):
        reached.update({number: epochs for epochs, rung in rungs.items() for number in rung.waiting})
        judged = {epochs: rungs[epochs] for epochs in list(rungs)[bracket:]}
        stop += _stopping(RungState(brackets=(judged,), eta=state.eta, is_last=state.is_last)).stop
    go_on = reached.keys() - set(stop)
    return Verdicts(
        go_on=tuple(sorted(go_on, key=lambda number: (-reached[number], number))), stop=tuple(sorted(stop))
    )


def _furthest_first(rungs: Mapping[int, Rung]) -> list[Rung]:
    return [rungs[epochs] for epochs in sorted(rungs, reverse=True)]


HALVINGS: dict[str, HalvingRule | None] = {
    "none": None,
    "all": HalvingRule(decide=_all_go_on),
    "stopping": HalvingRule(decide=_stopping),
    "promotion": HalvingRule(decide=_promotion),
    "hyperband": HalvingRule(decide=_hyperband, has_brackets=True),
}
"""``none`` has no rungs; ``all`` measures every rung and stops nobody; the others halve."""
