"""The Pareto front of a study, ranks, and hypervolume.

Only trials that are COMPLETE, feasible and have a value for every objective count: a stopped trial's accuracy comes
from less training and would be compared unfairly.

Two trials with equal objective values do not dominate each other: both stay on the front, because a repeat
under another seed or method is evidence that a user wants to see. `distinct` keeps one of each.

Hypervolume is the share of the box between the reference point (accuracy 0, the dense network's MACs and params) and
the ideal (accuracy 1, no cost) that the front dominates: in [0, 1], higher is better. Networks as expensive as the
dense one add nothing.

References:
    [Deb2002] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
        algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from reports.objectives import OBJECTIVES, Direction
from reports.records import StudyRecords, TrialRecord, TrialStatus
from reports.scores import NetworkScores

__all__ = [
    "GrowingFront",
    "StudyFront",
    "distinct",
    "find_front",
    "front_ranks",
    "hypervolume",
    "hypervolume_history",
    "is_ranked",
    "losses_of",
    "non_dominated",
    "normalised_losses",
    "objective_values",
    "ranks",
    "scores_of",
    "volume_of",
]

Objectives = Mapping[str, Direction]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyFront:
    """A study with its front found once.

    ``ranked``: trials that count, by number. ``members``: the front, most MACs first. ``points``: the members with
    equal objective values counted once.
    """

    study: StudyRecords
    ranked: tuple[TrialRecord, ...]
    members: tuple[TrialRecord, ...]
    points: tuple[TrialRecord, ...]


class GrowingFront:
    """The distinct non-dominated rows seen so far; lower is better in every column."""

    def __init__(self, num_columns: int) -> None:
        self.rows: NDArray[np.float64] = np.zeros((0, num_columns))

    def add(self, row: NDArray[np.float64]) -> bool:
        """Take a row in, unless one that is there is at least as good everywhere; say whether it was taken."""
        if np.any(np.all(self.rows <= row, axis=1)):
            return False
        self.rows = np.vstack([self.rows[~np.all(self.rows >= row, axis=1)], row])
        return True


def scores_of(record: TrialRecord) -> NetworkScores:
    """Return the scores of a trial that is known to have them."""
    assert record.scores is not None
    return record.scores


def is_ranked(record: TrialRecord, objectives: Objectives) -> bool:
    """Whether a trial counts: complete, feasible, with a value for every objective."""
    if record.status is not TrialStatus.COMPLETE or not record.is_feasible:
        return False
    scores = scores_of(record)
    return all(OBJECTIVES[name].value(scores) is not None for name in objectives)


def objective_values(record: TrialRecord, objectives: Objectives) -> tuple[float, ...]:
    """Return a ranked trial's values in the order of the objectives, each in its own unit."""
    values = [OBJECTIVES[name].value(scores_of(record)) for name in objectives]
    return tuple(float(value) for value in values if value is not None)


def normalised_losses(records: Sequence[TrialRecord], objectives: Objectives) -> NDArray[np.float64]:
    """Return one row per ranked trial, one column per objective, in [0, 1] with 0 the ideal and 1 the reference."""
    rows = [losses_of(scores_of(record), objectives) for record in records]
    return np.array(rows, dtype=np.float64).reshape(-1, len(objectives))


def losses_of(scores: NetworkScores, objectives: Objectives) -> list[float]:
    """Return one network's losses as `normalised_losses` does; it must have a value for every objective."""
    losses = []
    for name, direction in objectives.items():
        value = OBJECTIVES[name].value(scores)
        assert value is not None
        loss = OBJECTIVES[name].normalised(float(value), scores)
        losses.append(loss if direction is Direction.MINIMIZE else 1.0 - loss)
    return losses


def non_dominated(values: NDArray[np.float64], directions: Sequence[Direction]) -> NDArray[np.bool_]:
    """Tell which rows no other row is at least as good as everywhere and better somewhere; equal rows all stay.

    Raises:
        ValueError: A value is NaN, which is neither better nor worse than any other.
    """
    if len(values) == 0:
        return np.zeros(0, dtype=np.bool_)
    _refuse_nan(values)
    maximise = [direction is Direction.MAXIMIZE for direction in directions]
    return np.asarray(moocore.is_nondominated(values, maximise=maximise, keep_weakly=True), dtype=np.bool_)


