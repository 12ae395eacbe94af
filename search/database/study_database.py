"""Optuna's own tables in PostgreSQL, so that whatever reads Optuna's databases reads a study.

A server that restarts between two statements only delays the driver. A statement that is cut short ends it: whether it
took effect nobody knows, and `SearchStudy.adopt` mends either.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.exc import SQLAlchemyError

from pruning_core.errors import StorageError
from search.database.postgresql import (
    DatabaseAwayError,
    closed_unless_good,
    connect,
    in_one_line,
    load_psycopg,
    wait_for,
)
from search.database.snapshot import holds_study
from search.terminal import warn

if TYPE_CHECKING:
    import psycopg

__all__ = ["open_database", "read_database"]

_TABLES_KEY = 0x7072756E65  # of the lock under which tables are made
_READ_ONLY = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
_POOL = {"pool_pre_ping": True, "pool_use_lifo": True}


def open_database(url: str, study: str, ensure_held: Callable[[], object]) -> RDBStorage:
    """Open a database for writing a study, and make Optuna's tables if it has none.

    Args:
        url: As `check_database_url` allows it.
        study: Its name, for what is said of errors.
        ensure_held: Called before the first statement after a connection was lost; raises if the study is not held any
            more.

    Raises:
        StorageError: The database cannot be reached, read or written; so does whatever is done to it later.
    """
    with connect(url) as one_at_a_time:
        one_at_a_time.execute("SELECT pg_advisory_lock(%s)", (_TABLES_KEY,))
        storage = _make(url, _Patient(url, study, ensure_held))
    kept = f"; what is finished is kept, and `prunefront resume {study}` goes on"
    _speak_plainly(storage, f"the database {url} must take what a search writes, but", kept)
    return storage


def read_database(url: str, study: str) -> RDBStorage | None:
    """Open a database for reading a study; another process may be writing it. None if it holds no such study.

    Raises:
        StorageError: The database cannot be reached or read; so does whatever is read later.
    """
    if not holds_study(url, study):
        return None

    def connect_to_read() -> psycopg.Connection[Any]:
        connection = connect(url)
        connection.execute(_READ_ONLY)
        connection.autocommit = False
        return connection

    storage = _make(url, connect_to_read, skip_table_creation=True)
    _speak_plainly(storage, f"the database {url} must answer, but", "")
    return storage


class _Connections:
    """The connections that an engine has made, so that all of them can be closed."""

    def __init__(self, make: Callable[[], psycopg.Connection[Any]]) -> None:
        self._make = make
        self._open: list[psycopg.Connection[Any]] = []

    def __call__(self) -> psycopg.Connection[Any]:
        connection = self._make()
        self._open = [one for one in self._open if not one.closed] + [connection]
        return connection

    def close(self) -> None:
        for connection in self._open:
            connection.close()


class _Patient:
    """Opens connections for writing; the server was there before, and is waited for."""

    def __init__(self, url: str, study: str, ensure_held: Callable[[], object]) -> None:
        self._url = url
        self._study = study
        self._ensure_held = ensure_held
        self._has_warned = False

    def __call__(self) -> psycopg.Connection[Any]:
        try:
            connection = wait_for(self._attempt, DatabaseAwayError)
        except DatabaseAwayError as error:
            raise StorageError(
                f"{error}; what is finished is kept, and `prunefront resume {self._study}` goes on"
            ) from error
        self._has_warned = False
        return connection

    def _attempt(self) -> psycopg.Connection[Any]:
        try:
            connection = connect(self._url)
            with closed_unless_good(connection):
                self._ensure_held()
        except DatabaseAwayError as error:
            if not self._has_warned:
                warn(f"waiting for the study's database: {error}")
                self._has_warned = True
            raise
        connection.autocommit = False
        return connection


def _make(
    url: str, connect: Callable[[], psycopg.Connection[Any]], *, skip_table_creation: bool = False
) -> RDBStorage:
    connections = _Connections(connect)
    with closed_unless_good(connections):
        try:
            storage = RDBStorage(
                url, {"creator": connections, **_POOL}, skip_table_creation=skip_table_creation
            )
        except (SQLAlchemyError, StorageInternalError) as error:
            said = in_one_line(error.__cause__ or error)
            raise StorageError(
                f"the database {url} must have Optuna's tables, or let us make them, but: {said}"
            ) from error
        except RuntimeError as error:  # tables of another version
            raise StorageError(f"the database {url} must have this Optuna's tables, but: {error}") from error
    weakref.finalize(storage, _close, storage.engine, connections)
    return storage


def _close(engine: Engine, connections: _Connections) -> None:
    engine.dispose()
    connections.close()


def _speak_plainly(storage: RDBStorage, what: str, next_step: str) -> None:
    """Turn what the database's driver raises into one line for the user."""
    psycopg = load_psycopg()

    def explain(context: ExceptionContext) -> None:
        error = context.original_exception
        expected = context.is_pre_ping or isinstance(error, psycopg.IntegrityError)  # Optuna handles these
        if isinstance(error, psycopg.Error) and not expected:
            raise StorageError(f"{what}: {in_one_line(error)}{next_step}") from error

    event.listen(storage.engine, "handle_error", explain)
