"""A study as it is on disk, read without Optuna: replaying a log of many thousand trials with it takes a minute.

Optuna's log has one operation per line. What is read of it here are the attributes that `SearchStudy` sets, and how
trials ended; a test holds this against Optuna's own reading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

from pruning_core.errors import StorageError
from reports.records import TrialRecord
from search.outcomes import ItemOutcome
from search.paused_collection import paused_collection
from search.study_folder import StudyFolder
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
    "StudySnapshot",
    "read_attributes",
    "read_snapshot",
    "with_rungs",
]

VALUES, KEY, STARTED_AT, RECORD, REFUSED = "values", "trial_key", "started_at", "record", "refused"
"""Attributes of a trial."""
RUNG, GONE_ON = "rung ", "gone on "  # with the rung's epochs

_SET_STUDY_ATTRIBUTE, _SET_STATE, _SET_TRIAL_ATTRIBUTE = 2, 6, 8  # operations of Optuna's log
_ENDED = frozenset({1, 2, 3})  # states COMPLETE, PRUNED, FAIL
_STUDY_ATTRIBUTE_LINE = re.compile(rb'^\{"op_code":%d,.*\n' % _SET_STUDY_ATTRIBUTE, re.MULTILINE)
_SKIPPED = rb'\{"op_code":(?!(?:%d|%d|%d),)\d+,' % (_SET_STUDY_ATTRIBUTE, _SET_STATE, _SET_TRIAL_ATTRIBUTE)
_LINE_TO_READ = re.compile(rb"^(?!%b).*\n" % _SKIPPED, re.MULTILINE)
_RECORD_OF = re.compile(rb'\{"op_code":8,"worker_id":"[^"]*","trial_id":(\d+),"user_attr":\{"record":\{')


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


def read_snapshot(folder: StudyFolder) -> StudySnapshot:
    """Read the study without writing anything; another process may be writing it.

    Raises:
        StorageError: A line of the log, other than the last, cannot be read.
    """
    try:
        content = folder.journal_path.read_bytes()
    except FileNotFoundError:
        return StudySnapshot(attributes={}, records=(), started=())
    with paused_collection():
        log = _Log()
        try:
            for found in _LINE_TO_READ.finditer(content):  # behind the last break a line is being written
                log.add(found[0])
        except ValueError as error:
            raise _unreadable(folder, error) from error
        return log.snapshot()


def read_attributes(folder: StudyFolder) -> dict[str, Any]:
    """Read only what was noted about the study as a whole; empty if its driver has not come so far.

    Raises:
        StorageError: A line that is looked at cannot be read.
    """
    attributes: dict[str, Any] = {}
    try:
        for found in _STUDY_ATTRIBUTE_LINE.finditer(folder.journal_path.read_bytes()):
            attributes.update(from_json(found[0])["user_attr"])
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _unreadable(folder, error) from error
    return attributes or dict(read_snapshot(folder).attributes)  # lines may be spelt otherwise


def _unreadable(folder: StudyFolder, error: ValueError) -> StorageError:
    return StorageError(
        f"{folder.journal_path} must hold a line of JSON per operation, but one cannot be read ({error}); "
        f"`prunefront resume {folder.study}` cuts a torn end"
    )


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


class _RecordAttribute(BaseModel):
    record: TrialRecord


class _RecordLine(BaseModel):
    user_attr: _RecordAttribute


@dataclass(slots=True)
class _Log:
    """What was read of a log so far; trials by their numbers, which are Optuna's ids in a log of one study."""

    attributes: dict[str, Any] = field(default_factory=dict)
    of_trials: dict[int, dict[str, Any]] = field(default_factory=dict)
    records: dict[int, TrialRecord] = field(default_factory=dict)
    ended_at: dict[int, float] = field(default_factory=dict)

    def add(self, line: bytes) -> None:
        """Take up one operation.

        Raises:
            ValueError: It is no JSON, or a record is not valid.
        """
        found = _RECORD_OF.match(line)
        if found:
            self.records[int(found[1])] = _RecordLine.model_validate_json(line).user_attr.record
            return
        self._add_parsed(from_json(line))

    def snapshot(self) -> StudySnapshot:
        """Return what was read."""
        order = sorted(self.records, key=lambda number: (self.ended_at.get(number, math.inf), number))
        return StudySnapshot(
            attributes=self.attributes,
            records=tuple(self.records[number] for number in order),
            started=tuple(self._started()),
            untold=tuple(number for number in order if number not in self.ended_at),
        )

    def _add_parsed(self, operation: Mapping[str, Any]) -> None:
        code = operation["op_code"]
        if code == _SET_STUDY_ATTRIBUTE:
            self.attributes.update(operation["user_attr"])
        elif code == _SET_TRIAL_ATTRIBUTE:
            number, attributes = operation["trial_id"], operation["user_attr"]
            if RECORD in attributes:
                self.records[number] = TrialRecord.model_validate(attributes[RECORD])
            self.of_trials.setdefault(number, {}).update(attributes)
        elif code == _SET_STATE and operation["state"] in _ENDED:
            ended_at = datetime.fromisoformat(operation["datetime_complete"])
            self.ended_at[operation["trial_id"]] = ended_at.timestamp()

    def _started(self) -> Iterable[tuple[AskedTrial, str]]:
        """Return the trials that a worker has, and that are not finished, nor their records written."""
        for number, attributes in sorted(self.of_trials.items()):
            if STARTED_AT in attributes and number not in self.records and number not in self.ended_at:
                asked = AskedTrial(
                    number=number, values=attributes[VALUES], started_at=attributes[STARTED_AT]
                )
                yield with_rungs(asked, attributes), attributes[KEY]
