"""One driver per study in a database, whatever folder or machine it runs from, and whatever its server does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from benchmarks.postgresql_server import PostgresqlServer
from pruning_core.errors import StorageError
from search.database import lock as database_lock
from search.database.lock import DatabaseLock, hold_in_database, who_holds
from search.database.postgresql import PATIENCE_S

SECONDS = 10.0
"""More than a lock waits between two looks."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_second_driver_is_refused_with_the_holder_s_name(database_url: str) -> None:
    host = socket.gethostname()[:12]
    held = (
        rf"^a study must have one driver, but 'demo' is held by process {os.getpid()} of .* on {host}.* since 20"
        r"\d\d-.*; wait for it, or stop it and type `prunefront resume demo`$"
    )
    with (
        hold_in_database(database_url, "demo"),
        pytest.raises(StorageError, match=held),
        hold_in_database(database_url, "demo"),
    ):
        pytest.fail("two drivers hold the study")


def test_other_studies_are_free_and_this_one_is_when_its_holder_is_done(
    postgresql: PostgresqlServer, database_url: str
) -> None:
    for _ in range(2):
        with hold_in_database(database_url, "demo"), hold_in_database(database_url, "other"):
            holder = who_holds(database_url, "demo")
            assert holder is not None
            assert holder.pid == os.getpid()
    assert who_holds(database_url, "demo") is None
    assert postgresql.num_sessions(database_url) == 0


def test_a_study_of_the_same_name_in_another_database_is_another(
    postgresql: PostgresqlServer, database_url: str
) -> None:
    with hold_in_database(database_url, "demo"), hold_in_database(postgresql.create_database(), "demo"):
        pass


def test_the_lock_dies_with_a_killed_process(database_url: str) -> None:
    program = (
        "import os, signal, sys; from search.database.lock import hold_in_database\n"
        "with hold_in_database(sys.argv[1], 'demo'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program, database_url], check=False)
    assert ended.returncode == -9
    with hold_in_database(database_url, "demo"):
        holder = who_holds(database_url, "demo")
    assert holder is not None
    assert holder.is_this_process == (holder.host == socket.gethostname())


def test_without_a_database_nothing_is_held() -> None:
    with hold_in_database(None, "demo") as lock:
        assert lock is None


def test_a_lock_that_a_restart_took_is_taken_again(postgresql: PostgresqlServer, database_url: str) -> None:
    clock = Clock()
    lock = DatabaseLock(database_url, "demo", clock)
    postgresql.restart()
    lock.check()
    assert who_holds(database_url, "demo") is None  # it is not time to look
    clock.now += SECONDS
    lock.check()
    assert who_holds(database_url, "demo") is not None
    lock.close()


def test_a_driver_whose_study_was_taken_over_ends(postgresql: PostgresqlServer, database_url: str) -> None:
    clock = Clock()
    lock = DatabaseLock(database_url, "demo", clock)
    postgresql.restart()
    with hold_in_database(database_url, "demo"):
        clock.now += SECONDS
        with pytest.raises(StorageError, match=f"'demo' is held by process {os.getpid()} of"):
            lock.check()
        with pytest.raises(StorageError, match=f"'demo' is held by process {os.getpid()} of"):
            lock.ensure()
    lock.close()


def test_a_server_that_is_away_is_waited_for_but_not_for_ever(
    postgresql: PostgresqlServer, database_url: str
) -> None:
    clock = Clock()
    lock = DatabaseLock(database_url, "demo", clock)
    postgresql.stop()
    for _ in range(3):
        clock.now += SECONDS
        lock.check()
    postgresql.start()
    clock.now += SECONDS
    lock.check()
    assert who_holds(database_url, "demo") is not None
    postgresql.stop()
    clock.now += SECONDS
    lock.check()
    clock.now += PATIENCE_S
    with pytest.raises(StorageError, match=r"must let us in, but: .* `prunefront resume demo` goes on"):
        lock.check()
    lock.close()


def test_a_session_of_our_own_that_outlived_its_connection_is_ended(
    postgresql: PostgresqlServer, database_url: str
) -> None:
    """As when the network fails: the server has not noticed yet."""
    lock = DatabaseLock(database_url, "demo")
    left_behind = lock._connection
    lock._connection = lock._take()
    assert postgresql.num_sessions(database_url) == 1
    assert who_holds(database_url, "demo") is not None
    left_behind.close()
    lock.close()


def test_it_looks_every_few_seconds_only(postgresql: PostgresqlServer, database_url: str) -> None:
    clock = Clock()
    lock = DatabaseLock(database_url, "demo", clock)
    num_taken = 0
    for _ in range(30):
        clock.now += 0.7
        if postgresql.num_sessions(database_url) == 0:
            num_taken += 1
        postgresql.end_sessions(database_url)
        lock.check()
    lock.close()
    assert 20 < num_taken < 28


def test_only_one_of_many_gets_a_study(database_url: str) -> None:
    locks: list[DatabaseLock] = []
    refusals: list[str] = []
    begin = threading.Barrier(6)

    def take() -> None:
        begin.wait()
        try:
            locks.append(DatabaseLock(database_url, "demo"))
        except StorageError as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(locks) == 1
    assert len(refusals) == 5
    assert all("'demo' is held by process" in text for text in refusals)
    locks[0].close()


def test_a_long_host_is_cut_and_strange_letters_are_replaced(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "nöde-" + "x" * 80)
    monkeypatch.setenv("LOGNAME", "a user whose name is long")
    with hold_in_database(database_url, "demo"):
        holder = who_holds(database_url, "demo")
    assert holder is not None
    assert holder.pid == os.getpid()
    assert holder.user == "a user whose nam"
    assert holder.host.startswith("n?de-xx")


@pytest.mark.parametrize(
    "name", ["", "psql", "prunefront", "prunefront zz 1 2 a@b", "prunefront 00ff 1 x a@b"]
)
def test_names_of_other_programs_are_no_holders(name: str) -> None:
    assert database_lock._read_name(name) is None
