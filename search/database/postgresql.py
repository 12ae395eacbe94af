"""Connections to PostgreSQL: one attempt or a patient one, and what goes wrong in one line.

Needs the extra ``prunefront[postgresql]``.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pruning_core.errors import StorageError
from search.database.url import libpq_url

if TYPE_CHECKING:
    import psycopg

__all__ = [
    "PATIENCE_S",
    "DatabaseAwayError",
    "closed_unless_good",
    "connect",
    "in_one_line",
    "load_psycopg",
    "wait_for",
]

PATIENCE_S = 300.0
"""For how long a server that was there may be away."""

_SOCKET_SETTINGS = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""A connection whose other end is gone is noticed after about a minute; the system's default is two hours."""

_SAME_OF_SERVER = (
    "SELECT set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false), "
    "set_config('tcp_keepalives_count', '3', false)"
)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 10.0

_Made = TypeVar("_Made")


class Closable(Protocol):
    """A connection, or several."""

    def close(self) -> None:
        """Close it; nothing happens the second time."""


class DatabaseAwayError(StorageError):
    """No server lets us in; that may be over soon."""


def load_psycopg() -> ModuleType:
    """Import the driver of the database where it is needed: it is optional.

    Raises:
        StorageError: It is not installed.
    """
    try:
        return importlib.import_module("psycopg")
    except ImportError as error:
        raise StorageError(
            f"psycopg must be installed for a study in PostgreSQL (storage.optuna), but: {error}; "
            "pip install 'prunefront[postgresql]'"
        ) from None


def connect(url: str, **settings: Any) -> psycopg.Connection[Any]:
    """Connect, at once or not at all; every statement is its own transaction.

    Args:
        url: As `check_database_url` allows it.
        settings: Of libpq, beside those of the address.

    Raises:
        StorageError: The driver is not installed.
        DatabaseAwayError: No server lets us in.
    """
    driver = load_psycopg()
    try:
        made: psycopg.Connection[Any] = driver.connect(
            libpq_url(url), autocommit=True, **_SOCKET_SETTINGS, **settings
        )
        with closed_unless_good(made):
            made.execute(_SAME_OF_SERVER)
    except driver.Error as error:
        raise DatabaseAwayError(
            f"the database {url} must let us in, but: {in_one_line(error)}; look whether its server runs. "
            "A password comes from PGPASSWORD or ~/.pgpass"
        ) from error
    return made


@contextmanager
def closed_unless_good(connection: Closable) -> Iterator[None]:
    """Close a connection if what is done first with it fails."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def in_one_line(error: BaseException) -> str:
    """Return what the server or libpq said."""
    return " ".join(str(error).split()) or type(error).__name__


def wait_for(
    attempt: Callable[[], _Made],
    passing: type[Exception],
    *,
    patience_s: float = PATIENCE_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> _Made:
    """Return what an attempt gives, after as many as it takes, with growing pauses between them.

    Args:
        attempt: Called again after an error that is ``passing``; any other comes out at once.
        passing: What may be over soon.
        patience_s: For how long; then the last error comes out.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
    """
    give_up_at = clock() + patience_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return attempt()
        except passing:
            if clock() + pause_s > give_up_at:
                raise
        sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
