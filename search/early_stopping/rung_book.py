"""What the driver knows of a search's rungs: who reached them with what, and who waits for a decision."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from reports.objectives import OBJECTIVES
from reports.records import RungScores
from search.early_stopping.brackets import bracket_of
from search.early_stopping.halving import RungState, Verdicts
from search.early_stopping.rung import Rung, RungResult
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
        self._rule = spec.halving.found_rule
        has_brackets = self._rule is not None and self._rule.has_brackets
        self._brackets = [
            {epochs: Rung(tuple(spec.objectives.values())) for epochs in spec.rungs}
            for _ in range(len(spec.rungs) + 1 if has_brackets else 1)
        ]
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
        if rung.epochs in self._spec.rungs:
            result = RungResult(number=number, values=self._values(rung), is_out=self._is_out(rung))
            self._rungs_of(number)[rung.epochs].add(result)

    def hold(self, proposal: Proposal) -> None:
        """Let a trial wait for the decision about its last rung."""
        number = proposal.asked.number
        self.waiting[number] = proposal
        self._rungs_of(number)[proposal.done].hold(number)

    def release(self, number: int) -> Proposal:
        """Return a trial about which something was decided; it waits no longer."""
        proposal = self.waiting.pop(number)
        self._rungs_of(number)[proposal.done].release(number)
        return proposal

    def verdicts(self, *, is_last: bool) -> Verdicts:
        """Decide about those who wait; ``is_last``: no result will come but from those who go on now."""
        if self._rule is None or not self.waiting:
            return Verdicts()
        eta = self._spec.halving.eta
        return self._rule.decide(RungState(brackets=self._brackets, eta=eta, is_last=is_last))

    def why_stopped(self, proposal: Proposal) -> str:
        """Say why a trial does not go on, alike for all that are stopped at one rung."""
        num_epochs = self._spec.run.fine_tuning.epochs
        return f"not among the best 1/{self._spec.halving.eta} of its rung after {proposal.done} of {num_epochs} epochs"

    def _rungs_of(self, number: int) -> dict[int, Rung]:
        """Return the rungs of the bracket that a trial belongs to."""
        if len(self._brackets) == 1:
            return self._brackets[0]
        return self._brackets[bracket_of(number, len(self._spec.rungs), self._spec.halving.eta)]

    def _values(self, rung: RungScores) -> tuple[float, ...]:
        values = [OBJECTIVES[name].value(rung.scores) for name in self._spec.objectives]
        return tuple(float(value) for value in values if value is not None)

    def _is_out(self, rung: RungScores) -> bool:
        """Whether a limit on a cost is broken; accuracy may still rise."""
        costs = (one for one in self._spec.parsed_constraints if one.quantity != "accuracy")
        return any(one.violation(rung.scores) > 0 for one in costs)