def ranks(values: NDArray[np.float64], directions: Sequence[Direction]) -> NDArray[np.int64]:
    """Return each row's rank [Deb2002]: 1 for the front, 2 for the front of the rest, and so on.

    Raises:
        ValueError: A value is NaN.
    """
    if len(values) == 0:
        return np.zeros(0, dtype=np.int64)
    _refuse_nan(values)
    maximise = [direction is Direction.MAXIMIZE for direction in directions]
    if len(maximise) == 1:  # moocore 0.3.2 ranks a single objective wrongly
        losses = -values[:, 0] if maximise[0] else values[:, 0]
        return np.unique(losses, return_inverse=True)[1].astype(np.int64) + 1
    return np.asarray(moocore.pareto_rank(values, maximise=maximise), dtype=np.int64) + 1


def find_front(study: StudyRecords) -> StudyFront:
    """Find the trials that count and those of them on the front."""
    ranked = _ranked(study)
    mask = non_dominated(_matrix(ranked, study.objectives), list(study.objectives.values()))
    members = [record for record, is_member in zip(ranked, mask, strict=True) if is_member]
    members.sort(key=lambda record: (-scores_of(record).macs, -scores_of(record).params, record.number))
    return StudyFront(
        study=study,
        ranked=ranked,
        members=tuple(members),
        points=distinct(members, study.objectives),
    )


def front_ranks(study: StudyRecords) -> dict[int, int]:
    """Return the rank of every trial that counts, by trial number; rank 1 is the front."""
    ranked = _ranked(study)
    row_ranks = ranks(_matrix(ranked, study.objectives), list(study.objectives.values()))
    return {record.number: int(rank) for record, rank in zip(ranked, row_ranks, strict=True)}


def distinct(records: Sequence[TrialRecord], objectives: Objectives) -> tuple[TrialRecord, ...]:
    """Keep the lowest trial number of each set of equal objective values, in the given order."""
    first: dict[tuple[float, ...], int] = {}
    for record in records:
        values = objective_values(record, objectives)
        first[values] = min(record.number, first.get(values, record.number))
    kept = set(first.values())
    return tuple(record for record in records if record.number in kept)


def hypervolume(records: Sequence[TrialRecord], objectives: Objectives) -> float:
    """Return the dominated share of the box between reference and ideal, in [0, 1]; 0 without trials."""
    return volume_of(normalised_losses(records, objectives))


def hypervolume_history(study: StudyRecords) -> tuple[tuple[float, float], ...]:
    """Return ``(seconds since the study began, hypervolume)`` after each finished trial that raised it."""
    finished = sorted(_ranked(study), key=lambda record: (record.finished_at or 0.0, record.number))
    losses = normalised_losses(finished, study.objectives)
    front = GrowingFront(len(study.objectives))
    history: list[tuple[float, float]] = []
    best = 0.0
    for record, row in zip(finished, losses, strict=True):
        if not front.add(row):
            continue
        volume = volume_of(front.rows)
        if volume > best:
            best = volume
            history.append((max(0.0, (record.finished_at or 0.0) - study.created_at), volume))
    return tuple(history)


def _refuse_nan(values: NDArray[np.float64]) -> None:
    is_nan = np.isnan(values).any(axis=1)
    if is_nan.any():
        raise ValueError(f"objective values must be numbers, but row {int(is_nan.argmax())} has NaN")


def volume_of(losses: NDArray[np.float64]) -> float:
    """Return the hypervolume of rows of normalised losses, in [0, 1]; 0 without rows."""
    if len(losses) == 0:
        return 0.0
    return float(moocore.hypervolume(losses, ref=np.ones(losses.shape[1])))


def _ranked(study: StudyRecords) -> tuple[TrialRecord, ...]:
    counted = (record for record in study.records if is_ranked(record, study.objectives))
    return tuple(sorted(counted, key=lambda record: record.number))


def _matrix(records: Sequence[TrialRecord], objectives: Objectives) -> NDArray[np.float64]:
    return np.array([objective_values(record, objectives) for record in records]).reshape(-1, len(objectives))
