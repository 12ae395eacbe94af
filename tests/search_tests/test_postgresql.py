"""Connecting to PostgreSQL: at once or patiently, and in plain words."""

from __future__ import annotations

import sys

import pytest

from benchmarks.postgresql_server import PostgresqlServer
from pruning_core.errors import StorageError
from search.database.postgresql import DatabaseAwayError, connect, wait_for

URL = "postgresql+psycopg://me@127.0.0.1:1/studies"


class Time:
    """A clock that sleeping moves, and an attempt that fails for so many seconds."""

    def __init__(self, away_s: float) -> None:
        self.now, self.away_s = 0.0, away_s
        self.attempts: list[float] = []

    def attempt(self) -> str:
        self.attempts.append(self.now)
        if self.now < self.away_s:
            raise DatabaseAwayError("the server is away")
        return "connected"

    def wait(self, patience_s: float) -> str:
        return wait_for(
            self.attempt, DatabaseAwayError, patience_s=patience_s, clock=lambda: self.now, sleep=self.sleep
        )

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_server_that_comes_back_is_waited_for_with_growing_pauses() -> None:
    time = Time(away_s=40)
    assert time.wait(300) == "connected"
    pauses = [later - earlier for earlier, later in zip(time.attempts, time.attempts[1:], strict=False)]
    assert pauses[:4] == [0.25, 0.5, 1.0, 2.0]
    assert pauses == sorted(pauses)
    assert max(pauses) == 10


def test_patience_ends_with_the_last_error() -> None:
    time = Time(away_s=1000)
    with pytest.raises(DatabaseAwayError, match="the server is away"):
        time.wait(60)
    assert 50 <= time.now <= 60


def test_what_will_not_pass_comes_out_at_once() -> None:
    def refuse() -> None:
        raise StorageError("somebody else holds it")

    with pytest.raises(StorageError, match="somebody else"):
        wait_for(refuse, DatabaseAwayError, sleep=lambda _: pytest.fail("nothing to wait for"))


def test_a_server_that_is_not_there_is_told_of_in_one_line() -> None:
    pytest.importorskip("psycopg", reason="needs the extra prunefront[postgresql]")
    with pytest.raises(
        DatabaseAwayError,
        match=r"^the database postgresql\+psycopg://me@127.* must let us in, but: .*refused.*; look whether its server "
        r"runs\. A password comes from PGPASSWORD or ~/\.pgpass$",
    ) as refused:
        connect(URL)
    assert "\n" not in str(refused.value)


def test_a_missing_driver_is_told_of_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        StorageError, match=r"^psycopg must be installed .*; pip install 'prunefront\[postgresql\]'$"
    ):
        connect(URL)


def test_a_password_comes_from_the_environment(
    postgresql: PostgresqlServer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgresql.execute("DROP ROLE IF EXISTS locked")
    postgresql.execute("CREATE ROLE locked LOGIN PASSWORD 'hunter2'")
    url = postgresql.url(database_url.rpartition("/")[2], "locked")
    monkeypatch.setenv("PGPASSWORD", "wrong-secret")
    with pytest.raises(StorageError, match="password authentication failed") as refused:
        connect(url)
    assert "wrong-secret" not in str(refused.value)
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    with connect(url) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("locked",)
