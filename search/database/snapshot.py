"""A study in PostgreSQL, read without Optuna, in one read-only transaction.

What is read are the attributes that `SearchStudy` sets, and how trials ended; a test holds this against Optuna's own
reading. Times lie there in UTC and without a zone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import TYPE_CHECKING, Any

from pruning_core.errors import StorageError
from reports.records import TrialRecord
from search.database.postgresql import connect, in_one_line, load_psycopg
from search.studies.paused_collection import paused_collection
from search.studies.snapshot import RECORD, SnapshotParts, StudySnapshot

if TYPE_CHECKING:
    import psycopg

__all__ = [
    "change_mark",
    "holds_study",
    "read_database_attributes",
    "read_database_snapshot",
    "read_parts",
    "refuse_known_study",
]

_ENDED = "SELECT number, datetime_complete FROM trials WHERE study_id = %s AND datetime_complete IS NOT NULL"
_OF_TRIALS = """
SELECT t.number, a.key, a.value_json FROM trials t JOIN trial_user_attributes a USING (trial_id) WHERE t.study_id = %s
"""
_MARK = """
SELECT count(*), count(*) FILTER (WHERE state <> 'WAITING'), count(datetime_complete),
  (SELECT max(trial_user_attribute_id) FROM trial_user_attributes a JOIN trials USING (trial_id) WHERE study_id = %s)
FROM trials WHERE study_id = %s
"""


def read_database_snapshot(url: str, study: str) -> StudySnapshot:
    """Read a study; another process may be writing it. It is empty if the database does not hold it.

    Raises:
        StorageError: The database does not answer, or what it holds is no study of ours.
    """
    return read_parts(url, study).snapshot()


def read_parts(url: str, study: str) -> SnapshotParts:
    """Read what a snapshot is made of.

    Raises:
        StorageError: As `read_database_snapshot`.
    """
    parts = SnapshotParts()
    with _reading(url) as connection, paused_collection():
        study_id = _find(connection, study)
        if study_id is None:
            return parts
        parts.attributes.update(_attributes(connection, study_id))
        for number, ended_at in connection.execute(_ENDED, (study_id,)):
            parts.ended_at[number] = ended_at.replace(tzinfo=UTC).timestamp()
        for number, key, text in connection.execute(_OF_TRIALS, (study_id,)):
            if key == RECORD:
                try:
                    parts.records[number] = TrialRecord.model_validate_json(text)
                except ValueError as error:
                    raise StorageError(
                        f"the record of trial {number} of {study!r} in {url} must be one of ours, but: {error}"
                    ) from error
            else:
                parts.of_trials.setdefault(number, {})[key] = json.loads(text)
    return parts


def read_database_attributes(url: str, study: str) -> dict[str, Any]:
    """Read only what was noted about a study as a whole; empty if the database does not hold it.

    Raises:
        StorageError: The database does not answer.
    """
    with _reading(url) as connection:
        study_id = _find(connection, study)
        return {} if study_id is None else _attributes(connection, study_id)


def holds_study(url: str, study: str) -> bool:
    """Tell whether a database has a study of this name.

    Raises:
        StorageError: The database does not answer.
    """
    with _reading(url) as connection:
        return _find(connection, study) is not None


def refuse_known_study(url: str | None, study: str) -> None:
    """Refuse to begin a study that a database holds already; None: it will be in no database.

    Raises:
        StorageError: It does, or it does not answer.
    """
    if url is not None and holds_study(url, study):
        raise StorageError(
            f"a new study must have a new name, but {url} holds {study!r} already; choose another name with "
            f"study=NAME, or type `prunefront resume {study}` with the --storage that it was launched with"
        )


def change_mark(url: str, study: str) -> tuple[object, ...]:
    """Return what is different when the study has changed.

    Raises:
        StorageError: The database does not answer.
    """
    with _reading(url) as connection:
        study_id = _find(connection, study)
        if study_id is None:
            return ()
        return (study_id, *(connection.execute(_MARK, (study_id, study_id)).fetchone() or ()))


@contextmanager
def _reading(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Connect for one transaction that sees the database as it is now, and cannot write."""
    psycopg = load_psycopg()
    with connect(url) as connection:
        try:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection
        except psycopg.Error as error:
            raise StorageError(f"the database {url} must answer, but: {in_one_line(error)}") from error


def _find(connection: psycopg.Connection[Any], study: str) -> int | None:
    """Return Optuna's id of a study; None if there is none, or no table of studies."""
    if connection.execute("SELECT to_regclass('studies')").fetchone() == (None,):
        return None
    row = connection.execute("SELECT study_id FROM studies WHERE study_name = %s", (study,)).fetchone()
    return None if row is None else int(row[0])


def _attributes(connection: psycopg.Connection[Any], study_id: int) -> dict[str, Any]:
    query = "SELECT key, value_json FROM study_user_attributes WHERE study_id = %s"
    return {key: json.loads(text) for key, text in connection.execute(query, (study_id,))}
