"""What the driver knows of a search's rungs: who reached them with what, and who waits for a decision."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from reports.objectives import OBJECTIVES
from reports.records import RungScores
from search.early_stopping.halving import RungResult, RungState, Verdicts
from search.spec import SearchSpec
from search.trial_records import Proposal

__all__ = ["RungBook"]


class RungBook:
    """Results in the order in which they came, and the trials that wait at a rung.

    Args:
        spec: Of the search; says which rule decides.
    """

    def __init__(self, spec: SearchSpec) -> None:
        self._spec = spec
        self._decide = spec.halving.decide
        self._results: dict[int, list[RungResult]] = {epochs: [] for epochs in spec.rungs}
        self._orders = count()
        self.waiting: dict[int, Proposal] = {}

    def learn(self, results: Iterable[tuple[int, RungScores]]) -> None:
        """Take in what earlier drivers recorded, as pairs of a trial's number and a result, in any order."""
        in_order = sorted(results, key=lambda pair: pair[1].order)
        for number, scores in in_order:
            self.add(number, scores)
        if in_order:
            self._orders = count(in_order[-1][1].order + 1)

    def next_order(self) -> int:
        """Return the place of the next result."""
        return next(self._orders)

    def add(self, number: int, rung: RungScores) -> None:
        """Take in a result; those of rungs that the spec does not have decide nothing."""
        if rung.epochs in self._results:
            result = RungResult(number=number, values=self._values(rung), is_out=self._is_out(rung))
            self._results[rung.epochs].append(result)

    def hold(self, proposal: Proposal) -> None:
        """Let a trial wait for the decision about its last rung."""
        self.waiting[proposal.asked.number] = proposal

    def release(self, number: int) -> Proposal:
        """Return a trial about which something was decided; it waits no longer."""
        return self.waiting.pop(number)

    def verdicts(self, *, is_last: bool) -> Verdicts:
        """Decide about those who wait; ``is_last``: no result will come but from those who go on now."""
        if self._decide is None or not self.waiting:
            return Verdicts()
        return self._decide(
            RungState(
                rungs=self._results,
                waiting={number: proposal.done for number, proposal in self.waiting.items()},
                directions=tuple(self._spec.objectives.values()),
                eta=self._spec.halving.eta,
                is_last=is_last,
            )
        )

    def why_stopped(self, proposal: Proposal) -> str:
        """Say why a trial does not go on, alike for all that are stopped at one rung."""
        num_epochs = self._spec.run.fine_tuning.epochs
        return f"not among the best 1/{self._spec.halving.eta} of its rung after {proposal.done} of {num_epochs} epochs"

    def _values(self, rung: RungScores) -> tuple[float, ...]:
        values = [OBJECTIVES[name].value(rung.scores) for name in self._spec.objectives]
        return tuple(float(value) for value in values if value is not None)

    def _is_out(self, rung: RungScores) -> bool:
        """Whether a limit on a cost is broken; accuracy may still rise."""
        costs = (one for one in self._spec.parsed_constraints if one.quantity != "accuracy")
        return any(one.violation(rung.scores) > 0 for one in costs)
