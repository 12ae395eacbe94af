"""``prunefront ui``: what it would serve, without serving it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pruning_core.errors import StorageError
from search.cli import app
from search.commands.ui import HOST, server_command, study_links
from search.tracking.view import SHARED_VIEW
from tests.search_tests.stored_studies import SPEC, store_study

runner = CliRunner()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "mlflow.db").touch()
    return tmp_path


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def test_the_server_listens_on_the_loopback_address_only(store: Path, free_port: int) -> None:
    arguments = server_command(store, free_port)
    assert arguments[arguments.index("--host") + 1] == "127.0.0.1"
    assert arguments[arguments.index("--port") + 1] == str(free_port)
    assert arguments[arguments.index("--backend-store-uri") + 1] == f"sqlite:///{store / 'mlflow.db'}"


def test_a_folder_without_a_store_is_refused(tmp_path: Path) -> None:
    result = runner.invoke(app, ["ui", "--storage", str(tmp_path)])
    assert result.exit_code == 2
    assert "has no mlflow.db; launch a search first" in result.stderr


def test_a_port_that_is_taken_is_refused(store: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StorageError, match=f"port {port} must be free.*--port"):
            server_command(store, port)


@pytest.mark.parametrize("port", ["0", "65535", "http"])
def test_a_port_that_cannot_be_is_refused(port: str) -> None:
    assert runner.invoke(app, ["ui", "--port", port]).exit_code == 2


def test_each_study_of_the_store_has_a_link_to_its_runs(tmp_path: Path) -> None:
    mine = store_study(tmp_path, [], text=SPEC.replace("tiny", "mine"))
    elsewhere = store_study(tmp_path, [], text=SPEC.replace("tiny", "elsewhere"))
    store_study(tmp_path, [], text=SPEC.replace("tiny", "untracked"))
    for folder, base in ((mine, None), (elsewhere, "https://mlflow.example/#/experiments/7/runs")):
        content: dict[str, object] = {"experiment": "7", "parent": "p", "url_base": base, "runs": {}}
        folder.mlflow_runs_path.write_text(json.dumps(content))
    address = "http://127.0.0.1:5000"
    page = f"{address}/#/experiments/7/runs?workflowType=machine_learning"
    assert study_links(mine.root, address) == [("mine", page)]


def test_the_link_applies_the_view_that_the_store_has(tmp_path: Path) -> None:
    folder = store_study(tmp_path, [])
    content: dict[str, object] = {
        "experiment": "7",
        "parent": "p",
        "url_base": None,
        "view": SHARED_VIEW,
        "runs": {},
    }
    folder.mlflow_runs_path.write_text(json.dumps(content))
    ((_, page),) = study_links(folder.root, "http://127.0.0.1:5000")
    assert page.endswith("/runs?workflowType=machine_learning&viewStateShareKey=prunefront")
