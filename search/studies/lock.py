"""One driver per study: a lock that dies with the process that holds it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TextIO

from pruning_core.errors import StorageError
from search.disk import storage_errors
from search.studies.folder import StudyFolder
from search.studies.holder import Holder, held_by, this_process

__all__ = ["hold_study"]


@contextmanager
def hold_study(folder: StudyFolder) -> Iterator[None]:
    """Be the only process that may write the study while the context lasts.

    Raises:
        StorageError: Another process holds the study; the text names it.
    """
    with storage_errors(folder.path):
        file = folder.lock_path.open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(held_by(folder.study, _read_holder(file))) from None
        with storage_errors(folder.path):
            _write_holder(file)
        yield


def _write_holder(file: TextIO) -> None:
    file.truncate(0)
    file.write(json.dumps(asdict(this_process())))
    file.flush()


def _read_holder(file: TextIO) -> Holder | None:
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (ValueError, TypeError):
        return None
