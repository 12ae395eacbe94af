"""A study in PostgreSQL: a driver that dies, a server that restarts, and who else may read it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest
import sqlalchemy
from optuna.trial import TrialState
from sqlalchemy.engine import Connection, Engine

from benchmarks.postgresql_server import PostgresqlServer
from pruning_core.errors import StorageError
from search.database.study_database import open_database, read_database
from search.database.url import libpq_url
from search.spec import SearchSpec
from search.studies.folder import StudyFolder
from search.studies.study import open_search_study
from tests.search_tests.dying_driver import (
    load_trials,
    mortal_spec,
    record_of,
    take_up,
    tell_trials,
)
from tests.search_tests.synthetic_search import make_folder

NUM_WITH_NEW_TABLES = 5
"""Deaths so early that tables may be missing need a database of their own."""


class Killed(BaseException):
    """What a process that is killed leaves of a transaction: nothing."""


@contextmanager
def killed_before_commit(number: int) -> Iterator[None]:
    """Let this process die, as far as databases can tell, before the transaction with this number."""
    num_left = number

    def die(_: Connection) -> None:
        nonlocal num_left
        if num_left == 0:
            raise Killed
        num_left -= 1

    sqlalchemy.event.listen(Engine, "commit", die)
    try:
        yield
    finally:
        sqlalchemy.event.remove(Engine, "commit", die)


def new_study(root: Path, url: str, **changes: Any) -> tuple[StudyFolder, SearchSpec]:
    spec = mortal_spec(storage={"optuna": url}, **changes)
    return make_folder(root, spec), spec


@pytest.mark.slow
def test_a_driver_may_die_before_any_transaction(
    tmp_path: Path, postgresql: PostgresqlServer, database_url: str
) -> None:
    folder, spec = new_study(tmp_path / "whole", database_url)
    values = tell_trials(open_search_study(folder, spec), spec, 1)
    num_survived = 0
    while True:
        url = postgresql.create_database() if num_survived < NUM_WITH_NEW_TABLES else database_url
        folder, spec = new_study(tmp_path / str(num_survived), url, study=f"dies-{num_survived}")
        if not dies(folder, spec, num_survived):
            break
        postgresql.end_sessions(url)
        (trial,) = take_up(folder, spec, 1)
        assert trial.state is TrialState.COMPLETE, num_survived
        assert [trial.params] == values, num_survived
        num_survived += 1
    assert num_survived > 15


def dies(folder: StudyFolder, spec: SearchSpec, num_transactions: int) -> bool:
    try:
        with killed_before_commit(num_transactions):
            tell_trials(open_search_study(folder, spec), spec, 1)
    except Killed:
        return True
    return False


def test_optuna_itself_opens_the_study(tmp_path: Path, database_url: str) -> None:
    folder, spec = new_study(tmp_path, database_url)
    values = tell_trials(open_search_study(folder, spec), spec, 2)
    storage = optuna.storages.RDBStorage(database_url)
    try:
        study = optuna.load_study(study_name=folder.study, storage=storage)
        assert [trial.params for trial in study.trials] == values
        assert [trial.number for trial in study.trials] == [0, 1]
        assert study.user_attrs == {"id": "x", "created_at": 0.0}
        assert all(trial.values is not None for trial in study.trials)
    finally:
        storage.engine.dispose()


def test_studies_of_one_database_have_numbers_of_their_own(tmp_path: Path, database_url: str) -> None:
    for study in ("one", "two"):
        folder, spec = new_study(tmp_path, database_url, study=study)
        tell_trials(open_search_study(folder, spec), spec, 2)
        assert [trial.number for trial in load_trials(folder)] == [0, 1]


def test_a_server_that_restarts_between_two_statements_only_delays(
    tmp_path: Path, postgresql: PostgresqlServer, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, spec = new_study(tmp_path, database_url)
    study = open_search_study(folder, spec)
    asked = study.ask()
    postgresql.restart()
    study.mark_started(asked.number, "key")
    postgresql.stop()
    starting = threading.Timer(0.5, postgresql.start)
    starting.start()
    study.tell(record_of(asked.number, spec))
    starting.join()
    assert load_trials(folder)[0].state is TrialState.COMPLETE
    told = capsys.readouterr().err
    assert told.count("waiting for the study's database: the database postgresql+psycopg://postgres@127") == 1


def test_a_connection_over_which_the_study_is_not_held_writes_nothing(
    tmp_path: Path, postgresql: PostgresqlServer, database_url: str
) -> None:
    folder, spec = new_study(tmp_path, database_url)
    is_held = True

    def ensure_held() -> None:
        if not is_held:
            raise StorageError("somebody else holds it")

    study = open_search_study(folder, spec, ensure_held)
    asked = study.ask()
    is_held = False
    study.mark_started(asked.number, "key")  # over the old connection
    postgresql.restart()
    with pytest.raises(StorageError, match="somebody else holds it"):
        study.tell(record_of(asked.number, spec))
    (trial,) = load_trials(folder)
    assert "record" not in trial.user_attrs


def test_a_statement_that_is_cut_short_ends_the_driver_and_resume_goes_on(
    tmp_path: Path, postgresql: PostgresqlServer, database_url: str
) -> None:
    folder, spec = new_study(tmp_path, database_url)
    study = open_search_study(folder, spec)
    study.tell(record_of(study.ask().number, spec))
    database = database_url.rpartition("/")[2]
    with psycopg.connect(libpq_url(database_url)) as blocker:
        blocker.execute("SELECT * FROM studies FOR UPDATE")  # a new trial waits for this row
        ending = threading.Thread(target=end_waiting_session, args=(postgresql, database))
        ending.start()
        with pytest.raises(
            StorageError,
            match=r"the database postgresql\+psycopg://.* must take what a search writes, but: .*terminat.*; "
            "what is finished is kept, and `prunefront resume demo` goes on",
        ):
            study.ask()
        ending.join()
    trials = take_up(folder, spec, 2)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    assert [trial.number for trial in trials] == [0, 1]


def end_waiting_session(postgresql: PostgresqlServer, database: str) -> None:
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{database}' AND wait_event_type = 'Lock'"
    )
    for _ in range(600):
        if postgresql.execute(query):
            return
        time.sleep(0.05)
    raise AssertionError("nobody waited for a lock")


def test_a_reader_cannot_write(tmp_path: Path, database_url: str) -> None:
    folder, spec = new_study(tmp_path, database_url)
    tell_trials(open_search_study(folder, spec), spec, 2)
    storage = read_database(database_url, folder.study)
    assert storage is not None
    study = optuna.load_study(study_name=folder.study, storage=storage)
    with pytest.raises(
        StorageError, match="must answer, but: cannot execute INSERT in a read-only transaction"
    ):
        study.set_user_attr("a", 1)


def test_reading_a_database_without_tables_makes_none(
    database_url: str, postgresql: PostgresqlServer
) -> None:
    assert read_database(database_url, "demo") is None
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert postgresql.execute(tables, database_url.rpartition("/")[2]) == [(0,)]


def test_two_that_begin_at_once_make_the_tables_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(lambda study: open_database(database_url, study, lambda: None), "abcd"))
    assert len({storage.get_current_version() for storage in opened}) == 1


def test_tables_that_may_not_be_made_are_told_of(postgresql: PostgresqlServer, database_url: str) -> None:
    database = database_url.rpartition("/")[2]
    postgresql.execute("DROP ROLE IF EXISTS guest")
    postgresql.execute("CREATE ROLE guest LOGIN")
    postgresql.execute("REVOKE CREATE ON SCHEMA public FROM public", database)
    with pytest.raises(
        StorageError, match="must have Optuna's tables, or let us make them, but: permission denied"
    ):
        open_database(postgresql.url(database, "guest"), "demo", lambda: None)


def test_tables_of_another_optuna_are_told_of(postgresql: PostgresqlServer, database_url: str) -> None:
    open_database(database_url, "demo", lambda: None)
    postgresql.execute("UPDATE alembic_version SET version_num = 'v99'", database_url.rpartition("/")[2])
    with pytest.raises(StorageError, match="must have this Optuna's tables, but: The runtime optuna version"):
        open_database(database_url, "demo", lambda: None)
