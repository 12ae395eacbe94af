"""A study's log, read without Optuna: replaying one of many thousand trials with it takes a minute.

Optuna's log has one operation per line. What is read of it here are the attributes that `SearchStudy` sets, and how
trials ended; a test holds this against Optuna's own reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

from pruning_core.errors import StorageError
from reports.records import TrialRecord
from search.studies.folder import StudyFolder
from search.studies.paused_collection import paused_collection
from search.studies.snapshot import RECORD, SnapshotParts, StudySnapshot

__all__ = ["read_journal_attributes", "read_journal_snapshot"]

_SET_STUDY_ATTRIBUTE, _SET_STATE, _SET_TRIAL_ATTRIBUTE = 2, 6, 8  # operations of Optuna's log
_ENDED = frozenset({1, 2, 3})  # states COMPLETE, PRUNED, FAIL
_STUDY_ATTRIBUTE_LINE = re.compile(rb'^\{"op_code":%d,.*\n' % _SET_STUDY_ATTRIBUTE, re.MULTILINE)
_SKIPPED = rb'\{"op_code":(?!(?:%d|%d|%d),)\d+,' % (_SET_STUDY_ATTRIBUTE, _SET_STATE, _SET_TRIAL_ATTRIBUTE)
_LINE_TO_READ = re.compile(rb"^(?!%b).*\n" % _SKIPPED, re.MULTILINE)
_RECORD_OF = re.compile(rb'\{"op_code":8,"worker_id":"[^"]*","trial_id":(\d+),"user_attr":\{"record":\{')


def read_journal_snapshot(folder: StudyFolder) -> StudySnapshot:
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
        return log.parts.snapshot()


def read_journal_attributes(folder: StudyFolder) -> dict[str, Any]:
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
    return attributes or dict(read_journal_snapshot(folder).attributes)  # lines may be spelt otherwise


def _unreadable(folder: StudyFolder, error: ValueError) -> StorageError:
    return StorageError(
        f"{folder.journal_path} must hold a line of JSON per operation, but one cannot be read ({error}); "
        f"`prunefront resume {folder.study}` cuts a torn end"
    )


class _RecordAttribute(BaseModel):
    record: TrialRecord


class _RecordLine(BaseModel):
    user_attr: _RecordAttribute


class _Log:
    """What was read of a log so far; a trial's number is Optuna's id of it in a log of one study."""

    def __init__(self) -> None:
        self.parts = SnapshotParts()

    def add(self, line: bytes) -> None:
        """Take up one operation.

        Raises:
            ValueError: It is no JSON, or a record is not valid.
        """
        found = _RECORD_OF.match(line)
        if found:
            self.parts.records[int(found[1])] = _RecordLine.model_validate_json(line).user_attr.record
            return
        self._add_parsed(from_json(line))

    def _add_parsed(self, operation: Mapping[str, Any]) -> None:
        code = operation["op_code"]
        if code == _SET_STUDY_ATTRIBUTE:
            self.parts.attributes.update(operation["user_attr"])
        elif code == _SET_TRIAL_ATTRIBUTE:
            number, attributes = operation["trial_id"], operation["user_attr"]
            if RECORD in attributes:
                self.parts.records[number] = TrialRecord.model_validate(attributes[RECORD])
            self.parts.of_trials.setdefault(number, {}).update(attributes)
        elif code == _SET_STATE and operation["state"] in _ENDED:
            ended_at = datetime.fromisoformat(operation["datetime_complete"])
            self.parts.ended_at[operation["trial_id"]] = ended_at.timestamp()
