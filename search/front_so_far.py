"""The front of a search that runs, brought up to date by each trial instead of found anew."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from reports.dense import DenseNetwork, dense_of
from reports.fronts import StudyFront, find_front, is_ranked, objective_values, scores_of
from reports.objectives import Direction
from reports.records import StudyRecords, TrialRecord

__all__ = ["FrontSoFar"]


class FrontSoFar:
    """The ``points`` of `reports.fronts.find_front`; a trial is compared with them, and with no other trial.

    Args:
        study: What earlier drivers finished.
    """

    def __init__(self, study: StudyRecords) -> None:
        self._study = study.model_copy(update={"records": ()})
        signs = [1.0 if way is Direction.MINIMIZE else -1.0 for way in study.objectives.values()]
        self._signs: NDArray[np.float64] = np.array(signs)
        self._version = 0
        self._dense: dict[DenseNetwork, TrialRecord] = {}
        for record in study.records:
            self._note_dense(record)
        self._points = find_front(study).points  # replaced as a whole: another thread may draw it
        rows = [self._losses_of(record) for record in self._points]
        # numpy compares few long rows many times faster than many short ones
        self._losses = np.ascontiguousarray(np.array(rows).reshape(-1, len(self._signs)).T)

    @property
    def points(self) -> tuple[TrialRecord, ...]:
        """The front, most MACs first; of trials with equal objective values the one of the lowest number."""
        return self._points

    @property
    def version(self) -> int:
        """Another number whenever `largest` may return something else."""
        return self._version

    def add(self, record: TrialRecord) -> None:
        """Take in a finished trial."""
        self._note_dense(record)
        if is_ranked(record, self._study.objectives):
            self._compare(record)

    def largest(self, count: int) -> StudyFront:
        """Return the points with the most MACs, for a table of them: their study has one trial per dense network."""
        points = self._points[:count]
        study = self._study.model_copy(update={"records": tuple(self._dense.values())})
        return StudyFront(study=study, ranked=points, members=points, points=points)

    def _compare(self, record: TrialRecord) -> None:
        losses = self._losses_of(record)
        is_as_good = np.all(self._losses <= losses[:, None], axis=0)
        is_as_bad = np.all(self._losses >= losses[:, None], axis=0)
        if is_as_good.any():
            twins = np.flatnonzero(is_as_good & is_as_bad)
            if len(twins) == 0 or self._points[twins[0]].number < record.number:
                return
        self._replace(np.flatnonzero(is_as_bad), record, losses)

    def _replace(self, places: NDArray[np.intp], record: TrialRecord, losses: NDArray[np.float64]) -> None:
        """Put a trial in its place among the points, instead of those at some places."""
        points, rest = list(self._points), self._losses
        if len(places) > 0:
            for place in places[::-1]:
                del points[place]
            rest = np.delete(rest, places, axis=1)
        place = bisect_left(points, _order(record), key=_order)
        points.insert(place, record)
        self._points, self._losses = tuple(points), np.insert(rest, place, losses, axis=1)
        self._version += 1

    def _losses_of(self, record: TrialRecord) -> NDArray[np.float64]:
        """Return the objective values, turned so that lower is better."""
        values = np.array(objective_values(record, self._study.objectives), dtype=np.float64)
        return self._signs * values

    def _note_dense(self, record: TrialRecord) -> None:
        if record.scores is not None and (dense := dense_of(record.scores)) not in self._dense:
            self._dense[dense] = record
            self._version += 1


def _order(record: TrialRecord) -> tuple[int, int, int]:
    scores = scores_of(record)
    return -scores.macs, -scores.params, record.number
