"""Whether a driver works on a study, found out without touching its lock."""

from __future__ import annotations

import json
import os
import socket

from search.database.lock import who_holds
from search.studies.folder import StudyFolder
from search.studies.holder import Holder
from search.studies.place import database_of

__all__ = ["driver_of", "is_driven", "last_host_elsewhere", "process_lives"]


def is_driven(folder: StudyFolder) -> bool:
    """Tell whether a process works on the study; see `driver_of`."""
    return driver_of(folder) is not None


def driver_of(folder: StudyFolder) -> Holder | None:
    """Return the process that holds the study.

    The lock itself is not tried: holding it, if only for a moment, could turn a driver away. A database knows its
    holder wherever it runs. Of a study with a journal the answer is the process that last locked it, if it lives;
    None if it runs on another machine.

    Raises:
        StorageError: The database does not answer.
    """
    url = database_of(folder)
    if url is not None:
        return who_holds(url, folder.study)
    holder = _last_holder(folder)
    if holder is None or holder.host != socket.gethostname() or not process_lives(holder.pid):
        return None
    return holder


def last_host_elsewhere(folder: StudyFolder) -> str | None:
    """Return the other machine on which a study was last driven; whether its driver lives, only that machine knows.

    None if it was this one, or if a database knows.
    """
    holder = None if database_of(folder) is not None else _last_holder(folder)
    return None if holder is None or holder.host == socket.gethostname() else holder.host


def process_lives(pid: int) -> bool:
    """Tell whether a process of this machine lives, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _last_holder(folder: StudyFolder) -> Holder | None:
    try:
        holder = json.loads(folder.lock_path.read_text(encoding="utf-8"))
        return Holder(
            pid=int(holder["pid"]),
            user=str(holder.get("user")),
            host=str(holder["host"]),
            since=str(holder.get("since")),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
