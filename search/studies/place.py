"""Where the trials of a study are kept."""

from __future__ import annotations

from search.spec import load_spec
from search.studies.folder import StudyFolder

__all__ = ["database_of"]


def database_of(folder: StudyFolder) -> str | None:
    """Return the address of the database with a study's trials; None: they are, or will be, in the folder's journal.

    Raises:
        InvalidSettingsError: There is no journal, and the spec cannot be read.
    """
    if folder.journal_path.is_file() or not folder.exists:
        return None
    return load_spec(folder.spec_path).storage.optuna
