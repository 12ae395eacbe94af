"""One driver per study: a lock that dies with the process that holds it."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from pruning_core.errors import StorageError
from search.disk import storage_errors
from search.study_folder import StudyFolder

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
            raise StorageError(
                f"a study must have one driver, but {folder.study!r} is held by {_read_holder(file)}; "
                f"wait for it, or stop it and type `prunefront resume {folder.study}`"
            ) from None
        with storage_errors(folder.path):
            _write_holder(file)
        yield


def _write_holder(file: TextIO) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "user": _user(), "since": since}
    file.truncate(0)
    file.write(json.dumps(holder))
    file.flush()


def _read_holder(file: TextIO) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        return f"process {holder['pid']} of {holder['user']} on {holder['host']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process that has just started"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
