"""Whether a driver works on a study, found out without touching its lock."""

from __future__ import annotations

import json
import os
import socket

from search.database.lock import who_holds
from search.studies.folder import StudyFolder
from search.studies.holder import Holder
from search.studies.place import database_of

__all__ = ["driver_of", "is_driven", "process_lives"]


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
    try:
        holder = json.loads(folder.lock_path.read_text(encoding="utf-8"))
        pid, host = int(holder["pid"]), holder["host"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if host != socket.gethostname() or not process_lives(pid):
        return None
    return Holder(pid=pid, user=str(holder.get("user")), host=host, since=str(holder.get("since")))


def process_lives(pid: int) -> bool:
    """Tell whether a process of this machine lives, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
