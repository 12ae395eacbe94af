"""A study read from where its trials are kept: a journal in its folder, or a database. Reading writes nothing."""

from __future__ import annotations

from typing import Any

from search.database.snapshot import read_database_attributes, read_database_snapshot
from search.studies.folder import StudyFolder
from search.studies.journal_snapshot import read_journal_attributes, read_journal_snapshot
from search.studies.place import database_of
from search.studies.snapshot import StudySnapshot

__all__ = ["read_attributes", "read_snapshot"]


def read_snapshot(folder: StudyFolder) -> StudySnapshot:
    """Read the study; another process may be writing it. It is empty if its driver has not come so far.

    Raises:
        StorageError: A line of the journal, other than the last, cannot be read; or the database does not answer.
    """
    url = database_of(folder)
    return read_journal_snapshot(folder) if url is None else read_database_snapshot(url, folder.study)


def read_attributes(folder: StudyFolder) -> dict[str, Any]:
    """Read only what was noted about the study as a whole; empty if its driver has not come so far.

    Raises:
        StorageError: As `read_snapshot`.
    """
    url = database_of(folder)
    return read_journal_attributes(folder) if url is None else read_database_attributes(url, folder.study)
