"""Searches over real Ray, Optuna's journal and MLflow, with a backend that only sleeps. One Ray at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState

from benchmarks.faults import descendants, lives
from pruning_core.errors import StorageError
from reports.records import StudyRecords, TrialStatus
from search.spec import dump_spec
from search.studies.folder import StudyFolder
from search.studies.journal import read_journal
from search.studies.lock import hold_study
from search.studies.records import read_study
from search.timeline import read_timeline
from search.timing import measure_timing
from tests.integration_tests.synthetic_driver import INTERRUPTED
from tests.processes import wait_for
from tests.search_tests.synthetic_backend import CRASHES, FULL_DISK, KILLS_WORKER, NOT_A_NUMBER, times_run
from tests.search_tests.synthetic_search import GRID, make_spec

pytestmark = [
    pytest.mark.integration,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow's own use of sqlalchemy
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 240


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a driver on the study ``demo``; what is still running at the end is killed."""
    drivers: list[subprocess.Popen[str]] = []

    def _start(**changes: Any) -> subprocess.Popen[str]:
        argument = "resume"
        if not folder_of(tmp_path).exists:
            spec_path = tmp_path / "spec.yaml"
            spec_path.write_text(dump_spec(make_spec(**changes)))
            argument = str(spec_path)
        driver = subprocess.Popen(
            [sys.executable, "-m", "tests.integration_tests.synthetic_driver", str(tmp_path), argument],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        drivers.append(driver)
        return driver

    yield _start
    for driver in drivers:
        with driver:  # which closes its pipes
            driver.kill()


def folder_of(root: Path) -> StudyFolder:
    return StudyFolder(root, "demo")


def slow_run(*, stage_ms: int = 300, trial_ms: int = 300) -> dict[str, Any]:
    return {
        "budgets": {"macs": 0.5},
        "gates": {"steps": trial_ms},
        "saliency": {"selector": {"epochs": stage_ms // 10}},
    }


def finish(driver: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, err
    assert err == "", "a search that goes well says nothing on stderr"
    outcome: dict[str, Any] = json.loads(out.splitlines()[-1])
    return outcome


def finished_trials(folder: StudyFolder) -> int:
    return sum(event.get("kind") == "trial" for event in read_timeline(folder.timeline_path))


def worker_pids(folder: StudyFolder) -> set[int]:
    return {event["pid"] for event in read_timeline(folder.timeline_path) if event["event"] == "item"}


def mlflow_children(folder: StudyFolder) -> dict[int, Run]:
    client = MlflowClient(tracking_uri=folder.mlflow_uri)
    experiment = client.get_experiment_by_name("demo")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(runs) == len(children) + 1
    by_number = {int(run.data.tags["trial.number"]): run for run in children}
    assert len(by_number) == len(children), "a trial is in MLflow twice"
    return by_number


def check_nothing_lost_or_twice(folder: StudyFolder, num_trials: int) -> StudyRecords:
    """Compare Optuna, MLflow and what workers really ran."""
    study = read_study(folder)
    numbers = list(range(num_trials))
    assert sorted(record.number for record in study.records) == numbers
    assert len({record.trial_key for record in study.records}) == num_trials
    storage = read_journal(folder)
    assert storage is not None
    trials = optuna.load_study(study_name="demo", storage=storage).trials
    assert [trial.number for trial in trials] == numbers
    assert all(trial.state is not TrialState.RUNNING for trial in trials)
    children = mlflow_children(folder)
    assert sorted(children) == numbers
    for record in study.records:
        run = children[record.number]
        assert run.data.tags["trial.key"] == record.trial_key
        assert run.data.tags["status"] == record.status
        assert run.info.status != "RUNNING"
    assert set(times_run(folder.artifacts_path).values()) == {1}
    return study


def test_a_search_builds_each_shared_stage_once_and_uses_all_slots(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    outcome = finish(start(run=slow_run(stage_ms=600), resources={"slots": 2}))
    folder = folder_of(tmp_path)
    study = check_nothing_lost_or_twice(folder, 12)
    assert (outcome["num_complete"], outcome["num_untracked"]) == (12, 0)
    assert {record.status for record in study.records} == {TrialStatus.COMPLETE}

    timing = measure_timing(read_timeline(folder.timeline_path))
    assert json.loads(folder.timing_path.read_text())["ideal_s"] == timing.ideal_s
    builds = Counter(stage.name for stage in timing.shared_stages)
    assert builds == {"dense": 1, "predictor": 1, "selector": 3}
    assert {stage.num_builds for stage in timing.shared_stages} == {1}
    assert len(worker_pids(folder)) == 2
    assert timing.unshared_work_s > 2 * timing.work_s

    wait_for(lambda: not any(lives(pid) for pid in worker_pids(folder)), "workers to end")


def test_a_killed_driver_takes_its_workers_along_and_its_study_can_be_resumed(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = folder_of(tmp_path)
    driver = start(run=slow_run(trial_ms=900), resources={"slots": 2}, sampler={"name": "tpe"})
    wait_for(lambda: finished_trials(folder) >= 4, "four trials")
    with (
        pytest.raises(StorageError, match=f"'demo' is held by process {driver.pid} "),
        hold_study(folder),
    ):
        pytest.fail("two drivers hold the study")
    for pid in worker_pids(folder):
        assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, driver.pid)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    num_finished = finished_trials(folder)
    assert num_finished < 12
    wait_for(lambda: not any(lives(pid) for pid in worker_pids(folder)), "orphaned workers to end")

    outcome = finish(start())
    assert outcome["num_complete"] == 12
    check_nothing_lost_or_twice(folder, 12)
    sessions = [event for event in read_timeline(folder.timeline_path) if event["event"] == "session"]
    assert len(sessions) == 2
    assert outcome["timing"]["num_trials"] == 12


@pytest.mark.parametrize("rule", ["stopping", "promotion"])
def test_halving_goes_on_from_the_rungs_that_a_killed_driver_left(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]], rule: str
) -> None:
    folder = folder_of(tmp_path)
    run = {**slow_run(trial_ms=400), "fine_tuning": {"epochs": 4}}
    driver = start(run=run, resources={"slots": 2}, halving={"rule": rule, "eta": 2})
    wait_for(lambda: finished_trials(folder) >= 5, "five rungs or ends")
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    left = read_study(folder)
    assert any(record.rungs and record.status is TrialStatus.RUNNING for record in left.records)
    wait_for(lambda: not any(lives(pid) for pid in worker_pids(folder)), "orphaned workers to end")
    finish(start())
    study = check_nothing_lost_or_twice(folder, 12)
    statuses = Counter(record.status for record in study.records)
    assert statuses.keys() == {TrialStatus.COMPLETE, TrialStatus.STOPPED}
    reached = {record.number: record.rungs for record in study.records}
    for record in left.records:
        assert reached[record.number][: len(record.rungs)] == record.rungs


def test_ctrl_c_ends_a_search_that_can_be_resumed(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = folder_of(tmp_path)
    driver = start(run=slow_run(trial_ms=4000), resources={"slots": 2})
    wait_for(folder.mlflow_runs_path.exists, "MLflow's first runs")
    driver.send_signal(signal.SIGINT)
    assert driver.wait(60) == INTERRUPTED
    assert read_timeline(folder.timeline_path)[-1]["reason"] == "interrupted"
    study = read_study(folder)
    assert 1 <= sum(record.status is TrialStatus.COMPLETE for record in study.records) < 12
    assert any(record.status is TrialStatus.RUNNING for record in study.records)
    client = MlflowClient(tracking_uri=folder.mlflow_uri)
    assert client.get_run(json.loads(folder.mlflow_runs_path.read_text())["parent"]).info.status == "KILLED"
    wait_for(lambda: not any(lives(pid) for pid in worker_pids(folder)), "workers to end")


def test_a_search_whose_node_dies_ends_and_can_be_resumed(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = folder_of(tmp_path)
    driver = start(run=slow_run(trial_ms=2000), resources={"slots": 2}, limits={"trials": 6})
    wait_for(lambda: finished_trials(folder) >= 1, "a trial")
    agents = [
        pid
        for pid in descendants(driver.pid)
        if b"DashboardAgent" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(agents[0], signal.SIGKILL)  # Ray's node ends with it at once, and takes the workers along
    _, err = driver.communicate(timeout=60)
    assert driver.returncode != 0
    assert "LostProcessError: Ray must run to the end of a search" in err
    assert all(record.status is not TrialStatus.FAILED for record in read_study(folder).records)
    finish(start())
    check_nothing_lost_or_twice(folder, 6)


def test_a_full_disk_ends_a_search_that_can_be_resumed(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    search = {"budgets.macs": GRID["budgets.macs"], "seed": {"choices": [0, FULL_DISK]}}
    driver = start(search=search, run=slow_run(), resources={"slots": 2})
    _, err = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode != 0
    assert "StorageError: the disk must have room for the results, but is full" in err
    folder = folder_of(tmp_path)
    assert read_timeline(folder.timeline_path)[-1]["reason"] == "failed"
    assert all(record.status is not TrialStatus.FAILED for record in read_study(folder).records)


def test_a_search_survives_whatever_its_trials_do(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    disasters = [CRASHES, NOT_A_NUMBER, KILLS_WORKER]
    search = {"budgets.macs": GRID["budgets.macs"], "seed": {"choices": [0, 1, *disasters]}}
    outcome = finish(start(search=search, run=slow_run(), resources={"slots": 2}, limits={"trials": 20}))
    assert (outcome["num_complete"], outcome["num_failed"]) == (4, 6)
    folder = folder_of(tmp_path)
    study = check_nothing_lost_or_twice(folder, 10)
    reasons = {record.seed: record.reason or "" for record in study.records}
    assert reasons[CRASHES] == "the loss of stage 'steer' must be finite, but got nan"
    assert reasons[NOT_A_NUMBER].startswith("the worker's result is not valid: explanation_distance")
    assert reasons[KILLS_WORKER].startswith("the worker process died")
    assert "Ray says: The actor died" in reasons[KILLS_WORKER]
    assert "NonFiniteLossError" in folder.failures_path.read_text()
    children = mlflow_children(folder)
    for record in study.records:
        tags = children[record.number].data.tags
        assert tags.get("failure_reason") == record.reason
