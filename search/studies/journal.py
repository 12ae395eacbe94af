"""Optuna's log of a study: a file of JSON lines with one writer, whole even after that writer was killed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from search.disk import cut_torn_lines, storage_errors
from search.studies.folder import StudyFolder

__all__ = ["StudyJournal", "open_journal", "read_journal"]


def open_journal(folder: StudyFolder) -> StudyJournal:
    """Open the journal for writing, or begin it; only for the process that holds the study.

    A torn last line is cut, because whatever is appended to it would make the whole file unreadable.

    Raises:
        StorageError: The journal cannot be written.
    """
    with storage_errors(folder.path):
        cut_torn_lines(folder.journal_path)
        return StudyJournal(str(folder.journal_path), _NoLock(str(folder.journal_path)))


def read_journal(folder: StudyFolder) -> JournalStorage | None:
    """Read the journal as it is; another process may be writing it. None if there is none."""
    if not folder.journal_path.is_file():
        return None
    return JournalStorage(JournalFileBackend(str(folder.journal_path), _NoLock(str(folder.journal_path))))


class _NoLock(JournalFileOpenLock):
    """Optuna's own lock files outlive a killed process; ours guards the whole study."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return


class StudyJournal(JournalFileBackend):
    """Optuna's log, which waits for the disk only when a trial is finished.

    A killed process loses nothing that it wrote; only a machine that goes down can lose the lines since the last
    `sync`, and then the whole end of the log.
    """

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines; the caller is the only writer."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with storage_errors(self._path.parent), self._path.open("ab") as file:
            file.write(lines.encode("utf-8"))

    def sync(self) -> None:
        """Wait until everything that was appended is on the disk."""
        with storage_errors(self._path.parent), self._path.open("ab") as file:
            os.fsync(file.fileno())

    @property
    def _path(self) -> Path:
        return Path(self._file_path)
