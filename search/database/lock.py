"""One driver per study, whichever machine or results folder it runs from: a lock that a database holds.

The lock belongs to a connection and dies with it, so it is gone after a restart of the server. Its holder writes who it
is into the connection's ``application_name``, which everybody may read.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pruning_core.errors import StorageError
from search.database.postgresql import (
    PATIENCE_S,
    DatabaseAwayError,
    closed_unless_good,
    connect,
    in_one_line,
    load_psycopg,
)
from search.studies.holder import Holder, held_by, since_text, this_process

if TYPE_CHECKING:
    import psycopg

__all__ = ["DatabaseLock", "hold_in_database", "who_holds"]

_INTERVAL_S = 5.0
_PREFIX = "prunefront"
_LONGEST_NAME = 63  # what PostgreSQL keeps of it, in bytes of ASCII
_LONGEST_USER = 16
_NAME = re.compile(rf"{_PREFIX} [0-9a-f]{{4}} (\d+) (\d+) (.*?)@(.*)")
_OWN_SESSIONS_S = 10.0  # for how long the server may take to end an earlier session of ours
_HOLDERS = """
SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32) | l.objid::bigint = %s
"""


class DatabaseLock:
    """Keeps a study for this process, on a connection of its own.

    Args:
        url: Of the database.
        study: Its name.
        clock: Monotonic seconds.

    Raises:
        StorageError: Another process holds the study; the text names it. Or there is no connection.
    """

    def __init__(self, url: str, study: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._study = study
        self._clock = clock
        self._name = _write_name()
        self._next_look = clock() + _INTERVAL_S
        self._lost_at: float | None = None
        self._connection = self._take()

    def check(self) -> None:
        """Look every few seconds whether the lock is still held, and take it again if it was lost.

        Raises:
            StorageError: Another process took it meanwhile, or the server stays away.
        """
        if self._clock() < self._next_look:
            return
        self._next_look = self._clock() + _INTERVAL_S
        try:
            self.ensure()
        except DatabaseAwayError as error:
            self._lost_at = self._clock() if self._lost_at is None else self._lost_at
            if self._clock() - self._lost_at >= PATIENCE_S:
                raise StorageError(
                    f"{error}; what is finished is kept, and `prunefront resume {self._study}` goes on"
                ) from error
        else:
            self._lost_at = None

    def ensure(self) -> None:
        """Take the lock again if the connection that held it is lost.

        Raises:
            StorageError: Another process took it meanwhile, or the server is away.
        """
        psycopg = load_psycopg()
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            self._connection.close()
            self._connection = self._take()

    def close(self) -> None:
        """Let go of the study."""
        self._connection.close()

    def _take(self) -> psycopg.Connection[Any]:
        psycopg = load_psycopg()
        connection = connect(self._url, application_name=self._name)
        try:
            with closed_unless_good(connection):
                self._lock(connection)
        except psycopg.Error as error:
            raise DatabaseAwayError(
                f"the database {self._url} must answer, but: {in_one_line(error)}"
            ) from error
        return connection

    def _lock(self, connection: psycopg.Connection[Any]) -> None:
        give_up_at = self._clock() + _OWN_SESSIONS_S
        key = _key(self._study)
        while connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone() != (True,):
            sessions = connection.execute(_HOLDERS, (key,)).fetchall()
            own = [pid for pid, name in sessions if name == self._name]
            if (sessions and not own) or self._clock() > give_up_at:
                raise StorageError(held_by(self._study, _read_name(sessions[0][1] if sessions else "")))
            for pid in own:  # of a connection that we lost and the server has not
                connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
            time.sleep(0.05)


@contextmanager
def hold_in_database(url: str | None, study: str) -> Iterator[DatabaseLock | None]:
    """Be the only process that may write the study while the context lasts; None: it is in no database.

    Raises:
        StorageError: Another process holds the study; the text names it. Or there is no connection.
    """
    if url is None:
        yield None
        return
    lock = DatabaseLock(url, study)
    try:
        yield lock
    finally:
        lock.close()


def who_holds(url: str, study: str) -> Holder | None:
    """Return which process holds a study, if one does.

    Raises:
        StorageError: The database cannot be asked.
    """
    with connect(url) as connection:
        sessions = connection.execute(_HOLDERS, (_key(study),)).fetchall()
    return _read_name(sessions[0][1]) if sessions else None


def _key(study: str) -> int:
    digest = hashlib.sha256(f"{_PREFIX} {study}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _write_name() -> str:
    """Return who this process is, in what fits into the name of a connection; the end of a long host is cut."""
    holder = this_process()
    mark = uuid.uuid4().hex[:4]  # tells apart processes whose hosts and numbers are alike
    name = f"{_PREFIX} {mark} {holder.pid} {int(time.time())} {holder.user[:_LONGEST_USER]}@{holder.host}"
    return name.encode("ascii", "replace").decode()[:_LONGEST_NAME]


def _read_name(name: str) -> Holder | None:
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    pid, since, user, host = found.groups()
    return Holder(pid=int(pid), user=user, host=host, since=since_text(int(since)))
