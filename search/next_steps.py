"""Commands for people to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

from search.spec_settings import check_study_name
from search.studies.folder import StudyFolder

__all__ = ["DEFAULT_STORAGE", "command", "open_study", "storage_option"]

DEFAULT_STORAGE = Path("results")


def open_study(study: str, storage: Path) -> StudyFolder:
    """Return the folder of a study that exists.

    Raises:
        ValueError: The name cannot be a study's.
        StorageError: There is no such study, or the results are of another version.
    """
    try:
        check_study_name(study)
    except ValueError as error:
        raise ValueError(f"the name of a study {error}") from None
    folder = StudyFolder(storage, study)
    folder.check_existing()
    return folder


def command(folder: StudyFolder, name: str, *arguments: str) -> str:
    """Return the line to type for a command on a study: ``prunefront pick digits --knee``."""
    parts = ["prunefront", name, folder.study, *arguments, *storage_option(folder)]
    return " ".join(shlex.quote(part) for part in parts)


def storage_option(folder: StudyFolder) -> list[str]:
    """Return ``--storage DIR`` where it is not the default of the working directory."""
    if folder.root == DEFAULT_STORAGE.resolve():
        return []
    here = Path.cwd()
    shown = folder.root.relative_to(here) if folder.root.is_relative_to(here) else folder.root
    return ["--storage", str(shown)]
