"""Searches on a Ray cluster as a team has them: every record on a server, and a machine that is not like the others."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlflow import MlflowClient

from benchmarks.faults import MlflowServer
from reports.records import TrialStatus
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from search.timeline import read_timeline
from tests.integration_tests.command_line import run_command
from tests.integration_tests.ray_nodes import RayNodes

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

pytestmark = [pytest.mark.integration, pytest.mark.ray, pytest.mark.slow]

SPEC = """\
study: team
run:
  architecture: {name: cifar_resnet8, width: 0.25}
  dataset: {train_images: 400, test_images: 100}
  dense_training: {epochs: 1}
  method: l1
  fine_tuning: {epochs: 1}
search:
  budgets.macs: {low: 0.3, high: 0.9}
limits: {trials: 4}
"""
DATA = """\
import os

from sklearn.datasets import load_digits


def load():
    digits = load_digits()
    x = (digits.images * 15).astype("uint8")
    if "SPOILT_DISK" in os.environ:
        x[3] = 255 - x[3]
    return {"x_train": x[:500], "y_train": digits.target[:500], "x_test": x[500:600], "y_test": digits.target[500:600]}
"""
OTHER_DATA_SPEC = """\
study: mixed
run:
  architecture: {name: cifar_resnet8, width: 0.25}
  dataset: {name: "small_data:load"}
  dense_training: {epochs: 1}
  method: l1
  fine_tuning: {epochs: 1}
search:
  budgets.macs: {low: 0.3, high: 0.9}
limits: {trials: 6}
"""


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[MlflowServer]:
    """MLflow's own server, on a port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "mlflow"
    folder.mkdir()
    server = MlflowServer(folder, port)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def test_a_search_keeps_everything_on_servers(
    tmp_path: Path, object_store: ObjectStore, mlflow_server: MlflowServer, database_url: str
) -> None:
    artifacts = object_store.new_address()
    places = [
        f"storage.artifacts={artifacts}",
        f"storage.mlflow={mlflow_server.address}",
        f"storage.optuna={database_url}",
    ]
    (tmp_path / "spec.yaml").write_text(SPEC)
    with RayNodes(1, 1) as nodes:  # after the object store, whose credentials they inherit
        out, _ = run_command(tmp_path, "launch", "spec.yaml", "--address", nodes.address, *places)
    assert "up to 4 trials, 2 at once" in out
    folder = StudyFolder(tmp_path / "results", "team")
    records = read_study(folder).records
    assert [record.status for record in records] == [TrialStatus.COMPLETE] * 4

    kept = object_store.objects(artifacts)
    for record in records:
        for key in record.artifact_keys.values():
            assert any(key in name for name in kept), key
    assert not folder.artifacts_path.exists()
    assert not folder.journal_path.exists()
    assert not (folder.root / "mlflow.db").exists()

    client = MlflowClient(mlflow_server.address)
    (experiment,) = [one for one in client.search_experiments() if one.name == "team"]
    runs = client.search_runs([experiment.experiment_id], max_results=50)
    names = sorted(run.info.run_name for run in runs if run.info.run_name.startswith("trial-"))
    assert names == [f"trial-{number:04d}" for number in range(4)]
    assert {run.info.status for run in runs} == {"FINISHED"}
    found, _ = run_command(tmp_path, "doctor", "team", "--json")
    assert json.loads(found)["findings"] == []


def test_a_machine_with_other_data_ends_the_search_and_adds_nothing(tmp_path: Path) -> None:
    (tmp_path / "small_data.py").write_text(DATA)
    (tmp_path / "spec.yaml").write_text(OTHER_DATA_SPEC)
    with RayNodes(1, "1,SPOILT_DISK=yes") as nodes:
        _, err = run_command(tmp_path, "launch", "spec.yaml", "--address", nodes.address, exit_code=2)
    assert "every machine must have the driver's data, plug-ins and version" in err
    folder = StudyFolder(tmp_path / "results", "mixed")
    done = [event for event in read_timeline(folder.timeline_path) if event["event"] == "item"]
    workers = {event["pid"] for event in done if event["status"] == "complete"}
    assert len(workers) <= 1, "only the machine with the driver's data has done anything"

    out, _ = run_command(tmp_path, "resume", "mixed")
    assert "6 of 6 trials done" in out
    found, _ = run_command(tmp_path, "doctor", "mixed", "--json")
    assert json.loads(found)["findings"] == []
