"""The rules by which one network is chosen of those within the limits: the table `PICK_RULES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.formats import amount, counted, percent, slim_accuracy
from reports.fronts import normalised_losses, scores_of
from reports.objectives import Direction
from reports.pick_limits import PickLimits
from reports.records import StudyRecords, TrialRecord

__all__ = ["PICK_RULES", "PickRule"]

_NO_BEND = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class PickRule:
    """A way to choose among the networks within the limits.

    ``order`` returns the candidates best first and a sentence on the first; ``front_only``: candidates are
    front members only.
    """

    meaning: str
    front_only: bool
    order: Callable[[Sequence[TrialRecord], StudyRecords, PickLimits], tuple[list[TrialRecord], str]]


def _best_under(
    candidates: Sequence[TrialRecord], _: StudyRecords, limits: PickLimits
) -> tuple[list[TrialRecord], str]:
    cheapest_first = limits.names() == ("min_accuracy",)

    def preference(record: TrialRecord) -> tuple[float, ...]:
        scores = scores_of(record)
        cost = (scores.macs, scores.params)
        return (*cost, -scores.accuracy) if cheapest_first else (-scores.accuracy, *cost)

    ordered = sorted(candidates, key=lambda record: (preference(record), record.number))
    scores = scores_of(ordered[0])
    among = (
        f"of the {counted(len(candidates), 'network')} with {limits}" if limits.names() else "of the study"
    )
    if len(candidates) == 1 and limits.names():
        return ordered, f"Trial {ordered[0].number} is the only network with {limits}."
    if cheapest_first:
        cost = f"{amount(scores.macs)}, {percent(scores.macs_share)} of the dense network"
        return ordered, f"Trial {ordered[0].number} needs the fewest FLOPs (MACs) ({cost}) {among}."
    best = f"the highest validation accuracy ({slim_accuracy(scores)})"
    return ordered, f"Trial {ordered[0].number} has {best} {among}."


def _knee(
    candidates: Sequence[TrialRecord], study: StudyRecords, _: PickLimits
) -> tuple[list[TrialRecord], str]:
    """Order by distance below the chord between the best and the cheapest network.

    Losses are scaled to [0, 1] over the candidates. With more than two objectives, those to maximise are averaged
    into one axis and those to minimise into the other: MACs and params rise and fall together, so that a plane
    through the extremes would be badly determined.
    """
    gain, cost = _two_axes(candidates, study)
    bend = 1 - gain - cost
    order = sorted(range(len(candidates)), key=lambda i: (-bend[i], gain[i], candidates[i].number))
    if len(candidates) == 1:
        return list(candidates), f"Trial {candidates[0].number} is the only network to choose from."
    if bend[order[0]] <= _NO_BEND:
        order = sorted(range(len(candidates)), key=lambda i: (gain[i], cost[i], candidates[i].number))
        ending = "the front has no bend, so this is its most accurate end."
    else:
        ending = "larger networks gain little on it, smaller ones lose much."
    ordered = [candidates[index] for index in order]
    return ordered, f"Trial {ordered[0].number} is the knee of the front: {ending}"


def _closest(
    candidates: Sequence[TrialRecord], study: StudyRecords, _: PickLimits
) -> tuple[list[TrialRecord], str]:
    losses = _scaled(normalised_losses(candidates, study.objectives))
    distances = np.sqrt((losses**2).sum(axis=1))
    order = sorted(range(len(candidates)), key=lambda i: (distances[i], candidates[i].number))
    ordered = [candidates[index] for index in order]
    return ordered, f"Trial {ordered[0].number} comes nearest to the best value of every objective at once."


PICK_RULES: dict[str, PickRule] = {
    "best_under": PickRule(
        meaning="highest accuracy within the limits; with only an accuracy asked for, the fewest FLOPs (MACs)",
        front_only=False,
        order=_best_under,
    ),
    "knee": PickRule(
        meaning="where the front bends most: more cost gains little, less cost loses much",
        front_only=True,
        order=_knee,
    ),
    "closest": PickRule(
        meaning="nearest to the best value of every objective, each scaled to the front's range",
        front_only=True,
        order=_closest,
    ),
}


def _two_axes(
    records: Sequence[TrialRecord], study: StudyRecords
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    losses = _scaled(normalised_losses(records, study.objectives))
    is_gain = np.array([direction is Direction.MAXIMIZE for direction in study.objectives.values()])
    if is_gain.all() or not is_gain.any():
        is_gain = np.arange(len(is_gain)) == 0
    if is_gain.all():
        return losses[:, 0], np.ones(len(losses))
    gain = losses[:, is_gain].mean(axis=1, keepdims=True)
    cost = losses[:, ~is_gain].mean(axis=1, keepdims=True)
    return _scaled(gain)[:, 0], _scaled(cost)[:, 0]


def _scaled(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = losses.min(axis=0), losses.max(axis=0)
    scaled: NDArray[np.float64] = (losses - low) / np.where(high > low, high - low, 1.0)
    return scaled
