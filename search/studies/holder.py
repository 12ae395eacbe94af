"""The process that holds a study, as others are told of it."""

from __future__ import annotations

import getpass
import os
import socket
import time
from dataclasses import dataclass

__all__ = ["Holder", "held_by", "since_text", "this_process"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who took a study and when; ``since``: local time, ``2026-01-31 12:00:00``."""

    pid: int
    user: str
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host} since {self.since}"

    @property
    def is_this_process(self) -> bool:
        """Whether it is the one that asks."""
        return self.pid == os.getpid() and self.host == socket.gethostname()


def this_process() -> Holder:
    """Return what others are told when this process takes a study now."""
    return Holder(pid=os.getpid(), user=_user(), host=socket.gethostname(), since=since_text(time.time()))


def since_text(at: float) -> str:
    """Write a moment, in unix seconds, as local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def held_by(study: str, holder: Holder | None) -> str:
    """Say that a study is held; None: by a process that has not said who it is."""
    return (
        f"a study must have one driver, but {study!r} is held by {holder or 'another process that has just started'}; "
        f"wait for it, or stop it and type `prunefront resume {study}`"
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
