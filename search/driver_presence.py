"""Whether a driver works on a study, found out without touching its lock."""

from __future__ import annotations

import json
import os
import socket

from search.study_folder import StudyFolder

__all__ = ["driver_pid", "is_driven", "process_lives"]


def is_driven(folder: StudyFolder) -> bool:
    """Tell whether the process that last locked the study lives; see `driver_pid`."""
    return driver_pid(folder) is not None


def driver_pid(folder: StudyFolder) -> int | None:
    """Return the process that last locked the study, if it lives.

    The lock itself is not tried: holding it, if only for a moment, could turn a driver away. On another machine than
    the driver's the answer is None.
    """
    try:
        holder = json.loads(folder.lock_path.read_text(encoding="utf-8"))
        pid, host = int(holder["pid"]), holder["host"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if host == socket.gethostname() and process_lives(pid) else None


def process_lives(pid: int) -> bool:
    """Tell whether a process of this machine lives, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
