"""The networks of a front that are worth a name of their own."""

from __future__ import annotations

from reports.fronts import StudyFront, scores_of
from reports.picks import Pick, pick
from reports.records import TrialRecord

__all__ = ["most_accurate", "network_roles", "smallest"]


def most_accurate(front: StudyFront) -> TrialRecord:
    """Return the most accurate network of a front that has one; of equals the one with fewest MACs."""
    return max(front.points, key=lambda record: (scores_of(record).accuracy, -scores_of(record).macs))


def smallest(front: StudyFront) -> TrialRecord:
    """Return the network with the fewest MACs of a front that has one; of equals the most accurate."""
    return min(front.points, key=lambda record: (scores_of(record).macs, -scores_of(record).accuracy))


def network_roles(front: StudyFront) -> dict[str, TrialRecord]:
    """Return ``smallest``, ``balanced`` (the knee) and ``most-accurate``; the same network may be several.

    Empty without a front.
    """
    balanced = pick(front, "knee")
    if not isinstance(balanced, Pick):
        return {}
    return {
        "smallest": smallest(front),
        "balanced": balanced.record,
        "most-accurate": most_accurate(front),
    }
