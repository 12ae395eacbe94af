"""Trials of earlier studies, as samplers see them: what was tried and how it did, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from spaces import SearchSpace, Value

__all__ = ["EarlierTrial", "to_optuna"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierTrial:
    """``values``: of the fields that vary in the present search. ``scores``: of its objectives, in their order.

    ``constraints``: of the present search, satisfied when <= 0.
    """

    values: Mapping[str, Value]
    scores: tuple[float, ...]
    constraints: Mapping[str, float]

    def to_plain(self) -> dict[str, Any]:
        """Return what JSON can hold; ``from_plain`` reads it back."""
        return {
            "values": dict(self.values),
            "scores": list(self.scores),
            "constraints": dict(self.constraints),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> EarlierTrial:
        """Read what ``to_plain`` wrote."""
        return cls(values=plain["values"], scores=tuple(plain["scores"]), constraints=plain["constraints"])


def to_optuna(trials: Sequence[EarlierTrial], space: SearchSpace) -> list[FrozenTrial]:
    """Return earlier trials as Optuna's, with negative numbers, which no trial of a search has."""
    converted = []
    for index, trial in enumerate(trials):
        one = create_trial(
            state=TrialState.COMPLETE,
            values=trial.scores,
            params=dict(trial.values),
            distributions={name: space.distributions[name] for name in trial.values},
            constraints=dict(trial.constraints),
        )
        one.number = one._trial_id = index - len(trials)
        converted.append(one)
    return converted
