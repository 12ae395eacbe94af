"""The Optuna storage of a study: a journal in its folder, or a database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from optuna.storages import BaseStorage, JournalStorage

from pruning_core.errors import StorageError
from search.database.study_database import open_database, read_database
from search.database.written_through import WrittenThrough
from search.spec import SearchSpec
from search.studies.folder import StudyFolder
from search.studies.journal import open_journal, read_journal
from search.studies.place import database_of

__all__ = ["OpenStorage", "open_storage", "read_storage"]


@dataclass(frozen=True, slots=True)
class OpenStorage:
    """A storage for writing. ``sync``: waits until all that was written is on the disk."""

    storage: BaseStorage
    sync: Callable[[], None]


def open_storage(folder: StudyFolder, spec: SearchSpec, ensure_held: Callable[[], object]) -> OpenStorage:
    """Open the storage that a spec names, or begin it; only for the process that holds the study.

    Args:
        folder: Of the study.
        spec: Says where trials are kept.
        ensure_held: Called before anything is written over a new connection; raises if the study is not held any more.

    Raises:
        StorageError: The journal cannot be written, or the database is away or of another version.
    """
    url = spec.storage.optuna
    if url is None:
        journal = open_journal(folder)
        return OpenStorage(JournalStorage(journal), journal.sync)
    if folder.journal_path.is_file():
        raise StorageError(
            f"trials must be kept in one place, but {folder.journal_path} holds some and storage.optuna is {url}; "
            "set storage.optuna to null in the study's spec.yaml"
        )
    database = open_database(url, spec.study, ensure_held)
    return OpenStorage(WrittenThrough(database, spec.study), _written_at_once)


def read_storage(folder: StudyFolder) -> BaseStorage | None:
    """Open a study's storage for reading; another process may be writing it. None if its driver has not come so far.

    Raises:
        StorageError: The database does not answer.
    """
    url = database_of(folder)
    return read_journal(folder) if url is None else read_database(url, folder.study)


def _written_at_once() -> None:
    """Do nothing: the database waits for its disk with every statement."""
