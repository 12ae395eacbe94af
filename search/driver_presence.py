"""Whether a driver works on a study, found out without touching its lock."""

from __future__ import annotations

import json
import os
import socket

from search.study_folder import StudyFolder

__all__ = ["is_driven"]


def is_driven(folder: StudyFolder) -> bool:
    """Tell whether the process that last locked the study lives.

    The lock itself is not tried: holding it, if only for a moment, could turn a driver away. On another machine than
    the driver's the answer is no.
    """
    try:
        holder = json.loads(folder.lock_path.read_text(encoding="utf-8"))
        pid, host = int(holder["pid"]), holder["host"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return host == socket.gethostname() and _lives(pid)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
