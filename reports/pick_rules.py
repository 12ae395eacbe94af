"""The rules by which one network is chosen of those within the limits: the table `PICK_RULES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.formats import amount_of, counted, percent, slim_accuracy
from reports.fronts import normalised_losses, scores_of
from reports.objectives import Direction
from reports.pick_limits import PickLimits
from reports.records import NetworkScores, StudyRecords, TrialRecord

__all__ = ["PICK_RULES", "PickRule", "default_rule"]

_NO_BEND = 1e-9
_FEWEST = {
    "macs": "fewest FLOPs (MACs)",
    "params": "fewest params",
    "latency_ms": "least time",
    "activation_memory": "least activation memory",
    "block_macs": "fewest MACs of the gated blocks",
}
"""Objectives that are costs, and what the cheapest network needs of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PickRule:
    """A way to choose among the networks of a study.

    ``order`` returns the candidates best first and a sentence on the first. ``front_only``: candidates are front
    members only. ``limits_are_wishes``: networks that miss a limit are candidates too, and the rule weighs that.
    """

    meaning: str
    front_only: bool
    order: Callable[[Sequence[TrialRecord], StudyRecords, PickLimits], tuple[list[TrialRecord], str]]
    limits_are_wishes: bool = False


def default_rule(limits: PickLimits) -> str:
    """Return the rule of whoever names none: what is as good as it must be shall be cheap."""
    return "cheapest" if limits.are_on_accuracy else "best_under"


def _best_under(
    candidates: Sequence[TrialRecord], study: StudyRecords, limits: PickLimits
) -> tuple[list[TrialRecord], str]:
    ordered = _least_first([-scores_of(record).accuracy for record in candidates], candidates, study)
    best = f"the highest validation accuracy ({slim_accuracy(scores_of(ordered[0]))})"
    return ordered, _why(ordered, limits, f"has {best}")


def _cheapest(
    candidates: Sequence[TrialRecord], study: StudyRecords, limits: PickLimits
) -> tuple[list[TrialRecord], str]:
    """Order by the first cost among the study's objectives; equal ones by the other objectives."""
    resource = next((name for name in study.objectives if name in _FEWEST), "macs")
    ordered = _least_first([scores_of(record).cost(resource) for record in candidates], candidates, study)
    spent = _spent(resource, scores_of(ordered[0]))
    return ordered, _why(ordered, limits, f"needs the {_FEWEST[resource]} ({spent})")


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
    candidates: Sequence[TrialRecord], study: StudyRecords, wishes: PickLimits
) -> tuple[list[TrialRecord], str]:
    """Order by how much of the wishes is missed, then by distance from the best value of every objective at once.

    What is missed of a wish is divided by the candidates' range of that quantity (costs as shares of the dense
    network's), the distance is Euclidean over the wishes; so is that to the best values, each objective scaled
    to the candidates' range. Without wishes, and among networks that fulfil them all, the second distance decides.
    """
    missed = _missed(candidates, wishes)
    losses = _scaled(normalised_losses(candidates, study.objectives))
    distances = np.sqrt((losses**2).sum(axis=1))
    order = sorted(
        range(len(candidates)), key=lambda i: (missed[i], distances[i], losses[i, 0], candidates[i].number)
    )
    ordered = [candidates[index] for index in order]
    first = f"Trial {ordered[0].number}"
    if not wishes.names():
        return ordered, f"{first} comes nearest to the best value of every objective at once."
    if missed[order[0]] > 0:
        return ordered, f"{first} comes nearest to {wishes}; no network of the front has all of it."
    number = int((missed == 0).sum())
    if number == 1:
        return ordered, f"{first} is the only network of the front with {wishes}."
    among = f"of the {counted(number, 'network')} of the front with {wishes}"
    return ordered, f"{first} comes nearest to the best value of every objective at once, {among}."


PICK_RULES: dict[str, PickRule] = {
    "best_under": PickRule(
        meaning="highest validation accuracy within the limits",
        front_only=False,
        order=_best_under,
    ),
    "cheapest": PickRule(
        meaning="least of the study's first cost objective (MACs) within the limits",
        front_only=False,
        order=_cheapest,
    ),
    "knee": PickRule(
        meaning="where the front bends most: more cost gains little, less cost loses much",
        front_only=True,
        order=_knee,
    ),
    "closest": PickRule(
        meaning="misses the limits least; of those that keep them, nearest to the best value of every objective",
        front_only=True,
        order=_closest,
        limits_are_wishes=True,
    ),
}


def _least_first(
    values: Sequence[float], candidates: Sequence[TrialRecord], study: StudyRecords
) -> list[TrialRecord]:
    """Order by one value each; equal ones by the study's objectives in turn, so that the first is on their front."""
    scores = [scores_of(record) for record in candidates]
    columns = (
        np.array(values, dtype=float),
        *normalised_losses(candidates, study.objectives).T,
        np.array([one.macs for one in scores]),
        np.array([one.params for one in scores]),
        np.array([record.number for record in candidates]),
    )
    return [candidates[index] for index in np.lexsort(columns[::-1])]


def _why(ordered: Sequence[TrialRecord], limits: PickLimits, reason: str) -> str:
    first = f"Trial {ordered[0].number}"
    if not limits.names():
        return f"{first} {reason} of the study."
    if len(ordered) == 1:
        return f"{first} is the only network with {limits}."
    return f"{first} {reason} of the {counted(len(ordered), 'network')} with {limits}."


def _missed(records: Sequence[TrialRecord], wishes: PickLimits) -> NDArray[np.float64]:
    """Return each network's distance from the wishes, 0 where all are fulfilled."""
    names = wishes.names()
    if not names:
        return np.zeros(len(records))
    excesses = [wishes.excess(scores_of(record)) for record in records]
    missed = np.array([[excess.get(name, 0.0) for name in names] for excess in excesses])
    ranges = np.array([_range_of(name, records) for name in names])
    distances: NDArray[np.float64] = np.sqrt(((missed / ranges) ** 2).sum(axis=1))
    return distances


def _range_of(limit: str, records: Sequence[TrialRecord]) -> float:
    """Return how far networks differ in what a limit is on, in the unit of its excess; 1 where they do not."""
    scores = [scores_of(record) for record in records]
    resource = limit.removeprefix("max_")
    if limit in ("min_accuracy", "max_drop"):
        values = [one.accuracy for one in scores]
    else:
        values = [one.cost(resource) / one.dense_cost(resource) for one in scores]
    return max(values) - min(values) or 1.0


def _spent(resource: str, scores: NetworkScores) -> str:
    dense: float | None = getattr(scores, f"dense_{resource}")
    share = "" if dense is None else f", {percent(scores.cost(resource) / dense)} of the dense network"
    return f"{amount_of(resource, scores.cost(resource))}{share}"


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
