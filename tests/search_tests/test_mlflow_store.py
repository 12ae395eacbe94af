"""MLflow's database appears whole or not at all."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from search.tracking.store import SQLITE, create_database

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow's own use of sqlalchemy
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # MLflow leaves connections to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def tables_of(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    try:
        return {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    finally:
        connection.close()


def test_a_database_has_all_its_tables_from_its_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    seen: list[set[str]] = []
    give_up_at = time.monotonic() + 120

    def watch() -> None:
        while not path.exists():
            assert time.monotonic() < give_up_at
        seen.append(tables_of(path))

    watcher = threading.Thread(target=watch)
    watcher.start()
    create_database(path)
    watcher.join()
    assert seen == [tables_of(path)]
    assert {"experiments", "runs", "tags", "alembic_version"} <= seen[0]
    assert list(tmp_path.iterdir()) == [path]
    assert MlflowClient(tracking_uri=f"{SQLITE}{path}").get_experiment("0").name == "Default"


def test_a_database_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"somebody's")
    create_database(path)
    assert path.read_bytes() == b"somebody's"
