"""A study as it was when it was read, made of the attributes that `SearchStudy` sets and of how trials ended."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reports.records import TrialRecord
from search.outcomes import ItemOutcome
from spaces import Value

__all__ = [
    "GONE_ON",
    "KEY",
    "RECORD",
    "REFUSED",
    "RUNG",
    "STARTED_AT",
    "VALUES",
    "AskedTrial",
    "ReachedRung",
    "SnapshotParts",
    "StudySnapshot",
    "with_rungs",
]

VALUES, KEY, STARTED_AT, RECORD, REFUSED = "values", "trial_key", "started_at", "record", "refused"
"""Attributes of a trial."""
RUNG, GONE_ON = "rung ", "gone on "  # with the rung's epochs


@dataclass(frozen=True, kw_only=True, slots=True)
class ReachedRung:
    """A trial after ``epochs`` of its fine-tuning. ``order``: among all results of the study's rungs, as they came."""

    epochs: int
    order: int
    outcome: ItemOutcome


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedTrial:
    """A trial that is not finished.

    ``values``: by dotted name. ``started_at``: when a worker got it, if one did. ``rungs``: what it reached, ascending.
    ``is_waiting``: nothing is decided yet about going on after the last of them.
    """

    number: int
    values: Mapping[str, Value]
    started_at: float | None = None
    rungs: tuple[ReachedRung, ...] = ()
    is_waiting: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySnapshot:
    """A study as it was when it was read.

    ``started``: trials that a worker has, with their keys. ``untold``: trials whose record is written, but which Optuna
    was not told of any more.
    """

    attributes: Mapping[str, Any]
    records: tuple[TrialRecord, ...]
    started: tuple[tuple[AskedTrial, str], ...]
    untold: tuple[int, ...] = ()


def with_rungs(asked: AskedTrial, attributes: Mapping[str, Any]) -> AskedTrial:
    """Return a trial with the rungs that its attributes tell of."""
    rungs = sorted(
        (
            ReachedRung(
                epochs=int(name.removeprefix(RUNG)),
                order=reached["order"],
                outcome=ItemOutcome.from_plain(reached["outcome"]),
            )
            for name, reached in attributes.items()
            if name.startswith(RUNG)
        ),
        key=lambda reached: reached.epochs,
    )
    is_waiting = bool(rungs) and f"{GONE_ON}{rungs[-1].epochs}" not in attributes
    return replace(asked, rungs=tuple(rungs), is_waiting=is_waiting)


@dataclass(slots=True)
class SnapshotParts:
    """What was read of a study so far; trials by their numbers.

    ``of_trials``: attributes beside the record. ``ended_at``: in unix seconds, of trials that Optuna was told of.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    of_trials: dict[int, dict[str, Any]] = field(default_factory=dict)
    records: dict[int, TrialRecord] = field(default_factory=dict)
    ended_at: dict[int, float] = field(default_factory=dict)

    def snapshot(self) -> StudySnapshot:
        """Return what was read."""
        order = sorted(self.records, key=lambda number: (self.ended_at.get(number, math.inf), number))
        return StudySnapshot(
            attributes=self.attributes,
            records=tuple(self.records[number] for number in order),
            started=tuple(self._started()),
            untold=tuple(number for number in order if number not in self.ended_at),
        )

    def _started(self) -> Iterable[tuple[AskedTrial, str]]:
        """Return the trials that a worker has, and that are not finished, nor their records written."""
        for number, attributes in sorted(self.of_trials.items()):
            if STARTED_AT in attributes and number not in self.records and number not in self.ended_at:
                asked = AskedTrial(
                    number=number, values=attributes[VALUES], started_at=attributes[STARTED_AT]
                )
                yield with_rungs(asked, attributes), attributes[KEY]
