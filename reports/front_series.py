"""How a front grows while a search runs: one set of values after each trial that counts.

MLflow draws them as metric series of the study's run. Every value is a running one, so that nothing depends on when
it was written:

* ``hypervolume`` and ``front_size``, as `reports.fronts` defines them;
* ``best_accuracy``: of the trials that count, which keep all of their own limits and the search's constraints;
* ``best_accuracy_within/macs_25_percent``: of those that cost at most 25 % of the dense network's MACs; likewise for
  10, 50 and 75 %, and for every other cost among the objectives. The ladder is the same for every study, so that
  studies can be laid over each other. A step that no network has reached yet has no value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from reports.fronts import GrowingFront, normalised_losses, objective_values, scores_of, volume_of
from reports.objectives import Direction
from reports.records import TrialRecord
from reports.scores import NetworkScores

__all__ = ["BEST_ACCURACY", "LADDER_PERCENT", "FrontSeries"]

LADDER_PERCENT = (10, 25, 50, 75)
"""Shares of the dense network's cost that accuracies are followed under."""
BEST_ACCURACY = "best_accuracy"
"""The series that has a point for every trial that counts, and comes last among its values."""


class FrontSeries:
    """Follows a search: give it each trial that counts, in the order they finished."""

    def __init__(self, objectives: Mapping[str, Direction]) -> None:
        self._objectives = objectives
        self._signs = np.array([1 if way is Direction.MINIMIZE else -1 for way in objectives.values()])
        self._points, self._losses = GrowingFront(len(objectives)), GrowingFront(len(objectives))
        self._volume, self._best = 0.0, 0.0
        self._within: dict[str, float] = {}

    def add(self, record: TrialRecord) -> dict[str, float]:
        """Take in a trial, and return the values after it."""
        self._points.add(self._signs * np.array(objective_values(record, self._objectives)))
        if self._losses.add(normalised_losses([record], self._objectives)[0]):
            self._volume = volume_of(self._losses.rows)
        scores = scores_of(record)
        self._best = max(self._best, scores.accuracy)
        for step in _ladder_steps(scores, self._objectives):
            self._within[step] = max(scores.accuracy, self._within.get(step, 0.0))
        return {
            "hypervolume": self._volume,
            "front_size": float(len(self._points.rows)),
            **self._within,
            BEST_ACCURACY: self._best,
        }


def _ladder_steps(scores: NetworkScores, objectives: Iterable[str]) -> Iterator[str]:
    """Yield the steps of the ladder that a network is cheap enough for."""
    for name in objectives:
        dense: float | None = getattr(scores, f"dense_{name}", None)
        if dense is None:
            continue
        for percent in LADDER_PERCENT:
            if 100 * scores.cost(name) <= percent * dense:
                yield f"{BEST_ACCURACY}_within/{name}_{percent}_percent"
